//! Convolutions over NHWC activations as matrix products.
//!
//! The rows of A are output pixels, its columns the values under the filter in the order (ky, kx,
//! channel); B holds the filters. A is never stored: its panels are gathered from the picture when
//! the product needs them, or read in place where the filter is 1x1 and steps by one pixel.

mod forward;
mod im2col;
pub mod reference;
mod shape;

pub use forward::{Filter, forward};
pub use im2col::Im2col;
pub use shape::ConvShape;

#[cfg(test)]
mod tests;
