//! What the fuzz targets run; `tests/fuzz_seeds.rs` of the package above runs the same on their seeds.

pub mod targets;
