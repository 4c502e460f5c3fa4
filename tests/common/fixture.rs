//! Weights and images for tests of the program.

use super::program::{Run, finish, program};
use resnet_cpu::data::demo;
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, Params, initialize};
use resnet_cpu::weights::write_weights;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A folder with a ResNet-20 of random weights and three images.
pub(crate) struct Fixture {
    folder: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let fixture = Self { folder: TempDir::new().unwrap() };
        fixture.weights("weights.safetensors", |_| {});
        std::fs::create_dir(fixture.path("images")).unwrap();
        for (i, name) in ["b.png", "a.png", "c.jpg"].iter().enumerate() {
            let (image, _) = demo::image(1, i as u64);
            let path = fixture.path("images").join(name);
            let (side, rgb) = (demo::SIDE as u32, image::ColorType::Rgb8);
            image::save_buffer(path, image.pixels(), side, side, rgb).unwrap();
        }
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn weights(&self, name: &str, change: impl FnOnce(&mut Params)) {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let mut params = initialize(&network, 1, InitOptions::default());
        change(&mut params);
        write_weights(self.path(name), &network, &params, None, &BTreeMap::new()).unwrap();
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        program(self.folder.path(), args)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
        finish(&mut self.command(args))
    }

    /// `infer` with the folder's weights.
    pub(crate) fn infer(&self, args: &[&str]) -> Run {
        self.run(&[&["infer", "--weights", "weights.safetensors"], args].concat())
    }
}
