//! tmp
/// tmp
pub fn awake<R: Send>(body: impl FnOnce() -> R + Send) -> R { body() }
