//! Where a run begins: with random numbers, with the weights of a file, or with what is in its folder already.

use resnet_cpu::model::{ModelSpec, Options};
use resnet_cpu::train::{Config, LAST, Recipe, StartingWeights, TrainData, checkpoint};
use resnet_cpu::weights::WeightsFile;
use std::path::{Path, PathBuf};

use super::super::error::CliError;
use super::super::hub::file_of;
use super::super::machine::Machine;
use super::super::weights::note_weights;
use super::RUNS;
use super::args::Args;
use super::data::data_name;

/// Where a run begins.
pub(super) enum Origin {
    /// With random numbers, or unless its settings say something else, in its folder.
    Random,
    /// With weights, unless it is in its folder already.
    Weights(Box<StartingWeights>),
    /// In this folder, where a run is that began with weights. The file is not needed any more.
    Stored(PathBuf, Box<Config>),
}

impl Origin {
    /// What the flags say. A file of weights that is given is read.
    pub(super) fn find(args: &Args, machine: &Machine) -> Result<Self, CliError> {
        let Some(path) = &args.weights else {
            let stored = match &args.out {
                Some(_) => stored(args)?,
                None if args.recipe == Some(Recipe::Finetune) => stored(args)?,
                None => {
                    if let Ok(Some(Self::Stored(folder, _))) = stored(args) {
                        let folder = folder.display();
                        machine.note(&format!(
                            "this is not the run in {folder}, which began with weights: --out {folder} goes on with that"
                        ));
                    }
                    None
                }
            };
            return match stored {
                Some(stored) => Ok(stored),
                None if args.recipe == Some(Recipe::Finetune) => Err(CliError::usage(
                    "--recipe finetune: expected --weights FILE, the network to start from, found none",
                )),
                None => Ok(Self::Random),
            };
        };
        let path = &match file_of(path, machine) {
            Ok(path) => path,
            // Published weights that cannot be had any more.
            Err(error @ CliError::Failed(_)) => {
                let stored = stored(args)?.ok_or_else(|| CliError::failed(&error))?;
                machine.note(&format!("{error}; the run has what it needs of them"));
                return Ok(stored);
            }
            Err(error) => return Err(error),
        };
        let overrides = args.extra.and(args.network.overrides(args.arch.as_deref())?);
        let failed = match WeightsFile::open(path, &overrides) {
            Ok(weights) => {
                note_weights(machine, path, &weights);
                let weights = StartingWeights::of_file(&weights).map_err(CliError::failed)?;
                return Ok(Self::Weights(Box::new(weights)));
            }
            Err(error) => CliError::failed(error),
        };
        let gone = path.metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        match if gone { stored(args)? } else { None } {
            Some(stored) => {
                let path = path.display();
                machine.note(&format!("{path}: no longer there; the run has what it needs of it"));
                Ok(stored)
            }
            None => Err(failed),
        }
    }

    /// The recipe of a run for which none is named, if this decides it.
    pub(super) fn recipe(&self) -> Option<Recipe> {
        match self {
            Self::Random => None,
            Self::Weights(_) => Some(Recipe::Finetune),
            Self::Stored(_, config) => Some(config.recipe),
        }
    }

    /// The weights that a new run begins with.
    pub(super) fn weights(&self) -> Option<&StartingWeights> {
        match self {
            Self::Weights(weights) => Some(weights),
            _ => None,
        }
    }

    /// The folder of a run that is gone on with, if this decides it.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Stored(folder, _) => Some(folder),
            _ => None,
        }
    }

    /// The network for the classes of `data`, if this decides it.
    pub(super) fn spec(
        &self,
        args: &Args,
        data: &TrainData,
    ) -> Result<Option<ModelSpec>, CliError> {
        let classes = data.train.classes();
        let (name, options) = match self {
            Self::Random => return Ok(None),
            Self::Weights(weights) => (weights.spec().name.clone(), weights.options(classes)),
            Self::Stored(_, config) => {
                let asked = args.network.options();
                let options = Options {
                    shortcut: asked.shortcut.or(config.shortcut),
                    downsample: asked.downsample.or(config.downsample),
                    stride_in: asked.stride_in.or(config.stride_in),
                    classes: Some(classes),
                    in_channels: None,
                };
                (args.arch.clone().unwrap_or(config.arch.clone()), options)
            }
        };
        ModelSpec::new(&name, options).map(Some).map_err(CliError::usage)
    }

    /// Writes into a configuration what it decides.
    pub(super) fn fit(&self, config: &mut Config) {
        match self {
            Self::Random => {}
            Self::Weights(weights) => weights.fit(config),
            Self::Stored(_, stored) => {
                config.initial.clone_from(&stored.initial);
                (config.side, config.normalize) = (stored.side, stored.normalize);
                config.zero_init = false;
            }
        }
    }
}

/// The run that the flags mean, if there is one and it began with weights: that in `--out`, else the one run of
/// these data and this recipe. Whether it can be gone on with is found out later.
fn stored(args: &Args) -> Result<Option<Origin>, CliError> {
    let folders = match &args.out {
        Some(out) => vec![out.clone()],
        None => {
            let data = args.data.as_deref().map_or("demo".to_owned(), data_name);
            let start = format!("{data}-{}-", args.recipe.unwrap_or(Recipe::Finetune));
            let entries = std::fs::read_dir(RUNS).into_iter().flatten().filter_map(Result::ok);
            let named = entries.filter(|e| e.file_name().to_string_lossy().starts_with(&start));
            let mut folders: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
            folders.sort();
            folders
        }
    };
    let found = folders.into_iter().filter_map(|folder| {
        let config = checkpoint::load_config(&folder.join(LAST)).ok()?;
        let meant = config.initial.is_some()
            && args.recipe.is_none_or(|recipe| recipe == config.recipe)
            && args.arch.as_ref().is_none_or(|arch| arch.eq_ignore_ascii_case(&config.arch));
        meant.then(|| Origin::Stored(folder, Box::new(config)))
    });
    let mut found: Vec<Origin> = found.collect();
    if found.len() > 1 {
        let folders = found.iter().filter_map(Origin::folder);
        let folders: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
        let folders = folders.join(", ");
        return Err(CliError::usage(format!(
            "--out: expected one of these runs ({folders}), found none"
        )));
    }
    Ok(found.pop())
}
