//! The configuration of each run of a study: what `train` makes of the same flags.

use resnet_cpu::data::Kind;
use resnet_cpu::model::{Family, Options};
use resnet_cpu::study::{Grid, Member};
use resnet_cpu::train::{Config, Length, Recipe, Schedule, TrainData, default_milestones};

use super::super::error::CliError;
use super::args::StudyArgs;

/// Makes configurations.
pub(super) struct Maker<'a> {
    args: &'a StudyArgs,
    data: &'a TrainData,
    recipe: Recipe,
}

impl<'a> Maker<'a> {
    pub(super) fn new(args: &'a StudyArgs, family: Family, data: &'a TrainData) -> Self {
        let recipe = args.recipe.unwrap_or(match (data.kind, family) {
            (Kind::Demo, _) => Recipe::Demo,
            (_, Family::Cifar) => Recipe::PaperCifar,
            (_, Family::ImageNet) => Recipe::PaperImagenet,
        });
        Self { args, data, recipe }
    }

    /// The recipe for this network and these data, without any flag.
    pub(super) fn of_recipe(&self, member: &Member) -> Result<Config, CliError> {
        let options = Options { classes: Some(self.data.train.classes()), ..member.options() };
        let spec = self.recipe.spec(&member.arch(), options).map_err(CliError::usage)?;
        let mut config = self.recipe.config(&spec);
        self.data.fit(&mut config);
        config.settle(|_| false);
        config.seed = member.seed;
        Ok(config)
    }

    /// The configuration of `member`.
    pub(super) fn config(&self, member: &Member) -> Result<Config, CliError> {
        let whole = self.of_recipe(member)?;
        let mut config = whole.clone();
        // A flag may change the batch, and with it how many iterations an epoch has.
        self.args.settings.apply(&mut config)?;
        if let Some(budget) = self.args.budget {
            let steps = (budget * config.total_steps() as f64).round().max(1.0) as u64;
            config.length = Length::Iterations(steps);
            if let (Schedule::MultiStep { milestones, .. }, true) =
                (&mut config.schedule, budget < 1.0 && !self.args.settings.has("milestones"))
            {
                *milestones = default_milestones(steps);
            }
            config.settle(|name| self.args.settings.has(name));
        }
        config.seed = member.seed;
        config.check().map_err(CliError::usage)?;
        Ok(config)
    }

    /// All runs of the grid, in the order in which they are trained.
    pub(super) fn members(&self, grid: &Grid) -> Result<Vec<(Member, Config)>, CliError> {
        grid.members().into_iter().map(|member| Ok((member, self.config(&member)?))).collect()
    }
}
