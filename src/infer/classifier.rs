//! Images to predictions: a [`Session`] with its preprocessing and class names.

use std::borrow::Borrow;
use std::path::Path;

use rayon::prelude::*;

use super::{InferError, Prediction, Session, labels, top_k, top_k_of_crops};
use crate::data::{Crops, Mean, Normalizer, Preprocessing, RgbImage};
use crate::gemm::Backend;
use crate::model::Family;
use crate::simd::Isa;
use crate::weights::{Overrides, Preprocessing as Stated, WeightsError, WeightsFile};

/// The longest side, in pixels, of a network's input.
pub const MAX_INPUT_SIDE: usize = 4096;

/// A network that names what images show.
///
/// ```no_run
/// use resnet_cpu::{data, infer::Classifier};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut classifier = Classifier::open("resnet50.safetensors".as_ref())?;
/// let image = data::read_image("dog.jpg".as_ref(), &data::Limits::default())?;
/// for prediction in classifier.classify(&[image], 5).remove(0)? {
///     println!("{:?} {}", classifier.label(prediction.index), prediction.probability);
/// }
/// # Ok(())
/// # }
/// ```
///
/// It runs on the threads of the current rayon pool ([`runtime::pool`](crate::runtime::pool) makes
/// one of the physical cores). The predictions for an image do not depend on what else is in the
/// batch, nor on the number of threads; how many images run together, which decides how a convolution
/// is computed, can change their last digits.
pub struct Classifier<'w> {
    session: Session<'w>,
    preprocessing: Preprocessing,
    normalizer: Normalizer,
    crops: Crops,
    labels: Option<Vec<String>>,
    input: Vec<f32>,
}

/// Why there is no classifier.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// The file of weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Weights, preprocessing and class names do not fit together.
    #[error(transparent)]
    Infer(#[from] InferError),
}

impl Classifier<'static> {
    /// The network in the file of weights at `path`, on the fastest instruction set, with the
    /// preprocessing and the class names that the file states or, where it does not, the standard
    /// ones of its family.
    ///
    /// # Errors
    /// If the file cannot be used; see [`WeightsFile::open`].
    pub fn open(path: &Path) -> Result<Self, ClassifierError> {
        let weights = WeightsFile::open(path, &Overrides::default())?;
        let (preprocessing, _) = preprocessing(&weights, &Stated::default())?;
        let (network, names) = (weights.network().clone(), class_names(&weights));
        let session = Session::new(&network, weights, Backend::Native(Isa::best()));
        Ok(Self::new(session, preprocessing, names)?)
    }
}

impl<'w> Classifier<'w> {
    /// A classifier from its parts. `labels` are in order of index.
    ///
    /// # Errors
    /// If there is one class only, there are not as many labels as classes, a per-pixel mean is not of the crop's size, or the
    /// network cannot take inputs of `preprocessing.crop` pixels.
    pub fn new(
        session: Session<'w>,
        preprocessing: Preprocessing,
        labels: Option<Vec<String>>,
    ) -> Result<Self, InferError> {
        let (side, network) = (preprocessing.crop, session.network());
        if side < network.min_side() {
            return Err(InferError::TooSmall { height: side, width: side });
        }
        if side > MAX_INPUT_SIDE {
            return Err(InferError::TooLarge { side });
        }
        let classes = network.fc.out_features;
        if classes == 1 {
            return Err(InferError::OneOutput);
        }
        if let Some(found) = labels.as_ref().map(Vec::len).filter(|&found| found != classes) {
            return Err(InferError::Labels { classes, found });
        }
        if let Mean::Pixel(mean) = &preprocessing.mean
            && mean.len() != preprocessing.input_len()
        {
            return Err(InferError::PixelMean { side, found: mean.len() });
        }
        let normalizer = Normalizer::new(&preprocessing.mean);
        let crops = Crops::Center;
        Ok(Self { session, preprocessing, normalizer, crops, labels, input: Vec::new() })
    }

    /// The same, looking at `crops` of each image; without this, at the centre. The predictions of
    /// several crops are by the mean of their softmax.
    pub fn with_crops(self, crops: Crops) -> Self {
        Self { crops, ..self }
    }

    /// The session that runs the network.
    pub fn session(&self) -> &Session<'w> {
        &self.session
    }

    /// The session that runs the network, to set it up.
    pub fn session_mut(&mut self) -> &mut Session<'w> {
        &mut self.session
    }

    /// How images become inputs.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The name of class `index`, if names are known.
    pub fn label(&self, index: usize) -> Option<&str> {
        self.labels.as_ref()?.get(index).map(String::as_str)
    }

    /// The `k` most likely classes of each image, most likely first. All images run as one batch.
    ///
    /// # Errors
    /// For an image, if the network gave no finite numbers for it.
    pub fn classify(
        &mut self,
        images: &[RgbImage],
        k: usize,
    ) -> Vec<Result<Vec<Prediction>, InferError>> {
        self.classify_each(images.len(), k, |i| Ok(&images[i]))
    }

    /// As [`classify`](Self::classify) for `count` images that `image` gets, in parallel, so that
    /// no more of them are in memory at a time than there are threads. Images that it does not get
    /// keep their place in the result; the others run.
    pub fn classify_each<I: Borrow<RgbImage>, E: From<InferError> + Send>(
        &mut self,
        count: usize,
        k: usize,
        image: impl Fn(usize) -> Result<I, E> + Sync,
    ) -> Vec<Result<Vec<Prediction>, E>> {
        if count == 0 {
            return Vec::new();
        }
        let Self { session, preprocessing, normalizer, crops, input, .. } = self;
        let (crops, view, side) = (*crops, preprocessing.view(), preprocessing.crop);
        let len = crops.count() * preprocessing.input_len();
        input.resize(count * len, 0.0);
        let read = || {
            let inputs = input.par_chunks_exact_mut(len).enumerate().with_max_len(1);
            let read = inputs.map(|(i, input)| {
                let squares = view.crops(image(i)?.borrow(), crops);
                let inputs = input.chunks_exact_mut(preprocessing.input_len());
                squares.iter().zip(inputs).for_each(|(square, to)| normalizer.apply(square, to));
                Ok(())
            });
            read.collect::<Vec<Result<(), E>>>()
        };
        // Threads that have no image to read pack weights, if there are any left to pack.
        let (read, prepared) =
            rayon::join(read, || session.prepare(count * crops.count(), side, side));

        let mut batch = 0;
        for (i, _) in read.iter().enumerate().filter(|(_, read)| read.is_ok()) {
            input.copy_within(i * len..(i + 1) * len, batch * len);
            batch += 1;
        }
        let classes = session.network().fc.out_features;
        let logits = match batch {
            0 => Ok(&[][..]),
            _ => prepared.and_then(|()| {
                session.run(&input[..batch * len], batch * crops.count(), side, side)
            }),
        };
        let mut rows = logits.map(|logits| logits.chunks_exact(crops.count() * classes));
        let mut next = || match &mut rows {
            Ok(rows) => rows
                .next()
                .filter(|row| row.iter().all(|x| x.is_finite()))
                .ok_or(InferError::NotFinite),
            Err(error) => Err(error.clone()),
        };
        let best = |row| match crops {
            Crops::Center => top_k(row, k),
            Crops::Ten => top_k_of_crops(row, classes, k),
        };
        read.into_iter().map(|read| read.and_then(|()| Ok(best(next()?)))).collect()
    }
}

/// The preprocessing that `weights` ask for, with what is `asked` instead, and the names of the fields
/// that neither states and whose standard values are assumed. The file's per-pixel mean counts unless
/// a mean or a deviation is asked for.
///
/// # Errors
/// [`InferError::PixelMean`] if the per-pixel mean is not of the size of the crop.
pub fn preprocessing(
    weights: &WeightsFile,
    asked: &Stated,
) -> Result<(Preprocessing, Vec<&'static str>), InferError> {
    let stated = weights.preprocessing();
    let stated = Stated {
        mean: asked.mean.or(stated.mean),
        std: asked.std.or(stated.std),
        resize: asked.resize.or(stated.resize),
        crop: asked.crop.or(stated.crop),
    };
    let mut preprocessing = complete_preprocessing(weights.spec().family, &stated);
    let by_channel = asked.mean.is_some() || asked.std.is_some();
    if let Some(mean) = weights.pixel_mean().filter(|_| !by_channel) {
        let side = preprocessing.crop;
        if [mean.height, mean.width] != [side; 2] {
            return Err(InferError::PixelMean { side, found: mean.values.len() });
        }
        preprocessing.mean = Mean::Pixel(mean.values.into_owned());
    }
    Ok((preprocessing, stated.unstated()))
}

/// The preprocessing of a network of `family`: what is stated, and for the rest the family's standard.
/// Where only a crop larger than the standard's resize is stated, images are resized to that.
fn complete_preprocessing(family: Family, stated: &Stated) -> Preprocessing {
    let standard = match family {
        Family::ImageNet => Preprocessing::imagenet(),
        Family::Cifar => Preprocessing::cifar(),
    };
    let crop = stated.crop.unwrap_or(standard.crop);
    let mean = match standard.mean {
        Mean::Channel { mean, std } => {
            let (mean, std) = (stated.mean.unwrap_or(mean), stated.std.unwrap_or(std));
            Mean::Channel { mean, std }
        }
        pixel @ Mean::Pixel(_) => pixel,
    };
    Preprocessing {
        resize: stated.resize.or(standard.resize.map(|side| side.max(crop))),
        crop,
        mean,
    }
}

/// The class names that the file states, else those of the data set that its publisher is known to have
/// trained on.
pub fn class_names(weights: &WeightsFile) -> Option<Vec<String>> {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let stated = weights.classes().map(<[String]>::to_vec);
    stated.or_else(|| weights.data_set().map(|set| owned(labels::names_of(set))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InitOptions, ModelSpec, Network, Options, initialize};

    fn session(edit: impl Fn(&mut crate::model::Params)) -> Session<'static> {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let mut params = initialize(&network, 1, InitOptions::default());
        edit(&mut params);
        Session::new(&network, params, Backend::Native(Isa::best()))
    }

    fn image(value: u8) -> RgbImage {
        RgbImage::new(32, 32, (0..3072_u32).map(|i| (i * 7) as u8 ^ value).collect())
    }

    #[test]
    fn a_missing_image_keeps_its_place_and_changes_no_other() {
        let mut classifier =
            Classifier::new(session(|_| {}), Preprocessing::cifar(), None).unwrap();
        let images = [image(1), image(99)];
        let all = classifier.classify(&images, 3);
        let some = classifier.classify_each(3, 3, |i| match i {
            1 => Err(InferError::NotFinite),
            _ => Ok(&images[i / 2]),
        });
        assert_eq!((&some[0], &some[2]), (&all[0], &all[1]));
        assert_eq!(some[1], Err(InferError::NotFinite));
        assert_eq!(all[0].as_ref().unwrap().len(), 3);
        assert!(classifier.classify(&[], 3).is_empty());
    }

    /// The ten crops one by one, each as an image of its own, and the mean of their shares.
    #[test]
    fn ten_crops_are_ten_images_averaged() {
        let large = Preprocessing { resize: Some(40), ..Preprocessing::cifar() };
        let pixels = (0..50 * 44 * 3_u32).map(|i| (i * i / 7) as u8).collect();
        let image = RgbImage::new(50, 44, pixels);
        let squares = large.view().crops(&image, Crops::Ten);
        let classifier = |how| Classifier::new(session(|_| {}), how, None).unwrap();
        let mut mean = [0.0; 10];
        let mut single = classifier(Preprocessing { resize: None, ..Preprocessing::cifar() });
        for square in squares {
            for p in single.classify(&[square], 10).remove(0).unwrap() {
                mean[p.index] += p.probability / 10.0;
            }
        }
        let mut classifier = classifier(large).with_crops(Crops::Ten);
        for found in classifier.classify(&[image.clone(), image], 10) {
            let found = found.unwrap();
            assert!(found.is_sorted_by(|a, b| a.probability >= b.probability));
            for p in found {
                // Another number of crops a batch: the last digits of f32.
                assert!((p.probability - mean[p.index]).abs() < 1e-6 && p.logit.is_none());
            }
        }
    }

    #[test]
    fn infinite_logits_are_an_error() {
        let session = session(|p| p.by_name_mut("fc.bias").unwrap()[3] = f32::INFINITY);
        let mut classifier = Classifier::new(session, Preprocessing::cifar(), None).unwrap();
        assert_eq!(classifier.classify(&[image(0)], 1), [Err(InferError::NotFinite)]);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let error = |preprocessing, labels| {
            Classifier::new(session(|_| {}), preprocessing, labels).err().unwrap()
        };
        let labels = Some(vec!["cat".to_owned()]);
        let expected = InferError::Labels { classes: 10, found: 1 };
        assert_eq!(error(Preprocessing::cifar(), labels), expected);
        let large = Preprocessing { crop: MAX_INPUT_SIDE + 1, ..Preprocessing::cifar() };
        assert_eq!(error(large, None), InferError::TooLarge { side: MAX_INPUT_SIDE + 1 });
    }

    #[test]
    fn what_is_stated_wins_over_the_standard() {
        let stated = Stated { crop: Some(288), mean: Some([0.5; 3]), ..Stated::default() };
        let expected = Preprocessing {
            resize: Some(288),
            crop: 288,
            mean: Mean::Channel { mean: [0.5; 3], std: [0.229, 0.224, 0.225] },
        };
        assert_eq!(complete_preprocessing(Family::ImageNet, &stated), expected);
        assert_eq!(
            complete_preprocessing(Family::Cifar, &Stated::default()),
            Preprocessing::cifar()
        );
    }
}
