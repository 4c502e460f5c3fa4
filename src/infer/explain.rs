//! Where an image shows a class: class-activation maps (Zhou, Khosla, Lapedriza, Oliva, Torralba, "Learning
//! Deep Features for Discriminative Localization", 2016).
//!
//! A residual network ends with a mean over all places of its last feature map and a linear layer. The two can
//! change places: the class's weights applied at each place are what that place says for the class, and their mean
//! and the class's bias are its logit. So the map is no estimate; it is the logit, spread over the image.

use std::borrow::Borrow;
use std::sync::OnceLock;

use super::{Classifier, InferError, Prediction, top_k};
use crate::data::{Crops, Region, RgbImage};

/// What each place of an image says for a class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMap {
    /// The class.
    pub prediction: Prediction,
    /// Rows of the map.
    pub height: usize,
    /// Columns of the map.
    pub width: usize,
    /// `[height, width]`: the class's weights times the features at each place. Their mean and the
    /// [bias](Self::bias) are the class's logit, to rounding.
    pub values: Vec<f32>,
    /// The class's bias, which belongs to no place.
    pub bias: f32,
    /// The part of the upright image that the network saw.
    pub region: Region,
    /// Where in the image the first place of the map stands, along x and y.
    first: [f64; 2],
    /// Pixels of the image from one column of the map to the next, and from one row to the next.
    step: [f64; 2],
}

impl ClassMap {
    /// The map at `(x, y)`, in pixels of the image from its upper left corner (the middle of the first pixel is at
    /// 0.5, 0.5): bilinear between the places of the map, and what the outermost say beyond them. `None` outside of
    /// the part that the network saw.
    ///
    /// A place of the map stands in the middle of the `stride` x `stride` pixels of the input that are its share
    /// ([`Network::stride`](crate::Network::stride)), so the map of an input of whole strides is stretched over the
    /// crop. By their strides and paddings alone, networks would see from those pixels' corner, half a stride further
    /// left and up; trained ones have learnt otherwise. (A ResNet-18 on 28 photographs: the gradient of a place by the
    /// input is centred 14 of 32 pixels from the corner, down and to the right.)
    pub fn at(&self, x: f64, y: f64) -> Option<f32> {
        let Region { left, top, width, height } = self.region;
        if !(left..left + width).contains(&x) || !(top..top + height).contains(&y) {
            return None;
        }
        let (columns, right) = between((x - self.first[0]) / self.step[0], self.width);
        let (rows, lower) = between((y - self.first[1]) / self.step[1], self.height);
        let row = |row: usize| {
            let value = |column: usize| f64::from(self.values[row * self.width + column]);
            value(columns[0]) * (1.0 - right) + value(columns[1]) * right
        };
        Some((row(rows[0]) * (1.0 - lower) + row(rows[1]) * lower) as f32)
    }
}

/// A map that has no place in an image yet: the class, height and width, values and bias.
type Found = (Prediction, [usize; 2], Vec<f32>, f32);

/// The two of `len` places on both sides of `x`, and how far it is from the first to the second.
fn between(x: f64, len: usize) -> ([usize; 2], f64) {
    let x = x.clamp(0.0, (len - 1) as f64);
    let first = x as usize;
    ([first, (first + 1).min(len - 1)], x - first as f64)
}

impl Classifier {
    /// The map of each of the `k` most likely classes of an image, most likely first: where the network saw
    /// them. It is of the centre crop, whatever [`crops`](Self::crops) are.
    ///
    /// # Errors
    /// If the network's output is not finite, or the weights cannot be read.
    pub fn explain(&self, image: &RgbImage, k: usize) -> Result<Vec<ClassMap>, InferError> {
        self.explain_each(1, k, |_| Ok::<_, InferError>(image)).remove(0)
    }

    /// As [`explain`](Self::explain), for `count` images that `image` loads, as those of
    /// [`classify_each`](Self::classify_each).
    pub fn explain_each<I: Borrow<RgbImage>, E: From<InferError> + Send>(
        &self,
        count: usize,
        k: usize,
        image: impl Fn(usize) -> Result<I, E> + Sync + Send,
    ) -> Vec<Result<Vec<ClassMap>, E>> {
        // Most classifiers see the centre alone; their own sessions serve then.
        let center = match self.crops() {
            Crops::Center => self.clone(),
            Crops::Ten => self.clone().with_crops(Crops::Center),
        };
        let model = self.model();
        let (network, view) = (model.network(), self.preprocess().view);
        let sizes: Vec<OnceLock<[usize; 2]>> = (0..count).map(|_| OnceLock::new()).collect();
        let load = |i: usize| -> Result<I, E> {
            let image = image(i)?;
            let seen: &RgbImage = image.borrow();
            let _ = sizes[i].set([seen.width(), seen.height()]);
            Ok(image)
        };
        let found = center.run(count, load, |session, place| {
            let classes = network.fc.out_features;
            let logits = &session.logits()[place * classes..][..classes];
            if !logits.iter().all(|x| x.is_finite()) {
                return Err(InferError::NotFinite);
            }
            let top = top_k(logits, k);
            let weights: Result<Vec<_>, _> =
                top.iter().map(|class| model.class_weights(class.index)).collect();
            let weights = weights?;
            let maps = session.read_by(1, |maps, [height, width, features]| {
                let map = &maps[place * height * width * features..][..height * width * features];
                let of_class = |(prediction, (weights, bias)): (Prediction, (Vec<f32>, f32))| {
                    let values = map.chunks_exact(features).map(|place| dot(place, &weights));
                    (prediction, [height, width], values.collect::<Vec<f32>>(), bias)
                };
                top.into_iter().zip(weights).map(of_class).collect::<Vec<_>>()
            });
            Ok(maps.expect("a run leaves its last feature map"))
        });
        let placed = found.into_iter().zip(&sizes).map(|(maps, size)| {
            let maps = maps?;
            let region = view.center_region(*size.get().expect("an image that ran was loaded"));
            let Region { left, top, width, height } = region;
            let strides = view.crop as f64 / network.stride() as f64;
            let step = [width, height].map(|len| len / strides);
            let first = [left + step[0] / 2.0, top + step[1] / 2.0];
            let map = |(prediction, [height, width], values, bias): Found| ClassMap {
                prediction,
                height,
                width,
                values,
                bias,
                region,
                first,
                step,
            };
            Ok(maps.into_iter().map(map).collect())
        });
        placed.collect()
    }
}

/// The sum of the products, in order.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Preprocess, View};
    use crate::gemm::Backend;
    use crate::infer::Model;
    use crate::model::{InitOptions, ModelSpec, Network, Options, initialize};
    use crate::simd::Isa;

    /// A classifier of random weights, whose biases are not zero.
    fn classifier(name: &str, options: Options, preprocess: Preprocess) -> Classifier {
        let network = Network::new(&ModelSpec::new(name, options).unwrap());
        let mut params = initialize(&network, 5, InitOptions::default());
        let biases = params.by_name_mut("fc.bias").unwrap();
        biases.iter_mut().enumerate().for_each(|(i, bias)| *bias = (i % 7) as f32 - 3.0);
        let model = Model::new(&network, params, Backend::Native(Isa::best()));
        Classifier::new(model, preprocess, None).unwrap()
    }

    fn image(width: usize, height: usize) -> RgbImage {
        let byte = |i: usize| (i * i / 31 + i / 7) as u8;
        RgbImage::new(width, height, (0..width * height * 3).map(byte).collect())
    }

    /// What the map is: the logit, spread over places; and every class is the one that was predicted.
    #[test]
    fn mean_and_bias_are_the_logit() {
        let large = |side| Preprocess { view: View::of(side, side), ..Preprocess::imagenet() };
        let grey = Options { in_channels: Some(1), ..Options::default() };
        for (name, options, preprocess) in [
            ("resnet20", Options::default(), Preprocess::cifar()),
            ("plain20", Options::default(), Preprocess::cifar()),
            ("resnet20", grey, Preprocess::cifar().grey()),
            ("resnet18", Options::default(), large(97)),
            ("resnet50", Options::default(), large(64)),
            ("resnet18d", Options::default(), large(65)),
            ("resnext50_32x4d", Options::default(), large(33)),
        ] {
            let side = preprocess.view.crop;
            let classifier = classifier(name, options, preprocess);
            let images = [image(50, 44), image(31, 77), image(40, 40)];
            let found = classifier.explain_each(3, 4, |i| Ok::<_, InferError>(&images[i]));
            let predicted = classifier.classify(&images, 4);
            for (maps, predictions) in found.into_iter().zip(predicted) {
                let maps = maps.unwrap();
                let own: Vec<_> = maps.iter().map(|map| map.prediction).collect();
                assert_eq!(own, predictions.unwrap(), "{name}");
                for map in maps {
                    assert_eq!(map.height, side.div_ceil(classifier.model().network().stride()));
                    assert_eq!(map.values.len(), map.height * map.width, "{name}");
                    let sum: f64 = map.values.iter().map(|&value| f64::from(value)).sum();
                    let mean = sum / map.values.len() as f64 + f64::from(map.bias);
                    let logit = f64::from(map.prediction.logit.unwrap());
                    let largest = map.values.iter().fold(1.0_f32, |a, b| a.max(b.abs()));
                    let bound = 1e-6 * f64::from(largest);
                    assert!((mean - logit).abs() < bound, "{name}: {mean} {logit}");
                }
            }
        }
    }

    /// Each of the images of a batch that all threads cut up, with a front of all blocks but few, has the map that
    /// it has alone.
    #[test]
    fn the_batch_changes_no_map() {
        let classifier = classifier("resnet20", Options::default(), Preprocess::cifar());
        let images: Vec<RgbImage> = (0..40).map(|i| image(32 + i, 35)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let all =
            pool.install(|| classifier.explain_each(40, 2, |i| Ok::<_, InferError>(&images[i])));
        for (image, maps) in images.iter().zip(all) {
            let (alone, maps) = (classifier.explain(image, 2).unwrap(), maps.unwrap());
            for (one, other) in alone.iter().zip(&maps) {
                assert_eq!(one.prediction.index, other.prediction.index);
                assert_eq!(one.region, other.region);
                for (a, b) in one.values.iter().zip(&other.values) {
                    assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_missing_image_keeps_its_place() {
        let classifier = classifier("resnet20", Options::default(), Preprocess::cifar());
        let images = [image(40, 60), image(60, 40)];
        let found = classifier.explain_each(3, 1, |i| match i {
            1 => Err(InferError::NotFinite),
            _ => Ok(&images[i / 2]),
        });
        assert_eq!(found[1], Err(InferError::NotFinite));
        let region = |i: usize| found[i].as_ref().unwrap()[0].region;
        assert_eq!((region(0).left, region(0).top), (0.0, 10.0));
        assert_eq!((region(2).left, region(2).top), (10.0, 0.0));
    }

    #[test]
    fn between_places_the_map_is_bilinear() {
        let classifier = classifier("resnet20", Options::default(), Preprocess::cifar());
        let map = classifier.explain(&image(64, 96), 1).unwrap().remove(0);
        // The crop is the middle of 64 x 96, at half its size: a place each 8 pixels, from the fourth on.
        let place = |row: usize, column: usize| map.values[row * map.width + column];
        assert_eq!((map.height, map.width), (8, 8));
        assert_eq!(map.at(4.0, 20.0), Some(place(0, 0)));
        assert_eq!(map.at(20.0, 20.0 + 24.0), Some(place(3, 2)));
        let middle = [(3, 2), (3, 3), (4, 2), (4, 3)].map(|(row, column)| place(row, column));
        let mean = middle.iter().sum::<f32>() / 4.0;
        assert!((map.at(24.0, 48.0).unwrap() - mean).abs() < 1e-5);
        assert_eq!(map.at(0.0, 16.0), Some(place(0, 0)));
        assert_eq!(map.at(63.9, 79.9), Some(place(7, 7)));
        for (x, y) in [(-0.1, 40.0), (64.0, 40.0), (32.0, 15.9), (32.0, 80.0)] {
            assert_eq!(map.at(x, y), None, "{x} {y}");
        }
    }

    #[test]
    fn overflow_is_an_error() {
        let network = Network::new(&ModelSpec::new("resnet20", Options::default()).unwrap());
        let mut params = initialize(&network, 1, InitOptions::default());
        params.by_name_mut("fc.bias").unwrap()[0] = f32::NAN;
        let model = Model::new(&network, params, Backend::Native(Isa::best()));
        let classifier = Classifier::new(model, Preprocess::cifar(), None).unwrap();
        assert_eq!(classifier.explain(&image(9, 9), 1), Err(InferError::NotFinite));
    }
}
