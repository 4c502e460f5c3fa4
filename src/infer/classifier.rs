//! Images to predictions: a [`Model`] with its preprocessing and class names.

use std::borrow::Borrow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::stated::{class_names, preprocess};
use super::{InferError, Model, Prediction, Session, top_k, top_k_of_crops};
use crate::data::{Crops, Mean, Normalizer, Preprocess, RgbImage};
use crate::gemm::Backend;
use crate::simd::Isa;
use crate::weights::{Overrides, StatedPreprocess, WeightsError, WeightsFile};

/// The longest side, in pixels, of a network's input.
pub const MAX_INPUT_SIDE: usize = 4096;

/// A network that classifies images.
///
/// ```no_run
/// use resnet_cpu::{Classifier, Limits, read_image};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let classifier = Classifier::open("resnet50.safetensors")?;
/// let image = read_image("dog.jpg", &Limits::default())?;
/// for prediction in classifier.classify_one(&image, 5)? {
///     println!("{:?} {}", classifier.label(prediction.index), prediction.probability);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Any number of threads can use it at the same time, by reference or through clones, which are cheap. All
/// share the weights and their packed forms. Each call takes a [`Session`] for as long as it lasts, so there
/// are as many sessions as calls that run at the same time.
///
/// It runs on the threads of the current rayon pool; [`runtime::pool`](crate::runtime::pool) makes one with a
/// thread for each physical core. A caller outside of any pool enters rayon's global one.
///
/// The predictions for an image do not depend on the other images of the batch, nor on the number of
/// threads. The number of images that run together decides how a convolution is computed, so it can change
/// the last digits.
#[derive(Clone)]
pub struct Classifier {
    shared: Arc<Shared>,
}

struct Shared {
    model: Arc<Model<'static>>,
    preprocess: Preprocess,
    normalizer: Normalizer,
    crops: Crops,
    labels: Option<Vec<String>>,
    /// Those that no call is using.
    sessions: Mutex<Vec<Session<'static>>>,
}

/// Why a classifier cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifierError {
    /// The file of weights cannot be used.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Weights, preprocessing and class names do not fit together.
    #[error(transparent)]
    Infer(#[from] InferError),
}

impl Classifier {
    /// The network in the file of weights at `path`, on the fastest instruction set. Preprocessing and class
    /// names are those that the file states. Where it states none, the preprocessing is the standard one of
    /// the network's family, and the names are those of [`class_names`].
    ///
    /// # Errors
    /// If the file cannot be used; see [`WeightsFile::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ClassifierError> {
        Self::of_weights(WeightsFile::open(path, &Overrides::default())?)
    }

    /// As [`open`](Self::open), of the content of a file of weights, which errors call `name`.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn from_bytes(
        bytes: impl Into<Vec<u8>>,
        name: impl AsRef<Path>,
    ) -> Result<Self, ClassifierError> {
        Self::of_weights(WeightsFile::from_bytes(bytes, name, &Overrides::default())?)
    }

    fn of_weights(weights: WeightsFile) -> Result<Self, ClassifierError> {
        let (preprocess, _) = preprocess(&weights, &StatedPreprocess::default());
        let names = class_names(&weights);
        let model = Model::of_weights(weights, Backend::Native(Isa::best()))?;
        Ok(Self::new(model, preprocess, names)?)
    }

    /// A classifier made of its parts. `labels` are in index order.
    ///
    /// # Errors
    /// If there is only one class, the number of labels is not that of the classes, a per-pixel mean does not
    /// have the size of the crop, the network's inputs have other channels than `preprocess` makes, or it cannot take inputs of `preprocess.view.crop` pixels.
    pub fn new(
        model: impl Into<Arc<Model<'static>>>,
        preprocess: Preprocess,
        labels: Option<Vec<String>>,
    ) -> Result<Self, InferError> {
        let model = model.into();
        let (side, network) = (preprocess.view.crop, model.network());
        if side < network.min_side() {
            return Err(InferError::TooSmall { height: side, width: side });
        }
        if side > MAX_INPUT_SIDE {
            return Err(InferError::TooLarge { side });
        }
        let (channels, expected) = (preprocess.mean.channels(), network.in_channels());
        if channels != expected {
            return Err(InferError::Channels { channels, expected });
        }
        let classes = network.fc.out_features;
        if classes == 1 {
            return Err(InferError::OneOutput);
        }
        if let Some(found) = labels.as_ref().map(Vec::len).filter(|&found| found != classes) {
            return Err(InferError::Labels { classes, found });
        }
        if let Mean::Pixel(mean) = &preprocess.mean
            && mean.len() != preprocess.input_len()
        {
            return Err(InferError::PixelMean { side, found: mean.len() });
        }
        let normalizer = Normalizer::new(&preprocess.mean);
        let (crops, sessions) = (Crops::Center, Mutex::default());
        let shared = Shared { model, preprocess, normalizer, crops, labels, sessions };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The same classifier, but using `crops` of each image instead of the centre crop alone. Predictions from
    /// several crops use the mean of their softmax.
    pub fn with_crops(self, crops: Crops) -> Self {
        let Shared { model, preprocess, normalizer, labels, .. } = &*self.shared;
        let shared = Shared {
            model: Arc::clone(model),
            preprocess: preprocess.clone(),
            normalizer: normalizer.clone(),
            crops,
            labels: labels.clone(),
            sessions: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The network and its weights.
    pub fn model(&self) -> &Arc<Model<'static>> {
        &self.shared.model
    }

    /// How images become inputs.
    pub fn preprocess(&self) -> &Preprocess {
        &self.shared.preprocess
    }

    /// Which crops of an image are used.
    pub fn crops(&self) -> Crops {
        self.shared.crops
    }

    /// The names of the classes, in index order, if they are known.
    pub fn labels(&self) -> Option<&[String]> {
        self.shared.labels.as_deref()
    }

    /// The name of class `index`, if names are known.
    pub fn label(&self, index: usize) -> Option<&str> {
        self.shared.labels.as_ref()?.get(index).map(String::as_str)
    }

    /// The `k` most likely classes of an image, most likely first.
    ///
    /// # Errors
    /// If the network's output is not finite, or the weights cannot be read.
    pub fn classify_one(&self, image: &RgbImage, k: usize) -> Result<Vec<Prediction>, InferError> {
        self.classify(std::slice::from_ref(image), k).remove(0)
    }

    /// The `k` most likely classes of each image, most likely first. All images run as one batch.
    ///
    /// # Errors
    /// For each image: if the network's output is not finite, or the weights cannot be read.
    pub fn classify(
        &self,
        images: &[RgbImage],
        k: usize,
    ) -> Vec<Result<Vec<Prediction>, InferError>> {
        self.classify_each(images.len(), k, |i| Ok(&images[i]))
    }

    /// As [`classify`](Self::classify), for `count` images that `image` loads, in parallel, so that no more of
    /// them are in memory at a time than there are threads. An image that cannot be loaded has its error at
    /// its place in the result; the others run.
    pub fn classify_each<I: Borrow<RgbImage>, E: From<InferError> + Send>(
        &self,
        count: usize,
        k: usize,
        image: impl Fn(usize) -> Result<I, E> + Sync + Send,
    ) -> Vec<Result<Vec<Prediction>, E>> {
        let crops = self.shared.crops;
        let classes = self.model().network().fc.out_features;
        self.run(count, image, |session, place| {
            let len = crops.count() * classes;
            let row = &session.logits()[place * len..][..len];
            if !row.iter().all(|x| x.is_finite()) {
                return Err(InferError::NotFinite);
            }
            Ok(match crops {
                Crops::Center => top_k(row, k),
                Crops::Ten => top_k_of_crops(row, classes, k),
            })
        })
    }

    /// The logits of each image, `[classes]`; with several crops, those of each, one after another. All
    /// images run as one batch.
    ///
    /// # Errors
    /// As for [`classify`](Self::classify), but output that is not finite is returned as it is.
    pub fn logits(&self, images: &[RgbImage]) -> Vec<Result<Vec<f32>, InferError>> {
        let len = self.shared.crops.count() * self.model().network().fc.out_features;
        self.run(
            images.len(),
            |i| Ok(&images[i]),
            |session, place| Ok(session.logits()[place * len..][..len].to_vec()),
        )
    }

    /// The features of each image, `[features]`: the input of the last layer, a mean over all pixels. With
    /// several crops, those of each, one after another. All images run as one batch.
    ///
    /// # Errors
    /// As for [`logits`](Self::logits).
    pub fn features(&self, images: &[RgbImage]) -> Vec<Result<Vec<f32>, InferError>> {
        self.features_each(images.len(), |i| Ok(&images[i]))
    }

    /// As [`features`](Self::features), for `count` images that `image` loads, as those of
    /// [`classify_each`](Self::classify_each).
    pub fn features_each<I: Borrow<RgbImage>, E: From<InferError> + Send>(
        &self,
        count: usize,
        image: impl Fn(usize) -> Result<I, E> + Sync + Send,
    ) -> Vec<Result<Vec<f32>, E>> {
        let len = self.shared.crops.count() * self.model().network().fc.in_features;
        self.run(count, image, |session, place| {
            let own = |all: &[f32], _| all[place * len..][..len].to_vec();
            Ok(session.read_by(0, own).expect("a run leaves features"))
        })
    }

    /// Runs the images as one batch; `see` makes of the session and an image's place what is returned.
    pub(super) fn run<I: Borrow<RgbImage>, E: From<InferError> + Send, T: Send>(
        &self,
        count: usize,
        image: impl Fn(usize) -> Result<I, E> + Sync + Send,
        see: impl Fn(&Session, usize) -> Result<T, InferError> + Sync,
    ) -> Vec<Result<T, E>> {
        if count == 0 {
            return Vec::new();
        }
        let Shared { model, preprocess, normalizer, crops, sessions, .. } = &*self.shared;
        let (crops, side) = (*crops, preprocess.view.crop);
        // In the pool first: so there are no more sessions than threads, however many callers wait.
        rayon::scope(|_| {
            let lock = || sessions.lock().unwrap_or_else(PoisonError::into_inner);
            let spare = lock().pop();
            let mut session = spare.unwrap_or_else(|| Session::of(model));
            let fill = |i, input: &mut [f32]| -> Result<(), E> {
                preprocess.write(normalizer, image(i)?.borrow(), crops, input);
                Ok(())
            };
            let (placed, result) = session.run_each(count, crops.count(), side, fill);
            let seen = placed.into_iter().map(|place| {
                let place = place?;
                result.clone()?;
                Ok(see(&session, place)?)
            });
            let seen = seen.collect();
            lock().push(session);
            seen
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::View;
    use crate::model::{InitOptions, ModelSpec, Network, Options, initialize};

    fn model(mut edit: impl FnMut(&mut crate::model::Params)) -> Model<'static> {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let mut params = initialize(&network, 1, InitOptions::default());
        edit(&mut params);
        Model::new(&network, params, Backend::Native(Isa::best()))
    }

    fn image(value: u8) -> RgbImage {
        RgbImage::new(32, 32, (0..3072_u32).map(|i| (i * 7) as u8 ^ value).collect())
    }

    #[test]
    fn a_classifier_is_shared_by_threads() {
        fn shared<T: Send + Sync + Clone>() {}
        fn sync<T: Send + Sync>() {}
        fn send<T: Send>() {}
        shared::<Classifier>();
        sync::<Model>();
        send::<Session>();

        let classifier = Classifier::new(model(|_| {}), Preprocess::cifar(), None).unwrap();
        let expected = classifier.classify_one(&image(3), 10).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (classifier, pool, expected) = (classifier.clone(), &pool, &expected);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let found = match client % 2 {
                            0 => pool.install(|| classifier.classify_one(&image(3), 10)),
                            _ => classifier.classify_one(&image(3), 10),
                        };
                        assert_eq!(found.as_ref(), Ok(expected));
                    }
                });
            }
        });
        // As many sessions as calls at a time, in both pools: not one a call.
        let most = 2 + rayon::current_num_threads();
        assert!(classifier.shared.sessions.lock().unwrap().len() <= most);
    }

    /// Features and logits are what the classes were found by.
    #[test]
    fn features_times_weights_are_the_logits() {
        let mut fc = (Vec::new(), Vec::new());
        let model = model(|p| {
            fc.0 = p.by_name("fc.weight").unwrap().to_vec();
            fc.1 = p.by_name("fc.bias").unwrap().to_vec();
        });
        let classifier = Classifier::new(model, Preprocess::cifar(), None).unwrap();
        let images = [image(5), image(9)];
        let (logits, features) = (classifier.logits(&images), classifier.features(&images));
        for (i, (logits, features)) in logits.into_iter().zip(features).enumerate() {
            let (logits, features) = (logits.unwrap(), features.unwrap());
            for (class, &logit) in logits.iter().enumerate() {
                let row = fc.0[class * features.len()..].iter().zip(&features);
                let sum: f64 = row.map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
                assert!((f64::from(logit) - sum - f64::from(fc.1[class])).abs() < 1e-4, "{i}");
            }
            let best = classifier.classify(&images, 1).remove(i).unwrap()[0];
            assert_eq!(Some(logits[best.index]), best.logit);
        }
    }

    #[test]
    fn a_missing_image_keeps_its_place_and_changes_no_other() {
        let classifier = Classifier::new(model(|_| {}), Preprocess::cifar(), None).unwrap();
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
        let large =
            Preprocess { view: View { resize: Some(40), ..View::cifar() }, ..Preprocess::cifar() };
        let pixels = (0..50 * 44 * 3_u32).map(|i| (i * i / 7) as u8).collect();
        let image = RgbImage::new(50, 44, pixels);
        let squares = large.view.crops(&image, Crops::Ten);
        let classifier = |how| Classifier::new(model(|_| {}), how, None).unwrap();
        let mut mean = [0.0; 10];
        let single = classifier(Preprocess {
            view: View { resize: None, ..View::cifar() },
            ..Preprocess::cifar()
        });
        for square in squares {
            for p in single.classify(&[square], 10).remove(0).unwrap() {
                mean[p.index] += p.probability / 10.0;
            }
        }
        let classifier = classifier(large).with_crops(Crops::Ten);
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
        let model = model(|p| p.by_name_mut("fc.bias").unwrap()[3] = f32::INFINITY);
        let classifier = Classifier::new(model, Preprocess::cifar(), None).unwrap();
        assert_eq!(classifier.classify(&[image(0)], 1), [Err(InferError::NotFinite)]);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let error =
            |preprocess, labels| Classifier::new(model(|_| {}), preprocess, labels).err().unwrap();
        let labels = Some(vec!["cat".to_owned()]);
        let expected = InferError::Labels { classes: 10, found: 1 };
        assert_eq!(error(Preprocess::cifar(), labels), expected);
        let large = Preprocess {
            view: View { crop: MAX_INPUT_SIDE + 1, ..View::cifar() },
            ..Preprocess::cifar()
        };
        assert_eq!(error(large, None), InferError::TooLarge { side: MAX_INPUT_SIDE + 1 });
    }
}
