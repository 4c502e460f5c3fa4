//! One classifier, many clients: what a server that embeds the library may expect.
//!
//! Each client is a thread that classifies the same image again and again, one at a time, as soon as it
//! has the answer to the last. All share one [`Classifier`] and one pool of threads. For each number of
//! clients one line of JSON says how many images a second were classified, how long each took, and how
//! much memory the process has.

use clap::Parser;
use resnet_cpu::{Classifier, InferError, Limits, pool, read_image};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Latency and throughput of a classifier that many threads use.
#[derive(Parser)]
struct Args {
    /// File of weights
    #[arg(short, long)]
    weights: PathBuf,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    clients: Vec<usize>,
    /// Seconds for each number of clients
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Threads of the pool
    #[arg(short = 'j', long)]
    threads: Option<usize>,
    /// The image
    image: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let image = read_image(&args.image, &Limits::default())?;
    let classifier = Classifier::open(&args.weights)?;
    let pool = pool(args.threads)?;
    let classify = || pool.install(|| classifier.classify_one(&image, 5));
    classify()?;
    for &clients in &args.clients {
        let start = Instant::now();
        let end = start + Duration::from_secs_f64(args.seconds);
        let client = || {
            let mut times = Vec::new();
            while Instant::now() < end {
                let start = Instant::now();
                classify()?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, InferError>(times)
        };
        let times = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            clients.into_iter().map(|client| client.join().expect("no panic")).collect()
        });
        let seconds = start.elapsed().as_secs_f64();
        let times: Result<Vec<Vec<f64>>, _> = times;
        let mut times = times?.concat();
        times.sort_by(f64::total_cmp);
        let quantile = |q: f64| times[((times.len() - 1) as f64 * q).round() as usize];
        let line = serde_json::json!({
            "clients": clients,
            "per_second": times.len() as f64 / seconds,
            "p50_ms": quantile(0.5),
            "p99_ms": quantile(0.99),
            "p999_ms": quantile(0.999),
            "max_ms": quantile(1.0),
            "rss_mb": resident_bytes().map(|bytes| bytes / 1_000_000),
        });
        println!("{line}");
    }
    Ok(())
}

/// Memory of this process, where the system tells (Linux).
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(1024 * line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?)
}
