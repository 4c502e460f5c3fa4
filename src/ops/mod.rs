//! Every layer that is not a convolution, one a file.

mod avg_pool;
mod linear;
mod max_pool;
mod shortcut_pad;
mod softmax;

pub use avg_pool::global_avg_pool;
pub use linear::Linear;
pub use max_pool::{PoolShape, max_pool};
pub use shortcut_pad::{ShortcutPad, shortcut_pad};
pub use softmax::softmax;
