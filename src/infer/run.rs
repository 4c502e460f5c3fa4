//! The run of a section: its steps one after the other, on buffers that are kept from run to run.

use super::layers::Layers;
use super::seen::SeenValues;
use super::steps::{Op, Section, Source, Step, Target};
use crate::conv;
use crate::gemm::Epilogue;
use crate::ops::{
    conv_max_pool, global_avg_pool, half_pool, join_bundles, max_pool, shortcut_pad, split_bundles,
};
use crate::runtime::{AlignedBuf, Profile, Team};
use crate::simd::Isa;

/// What all runs of a network share.
pub(super) struct Runner<'a> {
    pub(super) layers: &'a Layers,
    pub(super) isa: Isa,
    pub(super) profile: Option<&'a Profile>,
    /// Looked at between steps: those that are left are not run then.
    pub(super) stopped: &'a (dyn Fn() -> bool + Sync),
    /// Shown what each step has made.
    pub(super) watch: Option<&'a WatchStep<'a>>,
}

/// Sees a step and what it has made.
pub(super) type WatchStep<'a> = dyn Fn(&Step, SeenValues<'_>) + Sync + 'a;

impl Runner<'_> {
    /// Runs `section`, whose first step the profile calls `first_step`, unless it is stopped.
    pub(super) fn run(
        &self,
        team: &mut Team,
        section: &Section,
        first_step: usize,
        buffers: &mut Vec<AlignedBuf>,
        input: &[f32],
        output: &mut [f32],
    ) {
        buffers.resize_with(section.slots.len().max(buffers.len()), AlignedBuf::default);
        for (buffer, &len) in buffers.iter_mut().zip(&section.slots) {
            buffer.grow_to(len);
        }
        for (i, step) in section.steps.iter().enumerate() {
            if (self.stopped)() {
                return;
            }
            let mut run = || self.step(team, step, buffers, input, output);
            match self.profile {
                Some(profile) => profile.time(first_step + i, run),
                None => run(),
            }
        }
    }

    fn step(
        &self,
        team: &mut Team,
        step: &Step,
        buffers: &mut [AlignedBuf],
        input: &[f32],
        output: &mut [f32],
    ) {
        let mut taken = match step.to {
            Target::Slot(slot) => Some((slot, std::mem::take(&mut buffers[slot]))),
            Target::Output => None,
        };
        let to = match &mut taken {
            Some((_, buffer)) => &mut buffer[..step.len],
            None => output,
        };
        let read = |source, len| match source {
            Source::Input => input,
            Source::Slot(slot) => &buffers[slot][..len],
        };
        let from = read(step.from, step.from_len);
        match &step.op {
            &Op::Conv { layer, ref shape, algorithm, residual, relu, bundles } => {
                let conv = self.layers.conv(layer, algorithm);
                let residual = residual.map(|source| read(source, step.len));
                let (of_input, of_output) = (from.len() / bundles, step.len / bundles);
                for (i, filter) in conv.filters.iter().enumerate() {
                    let bias = &conv.bias[i * shape.out_channels..][..shape.out_channels];
                    let from = &from[i * of_input..][..of_input];
                    let to = &mut to[i * of_output..][..of_output];
                    let epilogue = Epilogue { bias: Some(bias), residual, relu, after: None };
                    conv::forward(team, shape, from, filter, &epilogue, to);
                }
            }
            &Op::ConvMaxPool { layer, ref shape, ref pool } => {
                let conv = self.layers.conv(layer, conv::Algorithm::Strip);
                let epilogue =
                    Epilogue { bias: Some(&conv.bias), residual: None, relu: true, after: None };
                conv_max_pool(team, self.isa, shape, pool, from, &conv.filters[0], &epilogue, to);
            }
            Op::MaxPool(shape) => max_pool(team, self.isa, shape, from, to),
            Op::ShortcutPad(shape) => shortcut_pad(team, shape, from, to),
            Op::HalfPool(shape) => half_pool(team, self.isa, shape, from, to),
            &Op::Split { channels, bundles } => split_bundles(team, channels, bundles, from, to),
            &Op::Join { channels, bundles } => join_bundles(team, channels, bundles, from, to),
            &Op::GlobalAvgPool { pixels, channels } => {
                global_avg_pool(team, self.isa, pixels, channels, from, to);
            }
            Op::Linear => self.layers.linear().forward(team, from, to),
        }
        if let Some(watch) = self.watch {
            let made = taken.as_ref().map_or(&*output, |(_, buffer)| &buffer[..step.len]);
            watch(step, SeenValues::F32(made));
        }
        if let Some((slot, buffer)) = taken {
            buffers[slot] = buffer;
        }
    }
}
