//! What happens to a finished tile before it is stored.

/// y = relu(sum + bias + residual), each part optional.
#[derive(Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One value a column of C.
    pub bias: Option<&'a [f32]>,
    /// A matrix of C's shape.
    pub residual: Option<&'a [f32]>,
    /// Whether negative values become zero. NaN stays NaN.
    pub relu: bool,
}
