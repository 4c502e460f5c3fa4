//! Reads a set in order, some images at a time and in parallel, into whatever keeps them. A place whose image
//! cannot be read is taken by the next one.

use std::ops::Range;

use crate::data::{Dataset, Error, Normalizer, RgbImage};
use crate::infer::{Classifier, Ensemble};
use crate::runtime::{AlignedBuf, Crew, Watch};

/// Places for images.
pub(super) trait Places {
    /// Fills `places` with images of the set from number `first` on; tells of each whether it could be read.
    fn fill(
        &mut self,
        source: &Source,
        first: usize,
        places: Range<usize>,
    ) -> Vec<Result<(), Error>>;

    /// Moves what is at place `from` to the earlier place `to`.
    fn move_to(&mut self, from: usize, to: usize);
}

/// Where images come from.
pub(super) struct Source<'a> {
    pub(super) data: &'a dyn Dataset,
    pub(super) watch: &'a dyn Watch,
}

impl Source<'_> {
    fn image(&self, index: usize) -> Result<RgbImage, Error> {
        if self.watch.stopped() { Err(Error::Interrupted) } else { self.data.image(index) }
    }
}

/// Reads a set from its first image to its last.
pub(super) struct Reader<'a> {
    source: Source<'a>,
    /// Images of a batch, unless the set ends.
    most: usize,
    skip_bad: bool,
    /// The next image of the set.
    next: usize,
    skipped: Vec<Error>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: Source<'a>, most: usize, skip_bad: bool) -> Self {
        Self { source, most, skip_bad, next: 0, skipped: Vec::new() }
    }

    /// Reads the next images into the first of `places`, as many as a batch has, and returns their numbers; `None`
    /// after the last.
    pub(super) fn next_batch(
        &mut self,
        places: &mut impl Places,
    ) -> Result<Option<Vec<usize>>, Error> {
        let mut images = Vec::with_capacity(self.most);
        while images.len() < self.most && self.next < self.source.data.len() {
            let start = images.len();
            let count = (self.most - start).min(self.source.data.len() - self.next);
            let filled = places.fill(&self.source, self.next, start..start + count);
            for (i, read) in filled.into_iter().enumerate() {
                match read {
                    Ok(()) => {
                        if start + i > images.len() {
                            places.move_to(start + i, images.len());
                        }
                        images.push(self.next + i);
                    }
                    Err(error) if self.skip_bad && !matches!(error, Error::Interrupted) => {
                        self.skipped.push(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            self.next += count;
        }
        Ok((!images.is_empty()).then_some(images))
    }

    /// Tells how far the reading is.
    pub(super) fn report(&self) {
        let Source { data, watch } = self.source;
        watch.progress("images", self.next as u64, Some(data.len() as u64));
    }

    /// Why images were skipped.
    pub(super) fn skipped(self) -> Vec<Error> {
        self.skipped
    }
}

/// The inputs of each network for the crops of a batch.
pub(super) struct Inputs<'a> {
    networks: Vec<Network<'a>>,
    crew: Crew,
}

struct Network<'a> {
    classifier: &'a Classifier,
    normalizer: Normalizer,
    /// Floats of an image.
    len: usize,
    /// `[images, crops, side, side, channels]`
    input: AlignedBuf,
}

impl<'a> Inputs<'a> {
    /// For the networks of `ensemble` and batches of `images`.
    pub(super) fn new(ensemble: &'a Ensemble, images: usize) -> Self {
        let network = |classifier: &'a Classifier| {
            let preprocess = classifier.preprocess();
            let len = classifier.crops().count() * preprocess.input_len();
            let normalizer = Normalizer::new(&preprocess.mean);
            Network { classifier, normalizer, len, input: AlignedBuf::zeroed(images * len) }
        };
        Self { networks: ensemble.classifiers().map(network).collect(), crew: Crew::default() }
    }

    /// The inputs of a network for the first `images`.
    pub(super) fn of(&self, network: usize, images: usize) -> &[f32] {
        let Network { len, input, .. } = &self.networks[network];
        &input[..images * len]
    }
}

impl Places for Inputs<'_> {
    fn fill(
        &mut self,
        source: &Source,
        first: usize,
        places: Range<usize>,
    ) -> Vec<Result<(), Error>> {
        struct Place<'p> {
            of_networks: Vec<&'p mut [f32]>,
            read: Result<(), Error>,
        }
        let place = |_| Place { of_networks: Vec::new(), read: Ok(()) };
        let mut filled: Vec<Place> = places.clone().map(place).collect();
        let Self { networks, crew } = self;
        let mut how = Vec::with_capacity(networks.len());
        for Network { classifier, normalizer, len, input } in networks {
            let inputs = input[places.start * *len..places.end * *len].chunks_exact_mut(*len);
            filled.iter_mut().zip(inputs).for_each(|(place, input)| place.of_networks.push(input));
            how.push((&*classifier, &*normalizer));
        }
        let fill = |index, of_networks: &mut [&mut [f32]]| -> Result<(), Error> {
            let image = source.image(index)?;
            for ((classifier, normalizer), input) in how.iter().zip(of_networks) {
                classifier.preprocess().write(normalizer, &image, classifier.crops(), input);
            }
            Ok(())
        };
        crew.run(|team| {
            team.for_each_chunk(&mut filled, 1, |i, place, _| {
                place[0].read = fill(first + i, &mut place[0].of_networks);
            });
        });
        filled.into_iter().map(|place| place.read).collect()
    }

    fn move_to(&mut self, from: usize, to: usize) {
        for Network { len, input, .. } in &mut self.networks {
            input.copy_within(from * *len..(from + 1) * *len, to * *len);
        }
    }
}

/// Whole images.
#[derive(Default)]
pub(super) struct Images {
    images: Vec<Option<RgbImage>>,
    crew: Crew,
}

impl Images {
    /// The image at a place, which has none then.
    pub(super) fn take(&mut self, place: usize) -> Option<RgbImage> {
        self.images[place].take()
    }
}

impl Places for Images {
    fn fill(
        &mut self,
        source: &Source,
        first: usize,
        places: Range<usize>,
    ) -> Vec<Result<(), Error>> {
        self.images.resize(self.images.len().max(places.end), None);
        let mut read: Vec<Option<Result<RgbImage, Error>>> = places.clone().map(|_| None).collect();
        self.crew.run(|team| {
            team.for_each_chunk(&mut read, 1, |i, read, _| read[0] = Some(source.image(first + i)));
        });
        let place = |(place, read): (&mut Option<RgbImage>, Option<Result<RgbImage, Error>>)| {
            *place = read.transpose()?;
            Ok(())
        };
        self.images[places].iter_mut().zip(read).map(place).collect()
    }

    fn move_to(&mut self, from: usize, to: usize) {
        self.images.swap(from, to);
    }
}
