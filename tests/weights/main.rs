//! Files of weights as a user meets them: good ones, bare ones, contradictory ones, damaged ones.

mod change;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod families;
mod files;
mod foreign;
mod headers;
mod kinds;
mod published;
mod rules;

use std::collections::BTreeMap;
use std::path::PathBuf;

use resnet_cpu::model::{
    InitOptions, ModelSpec, Network, Options, ParamSource, Params, initialize,
};
use resnet_cpu::weights::{NamedTensor, Overrides, WeightsError, WeightsFile, write_safetensors};
use tempfile::TempDir;

use common::test_data;

type Entries = BTreeMap<String, String>;

/// A network with fresh numbers, and the folder to write it to.
struct Fixture {
    network: Network,
    params: Params,
    folder: TempDir,
}

impl Fixture {
    fn new(name: &str, options: Options) -> Self {
        let network = Network::new(&ModelSpec::new(name, options).unwrap());
        let params = initialize(&network, 1, InitOptions::default());
        Self { network, params, folder: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("weights.safetensors")
    }

    fn tensors(&self) -> Vec<NamedTensor<'_>> {
        self.network
            .table()
            .iter()
            .map(|(id, info)| NamedTensor {
                name: info.name.clone(),
                shape: info.shape.clone(),
                values: self.params.tensor(id).unwrap(),
            })
            .collect()
    }

    /// Writes the tensors as `change` leaves them, with `entries`, and opens the file.
    fn open_changed(
        &self,
        change: impl FnOnce(&mut Vec<NamedTensor<'_>>),
        entries: &Entries,
        overrides: &Overrides,
    ) -> Result<WeightsFile, WeightsError> {
        let mut tensors = self.tensors();
        change(&mut tensors);
        write_safetensors(self.path(), &tensors, entries).unwrap();
        WeightsFile::open(self.path(), overrides)
    }

    fn open_bare(&self, overrides: &Overrides) -> Result<WeightsFile, WeightsError> {
        self.open_changed(|_| (), &Entries::new(), overrides)
    }
}

fn find<'a, 'b>(tensors: &'a mut [NamedTensor<'b>], name: &str) -> &'a mut NamedTensor<'b> {
    tensors.iter_mut().find(|t| t.name == name).unwrap()
}

fn arch(name: &str) -> Overrides {
    Overrides { arch: Some(name.to_owned()), ..Overrides::default() }
}

#[track_caller]
fn assert_error<T>(result: Result<T, WeightsError>, parts: &[&str]) {
    let text = result.err().expect("an error").to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}
