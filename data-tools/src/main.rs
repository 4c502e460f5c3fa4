//! **resnet-data**: packs image data sets into shards, verifies them and measures their statistics.

fn main() {}
