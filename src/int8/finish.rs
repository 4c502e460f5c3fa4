//! What becomes of finished sums.

/// How the sums of each output channel become values: `sum · factor + shift`, a multiplication and an addition
/// rounded once together (the sum itself is rounded to f32 first); then, by another such pair, the residual's
/// share is added; then u8 are rounded half to even and cut to 0..=255. With a zero point of 0 the cut is the
/// ReLU. Values that become u8 must be within [`Finish::MOST`].
pub struct Finish {
    columns: usize,
    factor: Vec<f32>,
    shift: Vec<f32>,
}

impl Finish {
    /// How far from 0 a value that becomes u8 may be: rounded, it is an i32.
    pub const MOST: f32 = 1e9;

    /// By output channel.
    ///
    /// # Panics
    /// If there are not as many factors as shifts.
    pub fn new(mut factor: Vec<f32>, mut shift: Vec<f32>) -> Self {
        assert_eq!(factor.len(), shift.len(), "a factor and a shift a channel");
        let columns = factor.len();
        // Kernels read whole vectors.
        let whole = columns.next_multiple_of(16);
        factor.resize(whole, 0.0);
        shift.resize(whole, 0.0);
        Self { columns, factor, shift }
    }

    /// Those of `parts` equal parts of the channels.
    pub fn split(self, parts: usize) -> Vec<Self> {
        let width = self.columns / parts.max(1);
        let part = |i: usize| {
            let of = |values: &[f32]| values[i * width..(i + 1) * width].to_vec();
            Self::new(of(&self.factor), of(&self.shift))
        };
        if parts == 1 { vec![self] } else { (0..parts).map(part).collect() }
    }

    /// Output channels.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Factors and shifts, filled up to whole vectors.
    pub(super) fn values(&self) -> (&[f32], &[f32]) {
        (&self.factor, &self.shift)
    }
}

/// Where the values of a convolution go, `[batch, out_height, out_width, out_channels]`.
pub enum Output<'a> {
    /// As they are.
    F32(&'a mut [f32]),
    /// As u8.
    U8 {
        /// The values.
        values: &'a mut [u8],
        /// Values of the same shape that are added, times a factor.
        residual: Option<(&'a [u8], f32)>,
    },
}

impl Output<'_> {
    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::U8 { values, residual } => {
                assert!(
                    residual.is_none_or(|(r, _)| r.len() == values.len()),
                    "size of the residual"
                );
                values.len()
            }
        }
    }
}
