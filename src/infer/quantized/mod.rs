//! A network in 8 bits with its weights packed: what [`Quantized`] numbers become when a run first needs them.

mod run;
mod scales;
#[cfg(test)]
mod tests;

use super::InferError;
use super::grouped::{self, bundles, of_bundle};
use super::plan::Plan;
use crate::conv::{self, ConvShape};
use crate::gemm::Backend;
use crate::int8::kernels::Kernel;
use crate::int8::{Filter, Finish};
use crate::model::{InputScale, Network, Quantized, QuantizedLinear, Scale, Weights};
use crate::ops::Linear;
use crate::runtime::{Tasks, Team};
use crate::simd::Isa;
pub(super) use run::{Runner, Values, ValuesMut, bytes, bytes_mut, floats, real};
use scales::{checked, largest_sums, places};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The layers of a network in 8 bits.
pub(super) struct Layers {
    kernel: Kernel,
    isa: Isa,
    /// Until they are packed.
    numbers: Mutex<Option<Arc<Quantized>>>,
    packed: OnceLock<Packed>,
    input: InputScale,
    fc: QuantizedLinear,
    /// Of the last feature map.
    last: Scale,
}

/// What runs.
struct Packed {
    /// As plans number them.
    convs: Vec<Conv>,
    linear: LinearLayer,
}

/// A convolution.
struct Conv {
    filters: Filters,
    /// Of each bundle.
    finish: Vec<Finish>,
    residual_factor: f32,
    /// Of what it reads, unless that is the image.
    input: Option<Scale>,
}

enum Filters {
    /// One, or one for each bundle of groups.
    I8(Vec<Filter>),
    F32(Vec<conv::Filter>),
}

/// The classifier.
enum LinearLayer {
    I8 { filter: Filter, finish: Finish },
    F32(Linear),
}

/// The classifier as a convolution of `batch` images of one pixel.
fn linear_shape(batch: usize, inputs: usize, outputs: usize) -> ConvShape {
    ConvShape {
        batch,
        height: 1,
        width: 1,
        in_channels: inputs,
        out_channels: outputs,
        kernel: 1,
        stride: 1,
        padding: 0,
    }
}

impl Layers {
    /// Those of `network`, by the kernels of `isa`; none packed yet.
    ///
    /// # Errors
    /// Scales are so far apart that numbers overflow.
    pub(super) fn new(
        network: &Network,
        quantized: Quantized,
        isa: Isa,
        kernel: Kernel,
    ) -> Result<Self, InferError> {
        let (places, last) = places(network, &quantized);
        for place in &places {
            place.finish(&quantized)?;
        }
        linear_finish(network, &quantized.fc)?;
        let (input, fc) = (quantized.input.clone(), quantized.fc.clone());
        let numbers = Mutex::new(Some(Arc::new(quantized)));
        Ok(Self { kernel, isa, numbers, packed: OnceLock::new(), input, fc, last })
    }

    /// What the classifier has for `class`: a weight of each feature, and the bias.
    pub(super) fn class_weights(&self, class: usize) -> (Vec<f32>, f32) {
        let QuantizedLinear { weights, bias, .. } = &self.fc;
        let row = match weights {
            Weights::F32(values) => {
                let features = values.len() / bias.len();
                values[class * features..][..features].to_vec()
            }
            Weights::I8 { values, scales } => {
                let features = values.len() / bias.len();
                let row = &values[class * features..][..features];
                row.iter().map(|&w| f32::from(w) * scales[class]).collect()
            }
        };
        (row, bias[class])
    }

    /// The scale of what the last step but `back` reads: the classifier, and the pool before it.
    pub(super) fn scale_read_by(&self, back: usize) -> Scale {
        if back == 0 { self.fc.input } else { self.last }
    }

    /// Packs all layers, unless it is done; all of it and `meanwhile` is one loop.
    pub(super) fn pack(
        &self,
        team: &mut Team,
        plan: &Plan,
        network: &Network,
        meanwhile: Option<Tasks>,
    ) -> Result<(), InferError> {
        let lock = || self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = lock().clone();
        // Where somebody else has been faster, there are none.
        let Some(quantized) = numbers.filter(|_| self.packed.get().is_none()) else {
            if let Some(tasks) = meanwhile {
                tasks.run(team);
            }
            return Ok(());
        };
        let backend = Backend::Native(self.isa);
        let (places, _) = places(network, &quantized);
        let shapes = plan.convs().map(|(_, shape)| *shape);
        let mut convs = Vec::with_capacity(places.len());
        let mut bundled = Vec::with_capacity(places.len());
        for (place, shape) in places.iter().zip(shapes) {
            let conv = place.conv;
            debug_assert_eq!(
                shape,
                of_bundle(conv, conv.shape(shape.batch, shape.height, shape.width))
            );
            let (finish, residual_factor) = place.finish(&quantized)?;
            let count = bundles(conv);
            let zeros = |_| Filter::zeros(self.kernel, &shape);
            let (filters, values) = match &place.numbers.weights {
                Weights::I8 { values, .. } => {
                    let values = grouped::filters_of(conv, values);
                    (Filters::I8((0..count).map(zeros).collect()), Bundled::I8(values))
                }
                Weights::F32(values) => {
                    let zeros =
                        |_| conv::Filter::zeros_for(conv::Algorithm::Direct, backend, &shape);
                    let values = grouped::filters_of(conv, values);
                    (Filters::F32((0..count).map(zeros).collect()), Bundled::F32(values))
                }
            };
            let finish = finish.split(count);
            convs.push(Conv { filters, finish, residual_factor, input: place.input });
            bundled.push(values);
        }
        let fc = &network.fc;
        let mut linear = match &quantized.fc.weights {
            Weights::I8 { .. } => {
                let shape = linear_shape(1, fc.in_features, fc.out_features);
                let filter = Filter::zeros(self.kernel, &shape);
                LinearLayer::I8 { filter, finish: linear_finish(network, &quantized.fc)? }
            }
            Weights::F32(_) => {
                LinearLayer::F32(Linear::zeros(backend, fc.in_features, fc.out_features))
            }
        };

        let mut tasks: Vec<Tasks> = meanwhile.into_iter().collect();
        for (conv, values) in convs.iter_mut().zip(&bundled) {
            match (&mut conv.filters, values) {
                (Filters::I8(filters), Bundled::I8(values)) => {
                    let pairs = filters.iter_mut().zip(values);
                    tasks.extend(pairs.map(|(filter, values)| filter.pack_from(values)));
                }
                (Filters::F32(filters), Bundled::F32(values)) => {
                    let pairs = filters.iter_mut().zip(values);
                    tasks.extend(pairs.map(|(filter, values)| {
                        filter.pack_from(None, |part, pack| pack(&values[part]))
                    }));
                }
                _ => unreachable!("made together"),
            }
        }
        match (&mut linear, &quantized.fc.weights) {
            (LinearLayer::I8 { filter, .. }, Weights::I8 { values, .. }) => {
                tasks.push(filter.pack_from(values));
            }
            (LinearLayer::F32(linear), Weights::F32(values)) => {
                let read = |part: std::ops::Range<usize>, pack: &mut dyn FnMut(&[f32])| {
                    pack(&values[part]);
                };
                tasks.push(linear.pack_from(&quantized.fc.bias, read));
            }
            _ => unreachable!("made together"),
        }
        Tasks::all(team, tasks);
        // Where somebody else was faster, theirs is as good.
        let _ = self.packed.set(Packed { convs, linear });
        *lock() = None;
        Ok(())
    }
}

/// The filters of each bundle of a convolution.
enum Bundled<'q> {
    I8(Vec<std::borrow::Cow<'q, [i8]>>),
    F32(Vec<std::borrow::Cow<'q, [f32]>>),
}

/// What becomes of the classifier's sums.
fn linear_finish(network: &Network, fc: &QuantizedLinear) -> Result<Finish, InferError> {
    let Weights::I8 { values, scales } = &fc.weights else {
        return Ok(Finish::new(Vec::new(), Vec::new()));
    };
    let step = f64::from(fc.input.scale);
    let rows = values.chunks_exact(network.fc.in_features);
    let numbers = rows
        .zip(scales)
        .zip(&fc.bias)
        .map(|((row, &scale), &bias)| {
            let scale = step * f64::from(scale);
            let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
            let zero = scale * sum as f64 * f64::from(fc.input.zero_point);
            (scale, f64::from(bias) - zero)
        })
        .unzip();
    Ok(checked("fc", largest_sums(values, scales.len()), numbers, 0.0)?.0)
}
