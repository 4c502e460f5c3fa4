//! What a finished run says on stdout, and the image that the demo ends with.

use indicatif::HumanCount;
use resnet_cpu::data::{Kind, demo};
use resnet_cpu::infer::wilson;
use resnet_cpu::train::{BEST, LAST, REPORT, Run, Schedule};
use std::io::Write;
use std::path::Path;

use super::super::error::CliError;
use super::super::machine::Machine;
use super::super::output::one_line;
use super::super::png::write_png;
use super::percent;

/// The drawn image that the demo's network is shown: a heart that is in no run's data.
const DEMO_IMAGE: (u64, u64) = (2, 6);

/// Prints the result of a run; the demo's ends with a command that shows what was learnt.
pub(super) fn print(run: &Run, kind: Kind, machine: &Machine) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let state = run.state();
    let (config, steps) = (&state.config, state.progress.step);
    // The last result first: the best of many is better by chance alone.
    let images = config.data.val_images;
    match run.epochs().last().and_then(|last| last.val_top1) {
        Some(top1) if config.data.test => {
            let interval = interval(1.0 - top1, images);
            let images = HumanCount(images);
            writeln!(out, "test error {} of {images} images ({interval})", percent(1.0 - top1))?;
        }
        Some(top1) => {
            let best = state.best.as_ref().map_or(String::new(), |best| {
                format!(", best {} after epoch {}", percent(best.top1), best.epoch)
            });
            let interval = interval(top1, images);
            let images = HumanCount(images);
            writeln!(
                out,
                "validation top-1 {} of {images} images ({interval}){best}",
                percent(top1)
            )?;
        }
        None => writeln!(out, "{steps} steps done; there are no validation images")?,
    }
    if !config.lengthened.is_empty() {
        let lengths: Vec<String> = config.lengthened.iter().map(ToString::to_string).collect();
        let not = match config.schedule {
            Schedule::Cosine => ", which is not the same as a run of that length from the start",
            _ => "",
        };
        writeln!(out, "lengthened from {} to {}{not}", lengths.join(", "), config.length)?;
    }
    let weights = weights(run, machine);
    writeln!(out, "weights {}", shown(&weights))?;
    if run.path(REPORT).is_file() {
        writeln!(out, "report  {}", shown(&run.path(REPORT)))?;
    }
    if kind == Kind::Demo {
        let (seed, index) = DEMO_IMAGE;
        let (image, label) = demo::image(seed, index);
        let path = run.path(&format!("demo-{}.png", demo::CLASSES[label]));
        write_png(&path, &image)?;
        let program = std::env::args_os().next().unwrap_or("resnet-cpu".into());
        let program = one_line(&program.to_string_lossy());
        let (weights, path) = (shown(&weights), shown(&path));
        let command = [&program, "infer", "--weights", &weights, &path];
        // Texts of one line have no character that a shell could not take.
        let command = shlex::try_join(command).unwrap_or_else(|_| command.join(" "));
        writeln!(out, "\nHere is an image that the network has never seen. To classify it:\n")?;
        writeln!(out, "    {command}")?;
    }
    Ok(out.flush()?)
}

/// How uncertain a fraction of `images` is.
fn interval(fraction: f64, images: u64) -> String {
    let [low, high] = wilson((fraction * images as f64).round() as u64, images);
    format!("95 % interval {:.1} to {:.1} %", 100.0 * low, 100.0 * high)
}

/// The weights for inference, unless they were moved away: then the run's own.
fn weights(run: &Run, machine: &Machine) -> std::path::PathBuf {
    let best = run.path(BEST);
    if best.is_file() {
        return best;
    }
    machine.note(&format!(
        "{}: no longer there; the weights of the last step are in {LAST}",
        best.display()
    ));
    run.path(LAST)
}

fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}
