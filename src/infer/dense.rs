//! The dense test of a network (He et al. 2015, section 3.4): no crops, but whole images at several scales.
//!
//! At each scale the shorter side of an image is resized, and the network runs fully convolutionally on all of
//! it, and on its mirror: the classifier at every place of the last feature map, its scores averaged over the
//! places. The classifier is linear, so that is the classifier on the average of the features, which the
//! network's pool over all pixels computes at any size. The softmax of the averaged scores is averaged over the
//! mirrors and the scales.

use super::{
    Classifier, InferError, MAX_INPUT_SIDE, Session, activation_bytes, mean_probabilities,
};
use crate::data::{RgbImage, WholeImages};
use crate::model::Family;
use crate::runtime::{AlignedBuf, Crew, SlicesMut, available_memory};

/// The scales of the paper, in pixels of the shorter side, for networks that see 224 x 224.
const SCALES: [usize; 5] = [224, 256, 384, 480, 640];
/// The side that they belong to.
const SIDE: usize = 224;

/// Pixels of an input at most: those of the largest square one.
const PIXELS: usize = MAX_INPUT_SIDE * MAX_INPUT_SIDE;

/// An image and its mirror: what runs as one batch.
const MIRRORED: usize = 2;

/// The dense test of one network: its scales, and one caller's memory.
///
/// It runs an image at a time, since each has a shape of its own: the image and its mirror as a batch of two. It
/// keeps the memory of the largest input so far, and the plan of the last one only.
pub struct Dense<'c> {
    classifier: &'c Classifier,
    scales: Vec<usize>,
    images: WholeImages<'c>,
    session: Session<'static>,
    /// Of each scale, `[2, height, width, channels]`.
    inputs: Vec<AlignedBuf>,
    crew: Crew,
    /// Bytes that an image is known to need and to have found.
    taken: u64,
}

/// Why an image cannot be tested densely.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DenseError {
    /// It is so long that its input would have too many pixels.
    #[error(
        "at scale {scale} it has {width} x {height} pixels, and an input may have at most {PIXELS}"
    )]
    TooLarge {
        /// The shorter side, in pixels.
        scale: usize,
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// There is not enough memory for it.
    #[error(
        "at scale {scale} its {width} x {height} pixels need about {} MB, and {} are available",
        needed.div_ceil(1_000_000),
        available / 1_000_000
    )]
    Memory {
        /// The shorter side, in pixels.
        scale: usize,
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes.
        needed: u64,
        /// Bytes.
        available: u64,
    },
    /// The network cannot run.
    #[error(transparent)]
    Infer(#[from] InferError),
}

/// The scales at which a network is tested if nothing else is said, in pixels of an image's shorter side: 224, 256,
/// 384, 480 and 640 for a network of photographs that sees 224 x 224, for one that sees other sides in
/// proportion. For a network of CIFAR's family the side that it sees alone.
pub fn dense_scales(classifier: &Classifier) -> Vec<usize> {
    let side = classifier.preprocess().view.crop;
    match classifier.model().network().spec.family {
        Family::Cifar => vec![side],
        Family::ImageNet => {
            let scaled = SCALES.map(|scale| (scale * side + SIDE / 2) / SIDE);
            // In proportion to the largest crop they would be larger than inputs may be.
            scaled.into_iter().filter(|&scale| scale <= MAX_INPUT_SIDE).collect()
        }
    }
}

impl<'c> Dense<'c> {
    /// The dense test of `classifier`, whose crops do not matter, at `scales`: pixels of the shorter side.
    ///
    /// # Errors
    /// [`InferError::TooSmall`] or [`InferError::TooLarge`] if a square of a scale is no input of the network.
    ///
    /// # Panics
    /// If there are no scales.
    pub fn new(classifier: &'c Classifier, scales: &[usize]) -> Result<Self, InferError> {
        assert!(!scales.is_empty(), "a test has scales");
        let least = classifier.model().network().min_side();
        for &side in scales {
            if side < least {
                return Err(InferError::TooSmall { height: side, width: side });
            }
            if side > MAX_INPUT_SIDE {
                return Err(InferError::TooLarge { side });
            }
        }
        Ok(Self {
            classifier,
            scales: scales.to_vec(),
            images: WholeImages::new(classifier.preprocess()),
            session: Session::of(classifier.model()),
            inputs: scales.iter().map(|_| AlignedBuf::default()).collect(),
            crew: Crew::default(),
            taken: 0,
        })
    }

    /// The probability of each class, `[classes]`: the softmax of the pooled logits of `image` and of its mirror,
    /// averaged in f64 over both and then over the scales, in their order. `None` if it was `stopped`, which is asked
    /// between layers.
    ///
    /// # Errors
    /// [`DenseError`]; [`InferError::NotFinite`] if an output of the network is not finite.
    pub fn probabilities(
        &mut self,
        image: &RgbImage,
        stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Vec<f64>>, DenseError> {
        let sizes = self.sizes(image)?;
        self.prepare(image, &sizes);
        let classes = self.classifier.model().network().fc.out_features;
        let mut mean = vec![0.0; classes];
        for (&[width, height], input) in sizes.iter().zip(&self.inputs) {
            let input = &input[..self.classifier.input_floats([width, height])];
            let logits = self.session.run_unless(input, MIRRORED, height, width, stopped)?;
            let Some(logits) = logits else { return Ok(None) };
            if !logits.iter().all(|x| x.is_finite()) {
                return Err(InferError::NotFinite.into());
            }
            let of_scale = mean_probabilities(logits, classes);
            mean.iter_mut().zip(of_scale).for_each(|(sum, p)| *sum += p);
        }
        mean.iter_mut().for_each(|sum| *sum /= sizes.len() as f64);
        Ok(Some(mean))
    }

    /// Width and height of `image` at each scale, if there is memory for all of it.
    fn sizes(&mut self, image: &RgbImage) -> Result<Vec<[usize; 2]>, DenseError> {
        let model = self.classifier.model();
        let size = [image.width(), image.height()];
        let mut sizes = Vec::with_capacity(self.scales.len());
        let mut inputs = 0;
        // Activations of the scale that needs most.
        let (mut most, mut largest) = (0, None);
        for &scale in &self.scales {
            let [width, height] = self.images.size(size, scale);
            if width.saturating_mul(height) > PIXELS {
                return Err(DenseError::TooLarge { scale, width, height });
            }
            // Bytes of pixels on the way, resized and mirrored, are fewer than those of their floats.
            let floats = self.classifier.input_floats([width, height]);
            inputs += floats * size_of::<f32>();
            let backend = model.backend();
            let bytes = activation_bytes(model.network(), backend, MIRRORED, height, width)?;
            if bytes >= most {
                (most, largest) = (bytes, Some((scale, width, height)));
            }
            sizes.push([width, height]);
        }
        let needed = (most + inputs) as u64;
        if let (Some((scale, width, height)), true) = (largest, needed > self.taken) {
            let more = needed - self.taken;
            if let Some(available) = available_memory().filter(|&available| more > available) {
                return Err(DenseError::Memory { scale, width, height, needed: more, available });
            }
            self.taken = needed;
        }
        Ok(sizes)
    }

    /// Makes the inputs of all scales, in parallel.
    fn prepare(&mut self, image: &RgbImage, sizes: &[[usize; 2]]) {
        let Self { classifier, scales, images, inputs, crew, .. } = self;
        let lens = sizes.iter().map(|&size| classifier.input_floats(size));
        let inputs: SlicesMut<f32> =
            inputs.iter_mut().zip(lens).map(|(input, len)| input.first_mut(len)).collect();
        crew.run(|team| {
            team.for_each_part(inputs, |i, input, _| images.write(image, scales[i], input));
        });
    }
}

impl Classifier {
    /// Floats of the inputs of an image of `size` (width, height) and its mirror.
    fn input_floats(&self, [width, height]: [usize; 2]) -> usize {
        MIRRORED * width * height * self.preprocess().mean.channels()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Mean, Normalizer, Preprocess, View};
    use crate::gemm::Backend;
    use crate::infer::{Model, top_k_of_crops};
    use crate::model::{InitOptions, ModelSpec, Network, Options, initialize};
    use crate::ops::softmax;
    use crate::simd::Isa;

    fn classifier(name: &str, preprocess: Preprocess) -> Classifier {
        let network = Network::new(&ModelSpec::new(name, Options::default()).unwrap());
        let params = initialize(&network, 1, InitOptions::default());
        let model = Model::new(&network, params, Backend::Native(Isa::best()));
        Classifier::new(model, preprocess, None).unwrap()
    }

    fn image(width: usize, height: usize) -> RgbImage {
        let pixels = (0..width * height * 3).map(|i| (i * i / 7 + i / 3) as u8).collect();
        RgbImage::new(width, height, pixels)
    }

    fn dense(classifier: &Classifier, scales: &[usize], image: &RgbImage) -> Vec<f64> {
        let mut dense = Dense::new(classifier, scales).unwrap();
        dense.probabilities(image, &|| false).unwrap().unwrap()
    }

    /// A square at the side that the network sees is what it sees: bit for bit the forward pass of the image and
    /// its mirror.
    #[test]
    fn a_square_at_one_scale_is_an_ordinary_forward_pass() {
        for (name, side) in [("resnet20", 32), ("resnet18", 70), ("resnet50", 65)] {
            let preprocess = Preprocess { view: View::of(side, side), mean: Mean::IMAGENET };
            let classifier = classifier(name, preprocess);
            let image = image(90, 90);
            // Resized before it is mirrored, which a program may do the other way round, too.
            let upright = classifier.preprocess().view.whole(&image, side);
            let mut mirror = upright.clone();
            mirror.mirror();
            let logits: Vec<f32> = classifier
                .logits(&[upright, mirror])
                .into_iter()
                .flat_map(Result::unwrap)
                .collect();
            let classes = logits.len() / 2;
            let mut expected = vec![0.0; classes];
            for p in top_k_of_crops(&logits, classes, classes) {
                expected[p.index] = p.probability;
            }
            assert_eq!(dense(&classifier, &[side], &image), expected, "{name}");
        }
    }

    /// The definition, by a session of its own and the classifier at every place: pooled logits are the logits of
    /// the pooled features. Sums of a few dozen places differ by rounding.
    #[test]
    fn scales_and_mirrors_are_averaged() {
        let classifier = classifier("resnet20", Preprocess::cifar());
        let (image, scales) = (image(70, 41), [32, 40, 57]);
        let mut mirror = image.clone();
        mirror.mirror();
        let normalizer = Normalizer::new(&Mean::IMAGENET);
        let mut mean = [0.0; 10];
        for (side, width) in scales.iter().map(|&side| (side, side * 70 / 41)) {
            for image in [&image, &mirror] {
                let resized = crate::data::resize(image, width, side);
                let mut input = vec![0.0; width * side * 3];
                normalizer.apply(&resized, &mut input);
                let mut session = Session::of(classifier.model());
                let logits = session.run(&input, 1, side, width).unwrap();
                mean.iter_mut().zip(softmax(logits)).for_each(|(sum, p)| *sum += p / 6.0);
            }
        }
        for (found, expected) in dense(&classifier, &scales, &image).into_iter().zip(mean) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    /// Whatever came before, and on any number of threads.
    #[test]
    fn the_bits_depend_on_the_image_alone() {
        let classifier = classifier("resnet18", Preprocess::imagenet());
        let scales = [64, 97];
        let images = [image(60, 80), image(200, 50), image(41, 41)];
        let alone: Vec<_> = images.iter().map(|image| dense(&classifier, &scales, image)).collect();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut dense = Dense::new(&classifier, &scales).unwrap();
                for (image, expected) in images.iter().zip(&alone).chain(images.iter().zip(&alone))
                {
                    let found = dense.probabilities(image, &|| false).unwrap();
                    assert_eq!(found.as_ref(), Some(expected), "{threads} threads");
                }
                assert_eq!(dense.probabilities(&images[0], &|| true), Ok(None));
            });
        }
    }

    #[test]
    fn scales_that_are_no_inputs_and_endless_images_are_errors() {
        let classifier = classifier("resnet18", Preprocess::imagenet());
        for side in [0, 4097] {
            assert!(Dense::new(&classifier, &[224, side]).is_err(), "{side}");
        }
        let mut dense = Dense::new(&classifier, &[640]).unwrap();
        let error = dense.probabilities(&image(16_384, 1), &|| false).unwrap_err().to_string();
        assert!(error.contains("at scale 640 it has 10485760 x 640 pixels"), "{error}");
        // 1.6 million pixels need some 700 MB; a petabyte is nowhere.
        dense.taken = 0;
        let sizes = dense.sizes(&image(3000, 640)).unwrap();
        assert_eq!(sizes, [[3000, 640]]);
        assert!((100_000_000..1_000_000_000).contains(&dense.taken), "{}", dense.taken);
    }

    #[test]
    fn scales_are_the_papers_or_in_proportion() {
        let scales = |name, side| {
            let view = View::of(side, side);
            dense_scales(&classifier(name, Preprocess { view, mean: Mean::IMAGENET }))
        };
        assert_eq!(scales("resnet18", 224), SCALES);
        assert_eq!(scales("resnet18", 112), [112, 128, 192, 240, 320]);
        assert_eq!(scales("resnet18", 2000), [2000, 2286, 3429]);
        assert_eq!(scales("resnet20", 32), [32]);
    }
}
