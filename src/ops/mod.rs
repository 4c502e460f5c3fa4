//! Every layer that is not a convolution, one a file.

mod add;
mod avg_pool;
pub mod batch_norm;
mod bundles;
mod channels;
mod conv_pool;
mod half_pool;
mod linear;
mod max_pool;
mod shortcut_pad;
mod softmax;
mod softmax_loss;
#[cfg(test)]
mod testing;

pub use add::add_assign;
pub use avg_pool::{global_avg_pool, global_avg_pool_backward};
pub use bundles::{join_bundles, split_bundles};
pub use conv_pool::conv_max_pool;
pub use half_pool::{HalfPool, half_pool};
pub use linear::{Linear, linear_backward};
pub use max_pool::{PoolShape, max_pool, max_pool_argmax, max_pool_backward};
pub use shortcut_pad::{ShortcutPad, shortcut_pad, shortcut_pad_backward};
pub use softmax::softmax;
pub use softmax_loss::{Loss, Mixed, mixed_softmax_loss, softmax_loss};

/// `x` rounded to f32. What would be denormal becomes zero: such values mean nothing here, and many
/// CPUs compute with them a hundred times slower.
fn narrow(x: f64) -> f32 {
    let rounded = x as f32;
    if rounded.abs() < f32::MIN_POSITIVE { 0.0 } else { rounded }
}
