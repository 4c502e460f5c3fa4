//! What settings mean together, with the data and the length of the run: what a recipe leaves open is
//! filled in, and what would silently do something else is refused. Done once all flags are applied.

use super::config::{Augment, Config, Normalize};
use super::images::{ColourKind, SideEpochs, growing_sides};
use super::schedule::{Schedule, Warmup, default_milestones};
use super::settings::SETTINGS;
use crate::model::{Layer, Network};

/// A setting that is impossible, or that would have no effect in this run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting's name.
    pub field: &'static str,
    /// What it could be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl Config {
    /// Fits a recipe's warm-up, milestones and micro-batch to the batch and length of this run. A setting that
    /// the user has given (`given` returns true for its name) stays as it is.
    pub fn settle(&mut self, given: impl Fn(&str) -> bool) {
        let total = self.total_steps();
        if let Warmup::Linear { steps } = self.warmup
            && !given("warmup")
        {
            let steps = steps.min(self.steps_per_epoch());
            let steps = if steps > total { total / 2 } else { steps };
            self.warmup = if steps == 0 { Warmup::None } else { Warmup::Linear { steps } };
        }
        if let Schedule::MultiStep { milestones, .. } = &mut self.schedule
            && !given("milestones")
            && milestones.last().is_none_or(|&last| last >= total)
        {
            *milestones = default_milestones(total);
        }
        if !given("sides") && !self.images.sides.is_empty() {
            // A recipe's sides are for its own side.
            let own = if given("side") { Vec::new() } else { growing_sides(self.epochs()) };
            self.images.sides = own;
        }
        if !given("micro-batch") && self.micro_batch.is_some_and(|micro| micro >= self.batch) {
            self.micro_batch = None;
        }
    }

    /// Checks each setting by itself: the numbers that flags or a file may have set.
    ///
    /// # Errors
    /// Names the first setting whose value is impossible.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Some(wrong) = SETTINGS.iter().find(|setting| !(setting.valid)(self)) else {
            return Ok(());
        };
        let found = wrong.text(self).unwrap_or_default();
        Err(ConfigError { field: wrong.name, expected: wrong.expected.to_owned(), found })
    }

    /// Checks that each setting does in this run what it says. Runs of early versions may have passed
    /// without this, so it is for new ones.
    ///
    /// # Errors
    /// As for [`validate`](Self::validate), or names the first setting that would silently do something
    /// else, with what to do.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.validate()?;
        let total = self.total_steps();
        let spared = |field, expected: String| self.refuse(field, expected);
        match &self.schedule {
            Schedule::Plateau { .. } if !self.data.can_choose() => {
                let why = if self.data.test {
                    "only test images, and nothing is chosen by those"
                } else {
                    "no validation images"
                };
                return spared(
                    "schedule",
                    format!(
                        "constant, steps or cosine, or --val-split N to hold training images out, \
                         since there are {why}"
                    ),
                );
            }
            Schedule::MultiStep { milestones, .. }
                if milestones.iter().any(|step| !(1..total).contains(step)) =>
            {
                return spared(
                    "milestones",
                    format!("weight updates 1 to {} of the run's {total}", total.saturating_sub(1)),
                );
            }
            Schedule::MultiStep { factor, .. } | Schedule::Plateau { factor, .. }
                if *factor >= 1.0 =>
            {
                return spared(
                    "factor",
                    "a number below 1, so that the learning rate falls".to_owned(),
                );
            }
            _ => {}
        }
        if matches!(self.warmup, Warmup::Linear { steps } if steps > total) {
            let expected = format!("at most the {total} weight updates of the run");
            return spared("warmup", expected);
        }
        if let Some(micro) = self.micro_batch.filter(|&micro| !self.batch.is_multiple_of(micro)) {
            let divisor = (1..=micro).rev().find(|&n| self.batch.is_multiple_of(n)).unwrap_or(1);
            let batch = self.batch;
            let expected = format!(
                "a number that divides the batch of {batch}, for example {divisor} (images \
                 left over would be normalised with other statistics)"
            );
            return spared("micro-batch", expected);
        }
        self.check_network()?;
        self.check_starting_weights()?;
        self.check_images(&spared)?;
        if self.zero_init && self.spec().is_ok_and(|spec| spec.is_plain()) {
            let expected = "false, since a plain network has no residual blocks".to_owned();
            return spared("zero-init", expected);
        }
        Ok(())
    }

    /// That all parameters that the run trains can be trained, and that images are large enough.
    fn check_network(&self) -> Result<(), ConfigError> {
        let least = self.spec().map_or(1, |spec| Network::new(&spec).min_side());
        if self.side < least {
            return self.refuse("side", format!("{least} px or more for {}", self.arch));
        }
        // Of one value, what batch norm subtracts is all of it.
        let side = self.images.sides.iter().map(|side| side.0).min().unwrap_or(self.side);
        if !self.is_frozen() && self.images_at_a_time() == 1 {
            let network = self.spec().map(|spec| Network::new(&spec));
            let single = |network: Network| {
                let layers = network.layers(side, side);
                layers
                    .iter()
                    .any(|layer| matches!(layer.layer, Layer::Conv(_)) && layer.output == (1, 1))
            };
            if network.is_ok_and(single) {
                let field = if self.batch == 1 { "batch" } else { "micro-batch" };
                let expected = format!(
                    "2 or more, since the last layers of {} see one pixel of an image of {side} px, and batch norm \
                     makes nothing of one value",
                    self.arch
                );
                return self.refuse(field, expected);
            }
        }
        let trainable = self.is_frozen() || self.spec().map_or(true, |spec| spec.is_trainable());
        if trainable {
            return Ok(());
        }
        let expected = format!(
            "--freeze backbone, or another network: {} can be run and fine-tuned with a frozen backbone; \
             training all of it is not supported",
            self.arch
        );
        Err(ConfigError { field: "arch", expected, found: self.arch.clone() })
    }

    /// What has no effect where a run starts from weights, or does not.
    fn check_starting_weights(&self) -> Result<(), ConfigError> {
        let refuse = |field, expected: &str| self.refuse(field, expected.to_owned());
        if self.zero_init && self.initial.is_some() {
            return refuse("zero-init", "false, since the run starts from weights");
        }
        if self.initial.is_some() && self.colour() == ColourKind::Own {
            let expected = "none or imagenet, since the images of a run that starts from weights are not measured";
            return refuse("colour", expected);
        }
        if !self.is_frozen() {
            return Ok(());
        }
        if self.initial.is_none() {
            return refuse(
                "freeze",
                "none, or --weights FILE with a backbone that is worth keeping",
            );
        }
        let why = "since a frozen backbone sees the centre view of each image once";
        if self.augment != Augment::None {
            return refuse("augment", &format!("none, {why}"));
        }
        if !self.images.is_default() {
            let expected = format!("none, and no other change of images, {why}");
            let found = "others".to_owned();
            return Err(ConfigError { field: "augment", expected, found });
        }
        if self.micro_batch.is_some_and(|micro| micro != self.batch) {
            return refuse("micro-batch", &format!("nothing, {why}"));
        }
        if self.backbone_lr != 1.0 {
            return refuse("backbone-lr", "nothing, since the backbone is frozen");
        }
        Ok(())
    }

    /// The error of a setting, with its value.
    fn refuse(&self, field: &'static str, expected: String) -> Result<(), ConfigError> {
        let setting = SETTINGS.iter().find(|setting| setting.name == field);
        let found = setting.and_then(|setting| setting.text(self)).unwrap_or_default();
        Err(ConfigError { field, expected, found })
    }

    /// The part of [`check`](Self::check) that is about what is done to images.
    fn check_images(
        &self,
        spared: &dyn Fn(&'static str, String) -> Result<(), ConfigError>,
    ) -> Result<(), ConfigError> {
        let epochs = self.images.sides.iter().map(|&SideEpochs(_, epochs)| epochs);
        let epochs = epochs.fold(0, u64::saturating_add);
        if epochs > self.epochs() {
            let expected = format!("sides for at most the {} epochs of the run", self.epochs());
            return spared("sides", expected);
        }
        let grows = self.images.sides.iter().any(|&SideEpochs(side, _)| side != self.side);
        if grows && self.normalize == Normalize::PixelMean {
            let expected =
                "channel, since a mean of each pixel is of one side, and --sides has others";
            return spared("mean-mode", expected.to_owned());
        }
        for field in ["mixup", "cutmix"] {
            let mixing = self.mixing();
            if (if field == "mixup" { mixing.mixup } else { mixing.cutmix }) == 0.0 {
                continue;
            }
            if self.images_at_a_time() < 2 {
                let expected =
                    "0, since images are mixed with others of their micro-batch, which has one";
                return spared(field, expected.to_owned());
            }
            if matches!(self.warmup, Warmup::UntilError { .. }) {
                let expected = "0, since --warmup-lr ends by the training error, which mixed images do not have";
                return spared(field, expected.to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Downsample, ModelSpec, Options};
    use crate::train::{CropKind, Length, Recipe};

    fn config(recipe: Recipe) -> Config {
        let spec = recipe.spec(recipe.default_arch(), Options::default()).unwrap();
        let mut config = recipe.config(&spec);
        // Those that the recipe is made for.
        let train = if recipe == Recipe::FastImagenet { 1_281_167 } else { 50_000 };
        (config.data.train_images, config.data.val_images) = (train, 10_000);
        config
    }

    fn settled(recipe: Recipe, change: impl Fn(&mut Config)) -> Config {
        let mut config = config(recipe);
        change(&mut config);
        config.settle(|_| false);
        config
    }

    #[test]
    fn impossible_values_are_named() {
        for recipe in Recipe::ALL {
            settled(recipe, |_| {}).check().unwrap();
        }
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 14] = [
            ("lr: expected a positive number, found NaN", |c| c.lr = f64::NAN),
            ("batch: expected 1 to 1048576 images, found 0", |c| c.batch = 0),
            ("micro-batch", |c| c.micro_batch = Some(256)),
            ("epochs", |c| c.length = Length::Epochs(0)),
            ("iterations", |c| c.length = Length::Iterations(0)),
            ("ema", |c| c.ema_decay = Some(1.0)),
            ("area", |c| (c.images.crop, c.images.area) = (Some(CropKind::Area), Some(0.0))),
            ("jitter", |c| c.images.jitter = Some([0.0, 0.0, 0.0, 0.6])),
            ("jitter", |c| c.images.jitter = Some([f64::NAN, 0.0, 0.0, 0.0])),
            ("erase", |c| c.images.erase = Some(1.5)),
            ("mixup", |c| c.images.mixup = Some(-0.2)),
            ("cutmix", |c| c.images.cutmix = Some(f64::INFINITY)),
            ("sides", |c| c.images.sides = vec![SideEpochs(128, 0)]),
            ("milestones", |c| {
                c.schedule = Schedule::MultiStep { milestones: vec![3, 2], factor: 0.1 };
            }),
        ];
        for (expected, change) in changes {
            let mut config = config(Recipe::FastCifar);
            change(&mut config);
            let text = config.validate().unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn a_side_that_is_given_is_that_of_all_epochs() {
        let with = |given: &'static str| {
            let mut config = config(Recipe::FastImagenet);
            config.side = 64;
            config.settle(|name| name == given);
            config
        };
        assert_eq!(with("side").sides_and_steps(), [(64, with("side").total_steps())]);
        assert_eq!(with("lr").sides_and_steps().len(), 3, "the recipe's");
        // Four halvings by pools leave nothing of 7 pixels.
        let options = Options { downsample: Some(Downsample::MaxPool), ..Options::default() };
        let mut config = Recipe::FastCifar.config(&ModelSpec::new("plain18", options).unwrap());
        (config.data.train_images, config.side) = (50_000, 7);
        config.settle(|name| name == "side");
        let text = config.check().unwrap_err().to_string();
        assert!(text.contains("px or more for plain18, found 7"), "{text}");
    }

    #[test]
    fn what_a_recipe_leaves_open_fits_every_run() {
        for recipe in Recipe::ALL {
            for n in (1..=12).chain([100, 391, 5000]) {
                for batch in [1, 2, 7, 16, 100, 1024] {
                    let config = settled(recipe, |c| {
                        (c.length, c.batch, c.micro_batch) = (Length::Iterations(n), batch, None);
                    });
                    config
                        .check()
                        .unwrap_or_else(|error| panic!("{recipe}, {n}, {batch}: {error}"));
                }
            }
        }
        let short = settled(Recipe::PaperCifar, |c| c.length = Length::Epochs(2));
        let milestones = short.fields().into_iter().find(|(name, _)| *name == "milestones");
        assert_eq!(milestones.unwrap().1, "390,585", "the paper's proportions");
        let long = settled(Recipe::PaperCifar, |c| c.length = Length::Iterations(128_000));
        let stays = Schedule::MultiStep { milestones: vec![32_000, 48_000], factor: 0.1 };
        assert_eq!(long.schedule, stays, "a longer run can go on");
        // The batch is known before the warm-up is fitted.
        let large = settled(Recipe::FastCifar, |c| {
            (c.batch, c.length) = (25_000, Length::Epochs(4));
        });
        assert_eq!(large.warmup, Warmup::Linear { steps: 2 }, "an epoch");
        let quick = settled(Recipe::FastImagenet, |c| c.length = Length::Epochs(2));
        assert_eq!(quick.images.sides, [SideEpochs(128, 1), SideEpochs(160, 1)]);
        let small = settled(Recipe::PaperImagenet, |c| c.batch = 16);
        assert_eq!(small.micro_batch, None);
    }

    #[test]
    fn what_would_silently_do_something_else_is_refused() {
        type Change = fn(&mut Config);
        let plateau = Schedule::Plateau { factor: 0.1, patience: 5, threshold: 0.001 };
        let cases: [(&[&str], Change); 16] = [
            (&["batch: ", "2 or more", "batch norm"], |c| {
                (c.side, c.batch, c.micro_batch) = (32, 1, None);
            }),
            (&["micro-batch: ", "2 or more"], |c| (c.side, c.micro_batch) = (32, Some(1))),
            (&["schedule: ", "--val-split", "no validation images"], |c| c.data.val_images = 0),
            (&["schedule: ", "--val-split", "test images"], |c| c.data.test = true),
            (&["milestones: ", "1 to 9 of the run's 10", "found 5,10"], |c| {
                c.length = Length::Iterations(10);
                c.schedule = Schedule::MultiStep { milestones: vec![5, 10], factor: 0.1 };
            }),
            (&["milestones: ", "found 0,5"], |c| {
                c.schedule = Schedule::MultiStep { milestones: vec![0, 5], factor: 0.1 };
            }),
            (&["factor: ", "below 1", "found 10"], |c| {
                c.schedule = Schedule::MultiStep { milestones: vec![5], factor: 10.0 };
            }),
            (&["warmup: ", "at most the 10", "found 11"], |c| {
                (c.length, c.warmup) = (Length::Iterations(10), Warmup::Linear { steps: 11 });
            }),
            (&["micro-batch: ", "batch of 100, for example 25", "found 32"], |c| c.batch = 100),
            (&["micro-batch: ", "batch of 65, for example 13", "found 32"], |c| c.batch = 65),
            (&["mean-mode: expected channel", "found pixel-mean"], |c| {
                c.images.sides = vec![SideEpochs(128, 1)];
            }),
            (&["sides: ", "at most the 2 epochs", "found 128x2,160x1"], |c| {
                c.length = Length::Epochs(2);
                c.images.sides = vec![SideEpochs(128, 2), SideEpochs(160, 1)];
            }),
            (&["mixup: expected 0", "micro-batch", "found 0.2"], |c| {
                (c.micro_batch, c.images.mixup) = (Some(1), Some(0.2));
            }),
            (&["cutmix: expected 0", "micro-batch"], |c| {
                (c.batch, c.micro_batch, c.images.cutmix) = (1, None, Some(1.0));
            }),
            (&["mixup: expected 0", "--warmup-lr"], |c| {
                c.images.mixup = Some(0.2);
                c.warmup = Warmup::UntilError { lr: 0.01, error: 0.8 };
            }),
            (&["zero-init: ", "plain"], |c| {
                (c.zero_init, c.arch, c.shortcut) = (true, "plain34".to_owned(), None);
                (c.stride_in, c.classes) = (None, 1000);
            }),
        ];
        for (parts, change) in cases {
            let mut config = config(Recipe::PaperImagenet);
            config.schedule = plateau.clone();
            change(&mut config);
            let text = config.check().unwrap_err().to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}: {text}");
            config.validate().unwrap();
        }
    }
}
