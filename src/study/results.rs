//! The numbers of a study: `study.json`, read from the folders of its runs.
//!
//! They depend on the runs alone: no time, no machine, no path. All errors are those of the last iteration, as in
//! the paper's tables; nothing is chosen by them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::grid::{Grid, Kind, Member, Net};
use super::responses::{RESPONSES, Responses};
use crate::model::Network;
use crate::runtime::{Disk, Storage};
use crate::train::{
    Config, EpochMetrics, LAST, METRICS, Measurement, RESULT, RunError, RunResult, read_metrics,
};

/// What a study has found so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// What is compared.
    pub kind: Kind,
    /// The recipe's name.
    pub recipe: String,
    /// The kind of data.
    pub data: String,
    /// A digest of their content.
    pub fingerprint: String,
    /// Classes.
    pub classes: usize,
    /// Training images.
    pub train_images: u64,
    /// Images that errors are measured on.
    pub images: u64,
    /// What those are: `test` or `validation`.
    pub measured_on: String,
    /// Side of the networks' inputs, in pixels.
    pub side: usize,
    /// Weight updates of a run.
    pub iterations: u64,
    /// Those of the recipe on these data.
    pub recipe_iterations: u64,
    /// The networks, the shallow first, with what their runs have in common.
    pub table: Vec<Row>,
    /// The runs, in the order in which they are trained.
    pub runs: Vec<Entry>,
}

/// A run of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The name of its folder.
    pub name: String,
    /// Whether all of its steps are done; what follows is empty otherwise.
    pub finished: bool,
    /// Fraction of the last epoch's training images that were classified wrong, as they were used.
    pub train_error: Option<f64>,
    /// What `result.json` of the run says.
    pub result: Option<RunResult>,
    /// The responses of its layers.
    pub responses: Option<Responses>,
    /// Its epochs.
    #[serde(skip)]
    pub epochs: Vec<EpochMetrics>,
}

/// A network of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The architecture's name.
    pub arch: String,
    /// Its kind of shortcut; `None` if it is plain.
    pub shortcut: Option<String>,
    /// Layers.
    pub depth: usize,
    /// Learnable parameters.
    pub parameters: usize,
    /// Finished runs.
    pub runs: usize,
    /// Training error, 0..1, of the last epoch's images as they were used.
    pub train_error: Option<Spread>,
    /// Top-1 error, 0..1, after the last iteration.
    pub top1_error: Option<Spread>,
    /// Top-5 error, 0..1, after the last iteration.
    pub top5_error: Option<Spread>,
}

/// Mean and spread of the runs with different seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation with n - 1; `None` for one run.
    pub std: Option<f64>,
}

impl Spread {
    /// That of some values; `None` if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len() as f64;
        let mean = (n > 0.0).then(|| values.iter().sum::<f64>() / n)?;
        let squares = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
        Some(Self { mean, std: (n > 1.0).then(|| (squares / (n - 1.0)).sqrt()) })
    }
}

impl Entry {
    /// The run of `member`, with this configuration, as its folder in `folder` shows it.
    ///
    /// # Errors
    /// A file of a finished run cannot be read.
    pub fn read(folder: &Path, member: Member, config: &Config) -> Result<Self, RunError> {
        let path = folder.join(member.name());
        let missing = Self {
            name: member.name(),
            finished: false,
            train_error: None,
            result: None,
            responses: None,
            epochs: Vec::new(),
        };
        // A file that cannot be read, or of a shorter run, is written anew when that is gone on with.
        let found = RunResult::read(&path.join(RESULT), &Disk).ok();
        let found = found.filter(|found| found.step == config.total_steps() && found.is_finished());
        // Without its checkpoint nothing says by which settings it was trained.
        let found = found.filter(|_| path.join(LAST).is_file());
        let Some(result) = found else { return Ok(missing) };
        let mut epochs = read_metrics(&path.join(METRICS), &Disk as &dyn Storage)?.epochs;
        epochs.retain(|epoch| epoch.step <= result.step);
        let responses = Responses::read(&path.join(RESPONSES), &Disk);
        Ok(Self {
            finished: true,
            train_error: epochs.last().and_then(|last| Some(1.0 - last.train_top1?)),
            responses: responses.filter(|responses| responses.step == result.step),
            result: Some(result),
            epochs,
            ..missing
        })
    }

    /// What its last weights did.
    pub fn last(&self) -> Option<&Measurement> {
        self.result.as_ref()?.last.as_ref()
    }
}

impl Study {
    /// The study of `members`, each with its configuration, whose runs are in `folder`. `recipe_iterations` are
    /// those of the recipe without any flag.
    ///
    /// # Errors
    /// A file of a finished run cannot be read, or a network does not exist.
    ///
    /// # Panics
    /// If there are no members.
    pub fn read(
        folder: &Path,
        grid: &Grid,
        members: &[(Member, Config)],
        recipe_iterations: u64,
    ) -> Result<Self, RunError> {
        let runs: Result<Vec<Entry>, RunError> =
            members.iter().map(|(member, config)| Entry::read(folder, *member, config)).collect();
        let runs = runs?;
        let mut table = Vec::new();
        for &depth in &grid.depths {
            for &net in &grid.nets {
                let of_net = |member: &Member| (member.depth, member.net) == (depth, net);
                let of_row = members.iter().zip(&runs).filter(|((member, _), _)| of_net(member));
                if let Some(((member, config), _)) = of_row.clone().next() {
                    let parameters = Network::new(&config.spec()?).parameters();
                    table.push(row(member, parameters, &mut of_row.map(|(_, entry)| entry)));
                }
            }
        }
        let config = &members[0].1;
        Ok(Self {
            kind: grid.kind,
            recipe: config.recipe.to_string(),
            data: config.data.kind.clone(),
            fingerprint: config.data.fingerprint.clone(),
            classes: config.classes,
            train_images: config.data.train_images,
            images: config.data.val_images,
            measured_on: if config.data.test { "test" } else { "validation" }.to_owned(),
            side: config.side,
            iterations: config.total_steps(),
            recipe_iterations,
            table,
            runs,
        })
    }

    /// The finished runs of a network.
    pub fn finished(&self, depth: usize, net: Net) -> impl Iterator<Item = &Entry> + Clone {
        self.runs.iter().filter(move |run| {
            let member = Member::of_name(&run.name);
            run.finished && member.is_some_and(|member| (member.depth, member.net) == (depth, net))
        })
    }
}

fn row(member: &Member, parameters: usize, runs: &mut dyn Iterator<Item = &Entry>) -> Row {
    let finished: Vec<&Entry> = runs.filter(|run| run.finished).collect();
    let spread = |value: &dyn Fn(&Entry) -> Option<f64>| {
        Spread::of(finished.iter().filter_map(|run| value(run)))
    };
    Row {
        arch: member.arch(),
        shortcut: member.net.shortcut().map(|shortcut| shortcut.to_string()),
        depth: member.depth,
        parameters,
        runs: finished.len(),
        train_error: spread(&|run| run.train_error),
        top1_error: spread(&|run| Some(1.0 - run.last()?.top1)),
        top5_error: spread(&|run| Some(1.0 - run.last()?.top5)),
    }
}

impl Row {
    /// The kind of network.
    pub fn net(&self) -> Net {
        let shortcut = self.shortcut.as_ref().and_then(|shortcut| shortcut.parse().ok());
        shortcut.map_or(Net::Plain, Net::Residual)
    }

    /// As the paper calls the network.
    pub fn title(&self) -> String {
        Member { depth: self.depth, net: self.net(), seed: 0 }.title()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([0.5]), Some(Spread { mean: 0.5, std: None }));
        assert_eq!(Spread::of([1.0, 3.0, 5.0]), Some(Spread { mean: 3.0, std: Some(2.0) }));
    }
}
