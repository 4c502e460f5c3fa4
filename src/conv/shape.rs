//! The geometry of a convolution.

/// A square convolution without dilation or groups, applied to a batch.
///
/// Its fields may be anything: what asks for a size that does not fit into the address space panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Height of the input, in pixels.
    pub height: usize,
    /// Width of the input, in pixels.
    pub width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Side of the filter, in pixels.
    pub kernel: usize,
    /// Step in both directions, in pixels.
    pub stride: usize,
    /// Pixels of zeros on each side.
    pub padding: usize,
}

impl ConvShape {
    /// Height of the output, in pixels.
    pub fn out_height(&self) -> usize {
        self.out_size(self.height)
    }

    /// Width of the output, in pixels.
    pub fn out_width(&self) -> usize {
        self.out_size(self.width)
    }

    fn out_size(&self, size: usize) -> usize {
        let padded = self.padding.checked_mul(2).and_then(|padding| padding.checked_add(size));
        let room = padded.expect(TOO_LARGE).checked_sub(self.kernel);
        room.map_or(0, |room| room / self.stride + 1)
    }

    /// Whether the pixels, as they lie in memory, are the rows of A.
    pub fn is_product(&self) -> bool {
        (self.kernel, self.stride, self.padding) == (1, 1, 0)
    }

    /// Values under the filter: rows of B.
    pub fn k(&self) -> usize {
        product([self.kernel, self.kernel, self.in_channels])
    }

    /// Output pixels of the batch: rows of A.
    pub fn rows(&self) -> usize {
        product([self.batch, self.out_height(), self.out_width()])
    }

    /// Values of the input, `[batch, height, width, in_channels]`.
    pub fn input_len(&self) -> usize {
        product([self.batch, self.height, self.width, self.in_channels])
    }

    /// Values of the output, `[batch, out_height, out_width, out_channels]`.
    pub fn output_len(&self) -> usize {
        product([self.rows(), self.out_channels])
    }

    /// Values of the filters, `[out_channels, in_channels, kernel, kernel]`.
    pub fn weight_len(&self) -> usize {
        product([self.out_channels, self.k()])
    }

    /// Multiply-adds, counting those with padding.
    pub fn macs(&self) -> usize {
        product([self.rows(), self.k(), self.out_channels])
    }
}

const TOO_LARGE: &str = "a convolution larger than the address space";

fn product<const N: usize>(sizes: [usize; N]) -> usize {
    sizes.into_iter().try_fold(1, usize::checked_mul).expect(TOO_LARGE)
}
