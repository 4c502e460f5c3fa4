//! Convolutions and pools on 8-bit integers.
//!
//! Activations are u8, NHWC; weights are i8 within ±127. A convolution's sums are exact in i32 for every size
//! that [`Filter::zeros`] takes (255 · 127 · K < 2³¹), so neither the instruction set nor the order of
//! additions matters. A finished sum becomes u8 in one written way ([`Finish`]), the same everywhere. So the
//! bits are the same on every instruction set, and for every batch size and number of threads.
//!
//! K is taken four values at a time, as the instructions for it do: in each row of the filter (`kernel`
//! pixels side by side) the values are cut into groups of four, the last one filled up with zeros.

mod conv;
mod filter;
mod finish;
mod gather;
pub mod kernels;
mod pools;
pub mod reference;

pub use conv::forward;
pub use filter::Filter;
pub use finish::{Finish, Output};
pub use pools::{global_avg_pool, half_pool, max_pool, quantize, requantize, shortcut_pad};

#[cfg(test)]
mod tests;
