//! Trains a small network on a folder of images, for a few steps, and shows it one that it has not trained on.
//!
//!     cargo run --release -- RUN [DATA]
//!
//! RUN is the folder of the run; started again, the program goes on where it was. DATA is a folder with a folder of
//! images for each class, or one of the other kinds that `resnet-cpu train` takes; without it, images are drawn.

use resnet_cpu::{
    Classifier, Config, Disk, EpochMetrics, Interrupt, Length, ModelOptions, Observer, Recipe, Run,
    RunOptions, StepReport, TrainData, pool,
};
use std::error::Error;
use std::path::Path;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args_os().skip(1);
    let folder = args.next().ok_or("usage: train RUN [DATA]")?;
    let data = match args.next() {
        Some(path) => TrainData::open(path)?,
        None => TrainData::demo(),
    };
    let config = configure(&data)?;
    pool(None)?.install(|| train(folder.as_ref(), config, &data))
}

/// A recipe for a ResNet-20, fitted to the data and cut short.
fn configure(data: &TrainData) -> Result<Config, Failure> {
    let recipe = Recipe::FastCifar;
    let classes = Some(data.train.classes());
    let spec = recipe.spec("resnet20", ModelOptions { classes, ..ModelOptions::default() })?;
    let mut config = recipe.config(&spec);
    data.fit(&mut config);
    config.length = Length::Iterations(60);
    Ok(config)
}

/// Trains, then classifies an image with the weights that did best.
fn train(folder: &Path, config: Config, data: &TrainData) -> Result<(), Failure> {
    // Another thread may raise it: the run is then saved, and ends.
    let interrupt = Interrupt::none();
    let mut run = Run::open(folder, config, data, RunOptions::default(), &Disk, &interrupt)?;
    run.train(&mut Printed, &interrupt)?;

    let classifier = Classifier::open(run.path("best.safetensors"))?;
    let unseen = data.val.as_ref().unwrap_or(&data.train);
    let image = unseen.image(0)?;
    for prediction in classifier.classify_one(&image, 3)? {
        let name = classifier.label(prediction.index).unwrap_or("?");
        println!("{:6.2} %  {name}", 100.0 * prediction.probability);
    }
    Ok(())
}

/// Prints how the run gets on.
struct Printed;

impl Observer for Printed {
    fn step(&mut self, report: &StepReport) {
        if report.step.is_multiple_of(20) {
            println!("step {}, loss {:.3}", report.step, report.loss);
        }
    }

    fn epoch(&mut self, metrics: &EpochMetrics) {
        if let Some(top1) = metrics.val_top1 {
            println!("{:.1} % of the validation images are right", 100.0 * top1);
        }
    }
}
