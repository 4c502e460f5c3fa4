//! One peer of resnet-cpu: runs a case of `../pytorch/cases.py` for a while and prints one line of JSON.
//!
//!     peers NAME ARCH MODEL INPUT BATCH SIZE THREADS SECONDS
//!
//! The arguments and the line are those of `../pytorch/peers.py`. A peer is a function that loads the
//! model and returns a closure, which runs the input and returns the logits.

mod burn;
mod candle;
mod resnet;
mod rten;
mod tract;

use std::time::Instant;

type Error = Box<dyn std::error::Error>;
type Run = Box<dyn FnMut() -> Result<Vec<f32>, Error>>;

const WARM_UP: usize = 3;
const FEWEST: usize = 5;

struct Case {
    arch: String,
    model: String,
    /// NCHW.
    input: Vec<f32>,
    shape: [usize; 4],
    threads: usize,
}

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, arch, model, input, batch, size, threads, seconds] = &args[..] else {
        return Err("usage: peers NAME ARCH MODEL INPUT BATCH SIZE THREADS SECONDS".into());
    };
    let (size, seconds): (usize, f64) = (size.parse()?, seconds.parse()?);
    let bytes = std::fs::read(input)?;
    let case = Case {
        arch: arch.clone(),
        model: model.clone(),
        input: bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect(),
        shape: [batch.parse()?, 3, size, size],
        threads: threads.parse()?,
    };
    drop(bytes);
    let mut run = match name.as_str() {
        "burn" => burn::load(case),
        "candle" => candle::load(case),
        "rten" => rten::load(case),
        "tract" => tract::load(case),
        _ => Err(format!("unknown peer {name}").into()),
    }?;
    let mut logits = Vec::new();
    for _ in 0..WARM_UP {
        logits = run()?;
    }
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < FEWEST || start.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let median = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0;
    println!("{{\"median_ms\": {median}, \"runs\": {}, \"logits\": {logits:?}}}", times.len());
    Ok(())
}
