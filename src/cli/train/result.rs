//! What a finished run says on stdout, and the image that the demo ends with.

use resnet_cpu::data::{Kind, demo};
use resnet_cpu::train::{BEST, REPORT, Run};
use std::io::Write;
use std::path::Path;

use super::super::error::CliError;
use super::super::output::one_line;
use super::units::percent;

/// The drawn image that the demo's network is shown: a heart that is in no run's data.
const DEMO_PICTURE: (u64, u64) = (2, 6);

/// Prints the result of a run; the demo's ends with a command that shows what was learnt.
pub(super) fn print(run: &Run, kind: Kind) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let last = run.epochs().last();
    let state = run.state();
    match (&state.best, last.and_then(|last| last.val_top1)) {
        (Some(best), last) => {
            let last = last.map_or(String::new(), |top1| format!(", last {}", percent(top1)));
            let (top1, epoch) = (percent(best.top1), best.epoch);
            writeln!(out, "best validation top-1 {top1} after epoch {epoch}{last}")?;
        }
        (None, _) => {
            writeln!(out, "{} steps done, nothing to validate on", state.progress.step)?;
        }
    }
    writeln!(out, "weights {}", shown(&run.path(BEST)))?;
    writeln!(out, "report  {}", shown(&run.path(REPORT)))?;
    if kind == Kind::Demo {
        let (seed, index) = DEMO_PICTURE;
        let (image, label) = demo::image(seed, index);
        let path = run.path(&format!("demo-{}.png", demo::CLASSES[label]));
        let side = demo::SIDE as u32;
        image::save_buffer(&path, image.pixels(), side, side, image::ColorType::Rgb8)
            .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
        let program = std::env::args().next().unwrap_or("resnet-cpu".to_owned());
        let (program, weights, path) =
            (quoted(&program), quoted(&shown(&run.path(BEST))), quoted(&shown(&path)));
        writeln!(out, "\nA image that it has not seen is drawn. What does it show?\n")?;
        writeln!(out, "    {program} infer --weights {weights} {path}")?;
    }
    Ok(out.flush()?)
}

fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+=:,@%".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
