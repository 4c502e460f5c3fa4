//! The backward pass: the layers in reverse, each gradient where its tensor lies in the flat buffer.

use super::forward::{Machine, Stopped};
use super::tape::{BlockTape, Shortcut, Tape, Unit};
use crate::conv::{backward_data, backward_weights};
use crate::model::{BN_EPSILON, Network, Params, TensorId};
use crate::ops::batch_norm::{
    Backward, Coefficients, ReluMask, Statistics, backward_input, backward_sums,
};
use crate::ops::{
    add_assign, global_avg_pool_backward, linear_backward, max_pool_backward, shortcut_pad_backward,
};
use crate::runtime::AlignedBuf;

/// Where gradients go: the flat buffer, in the layout of the learnable tensors.
pub(super) struct Gradients<'a> {
    pub(super) params: &'a Params,
    pub(super) values: &'a mut [f32],
}

impl Gradients<'_> {
    fn of(&mut self, id: TensorId) -> &mut [f32] {
        &mut self.values[self.params.table().info(id).range()]
    }
}

/// Computes all gradients from that of the logits; `tape` holds the forward pass of `input`.
pub(super) fn backward(
    machine: &mut Machine,
    network: &Network,
    tape: &mut Tape,
    input: &[f32],
    logit_gradient: &[f32],
    gradients: &mut Gradients,
) -> Result<(), Stopped> {
    let mut spare = Spare::take(tape);
    let result = layers(machine, network, tape, &mut spare, input, logit_gradient, gradients);
    spare.give_back(tape);
    result
}

/// The layers, with the tape's spare buffers in `spare`.
fn layers(
    machine: &mut Machine,
    network: &Network,
    tape: &mut Tape,
    spare: &mut Spare,
    input: &[f32],
    logit_gradient: &[f32],
    gradients: &mut Gradients,
) -> Result<(), Stopped> {
    let fc = &network.fc;

    let mut features = AlignedBuf::zeroed(tape.features.len());
    let (mut weight, mut bias) =
        (AlignedBuf::zeroed(fc.in_features * fc.out_features), vec![0.0; fc.out_features]);
    linear_backward(
        machine.team,
        machine.backend,
        &tape.features,
        gradients.params.get(fc.weight),
        logit_gradient,
        &mut features,
        &mut weight,
        &mut bias,
    );
    gradients.of(fc.weight).copy_from_slice(&weight);
    gradients.of(fc.bias).copy_from_slice(&bias);
    let len = tape.features.len() * tape.pixels;
    let output = &mut spare.output[..len];
    global_avg_pool_backward(machine.team, tape.pixels, fc.in_features, &features, output);

    for i in (0..tape.blocks.len()).rev() {
        let (before, rest) = tape.blocks.split_at_mut(i);
        let x: &[f32] = match before.last() {
            Some(block) => &block.out,
            None => tape.stem_pool.as_ref().map_or(&tape.stem_out, |pool| &pool.out),
        };
        rest[0].backward(machine, x, spare, gradients)?;
    }

    let stem = &tape.stem;
    if let Some(pool) = &tape.stem_pool {
        let (from, to) = (&spare.output[..pool.out.len()], &mut spare.input[..stem.y.len()]);
        max_pool_backward(machine.team, machine.isa, &pool.shape, &pool.argmax, from, to);
        std::mem::swap(&mut spare.output, &mut spare.input);
    }
    let (_, coefficients) = stem.batch();
    let mask = ReluMask::Recompute(coefficients);
    let y = &mut spare.y[..stem.y.len()];
    stem.batch_norm_backward(machine, &spare.output[..stem.y.len()], mask, y, None, gradients);
    let weight = gradients.of(stem.conv.weight);
    backward_weights(machine.team, stem.by, machine.backend, &stem.shape, input, y, weight);
    Ok(())
}

/// The tape's spare buffers, by what they hold.
struct Spare {
    /// A normalised activation, computed again.
    activation: AlignedBuf,
    /// The gradient of a block's output.
    output: AlignedBuf,
    /// Of a convolution's raw output.
    y: AlignedBuf,
    /// Of a shortcut.
    shortcut: AlignedBuf,
    /// Of a convolution's input.
    input: AlignedBuf,
}

impl Spare {
    fn take(tape: &mut Tape) -> Self {
        let [output, y, shortcut, input] = std::mem::take(&mut tape.gradients);
        Self { activation: std::mem::take(&mut tape.activation), output, y, shortcut, input }
    }

    fn give_back(self, tape: &mut Tape) {
        tape.activation = self.activation;
        tape.gradients = [self.output, self.y, self.shortcut, self.input];
    }
}

impl Unit {
    /// The batch of the forward pass.
    ///
    /// # Panics
    /// If there was none.
    pub(super) fn batch(&self) -> &(Statistics, Coefficients) {
        self.batch.as_ref().expect("the forward pass comes first")
    }

    /// From the gradient of the activated output to that of y, and of batch norm's parameters.
    fn batch_norm_backward(
        &self,
        machine: &mut Machine,
        output: &[f32],
        mask: ReluMask,
        y: &mut [f32],
        shortcut: Option<&mut [f32]>,
        gradients: &mut Gradients,
    ) {
        let (batch, _) = self.batch();
        let (gamma, beta) =
            backward_sums(machine.team, machine.isa, &self.y, output, mask, batch, BN_EPSILON);
        let scale = gradients.params.get(self.conv.gamma);
        let map = Backward::new(batch, scale, BN_EPSILON, &gamma, &beta);
        backward_input(machine.team, machine.isa, &self.y, output, mask, &map, y, shortcut);
        gradients.of(self.conv.gamma).copy_from_slice(&gamma);
        gradients.of(self.conv.beta).copy_from_slice(&beta);
    }

    /// From the gradient of y to those of the filters and of `x`.
    fn conv_backward(
        &mut self,
        machine: &mut Machine,
        x: &[f32],
        y: &[f32],
        input: &mut [f32],
        gradients: &mut Gradients,
    ) -> Result<(), Stopped> {
        machine.check()?;
        let weight = gradients.of(self.conv.weight);
        backward_weights(machine.team, self.by, machine.backend, &self.shape, x, y, weight);
        let weight = gradients.params.get(self.conv.weight);
        self.backward_filter.pack(machine.team, weight);
        backward_data(machine.team, &self.shape, y, &self.backward_filter, input);
        Ok(())
    }
}

impl BlockTape {
    /// `spare.output` holds the gradient of the block's output, and afterwards that of `x`.
    fn backward(
        &mut self,
        machine: &mut Machine,
        x: &[f32],
        spare: &mut Spare,
        gradients: &mut Gradients,
    ) -> Result<(), Stopped> {
        let len = self.out.len();
        let last = self.units.len() - 1;
        let residual = !matches!(self.shortcut, Shortcut::None);
        let shortcut = residual.then_some(&mut spare.shortcut[..len]);
        let (output, y) = (&spare.output[..len], &mut spare.y[..len]);
        let mask = ReluMask::Output(&self.out);
        self.units[last].batch_norm_backward(machine, output, mask, y, shortcut, gradients);

        for i in (1..=last).rev() {
            let (before, rest) = self.units.split_at_mut(i);
            let (before, unit) = (&before[i - 1], &mut rest[0]);
            let from = &mut spare.activation[..before.y.len()];
            before.activate(machine, None, true, from);
            let input = &mut spare.input[..before.y.len()];
            let y = &spare.y[..unit.y.len()];
            unit.conv_backward(machine, from, y, input, gradients)?;
            let mask = ReluMask::Recompute(&before.batch().1);
            let y = &mut spare.y[..before.y.len()];
            before.batch_norm_backward(machine, input, mask, y, None, gradients);
        }

        let first = &mut self.units[0];
        let from = self.pool.as_ref().map_or(x, |pool| &pool.out);
        let y = &spare.y[..first.y.len()];
        first.conv_backward(machine, from, y, &mut spare.input[..from.len()], gradients)?;
        if let Some(pool) = &self.pool {
            let (out, to) = (&spare.input[..from.len()], &mut spare.output[..x.len()]);
            max_pool_backward(machine.team, machine.isa, &pool.shape, &pool.argmax, out, to);
            std::mem::swap(&mut spare.output, &mut spare.input);
        }

        let (input, shortcut) = (&mut spare.input[..x.len()], &spare.shortcut[..len]);
        match &mut self.shortcut {
            Shortcut::None => {}
            Shortcut::Identity => add_assign(machine.team, machine.isa, input, shortcut),
            Shortcut::Pad(shape) => shortcut_pad_backward(machine.team, shape, shortcut, input),
            Shortcut::Project(unit) => {
                let y = &mut spare.y[..unit.y.len()];
                unit.batch_norm_backward(machine, shortcut, ReluMask::None, y, None, gradients);
                let projected = &mut spare.output[..x.len()];
                unit.conv_backward(machine, x, y, projected, gradients)?;
                add_assign(machine.team, machine.isa, input, projected);
            }
        }
        std::mem::swap(&mut spare.output, &mut spare.input);
        Ok(())
    }
}
