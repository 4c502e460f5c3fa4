//! The classifier: logits = features · weightᵀ + bias.
//!
//! Inference packs the weights once, training at every step.

use super::narrow;
use crate::gemm::{Backend, Epilogue, Matrix, PackedB, gemm};
use crate::runtime::{Tasks, Team};
use std::ops::Range;

/// A linear layer, packed once for many uses.
pub struct Linear {
    packed: PackedB,
    bias: Vec<f32>,
}

impl Linear {
    /// Packs `weight`, `[out, in]` row-major; `bias` is `[out]`.
    ///
    /// # Panics
    /// If `weight` does not hold whole rows for `bias`.
    pub fn new(team: &mut Team, backend: Backend, weight: &[f32], bias: &[f32]) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len().max(1));
        assert_eq!(weight.len(), outputs * inputs, "weight of a linear layer");
        let mut linear = Self::zeros(backend, inputs, outputs);
        linear.pack_from(bias, |part, pack| pack(&weight[part])).run(team);
        linear
    }

    /// A layer of zeros.
    pub fn zeros(backend: Backend, inputs: usize, outputs: usize) -> Self {
        Self { packed: PackedB::zeros(backend, inputs, outputs), bias: vec![0.0; outputs] }
    }

    /// Copies `bias`; the tasks that pack a weight that `read` has, as
    /// [`Filter::pack_from`](crate::conv::Filter::pack_from) does.
    ///
    /// # Panics
    /// If the sizes are not those of the layer.
    pub fn pack_from<'a>(
        &'a mut self,
        bias: &[f32],
        read: impl Fn(Range<usize>, &mut dyn FnMut(&[f32])) + Sync + Send + 'a,
    ) -> Tasks<'a> {
        self.bias.copy_from_slice(bias);
        self.packed.pack_filters(1, None, read)
    }

    /// Values an input has.
    pub fn inputs(&self) -> usize {
        self.packed.k()
    }

    /// Values an output has.
    pub fn outputs(&self) -> usize {
        self.packed.n()
    }

    /// `input` is `[batch, inputs]`, `output` `[batch, outputs]`.
    ///
    /// # Panics
    /// If they do not hold the same number of whole rows.
    pub fn forward(&self, team: &mut Team, input: &[f32], output: &mut [f32]) {
        let rows = Matrix::new(input, input.len() / self.inputs(), self.inputs());
        let epilogue = Epilogue { bias: Some(&self.bias), ..Epilogue::default() };
        gemm(team, &rows, &self.packed, output, &epilogue);
    }
}

/// The gradients of a linear layer, from its `input`, `[batch, inputs]`, its `weight`,
/// `[outputs, inputs]`, and `doutput`, `[batch, outputs]`:
///
/// dinput = doutput · weight, dweight = doutputᵀ · input, dbias = Σ doutput over the batch, in order.
///
/// # Panics
/// If the sizes do not fit together.
pub fn linear_backward(
    team: &mut Team,
    backend: Backend,
    input: &[f32],
    weight: &[f32],
    doutput: &[f32],
    dinput: &mut [f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
) {
    let outputs = dbias.len();
    let (inputs, batch) = (weight.len() / outputs, doutput.len() / outputs);
    assert_eq!(doutput.len(), batch * outputs, "gradient of a linear layer's output");
    assert_eq!(input.len(), batch * inputs, "input of a linear layer");
    let none = Epilogue::default();

    let packed = PackedB::from_rows(team, backend, outputs, inputs, weight);
    gemm(team, &Matrix::new(doutput, batch, outputs), &packed, dinput, &none);

    let transposed: Vec<f32> =
        (0..outputs * batch).map(|i| doutput[i % batch * outputs + i / batch]).collect();
    let packed = PackedB::from_rows(team, backend, batch, inputs, input);
    gemm(team, &Matrix::new(&transposed, outputs, batch), &packed, dweight, &none);

    for (sum, gradients) in dbias.iter_mut().zip(transposed.chunks_exact(batch)) {
        *sum = narrow(gradients.iter().map(|&g| f64::from(g)).sum());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, assert_gradient, everywhere, normals, wide};
    use super::*;
    use proptest::prelude::*;

    /// The layer by its definition.
    fn forward(batch: usize, input: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
        let dot = |n: usize, o: usize| -> f64 {
            (0..inputs).map(|i| input[n * inputs + i] * weight[o * inputs + i]).sum()
        };
        (0..batch * outputs).map(|i| dot(i / outputs, i % outputs) + bias[i % outputs]).collect()
    }

    /// Its gradients by their definition: of the input, the weight and the bias.
    fn backward(batch: usize, input: &[f64], weight: &[f64], doutput: &[f64]) -> [Vec<f64>; 3] {
        let (inputs, outputs) = (input.len() / batch, doutput.len() / batch);
        let mut gradients = [vec![0.0; input.len()], vec![0.0; weight.len()], vec![0.0; outputs]];
        for (i, gradient) in doutput.iter().enumerate() {
            let (n, o) = (i / outputs, i % outputs);
            gradients[2][o] += gradient;
            for j in 0..inputs {
                gradients[0][n * inputs + j] += gradient * weight[o * inputs + j];
                gradients[1][o * inputs + j] += gradient * input[n * inputs + j];
            }
        }
        gradients
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn the_reference_is_right() {
        let (batch, inputs, outputs) = (3, 4, 2);
        let input = wide(&normals(1, batch * inputs));
        let weight = wide(&normals(2, outputs * inputs));
        let bias = wide(&normals(3, outputs));
        let doutput = wide(&normals(4, batch * outputs));
        let [dinput, dweight, dbias] = backward(batch, &input, &weight, &doutput);
        assert_gradient(|x| dot(&forward(batch, x, &weight, &bias), &doutput), &input, &dinput);
        assert_gradient(|w| dot(&forward(batch, &input, w, &bias), &doutput), &weight, &dweight);
        assert_gradient(|b| dot(&forward(batch, &input, &weight, b), &doutput), &bias, &dbias);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn gradients_equal_the_reference_everywhere(
            (batch, inputs, outputs) in (1..40_usize, 1..70_usize, 1..40_usize),
            seed in any::<u64>(),
        ) {
            let input = normals(seed, batch * inputs);
            let weight = normals(seed ^ 1, outputs * inputs);
            let doutput = normals(seed ^ 2, batch * outputs);
            let expected = backward(batch, &wide(&input), &wide(&weight), &wide(&doutput));
            for got in everywhere(|team, isa| {
                let mut gradients = [input.len(), weight.len(), outputs].map(|n| vec![f32::NAN; n]);
                let [dinput, dweight, dbias] = &mut gradients;
                let backend = Backend::Native(isa);
                linear_backward(team, backend, &input, &weight, &doutput, dinput, dweight, dbias);
                gradients.to_vec()
            }) {
                for (i, terms) in [outputs, batch, batch].into_iter().enumerate() {
                    // A sum of products of normals (each below 6) rounds at most twice a term.
                    let bound = 2.0 * 36.0 * (terms * terms) as f64 * f64::from(f32::EPSILON);
                    assert_close(["dinput", "dweight", "dbias"][i], &got[i], &expected[i], |_| bound);
                }
            }
        }
    }
}
