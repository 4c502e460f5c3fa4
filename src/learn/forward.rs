//! The forward pass of training: batch norm with the batch's own statistics. Or, to measure what a network
//! that was trained elsewhere does, with the running ones.

use super::measure::Measured;
use super::profile::{Part, Profile, Work};
use super::tape::{BlockTape, Pool, Shortcut, Tape, Unit};
use crate::conv;
use crate::gemm::{Backend, Epilogue, Operand};
use crate::model::{BN_EPSILON, Network, Params};
use crate::ops::batch_norm::{BatchMoments, Coefficients, Residual, Statistics, normalize};
use crate::ops::{Linear, global_avg_pool, max_pool_argmax, shortcut_pad};
use crate::runtime::{AlignedBuf, Team};
use crate::simd::Isa;

/// Who computes, and until when.
pub(super) struct Machine<'a, 't> {
    pub(super) backend: Backend,
    pub(super) isa: Isa,
    pub(super) team: &'a mut Team<'t>,
    /// Asked before each layer whether to stop.
    pub(super) stopped: &'a (dyn Fn() -> bool + Sync),
    /// Hears of each part that was done, where anyone wants to know.
    pub(super) profile: Option<&'a mut Profile>,
}

/// With which statistics batch norm normalises.
pub(super) enum Norm<'a> {
    /// The batch's own.
    Batch,
    /// The running ones, as in evaluation. The batch's are added to those measured.
    Running(&'a mut Measured),
}

/// A pass was stopped: what it has computed so far is meaningless.
#[derive(Debug)]
pub(super) struct Stopped;

impl Machine<'_, '_> {
    /// Whether to go on with the next layer.
    pub(super) fn check(&self) -> Result<(), Stopped> {
        if (self.stopped)() { Err(Stopped) } else { Ok(()) }
    }

    /// All since the last such call was this part of the work on `layer`.
    pub(super) fn done(&mut self, layer: &str, part: Part, work: Work) {
        if let Some(profile) = &mut self.profile {
            profile.done(layer, part, work);
        }
    }
}

/// Computes the logits of `input` and fills the tape. If it is stopped, what `norm` measures is meaningless.
pub(super) fn forward(
    machine: &mut Machine,
    network: &Network,
    tape: &mut Tape,
    params: &Params,
    norm: &mut Norm,
    input: &[f32],
) -> Result<(), Stopped> {
    tape.stem.forward(machine, params, norm, input.into())?;
    match &mut tape.stem_pool {
        Some(pool) => {
            let activation = tape.stem.activated(machine);
            pool.forward(machine, activation);
        }
        None => tape.stem.activate(machine, None, &mut tape.stem_out),
    }
    let mut x: &[f32] = tape.stem_pool.as_ref().map_or(&tape.stem_out, |pool| &pool.out);
    for block in &mut tape.blocks {
        block.forward(machine, params, norm, x, &mut tape.gradients[0])?;
        x = &block.out;
    }
    let fc = &network.fc;
    global_avg_pool(machine.team, machine.isa, tape.pixels, fc.in_features, x, &mut tape.features);
    machine.done("avgpool", Part::Forward, Work::moves(x.len()));
    let (weight, bias) = (params.get(fc.weight), params.get(fc.bias));
    let linear = Linear::new(machine.team, machine.backend, weight, bias);
    linear.forward(machine.team, &tape.features, &mut tape.logits);
    machine.done("fc", Part::Forward, tape.classifier_work());
    Ok(())
}

impl Unit {
    /// y = the convolution of `x`, its statistics, and the map that normalises it.
    fn forward(
        &mut self,
        machine: &mut Machine,
        params: &Params,
        norm: &mut Norm,
        x: Operand,
    ) -> Result<(), Stopped> {
        machine.check()?;
        let conv = &self.conv;
        self.filter.pack(machine.team, params.get(conv.weight), None);
        machine.done(&conv.name, Part::Pack, Work::moves(self.shape.weight_len()));
        let moments = BatchMoments::new(machine.isa, self.shape.rows(), conv.out_channels);
        let epilogue = Epilogue { after: Some(&moments), ..Epilogue::default() };
        conv::forward(machine.team, &self.shape, x, &self.filter, &epilogue, &mut self.y);
        let work = Work::conv(&self.shape, self.filter.algorithm());
        machine.done(&conv.name, Part::Forward, work);
        let batch = moments.statistics(machine.team, &self.y);
        let (gamma, beta) = (params.get(conv.gamma), params.get(conv.beta));
        let coefficients = match norm {
            Norm::Batch => Coefficients::new(&batch, gamma, beta, BN_EPSILON),
            Norm::Running(measured) => {
                measured.add(conv.gamma, &batch);
                let [mean, var] =
                    [conv.running_mean, conv.running_var].map(|id| params.get(id).to_vec());
                let running = Statistics { pixels: batch.pixels, mean, var };
                Coefficients::new(&running, gamma, beta, BN_EPSILON)
            }
        };
        self.batch = Some((batch, coefficients));
        machine.done(&conv.name, Part::Statistics, Work::default());
        Ok(())
    }

    /// relu(batch norm of y), which whoever reads it computes.
    pub(super) fn activated(&self, machine: &Machine) -> Operand<'_> {
        let (_, map) = self.batch();
        Operand::activated(machine.isa, &self.y, &map.scale, &map.shift)
    }

    /// out = relu(batch norm of y + residual).
    fn activate(&self, machine: &mut Machine, residual: Option<Residual>, out: &mut [f32]) {
        let (_, coefficients) = self.batch();
        normalize(machine.team, machine.isa, &self.y, coefficients, residual, true, out);
        let tensors = if residual.is_some() { 3 } else { 2 };
        machine.done(&self.conv.name, Part::Normalise, Work::moves(tensors * out.len()));
    }
}

impl Pool {
    fn forward(&mut self, machine: &mut Machine, x: Operand) {
        max_pool_argmax(machine.team, machine.isa, &self.shape, x, &mut self.out, &mut self.argmax);
        machine.done("maxpool", Part::Forward, Work::moves(x.len() + self.out.len()));
    }
}

impl BlockTape {
    fn forward(
        &mut self,
        machine: &mut Machine,
        params: &Params,
        norm: &mut Norm,
        x: &[f32],
        shortcut: &mut AlignedBuf,
    ) -> Result<(), Stopped> {
        if let Some(pool) = &mut self.pool {
            pool.forward(machine, x.into());
        }
        let first = self.pool.as_ref().map_or(x, |pool| &pool.out);
        for i in 0..self.units.len() {
            let (before, rest) = self.units.split_at_mut(i);
            let from = before.last().map_or(first.into(), |unit| unit.activated(machine));
            rest[0].forward(machine, params, norm, from)?;
        }
        let len = self.out.len();
        let residual = match &mut self.shortcut {
            Shortcut::None => None,
            Shortcut::Identity => Some(Residual { values: x, map: None }),
            Shortcut::Pad(shape) => {
                shortcut_pad(machine.team, shape, x, &mut shortcut[..len]);
                machine.done("shortcut", Part::Forward, Work::moves(x.len() + len));
                Some(Residual { values: &shortcut[..len], map: None })
            }
            Shortcut::Project(unit) => {
                unit.forward(machine, params, norm, x.into())?;
                Some(Residual { values: &unit.y, map: Some(&unit.batch().1) })
            }
        };
        let last = &self.units[self.units.len() - 1];
        last.activate(machine, residual, &mut self.out);
        Ok(())
    }
}
