//! What a program of its own can do by the names at the top of the crate: here train on its own images.

use resnet_cpu::{
    Classifier, Config, DataError, Dataset, Disk, Interrupt, Length, ModelOptions, Outcome, Recipe,
    RgbImage, Run, RunError, RunOptions, TrainData,
};
use std::path::Path;

/// Images of one colour, which is their class.
struct Plain {
    classes: usize,
    count: usize,
    /// Cannot be had.
    missing: Option<usize>,
}

impl Dataset for Plain {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn class_names(&self) -> Option<&[String]> {
        None
    }

    fn label(&self, index: usize) -> usize {
        index % self.classes
    }

    fn image(&self, index: usize) -> Result<RgbImage, DataError> {
        if Some(index) == self.missing {
            let (path, detail) = ("plain".into(), format!("image {index} is gone"));
            return Err(DataError::Damaged { path, detail });
        }
        let value = (self.label(index) * 80) as u8;
        Ok(RgbImage::new(32, 32, vec![value; 32 * 32 * 3]))
    }

    fn fingerprint(&self) -> String {
        format!("{} plain images of {} classes", self.count, self.classes)
    }
}

fn plain(count: usize) -> Plain {
    Plain { classes: 3, count, missing: None }
}

fn config(data: &TrainData) -> Config {
    let options = ModelOptions { classes: Some(data.train.classes()), ..ModelOptions::default() };
    let mut config = Recipe::Demo.config(&Recipe::Demo.spec("resnet20", options).unwrap());
    data.fit(&mut config);
    config.batch = 6;
    config.length = Length::Iterations(4);
    config
}

fn open<'a>(folder: &Path, data: &'a TrainData) -> Result<Run<'a>, RunError> {
    let options = RunOptions::default();
    Run::open(folder, config(data), data, options, &Disk, &Interrupt::none())
}

#[test]
fn own_images_are_trained_on() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("run");
    let data = TrainData::of(plain(18)).validated_on(plain(6));
    let mut run = open(&folder, &data).unwrap();
    assert_eq!(run.state().config.data.kind, "own");
    assert_eq!(run.train(&mut (), &Interrupt::none()).unwrap(), Outcome::Finished);
    assert!(run.epochs().iter().all(|epoch| epoch.val_loss.is_some()));
    let classifier = Classifier::open(run.path("best.safetensors")).unwrap();
    assert_eq!(classifier.classify_one(&data.train.image(0).unwrap(), 9).unwrap().len(), 3);
    drop(run);
    assert!(open(&folder, &data).unwrap().is_finished());

    // It is a run on these images only.
    let other = TrainData::of(plain(24)).validated_on(plain(6));
    let error = open(&folder, &other).err().unwrap().to_string();
    assert!(error.contains("18 plain images") && error.contains("24 plain images"), "{error}");
}

#[test]
fn own_images_that_do_not_fit_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let refused = |data: &TrainData, parts: &[&str]| {
        let error = open(&root.path().join("run"), data).err().unwrap().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let four = Plain { classes: 4, ..plain(8) };
    let data = TrainData::of(plain(18)).validated_on(four);
    refused(&data, &["validation", "the 3 classes of the training images", "found 4"]);
    let data = TrainData::of(Plain { missing: Some(7), ..plain(18) });
    refused(&data, &["plain: damaged image: image 7 is gone"]);
}

/// Without images for validation, and with none in the set of them, the latest weights are the best.
#[test]
fn validation_is_optional() {
    let none = TrainData::of(plain(18)).validated_on(plain(0));
    assert!(none.val.is_none() && TrainData::of(plain(18)).val.is_none());
    let demo = TrainData::demo();
    assert_eq!((demo.train.len(), demo.val.unwrap().len()), (4000, 1000));
    assert!(TrainData::open("no such folder").is_err());
}
