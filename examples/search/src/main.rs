//! Finds the images of a folder that are most like another image, by the features of a network.
//!
//!     cargo run --release -- WEIGHTS IMAGE FOLDER

use resnet_cpu::{Classifier, Limits, pool, read_image};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Images that run together.
const BATCH: usize = 16;

/// Images to print.
const BEST: usize = 5;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [weights, image, folder] = &args[..] else {
        return Err("usage: search WEIGHTS IMAGE FOLDER".into());
    };
    let classifier = Classifier::open(weights)?;
    pool(None)?.install(|| search(&classifier, image, folder))
}

/// Prints the images of `folder` that are most like `image`, best first.
fn search(classifier: &Classifier, image: &Path, folder: &Path) -> Result<(), Failure> {
    let wanted = features(classifier, &[image.to_owned()]).remove(0)?;
    let mut found = Vec::new();
    let paths = files(folder)?;
    for batch in paths.chunks(BATCH) {
        for (path, features) in batch.iter().zip(features(classifier, batch)) {
            match features {
                Ok(features) => found.push((likeness(&wanted, &features), path)),
                Err(error) => eprintln!("left out: {error}"),
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (likeness, path) in found.iter().take(BEST) {
        println!("{likeness:.4}  {}", path.display());
    }
    Ok(())
}

/// The features of each image, as a vector of length 1. An image that cannot be read has its error in its place.
fn features(classifier: &Classifier, paths: &[PathBuf]) -> Vec<Result<Vec<f32>, Failure>> {
    let limits = Limits::default();
    let read = |i: usize| Ok::<_, Failure>(read_image(&paths[i], &limits)?);
    let found = classifier.features_each(paths.len(), read);
    found.into_iter().map(|features| Ok(normalized(features?))).collect()
}

fn normalized(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= length.max(f32::MIN_POSITIVE));
    vector
}

/// The cosine of the angle between two vectors of length 1.
fn likeness(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The files in `folder`, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<Result<Vec<PathBuf>, std::io::Error>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}
