//! **resnet-data**: packs image data sets into shards, verifies them and measures their statistics.
//!
//! Results go to stdout, progress and notes to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 130
//! interrupted, with all finished shards kept.

mod cli;
mod error;
mod machine;
mod output;
mod pack;
mod progress;
mod stats;
mod verify;

fn main() -> std::process::ExitCode {
    cli::main()
}
