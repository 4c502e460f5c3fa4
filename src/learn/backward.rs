//! The backward pass: the layers in reverse, each gradient where its tensor lies in the flat buffer.

use super::forward::{Machine, Stopped};
use super::profile::{Part, Work};
use super::tape::{BlockTape, Pool, Shortcut, Tape, Unit};
use crate::conv::{add_backward_data, backward_data, backward_data_with, backward_weights};
use crate::gemm::{AfterRows, Epilogue, Operand};
use crate::model::{BN_EPSILON, Network, Params, TensorId};
use crate::ops::batch_norm::{
    Backward, BatchProducts, Coefficients, ProductsOf, ReluMask, Statistics, backward_input,
};
use crate::ops::{
    global_avg_pool_backward, linear_backward, max_pool_backward, shortcut_pad_backward,
};
use crate::runtime::{AlignedBuf, Team};

/// Where gradients go: the flat buffer, in the layout of the learnable tensors.
pub(super) struct Gradients<'a, 'v> {
    pub(super) params: &'a Params,
    pub(super) values: &'a mut &'v mut [f32],
    /// Who takes them away as soon as they are final, if anyone does.
    pub(super) taker: Option<&'a mut (dyn Taker<'v> + 'a)>,
}

/// Takes gradients away while the backward pass goes on.
pub(super) trait Taker<'v>: Send {
    /// All of `values` from `start` on is final; it may be cut off.
    fn finished(&mut self, team: &mut Team, values: &mut &'v mut [f32], start: usize);
}

impl Gradients<'_, '_> {
    fn of(&mut self, id: TensorId) -> &mut [f32] {
        &mut self.values[self.params.table().info(id).range()]
    }

    /// Layers are done in the reverse order of the flat buffer: all from that of `first` on are.
    fn finished(&mut self, machine: &mut Machine, first: TensorId) {
        if let Some(taker) = &mut self.taker {
            taker.finished(machine.team, self.values, self.params.table().info(first).offset);
        }
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
    machine.done("fc", Part::InputGradient, tape.classifier_work().and(tape.classifier_work()));
    gradients.finished(machine, fc.weight);
    let len = tape.features.len() * tape.pixels;
    let output = &mut spare.output[..len];
    global_avg_pool_backward(machine.team, tape.pixels, fc.in_features, &features, output);
    machine.done("avgpool", Part::InputGradient, Work::moves(len));

    let stem = &tape.stem;
    let mask = ReluMask::Recompute(&stem.batch().1);
    let mut products = match tape.blocks.last() {
        Some(block) => block.last().products(machine),
        None => stem.products(machine),
    };
    for i in (0..tape.blocks.len()).rev() {
        let (before, rest) = tape.blocks.split_at_mut(i);
        let unit = before.last().map_or(stem, BlockTape::last);
        let of_unit = unit.products(machine);
        let (x, mask): (&[f32], _) = match (before.last(), &tape.stem_pool) {
            (Some(block), _) => (&block.out, Some(ReluMask::Output(&block.out))),
            (None, Some(pool)) => (&pool.out, None),
            (None, None) => (&tape.stem_out, Some(mask)),
        };
        let after = mask.map(|mask| unit.seen_by(&of_unit, mask));
        let after = after.as_ref().map(|after| after as &dyn AfterRows);
        rest[0].backward(machine, x, &products, after, spare, gradients)?;
        gradients.finished(machine, network.blocks[i].first());
        products = of_unit;
    }

    if let Some(pool) = &tape.stem_pool {
        let (from, to) = (&spare.output[..pool.out.len()], &mut spare.input[..stem.y.len()]);
        let (Pool { shape, argmax, .. }, after) = (pool, stem.seen_by(&products, mask));
        max_pool_backward(machine.team, machine.isa, shape, argmax, from, Some(&after), to);
        machine.done("maxpool", Part::InputGradient, Work::moves(from.len() + 2 * to.len()));
        std::mem::swap(&mut spare.output, &mut spare.input);
    }
    let y = &mut spare.output[..stem.y.len()];
    stem.batch_norm_backward(machine, &products, y, mask, None, gradients);
    let weight = gradients.of(stem.conv.weight);
    backward_weights(machine.team, stem.by, machine.backend, &stem.shape, input, y, weight);
    machine.done(&stem.conv.name, Part::FilterGradient, Work::conv(&stem.shape, stem.by));
    gradients.finished(machine, stem.conv.weight);
    Ok(())
}

/// The tape's spare buffers, by what they hold.
struct Spare {
    /// The gradient of a block's output.
    output: AlignedBuf,
    /// Of a convolution's raw output.
    y: AlignedBuf,
    /// Of a convolution's input.
    input: AlignedBuf,
}

impl Spare {
    fn take(tape: &mut Tape) -> Self {
        let [output, y, input] = std::mem::take(&mut tape.gradients);
        Self { output, y, input }
    }

    fn give_back(self, tape: &mut Tape) {
        tape.gradients = [self.output, self.y, self.input];
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

    /// The sums of its batch norm's gradients, of which nothing is known yet.
    fn products(&self, machine: &Machine) -> BatchProducts {
        BatchProducts::new(machine.isa, self.shape.rows(), self.conv.out_channels)
    }

    /// Whoever takes them from the gradient of the output while that is computed.
    fn seen_by<'a>(&'a self, products: &'a BatchProducts, mask: ReluMask<'a>) -> ProductsOf<'a> {
        products.of(&self.y, mask, &self.batch().0)
    }

    /// From the gradient of the activated output, of which what the ReLU stops becomes zero, to that of batch norm's
    /// parameters and of y: written to `y`, or, where there is none, over that of the output.
    fn batch_norm_backward(
        &self,
        machine: &mut Machine,
        products: &BatchProducts,
        output: &mut [f32],
        mask: ReluMask,
        y: Option<&mut [f32]>,
        gradients: &mut Gradients,
    ) {
        let (batch, _) = self.batch();
        let (gamma, beta) = products.sums(machine.team, &self.y, output, mask, batch, BN_EPSILON);
        let scale = gradients.params.get(self.conv.gamma);
        let map = Backward::new(batch, scale, BN_EPSILON, &gamma, &beta);
        backward_input(machine.team, machine.isa, &self.y, output, &map, y);
        gradients.of(self.conv.gamma).copy_from_slice(&gamma);
        gradients.of(self.conv.beta).copy_from_slice(&beta);
        machine.done(&self.conv.name, Part::NormGradient, Work::moves(3 * self.y.len()));
    }

    /// From the gradient of y to that of the filters; packs the filters for that of `x`.
    fn weights_backward(
        &mut self,
        machine: &mut Machine,
        x: Operand,
        y: &[f32],
        gradients: &mut Gradients,
    ) -> Result<(), Stopped> {
        machine.check()?;
        let weight = gradients.of(self.conv.weight);
        backward_weights(machine.team, self.by, machine.backend, &self.shape, x, y, weight);
        let work = Work::conv(&self.shape, self.by);
        machine.done(&self.conv.name, Part::FilterGradient, work);
        let weight = gradients.params.get(self.conv.weight);
        self.backward_filter.pack(machine.team, weight);
        machine.done(&self.conv.name, Part::Pack, Work::moves(self.shape.weight_len()));
        Ok(())
    }

    /// Of a projection, from the gradient of its output to that of its filters and, in place, of y.
    fn projection_backward(
        &mut self,
        machine: &mut Machine,
        x: &[f32],
        output: &mut [f32],
        gradients: &mut Gradients,
    ) -> Result<(), Stopped> {
        let products = self.products(machine);
        self.batch_norm_backward(machine, &products, output, ReluMask::None, None, gradients);
        self.weights_backward(machine, x.into(), output, gradients)
    }

    /// From the gradient of y to that of x, to which `residual` is added; whole blocks of it are shown to `after` where
    /// the stride is 1.
    fn data_backward(
        &self,
        machine: &mut Machine,
        y: &[f32],
        residual: Option<&[f32]>,
        after: Option<&dyn AfterRows>,
        input: &mut [f32],
    ) {
        let (shape, filter) = (&self.shape, &self.backward_filter);
        let mut work = Work::conv(shape, filter.algorithm());
        if shape.stride == 1 {
            let epilogue = Epilogue { residual, after, ..Epilogue::default() };
            backward_data_with(machine.team, shape, y, filter, &epilogue, input);
            // Each reads as much as is written.
            let besides = usize::from(residual.is_some()) + usize::from(after.is_some());
            work = work.and(Work::moves(besides * input.len()));
        } else {
            backward_data(machine.team, shape, y, filter, input);
        }
        machine.done(&self.conv.name, Part::InputGradient, work);
    }
}

impl BlockTape {
    /// The unit before the last ReLU.
    fn last(&self) -> &Unit {
        &self.units[self.units.len() - 1]
    }

    /// `spare.output` holds the gradient of the block's output, whose `products` may be known in part, and
    /// afterwards that of `x`; `after` has then seen some of its rows.
    fn backward(
        &mut self,
        machine: &mut Machine,
        x: &[f32],
        products: &BatchProducts,
        after: Option<&dyn AfterRows>,
        spare: &mut Spare,
        gradients: &mut Gradients,
    ) -> Result<(), Stopped> {
        let len = self.out.len();
        // Afterwards the output's gradient is what passed the ReLU: that of the shortcut, too.
        let (output, y) = (&mut spare.output[..len], &mut spare.y[..len]);
        let mask = ReluMask::Output(&self.out);
        self.last().batch_norm_backward(machine, products, output, mask, Some(y), gradients);

        for i in (1..self.units.len()).rev() {
            let (before, rest) = self.units.split_at_mut(i);
            let (before, unit) = (&before[i - 1], &mut rest[0]);
            let y = &spare.y[..unit.y.len()];
            unit.weights_backward(machine, before.activated(machine), y, gradients)?;
            let input = &mut spare.input[..before.y.len()];
            let (products, mask) =
                (before.products(machine), ReluMask::Recompute(&before.batch().1));
            let after = before.seen_by(&products, mask);
            unit.data_backward(machine, y, None, Some(&after), input);
            before.batch_norm_backward(machine, &products, input, mask, None, gradients);
            std::mem::swap(&mut spare.y, &mut spare.input);
        }

        let shortcut = &mut spare.output[..len];
        let (mut projected, mut after) = (false, after);
        match &mut self.shortcut {
            Shortcut::None | Shortcut::Identity => {}
            Shortcut::Project(unit) => {
                unit.projection_backward(machine, x, shortcut, gradients)?;
                if unit.shape.stride == 1 {
                    unit.data_backward(machine, shortcut, None, None, &mut spare.input[..x.len()]);
                    std::mem::swap(&mut spare.output, &mut spare.input);
                    projected = true;
                } else {
                    after = None;
                }
            }
            Shortcut::Pad(_) => after = None,
        }

        let first = &mut self.units[0];
        let from = self.pool.as_ref().map_or(x, |pool| &pool.out);
        let y = &spare.y[..first.y.len()];
        first.weights_backward(machine, from.into(), y, gradients)?;
        let input = &mut spare.input[..from.len()];
        if let Some(pool) = &self.pool {
            // Only networks without shortcuts have these.
            first.data_backward(machine, y, None, None, input);
            let to = &mut spare.output[..x.len()];
            let Pool { shape, argmax, .. } = pool;
            max_pool_backward(machine.team, machine.isa, shape, argmax, input, after, to);
            machine.done("maxpool", Part::InputGradient, Work::moves(from.len() + x.len()));
            return Ok(());
        }
        let shortcut = &spare.output[..];
        let whole = projected || matches!(self.shortcut, Shortcut::Identity);
        let residual = whole.then(|| &shortcut[..input.len()]);
        first.data_backward(machine, y, residual, after, input);
        let shortcut = &shortcut[..len];
        match &self.shortcut {
            Shortcut::Pad(shape) => {
                shortcut_pad_backward(machine.team, shape, shortcut, input);
                machine.done("shortcut", Part::InputGradient, Work::moves(len + input.len()));
            }
            Shortcut::Project(unit) if unit.shape.stride > 1 => {
                let (shape, filter) = (&unit.shape, &unit.backward_filter);
                add_backward_data(machine.team, shape, shortcut, filter, input);
                let work = Work::conv(shape, unit.backward_filter.algorithm());
                machine.done(&unit.conv.name, Part::InputGradient, work);
            }
            _ => {}
        }
        std::mem::swap(&mut spare.output, &mut spare.input);
        Ok(())
    }
}
