//! Trains on a data set of the program's own type: stripes, which are drawn when they are asked for.
//!
//!     cargo run --release -- RUN
//!
//! RUN is the folder of the run. Images may as well come from a database, a camera or a simulation: whatever
//! implements [`Dataset`] can be trained on.

use resnet_cpu::{
    DataError, Dataset, Disk, Interrupt, Length, ModelOptions, Recipe, RgbImage, Run, RunOptions,
    TrainData, pool,
};
use std::error::Error;
use std::path::Path;

type Failure = Box<dyn Error + Send + Sync>;

/// Width and height of an image.
const SIDE: usize = 32;

/// Stripes in four directions, which are the classes.
struct Stripes {
    names: Vec<String>,
    /// The number of the first image: sets of other numbers share no image.
    first: usize,
    count: usize,
}

impl Stripes {
    fn new(first: usize, count: usize) -> Self {
        let names = ["across", "down", "rising", "falling"].map(String::from).to_vec();
        Self { names, first, count }
    }
}

impl Dataset for Stripes {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> usize {
        self.names.len()
    }

    fn class_names(&self) -> Option<&[String]> {
        Some(&self.names)
    }

    fn label(&self, index: usize) -> usize {
        (self.first + index) % self.names.len()
    }

    /// Many threads call it at a time. It returns the same image for the same index each time.
    fn image(&self, index: usize) -> Result<RgbImage, DataError> {
        let number = self.first + index;
        let (shift, width) = (number * 7 % 16, 3 + number / 4 % 4);
        let colour = [90, 140, 190].map(|value| (value + number * 13 % 60) as u8);
        let pixel = |i: usize| {
            let (x, y) = (i % SIDE, i / SIDE);
            let along = [y, x, x + y, x + SIDE - y][self.label(index)];
            if ((along + shift) / width).is_multiple_of(2) { colour } else { [30; 3] }
        };
        Ok(RgbImage::new(SIDE, SIDE, (0..SIDE * SIDE).flat_map(pixel).collect()))
    }

    /// Mirrored, a rising stripe falls: it is of another class.
    fn may_flip(&self) -> bool {
        false
    }

    /// A run is continued only on the data that it began with, and knows them by this line.
    fn fingerprint(&self) -> String {
        format!("stripes, {} from {}", self.count, self.first)
    }
}

fn main() -> Result<(), Failure> {
    let folder = std::env::args_os().nth(1).ok_or("usage: dataset RUN")?;
    let data = TrainData::of(Stripes::new(0, 2000)).validated_on(Stripes::new(2000, 400));
    pool(None)?.install(|| train(folder.as_ref(), &data))
}

fn train(folder: &Path, data: &TrainData) -> Result<(), Failure> {
    let recipe = Recipe::Demo;
    let classes = Some(data.train.classes());
    let spec = recipe.spec("resnet20", ModelOptions { classes, ..ModelOptions::default() })?;
    let mut config = recipe.config(&spec);
    data.fit(&mut config);
    config.length = Length::Epochs(2);

    let interrupt = Interrupt::none();
    let mut run = Run::open(folder, config, data, RunOptions::default(), &Disk, &interrupt)?;
    run.train(&mut (), &interrupt)?;
    for epoch in run.epochs() {
        let top1 = epoch.val_top1.unwrap_or_default();
        println!("epoch {}: {:.1} % of the validation images are right", epoch.epoch, 100.0 * top1);
    }
    println!("weights: {}", run.path("best.safetensors").display());
    Ok(())
}
