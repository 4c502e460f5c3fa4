//! What a file of weights states about images and classes, completed: by what the user asks for, and by
//! the standard of the network's family.

use super::labels;
use crate::data::Preprocess;
use crate::weights::{StatedPreprocess, WeightsFile};

/// The preprocessing for `weights`: what is `asked` for, else what the file states, else the standard of the
/// network's family. Also the names of the fields for which the standard is assumed. The file's per-pixel
/// mean is used unless a mean or a deviation is asked for; for inputs of another size than its own, its mean of each
/// channel ([`Mean::by_channel`](crate::data::Mean::by_channel)). Of a network of one channel, images become grey
/// ([`Mean::grey`](crate::data::Mean::grey)).
pub fn preprocess(
    weights: &WeightsFile,
    asked: &StatedPreprocess,
) -> (Preprocess, Vec<&'static str>) {
    let stated = asked.or(weights.preprocess());
    let by_channel = asked.mean.is_some() || asked.std.is_some();
    let pixel_mean = weights.pixel_mean().filter(|_| !by_channel);
    let size = pixel_mean.as_ref().map(|mean| [mean.height, mean.width]);
    let pixels = pixel_mean.map(|mean| mean.values.into_owned());
    let mut preprocess = Preprocess::complete(weights.spec().family, &stated, pixels);
    if size.is_some_and(|size| size != [preprocess.view.crop; 2]) {
        preprocess.mean = preprocess.mean.by_channel();
    }
    if weights.spec().in_channels == 1 {
        preprocess = preprocess.grey();
    }
    (preprocess, stated.unstated())
}

/// The class names that the file states, else those of the data set that its publisher is known to train
/// on, else `None`.
pub fn class_names(weights: &WeightsFile) -> Option<Vec<String>> {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let stated = weights.classes().map(<[String]>::to_vec);
    stated.or_else(|| weights.data_set().map(|set| owned(labels::names_of(set))))
}
