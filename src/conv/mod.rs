//! Convolutions over NHWC activations as matrix products.
//!
//! The rows of A are output pixels, its columns the values under the filter in the order (ky, kx,
//! channel); B holds the filters. A is never stored: its panels are gathered from the image when
//! the product needs them, or read in place where the filter is 1x1 and steps by one pixel.
//!
//! The gradient of the input is again a convolution (of the output's gradient with the filters turned
//! round), one for each class of pixels that a stride makes; the gradient of the filters is the
//! product of A's transpose with the output's gradient. So all three run on the same kernels.

mod algorithm;
mod backward_data;
mod backward_weights;
mod forward;
mod im2col;
mod parity;
pub mod reference;
mod shape;
mod strip;
mod winograd;

pub use algorithm::{Algorithm, Convolutions};
pub use backward_data::{BackwardFilter, add_backward_data, backward_data, backward_data_with};
pub use backward_weights::backward_weights;
pub use forward::{Filter, forward, forward_rows};
pub use im2col::Im2col;
pub use shape::ConvShape;
pub use winograd::WinogradTile;

#[cfg(test)]
mod tests;
