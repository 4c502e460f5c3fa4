//! Every setting of a run in one table: its name on the command line and in print, what is stored of
//! it, how it is spelled and read, which values are possible, and its line of help.
//!
//! Flags, the printed configuration, the report, the difference between two runs and the checks of
//! single values all follow this table. What settings mean together is in `checks`.

use super::config::{Augment, Freeze, Length, Normalize};
use super::image_settings::{AREA, COLOUR, CROP, CUTMIX, ERASE, FLIP, JITTER, MIXUP, SIDES};
use super::schedule::{Schedule, Warmup};
use super::setting::{Heading, Setting};
use super::values::{list, named, number, parse, positive, put, share, spelled, switch};
use crate::conv::Convolutions;
use crate::data::JpegDecoder;

/// All settings, in the order in which they are printed. Flags are applied in this order, too.
pub static SETTINGS: &[Setting] = &[
    Setting::shown("recipe", "recipe", |c| Some(c.recipe.to_string())),
    Setting::shown("arch", "arch", |c| Some(c.arch.clone())),
    Setting::shown("shortcut", "shortcut", |c| spelled(c.shortcut)),
    Setting::shown("downsample", "downsample", |c| spelled(c.downsample)),
    Setting::shown("stride-in", "stride_in", |c| spelled(c.stride_in)),
    Setting::shown("classes", "classes", |c| Some(c.classes.to_string())),
    Setting::shown("data", "data", |c| Some(c.data.kind.clone())),
    Setting::shown("data fingerprint", "data", |c| Some(c.data.fingerprint.clone())),
    Setting::shown("training images", "data", |c| Some(c.data.train_images.to_string())),
    Setting::shown("validation images", "data", |c| {
        (!c.data.test).then(|| c.data.val_images.to_string())
    }),
    Setting::shown("test images", "data", |c| c.data.test.then(|| c.data.val_images.to_string())),
    Setting::shown("side", "side", |c| Some(c.side.to_string()))
        .flag(
            Heading::Images,
            "N",
            "Side in pixels of the squares that the network sees, in training and in validation; images are resized in \
             proportion [default: 224, CIFAR networks 32; with --weights that of the weights]",
            |c, text| put(&mut c.side, parse(text, "a whole number")),
        )
        .valid("1 to 14336 px", |c| (1..=14_336).contains(&c.side)),
    Setting::shown("numerics", "numerics", |c| (c.numerics != 1).then(|| c.numerics.to_string())),
    Setting::shown("initial weights", "initial", |c| c.initial.clone()),
    Setting::shown("freeze", "freeze", |c| c.is_frozen().then(|| c.freeze.to_string())).flag(
        Heading::Run,
        "PART",
        "With --weights: what stays as it is, none or backbone; a frozen backbone computes each image's \
         features once, and only the classifier is trained on them",
        |c, text| put(&mut c.freeze, named(text, &Freeze::ALL)),
    ),
    // Not a flag: the data are opened with one.
    Setting::shown("decoder", "decoder", |c| {
        (c.decoder != JpegDecoder::default()).then(|| c.decoder.to_string())
    })
    .valid("a decoder that this build has", |c| c.decoder.available().is_ok()),
    Setting::shown("conv", "convolutions", |c| Some(c.convolutions.to_string())).flag(
        Heading::Run,
        "KIND",
        "Convolution algorithm: auto (the fastest for each shape), direct (sums as in the definition, never \
         Winograd's) or winograd (Winograd's F(4x4, 3x3) wherever possible); results differ in the last digits, so a \
         run keeps its own [default: auto]",
        |c, text| put(&mut c.convolutions, named(text, &Convolutions::ALL)),
    ),
    Setting::shown("epochs", "length", |c| match c.length {
        Length::Epochs(n) => Some(n.to_string()),
        Length::Iterations(_) => None,
    })
    .flag(Heading::Run, "N", "Length of the run in passes over the training images", |c, text| {
        put(&mut c.length, parse(text, "a whole number").map(Length::Epochs))
    })
    .valid("at least 1", |c| c.length != Length::Epochs(0)),
    Setting::shown("iterations", "length", |c| match c.length {
        Length::Epochs(_) => None,
        Length::Iterations(n) => Some(n.to_string()),
    })
    .flag(Heading::Run, "N", "Length of the run in weight updates", |c, text| {
        put(&mut c.length, parse(text, "a whole number").map(Length::Iterations))
    })
    .valid("at least 1", |c| c.length != Length::Iterations(0)),
    Setting::shown("lengthened", "lengthened", |c| {
        let lengths: Vec<String> = c.lengthened.iter().map(Length::to_string).collect();
        (!lengths.is_empty()).then(|| format!("from {}", lengths.join(", then from ")))
    }),
    Setting::shown("batch", "batch", |c| Some(c.batch.to_string()))
        .flag(Heading::Run, "N", "Images per weight update", |c, text| {
            put(&mut c.batch, parse(text, "a whole number"))
        })
        .short('b')
        .valid("1 to 1048576 images", |c| (1..=1 << 20).contains(&c.batch)),
    // One that is the whole batch is none.
    Setting::shown("micro-batch", "micro_batch", |c| spelled(c.micro_batch.filter(|&n| n != c.batch)))
    .flag(
        Heading::Run,
        "N",
        "Images that go through the network together, a divisor of the batch; fewer take less memory, \
         but change results, since batch norm sees only these",
        |c, text| put(&mut c.micro_batch, parse(text, "a whole number").map(Some)),
    )
    .valid("1 image up to the batch", |c| {
        c.micro_batch.is_none_or(|n| (1..=c.batch.max(1)).contains(&n))
    }),
    Setting::shown("val-split", "held_out", |c| Some(c.held_out.to_string())).flag(
        Heading::Run,
        "N",
        "Training images to hold out and validate on, instead of the data's own validation or test \
         images (the paper on CIFAR-10 held out 5000 to choose its schedule)",
        |c, text| put(&mut c.held_out, parse(text, "a whole number")),
    ),
    Setting::shown("seed", "seed", |c| Some(c.seed.to_string())).flag(
        Heading::Run,
        "N",
        "Seed of all random numbers",
        |c, text| put(&mut c.seed, parse(text, "a whole number")),
    ),
    Setting::shown("lr", "lr", |c| Some(c.lr.to_string()))
        .flag(Heading::Optimiser, "X", "Learning rate", |c, text| put(&mut c.lr, number(text)))
        .valid("a positive number", |c| positive(c.lr)),
    Setting::shown("backbone-lr", "backbone_lr", |c| {
        (c.backbone_lr != 1.0).then(|| c.backbone_lr.to_string())
    })
    .flag(
        Heading::Optimiser,
        "X",
        "The learning rate of all but the classifier is multiplied by this [default: 1; recipe finetune: 0.1]",
        |c, text| put(&mut c.backbone_lr, number(text)),
    )
    .valid("a positive number (--freeze backbone trains the classifier alone)", |c| {
        positive(c.backbone_lr)
    }),
    Setting::shown("schedule", "schedule", |c| Some(c.schedule.to_string())).flag(
        Heading::Optimiser,
        "KIND",
        "How the learning rate falls: constant, steps, cosine or plateau",
        |c, text| {
            let asked: Schedule = text.parse().map_err(|error| format!("{error}"))?;
            // The recipe's own numbers stay if it is of this kind already.
            if asked.name() != c.schedule.name() {
                c.schedule = asked;
            }
            Ok(())
        },
    ),
    Setting::shown("milestones", "schedule", |c| match &c.schedule {
        Schedule::MultiStep { milestones, .. } => Some(list(milestones)),
        _ => None,
    })
    .flag(
        Heading::Optimiser,
        "N,..",
        "Schedule steps: weight updates after which the learning rate drops [default: as the recipe says, \
         else a half and three quarters of the run]",
        |c, text| match &mut c.schedule {
            Schedule::MultiStep { milestones, .. } => {
                let parts = text.split(',').map(|part| parse(part.trim(), "whole numbers"));
                put(milestones, parts.collect())
            }
            other => Err(other_schedule("steps", other)),
        },
    )
    .valid("milestones in order", |c| match &c.schedule {
        Schedule::MultiStep { milestones, .. } => milestones.is_sorted_by(|a, b| a < b),
        _ => true,
    }),
    Setting::shown("factor", "schedule", |c| match c.schedule {
        Schedule::MultiStep { factor, .. } | Schedule::Plateau { factor, .. } => {
            Some(factor.to_string())
        }
        _ => None,
    })
    .flag(
        Heading::Optimiser,
        "X",
        "Schedules steps and plateau: what the learning rate is multiplied by when it drops [default: 0.1]",
        |c, text| match &mut c.schedule {
            Schedule::MultiStep { factor, .. } | Schedule::Plateau { factor, .. } => {
                put(factor, number(text))
            }
            other => Err(other_schedule("steps or plateau", other)),
        },
    )
    .valid("a positive number", |c| match c.schedule {
        Schedule::MultiStep { factor, .. } | Schedule::Plateau { factor, .. } => positive(factor),
        _ => true,
    }),
    Setting::shown("patience", "schedule", |c| match c.schedule {
        Schedule::Plateau { patience, .. } => Some(patience.to_string()),
        _ => None,
    })
    .flag(
        Heading::Optimiser,
        "N",
        "Schedule plateau: epochs without improvement before the learning rate drops [default: 5]",
        |c, text| match &mut c.schedule {
            Schedule::Plateau { patience, .. } => put(patience, parse(text, "a whole number")),
            other => Err(other_schedule("plateau", other)),
        },
    ),
    Setting::shown("threshold", "schedule", |c| match c.schedule {
        Schedule::Plateau { threshold, .. } => Some(threshold.to_string()),
        _ => None,
    })
    .flag(
        Heading::Optimiser,
        "X",
        "Schedule plateau: by how much the validation error, 0..1, must fall to count as an \
         improvement [default: 0.001]",
        |c, text| match &mut c.schedule {
            Schedule::Plateau { threshold, .. } => put(threshold, number(text)),
            other => Err(other_schedule("plateau", other)),
        },
    )
    .valid("0 up to but not 1", |c| match c.schedule {
        Schedule::Plateau { threshold, .. } => share(threshold),
        _ => true,
    }),
    Setting::shown("warmup", "warmup", |c| match c.warmup {
        Warmup::None => Some("0".to_owned()),
        Warmup::Linear { steps } => Some(steps.to_string()),
        Warmup::UntilError { .. } => None,
    })
    .flag(
        Heading::Optimiser,
        "N",
        "Weight updates over which the learning rate rises from near 0 to its value; 0 for no warm-up",
        |c, text| {
            let steps = parse(text, "a whole number")?;
            c.warmup = if steps == 0 { Warmup::None } else { Warmup::Linear { steps } };
            Ok(())
        },
    ),
    Setting::shown("warmup-lr", "warmup", |c| match c.warmup {
        Warmup::UntilError { lr, .. } => Some(lr.to_string()),
        _ => None,
    })
    .flag(
        Heading::Optimiser,
        "X",
        "Learning rate that is used until the training error is below --warmup-error",
        |c, text| {
            let error = match c.warmup {
                Warmup::UntilError { error, .. } => error,
                _ => 0.8,
            };
            put(&mut c.warmup, number(text).map(|lr| Warmup::UntilError { lr, error }))
        },
    )
    .valid("a positive number", |c| match c.warmup {
        Warmup::UntilError { lr, .. } => positive(lr),
        _ => true,
    }),
    Setting::shown("warmup-error", "warmup", |c| match c.warmup {
        Warmup::UntilError { error, .. } => Some(error.to_string()),
        _ => None,
    })
    .flag(
        Heading::Optimiser,
        "X",
        "Training error, 0..1, below which --warmup-lr ends [default: 0.8]",
        |c, text| match &mut c.warmup {
            Warmup::UntilError { error, .. } => put(error, number(text)),
            _ => Err("expected --warmup-lr, too".to_owned()),
        },
    )
    .valid("0 to 1", |c| match c.warmup {
        Warmup::UntilError { error, .. } => (0.0..=1.0).contains(&error),
        _ => true,
    }),
    Setting::shown("momentum", "momentum", |c| Some(c.momentum.to_string()))
        .flag(
            Heading::Optimiser,
            "X",
            "Momentum: the share of the last update that is kept in the next",
            |c, text| put(&mut c.momentum, number(text)),
        )
        .valid("0 up to but not 1", |c| share(c.momentum) && (c.momentum as f32) < 1.0),
    Setting::shown("nesterov", "nesterov", |c| Some(c.nesterov.to_string())).flag(
        Heading::Optimiser,
        "BOOL",
        "Use Nesterov's momentum; --nesterov=false for plain momentum",
        |c, text| put(&mut c.nesterov, switch(text)),
    ),
    Setting::shown("weight-decay", "weight_decay", |c| Some(c.weight_decay.to_string()))
        .flag(Heading::Optimiser, "X", "Weight decay", |c, text| {
            put(&mut c.weight_decay, number(text))
        })
        .valid("a number, not negative", |c| {
            c.weight_decay == 0.0 || positive(c.weight_decay)
        }),
    Setting::shown("decay-bn", "decay_bn", |c| Some(c.decay_bn.to_string())).flag(
        Heading::Optimiser,
        "BOOL",
        "Apply weight decay to batch norm and biases, too; --decay-bn=false leaves them out",
        |c, text| put(&mut c.decay_bn, switch(text)),
    ),
    Setting::shown("label-smoothing", "label_smoothing", |c| Some(c.label_smoothing.to_string()))
        .flag(
            Heading::Optimiser,
            "X",
            "Label smoothing: the share of the target that is spread evenly over all classes",
            |c, text| put(&mut c.label_smoothing, number(text)),
        )
        .valid("0 up to but not 1", |c| share(c.label_smoothing)),
    Setting::shown("ema", "ema_decay", |c| spelled(c.ema_decay))
        .flag(
            Heading::Optimiser,
            "X",
            "Keep an exponential moving average of the weights, with this decay per update; the average \
             is what is validated and saved as best.safetensors",
            |c, text| put(&mut c.ema_decay, number(text).map(Some)),
        )
        .valid("0 up to but not 1", |c| c.ema_decay.is_none_or(share)),
    Setting::shown("zero-init", "zero_init", |c| Some(c.zero_init.to_string())).flag(
        Heading::Optimiser,
        "BOOL",
        "Start the last batch norm of each residual block with scale 0",
        |c, text| put(&mut c.zero_init, switch(text)),
    ),
    Setting::shown("augment", "augment", |c| Some(c.augment.to_string())).flag(
        Heading::Images,
        "KIND",
        "Random changes to training images: none, crop, crop-flip or scale-crop-flip-colour; the flags below \
         change parts of it",
        |c, text| put(&mut c.augment, named(text, &Augment::ALL)),
    ),
    CROP,
    AREA,
    FLIP,
    COLOUR,
    JITTER,
    ERASE,
    MIXUP,
    CUTMIX,
    SIDES,
    Setting::shown("mean-mode", "normalize", |c| Some(c.normalize.to_string())).flag(
        Heading::Images,
        "KIND",
        "How images are normalised: channel (mean and deviation of each colour) or pixel-mean (only the \
         mean of each pixel is subtracted, as in the paper)",
        |c, text| put(&mut c.normalize, named(text, &Normalize::ALL)),
    ),
];

fn other_schedule(kinds: &str, found: &Schedule) -> String {
    format!("expected --schedule {kinds}, found {found}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Options;
    use crate::train::{Config, Recipe};
    use std::collections::BTreeSet;

    fn config() -> Config {
        let recipe = Recipe::FastCifar;
        recipe.config(&recipe.spec("resnet20", Options::default()).unwrap())
    }

    #[test]
    fn every_stored_field_is_a_setting() {
        let mut config = config();
        // Left out where they are as in the first version.
        (config.numerics, config.lengthened) = (2, vec![Length::Epochs(1)]);
        (config.initial, config.freeze) = (Some("0f".to_owned()), Freeze::Backbone);
        config.backbone_lr = 0.1;
        config.decoder = JpegDecoder::LibjpegTurbo;
        config.convolutions = Convolutions::Direct;
        config.images.flip = Some(false);
        let json = serde_json::to_value(&config).unwrap();
        let fields: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let stored: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.stored).collect();
        assert_eq!(fields, stored);
        let names: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(names.len(), SETTINGS.len(), "a name twice");
    }

    #[test]
    fn what_is_printed_can_be_set() {
        for name in Schedule::KINDS.map(|kind| kind.name().to_owned()) {
            let mut config = config();
            let find = |name: &str| SETTINGS.iter().find(|setting| setting.name == name).unwrap();
            find("schedule").set(&mut config, &name).unwrap();
            if name == "steps" {
                find("milestones").set(&mut config, "3, 5").unwrap();
                for (name, text) in [
                    ("crop", "area"),
                    ("area", "0.3"),
                    ("flip", "false"),
                    ("colour", "own"),
                    ("jitter", "0.4, 0.4,0.4,0.1"),
                    ("erase", "0.25"),
                    ("mixup", "0.2"),
                    ("cutmix", "1"),
                    ("sides", "128x6, 192x5"),
                ] {
                    assert_ne!(find(name).text(&config).as_deref(), Some(text));
                    find(name).set(&mut config, text).unwrap();
                    assert_eq!(find(name).text(&config), Some(text.replace(' ', "")), "{name}");
                }
            }
            for setting in SETTINGS.iter().filter(|setting| setting.heading != Heading::NoFlag) {
                let Some(text) = setting.text(&config) else { continue };
                let mut same = config.clone();
                setting.set(&mut same, &text).unwrap();
                assert!(same.changed_from(&config).is_empty(), "{}: {text}", setting.name);
                assert!(setting.set(&mut same, "!").is_err(), "{}", setting.name);
            }
        }
    }

    #[test]
    fn flags_of_another_schedule_are_refused() {
        let mut config = config();
        let find = |name: &str| SETTINGS.iter().find(|setting| setting.name == name).unwrap();
        let error = find("patience").set(&mut config, "3").unwrap_err();
        assert_eq!(error, "expected --schedule plateau, found cosine");
        assert!(find("milestones").set(&mut config, "3").is_err());
        assert!(find("warmup-error").set(&mut config, "0.5").is_err());
    }
}
