//! The recipe `finetune`, fit to how many images there are: a few of each class is common.

use super::super::config::{Augment, Config, Freeze, Length};
use super::super::images::Images;
use super::super::recipe::Recipe;
use super::super::schedule::Warmup;

/// Images of the smallest batch whose statistics are of use to batch norm.
const FEWEST: usize = 8;

/// Weight updates that a run should have, and the epochs that it has in any case and at most.
struct Updates {
    wanted: u64,
    epochs: (u64, u64),
}

/// Of a whole network, whose backbone moves slowly.
const WHOLE: Updates = Updates { wanted: 160, epochs: (10, 40) };

/// Of a classifier alone, which costs next to nothing.
const CLASSIFIER: Updates = Updates { wanted: 600, epochs: (10, 100) };

/// The learning rate of a classifier alone, whose features have a mean square length of 1.
const CLASSIFIER_LR: f64 = 1.0;

impl Config {
    /// Fits the recipe `finetune` to its data, before any flag: `frozen` or not, a small set has a small batch
    /// (not below what batch norm needs) and more epochs, so that there are enough weight updates. Does
    /// nothing to other recipes but freeze the backbone.
    pub fn fit_finetuning(&mut self, frozen: bool, may_flip: bool) {
        if frozen {
            self.freeze = Freeze::Backbone;
            self.backbone_lr = 1.0;
            self.augment = Augment::None;
            self.images = Images::default();
            self.micro_batch = None;
        }
        if self.recipe != Recipe::Finetune {
            return;
        }
        if !may_flip && self.augment == Augment::ScaleCropFlipColour {
            self.augment = Augment::None;
        }
        let images = self.data.train_images;
        let quarter = usize::try_from(images / 4).unwrap_or(usize::MAX);
        self.batch = quarter.clamp(FEWEST, self.batch.max(FEWEST));
        self.batch = self.batch.min(usize::try_from(images).unwrap_or(usize::MAX)).max(1);
        let Updates { wanted, epochs: (least, most) } = if frozen { CLASSIFIER } else { WHOLE };
        if frozen {
            (self.lr, self.warmup) = (CLASSIFIER_LR, Warmup::None);
        }
        let epochs = wanted.div_ceil(self.steps_per_epoch()).clamp(least, most);
        self.length = Length::Epochs(epochs);
        if let Warmup::Linear { steps } = self.warmup {
            self.warmup = Warmup::Linear { steps: steps.min(self.steps_per_epoch()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Options;

    fn fitted(images: u64, frozen: bool) -> Config {
        let spec = Recipe::Finetune.spec("resnet18", Options::default()).unwrap();
        let mut config = Recipe::Finetune.config(&spec);
        config.initial = Some("0f".to_owned());
        config.data.train_images = images;
        config.fit_finetuning(frozen, true);
        config.settle(|_| false);
        config
    }

    #[test]
    fn any_number_of_images_has_a_run_that_makes_sense() {
        for frozen in [false, true] {
            for images in (1..70).chain([195, 1000, 5000, 1_000_000]) {
                let config = fitted(images, frozen);
                config.check().unwrap_or_else(|error| panic!("{images}, {frozen}: {error}"));
                let batch = config.batch as u64;
                assert!((1..=images).contains(&batch), "{images}: {batch}");
                assert!(images < 8 || (8..=32).contains(&batch), "{images}: {batch}");
                let wanted = if frozen { 600 } else { 160 };
                let Length::Epochs(epochs) = config.length else { panic!("{}", config.length) };
                let most = if frozen { 100 } else { 40 };
                assert!(config.total_steps() >= wanted || epochs == most, "{images}: {epochs}");
                assert_eq!(config.is_frozen(), frozen);
            }
        }
        // Ten images of two classes.
        assert_eq!((fitted(10, false).batch, fitted(10, false).total_steps()), (8, 40));
        assert_eq!(fitted(195, true).length, Length::Epochs(100));
    }

    /// What a recipe, or the data, do to images is not done where each is seen once.
    #[test]
    fn a_frozen_backbone_sees_images_as_they_are() {
        for recipe in [Recipe::Finetune, Recipe::FastImagenet] {
            let mut config = recipe.config(&recipe.spec("resnet18", Options::default()).unwrap());
            (config.initial, config.zero_init) = (Some("0f".to_owned()), false);
            config.data.train_images = 100;
            config.images.flip = Some(false);
            config.fit_finetuning(true, false);
            config.settle(|_| false);
            config.check().unwrap_or_else(|error| panic!("{recipe}: {error}"));
        }
    }

    #[test]
    fn other_recipes_keep_their_length() {
        let recipe = Recipe::FastCifar;
        let mut config = recipe.config(&recipe.spec("resnet20", Options::default()).unwrap());
        config.data.train_images = 100;
        let before = config.clone();
        config.fit_finetuning(false, true);
        assert_eq!(config, before);
    }
}
