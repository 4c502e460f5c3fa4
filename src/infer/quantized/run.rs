//! The run of a section in 8 bits: the same steps as in f32, on buffers of a quarter of the size.

use super::{Conv, Filters, Layers, LinearLayer, linear_shape};
use crate::conv;
use crate::gemm::Epilogue;
use crate::infer::run::WatchStep;
use crate::infer::seen::SeenValues;
use crate::infer::steps::{Op, Section, Source, Step, Target};
use crate::int8::{
    self, Output, global_avg_pool, half_pool, max_pool, quantize, requantize, shortcut_pad,
};
use crate::model::Scale;
use crate::ops::{join_bundles, split_bundles};
use crate::runtime::{AlignedBuf, Profile, Team};

/// What a section reads.
#[derive(Clone, Copy)]
pub(in crate::infer) enum Values<'a> {
    /// Here: preprocessed images.
    F32(&'a [f32]),
    U8(&'a [u8]),
}

/// What a section writes.
pub(in crate::infer) enum ValuesMut<'a> {
    /// Here: logits.
    F32(&'a mut [f32]),
    U8(&'a mut [u8]),
}

/// What all runs of a network share.
pub(in crate::infer) struct Runner<'a> {
    pub(in crate::infer) layers: &'a Layers,
    pub(in crate::infer) profile: Option<&'a Profile>,
    /// Looked at between steps: those that are left are not run then.
    pub(in crate::infer) stopped: &'a (dyn Fn() -> bool + Sync),
    /// Shown what each step but the classifier has made.
    pub(in crate::infer) watch: Option<&'a WatchStep<'a>>,
}

impl Runner<'_> {
    /// Runs `section`, whose first step the profile calls `first_step`, unless it is stopped. The buffer after those
    /// of the section has the image's integers.
    pub(in crate::infer) fn run(
        &self,
        team: &mut Team,
        section: &Section,
        first_step: usize,
        buffers: &mut Vec<AlignedBuf>,
        input: Values,
        mut output: ValuesMut,
    ) {
        let own = section.slots.len();
        buffers.resize_with((own + 1).max(buffers.len()), AlignedBuf::default);
        for (buffer, &len) in buffers.iter_mut().zip(&section.slots) {
            buffer.grow_to(floats(len));
        }
        let mut pixels = AlignedBuf::default();
        if let Values::F32(values) = input {
            pixels = std::mem::take(&mut buffers[own]);
            pixels.grow_to(floats(values.len()));
        }
        for (i, step) in section.steps.iter().enumerate() {
            if (self.stopped)() {
                break;
            }
            let mut run = || {
                // The first step makes the integers.
                if let (0, Values::F32(values)) = (i, input) {
                    let scale = &self.layers.input;
                    let to = bytes_mut(&mut pixels, values.len());
                    quantize(team, self.layers.isa, values, (&scale.factor, &scale.offset), to);
                }
                let read = match input {
                    Values::F32(values) => bytes(&pixels, values.len()),
                    Values::U8(values) => values,
                };
                self.step(team, step, buffers, (input, read), &mut output);
            };
            match self.profile {
                Some(profile) => profile.time(first_step + i, run),
                None => run(),
            }
        }
        if let Values::F32(_) = input {
            buffers[own] = pixels;
        }
    }

    fn step(
        &self,
        team: &mut Team,
        step: &Step,
        buffers: &mut [AlignedBuf],
        (image, input): (Values, &[u8]),
        output: &mut ValuesMut,
    ) {
        let layers = self.layers;
        let packed = layers.packed.get().expect("packed with its plan");
        let mut taken = match step.to {
            Target::Slot(slot) => Some((slot, std::mem::take(&mut buffers[slot]))),
            Target::Output => None,
        };
        let read = |source, len| match source {
            Source::Input => input,
            Source::Slot(slot) => bytes(&buffers[slot], len),
        };
        let from = read(step.from, step.from_len);
        let to = match (&mut taken, output) {
            (Some((_, buffer)), _) => bytes_mut(buffer, step.len),
            (None, ValuesMut::U8(values)) => values,
            (None, ValuesMut::F32(logits)) => {
                let scale = layers.fc.input;
                match &packed.linear {
                    LinearLayer::I8 { filter, finish } => {
                        let inputs = step.input.iter().product();
                        let shape = linear_shape(from.len() / inputs, inputs, step.output[2]);
                        let output = Output::F32(logits);
                        int8::forward(team, &shape, from, &[], filter, finish, output);
                    }
                    LinearLayer::F32(linear) => {
                        let (features, mut team) = team.take(from.len());
                        real(scale, from, features);
                        linear.forward(&mut team, features, logits);
                    }
                }
                return;
            }
        };
        match &step.op {
            &Op::Conv { layer, ref shape, residual, bundles, .. } => {
                let conv = &packed.convs[layer];
                let residual = residual.map(|source| read(source, step.len));
                let image = match (conv.input, image) {
                    (None, Values::F32(values)) => Some(values),
                    _ => None,
                };
                let padding = if conv.input.is_none() { &layers.input.padding[..] } else { &[] };
                let (of_input, of_output) = (from.len() / bundles, step.len / bundles);
                for bundle in 0..bundles {
                    let from = &from[bundle * of_input..][..of_input];
                    let to = &mut to[bundle * of_output..][..of_output];
                    self.conv(team, (conv, bundle), shape, (from, image, padding), residual, to);
                }
            }
            Op::ConvMaxPool { .. } => unreachable!("planned as two steps"),
            Op::MaxPool(shape) => max_pool(team, layers.isa, shape, from, to),
            Op::ShortcutPad(shape) => shortcut_pad(team, shape, from, to),
            Op::HalfPool(shape) => half_pool(team, layers.isa, shape, from, to),
            &Op::Split { channels, bundles } => split_bundles(team, channels, bundles, from, to),
            &Op::Join { channels, bundles } => join_bundles(team, channels, bundles, from, to),
            &Op::GlobalAvgPool { pixels, channels } => {
                let step = f64::from(layers.last.scale) / f64::from(layers.fc.input.scale);
                let factor = (step / pixels as f64) as f32;
                global_avg_pool(team, layers.isa, [pixels, channels], from, factor, to);
            }
            Op::Linear => unreachable!("writes logits"),
        }
        if let Some(watch) = self.watch {
            watch(step, SeenValues::U8(to));
        }
        if let Some((slot, buffer)) = taken {
            buffers[slot] = buffer;
        }
    }

    fn conv(
        &self,
        team: &mut Team,
        (conv, bundle): (&Conv, usize),
        shape: &conv::ConvShape,
        (from, image, padding): (&[u8], Option<&[f32]>, &[u8]),
        residual: Option<&[u8]>,
        to: &mut [u8],
    ) {
        let residual = residual.map(|residual| (residual, conv.residual_factor));
        let finish = &conv.finish[bundle];
        match &conv.filters {
            Filters::I8(filters) => {
                let output = Output::U8 { values: to, residual };
                int8::forward(team, shape, from, padding, &filters[bundle], finish, output);
            }
            Filters::F32(filters) => {
                let (sums, mut team) = team.take(to.len());
                let (values, mut team) = team.take(if image.is_some() { 0 } else { from.len() });
                if let Some(scale) = conv.input {
                    real(scale, from, values);
                }
                let (values, filter) = (image.unwrap_or(values), &filters[bundle]);
                conv::forward(&mut team, shape, values, filter, &Epilogue::default(), sums);
                requantize(&mut team, self.layers.isa, sums, finish, residual, to);
            }
        }
    }
}

/// The real values of an activation.
pub(in crate::infer) fn real(scale: Scale, from: &[u8], to: &mut [f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = (f32::from(from) - f32::from(scale.zero_point)) * scale.scale;
    }
}

/// Floats that have room for `len` bytes.
pub(in crate::infer) fn floats(len: usize) -> usize {
    len.div_ceil(size_of::<f32>())
}

/// The first `len` bytes of a buffer.
pub(in crate::infer) fn bytes(buffer: &[f32], len: usize) -> &[u8] {
    &bytemuck::cast_slice(buffer)[..len]
}

/// The first `len` bytes of a buffer, to change.
pub(in crate::infer) fn bytes_mut(buffer: &mut [f32], len: usize) -> &mut [u8] {
    &mut bytemuck::cast_slice_mut(buffer)[..len]
}
