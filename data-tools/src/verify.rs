//! `resnet-data verify SHARDS`: reads all of a set and names everything that is wrong with it.

use std::io::Write;
use std::path::PathBuf;

use resnet_cpu::data::shards::{Verified, verify};
use serde_json::json;

use crate::error::ToolError;
use crate::machine::Machine;
use crate::output::{grouped, one_line};
use crate::progress::Progress;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder of shards, or one of its tars
    shards: PathBuf,
    /// Print one JSON object: images, problems (a list), unlisted
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, machine: &Machine) -> Result<(), ToolError> {
    let progress = Progress::begin(machine, "interrupted: stopping")?;
    let verified = verify(&args.shards, &machine.limits, &machine.cache, &progress)?;
    progress.end();
    print(&verified, args.json).map_err(|error| ToolError::stdout(&error))?;
    match verified.problems.is_empty() {
        true => Ok(()),
        false => Err(ToolError::Reported),
    }
}

fn print(verified: &Verified, as_json: bool) -> std::io::Result<()> {
    let Verified { images, problems, unlisted } = verified;
    let mut out = std::io::stdout().lock();
    if as_json {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return writeln!(
            out,
            "{}",
            json!({ "images": images, "problems": problems, "unlisted": unlisted })
        );
    }
    for problem in problems {
        writeln!(out, "{}", one_line(&problem.to_string()))?;
    }
    let found = match problems.len() as u64 + unlisted {
        0 => "nothing wrong".to_owned(),
        1 => "1 problem".to_owned(),
        count => format!("{} problems", grouped(count)),
    };
    writeln!(out, "{} images verified: {found}", grouped(*images))
}
