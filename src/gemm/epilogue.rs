//! What happens to a finished tile before it is stored, and to finished rows after that.

/// y = relu(sum + bias + residual), each part optional.
#[derive(Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One value a column of C.
    pub bias: Option<&'a [f32]>,
    /// A matrix of C's shape.
    pub residual: Option<&'a [f32]>,
    /// Whether negative values become zero. NaN stays NaN.
    pub relu: bool,
    /// Whoever looks at rows of y while they are still in a cache.
    pub after: Option<&'a dyn AfterRows>,
}

/// Something that is done to the rows of a result as soon as they are final, by whoever computed them.
pub trait AfterRows: Sync {
    /// Rows that are best seen together: tasks begin at multiples of it where that costs little.
    fn unit(&self) -> usize;

    /// Row `first` and those that follow it are final; `rows` has all of their columns. Each row comes once at
    /// most: those whose columns several tasks share out do not come, nor do those of a backend other than ours.
    fn rows(&self, first: usize, rows: &mut [f32]);
}
