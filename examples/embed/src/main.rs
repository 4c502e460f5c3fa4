//! Whether the library is as fast in somebody else's program as in our own.
//!
//! This package has no profile section, so Cargo's defaults compile the library: no link-time
//! optimisation, sixteen codegen units. It times networks with random weights on random images and runs
//! `resnet-cpu bench`, the program at `$RESNET_CPU`, in turn with that; each case is one line of JSON.
//! Without `$RESNET_CPU` the fields of our own program are null.

use clap::Parser;
use resnet_cpu::gemm::Backend;
use resnet_cpu::infer::{InferError, Session};
use resnet_cpu::model::{InitOptions, ModelSpec, Network, Options, initialize};
use resnet_cpu::runtime::{Rng, pool};
use resnet_cpu::simd::Isa;
use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

/// Times networks in this program and in resnet-cpu's own.
#[derive(Parser)]
struct Args {
    /// Networks
    #[arg(long, value_delimiter = ',', default_value = "resnet18,resnet50")]
    arch: Vec<String>,
    /// Images a batch
    #[arg(short, long, value_delimiter = ',', default_value = "1,16")]
    batch: Vec<usize>,
    /// Threads
    #[arg(short = 'j', long, default_value_t = 2)]
    threads: usize,
    /// Rounds, each of this program and ours
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that each takes a round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let pool = pool(Some(args.threads))?;
    for arch in &args.arch {
        for &batch in &args.batch {
            let mut bench = Bench::new(arch, batch)?;
            let (mut embedded, mut own) = (Vec::new(), Vec::new());
            for _ in 0..args.rounds {
                embedded.push(pool.install(|| bench.median_ms(args.seconds))?);
                own.extend(own_median_ms(&args, arch, batch)?);
            }
            let (embedded, own) = (median(embedded), (!own.is_empty()).then(|| median(own)));
            let line = serde_json::json!({
                "arch": arch,
                "batch": batch,
                "threads": args.threads,
                "embedded_ms": embedded,
                "own_ms": own,
                "ratio": own.map(|own| embedded / own),
            });
            println!("{line}");
        }
    }
    Ok(())
}

/// A network with random weights and a batch of random images.
struct Bench {
    session: Session<'static>,
    input: Vec<f32>,
    batch: usize,
    side: usize,
}

impl Bench {
    fn new(arch: &str, batch: usize) -> Result<Self, Box<dyn Error>> {
        let spec = ModelSpec::new(arch, Options::default())?;
        let side = spec.input_side();
        let network = Network::new(&spec);
        let params = initialize(&network, 1, InitOptions::default());
        let session = Session::new(&network, params, Backend::Native(Isa::best()));
        let mut rng = Rng::named(1, "input");
        let input = (0..batch * side * side * 3).map(|_| rng.uniform_in(-2.0, 2.0)).collect();
        Ok(Self { session, input, batch, side })
    }

    fn median_ms(&mut self, seconds: f64) -> Result<f64, InferError> {
        let Self { session, input, batch, side } = self;
        let mut run = || session.run(input, *batch, *side, *side).map(drop);
        run()?;
        let (start, mut times) = (Instant::now(), Vec::new());
        while start.elapsed() < Duration::from_secs_f64(seconds) || times.len() < 3 {
            let start = Instant::now();
            run()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(times))
    }
}

/// What the program at `$RESNET_CPU` measures.
fn own_median_ms(args: &Args, arch: &str, batch: usize) -> Result<Option<f64>, Box<dyn Error>> {
    let Some(program) = std::env::var_os("RESNET_CPU") else { return Ok(None) };
    let [batch, threads, seconds] =
        [batch.to_string(), args.threads.to_string(), args.seconds.to_string()];
    let flags = ["bench", "--json", "--quiet", "--arch", arch];
    let output = Command::new(&program)
        .args(flags)
        .args(["--batch", &batch, "--threads", &threads, "--seconds", &seconds])
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {said}", program.display()).into());
    }
    let line: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(line["median_ms"].as_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
