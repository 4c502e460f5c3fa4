//! The `resnet-cpu` command; everything it can do is in the library, everything about words and
//! streams in `cli`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
