//! The classifier: logits = features · weightᵀ + bias.

use crate::gemm::{Backend, Epilogue, Matrix, PackedB, gemm};

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
    pub fn new(backend: Backend, weight: &[f32], bias: &[f32]) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len().max(1));
        assert_eq!(weight.len(), outputs * inputs, "weight of a linear layer");
        let packed = PackedB::new(backend, inputs, outputs, |p, j| weight[j * inputs + p]);
        Self { packed, bias: bias.to_vec() }
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
    pub fn forward(&self, input: &[f32], output: &mut [f32]) {
        let rows = Matrix::new(input, input.len() / self.inputs(), self.inputs());
        let epilogue = Epilogue { bias: Some(&self.bias), ..Epilogue::default() };
        gemm(&rows, &self.packed, output, &epilogue);
    }
}
