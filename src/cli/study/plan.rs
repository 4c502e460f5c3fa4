//! `study --plan`: the runs of a study, and what they take.

use indicatif::{DecimalBytes, HumanCount};
use resnet_cpu::runtime::Disk;
use resnet_cpu::study::{Grid, Member};
use resnet_cpu::train::{Config, Plan, RESULT, RunResult, TrainData};
use std::io::Write;
use std::path::Path;

use super::super::activity::{Activity, duration};
use super::super::error::CliError;
use super::super::machine::Machine;
use super::super::output::aligned;
use super::super::train::failure;

/// Prints the networks of the study in `out`, and the time of a run and of what is left, from a few timed steps of
/// each network.
pub(super) fn print(
    out: &Path,
    grid: &Grid,
    members: &[(Member, Config)],
    data: &TrainData,
    machine: &Machine,
    activity: &Activity,
) -> Result<(), CliError> {
    let heads = ["network", "runs", "steps", "ms/step", "a run", "left"].map(str::to_owned);
    let mut rows = vec![heads];
    let (mut left, mut memory, mut disk) = (0.0, 0, 0);
    for &depth in &grid.depths {
        for &net in &grid.nets {
            let runs: Vec<&(Member, Config)> =
                members.iter().filter(|(m, _)| (m.depth, m.net) == (depth, net)).collect();
            let Some((member, config)) = runs.first() else { continue };
            machine.note(&format!("timing steps of {}", member.title()));
            let plan = Plan::measure(config.clone(), data, machine.backend, activity);
            let plan = plan.map_err(|error| failure(error, activity))?;
            let shares = runs.iter().map(|(member, config)| open_share(out, member, config));
            let own = shares.sum::<f64>() * plan.seconds();
            left += own;
            memory = plan.memory.max(memory);
            disk += plan.disk * runs.len() as u64;
            rows.push([
                member.title(),
                runs.len().to_string(),
                HumanCount(plan.steps).to_string(),
                format!("{:.0}", 1e3 * plan.step_seconds),
                duration(plan.seconds()).to_string(),
                duration(own).to_string(),
            ]);
        }
    }
    activity.end();
    let mut stdout = std::io::stdout().lock();
    for line in aligned(&rows, 1) {
        writeln!(stdout, "{line}")?;
    }
    writeln!(stdout, "\nruns    {}", members.len())?;
    writeln!(stdout, "time    about {} left", duration(left))?;
    writeln!(stdout, "memory  about {}", DecimalBytes(memory))?;
    writeln!(stdout, "disk    {}", DecimalBytes(disk))?;
    Ok(stdout.flush()?)
}

/// The part of a run that is not done yet, 0..1, to whole epochs.
fn open_share(out: &Path, member: &Member, config: &Config) -> f64 {
    let done = RunResult::read(&out.join(member.name()).join(RESULT), &Disk);
    let done = done.map_or(0, |result| result.step) as f64;
    (1.0 - done / config.total_steps() as f64).max(0.0)
}
