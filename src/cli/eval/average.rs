//! `--bn-average`: batch norm's statistics as a true average over training images, to evaluate with and to keep.

use resnet_cpu::data::{self, Limits, Preprocess, Scan, Split, open_split};
use resnet_cpu::model::{Network, Params};
use resnet_cpu::runtime::{Cache, Storage};
use resnet_cpu::train::{AverageError, average_batch_norm};
use resnet_cpu::weights::write_weights_to;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::activity::Activity;
use super::super::bad_images;
use super::super::classifier::{ClassifierArgs, Weights};
use super::super::error::CliError;
use super::super::machine::Machine;
use super::super::output::grouped;
use super::super::written::{check_place, entries, pixel_mean, storage};

/// What a file says of its statistics.
const STATISTICS: &str = "batch_norm_statistics";

#[derive(clap::Args)]
pub(super) struct AverageArgs {
    /// First replace batch norm's running statistics by their average over N training images of DATA, as the
    /// authors did for their published networks; 1024 or more are plenty
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    bn_average: Option<u32>,
    /// With --bn-average: write the weights with these statistics to FILE, when the evaluation is done
    #[arg(long, value_name = "FILE", requires = "bn_average")]
    save_weights: Option<PathBuf>,
    /// Replace the file of --save-weights if it exists; if it is a symbolic link, replace the file it points to
    #[arg(long, requires = "save_weights")]
    force: bool,
}

/// Weights that are to be written.
pub(super) struct Averaged<'a> {
    path: &'a Path,
    storage: &'static dyn Storage,
    network: Network,
    params: Params,
    preprocess: Preprocess,
    entries: BTreeMap<String, String>,
}

/// Where training images come from, and who runs them.
pub(super) struct Training<'a> {
    pub(super) data: Option<&'a Path>,
    /// Side of the black square that small images of the data stand in.
    pub(super) pad: Option<usize>,
    pub(super) limits: Limits,
    pub(super) cache: &'a Cache,
    pub(super) args: &'a ClassifierArgs,
    pub(super) machine: &'a Machine,
    pub(super) activity: &'a Activity<'a>,
    /// Whether images that cannot be read are left out.
    pub(super) skip_bad: bool,
}

impl AverageArgs {
    /// Refuses what flags and files alone tell to be wrong, before any work.
    pub(super) fn check(&self, weights: &[Weights]) -> Result<(), CliError> {
        if self.bn_average.is_some() && weights.len() > 1 {
            return Err(CliError::usage(
                "--bn-average: expected one network, found several; average each by itself with --save-weights",
            ));
        }
        if let Some(path) = &self.save_weights {
            check_place("--save-weights", path)?;
            storage(&weights[0].path, path, self.force)?;
        }
        Ok(())
    }

    /// The file of weights that is written, by its flag.
    pub(super) fn written(&self) -> Option<(&'static str, &Path)> {
        self.save_weights.as_deref().map(|path| ("--save-weights", path))
    }

    /// Replaces the statistics of `weights` if that is asked for; and what is to be written of them.
    pub(super) fn apply(
        &self,
        weights: &mut Weights,
        training: &Training,
        notes: &mut Vec<String>,
    ) -> Result<Option<Averaged<'_>>, CliError> {
        let Some(images) = self.bn_average else { return Ok(None) };
        let &Training { data, pad, limits, cache, args, machine, activity, skip_bad } = training;
        let preprocess = args.preprocess(weights, pad)?;
        let train = open_split(data, Some(Split::Train), limits, cache, activity);
        let train = train.map_err(|error| match error {
            data::Error::NoSplit { .. } => CliError::usage(format!("--bn-average: {error}")),
            error => activity.failure(error),
        })?;
        let mut train = train.data;
        if skip_bad {
            let scan = Scan { cache, watch: activity };
            let good = scan.leave_out_of(train, "training images read");
            let (good, bad) = good.map_err(|error| activity.failure(error))?;
            bad_images::list(&bad, machine);
            train = good;
        }
        let network = weights.file.network().clone();
        let params = Params::from_source(&network, &weights.file).map_err(CliError::failed)?;
        let params = weights.changed.insert(params);
        let averaged = average_batch_norm(
            &network,
            params,
            &*train,
            images as usize,
            &preprocess,
            machine.backend,
            args.convolutions(),
            activity,
        );
        averaged.map_err(|error| {
            activity.end();
            match error {
                AverageError::Data(error) => activity.failure(error),
                AverageError::Images { .. } => CliError::usage(format!("--bn-average: {error}")),
                error => {
                    CliError::failed(format!("--bn-average: {}: {error}", weights.path.display()))
                }
            }
        })?;
        let of = format!("averaged over the centre views of {} training images", grouped(images));
        notes.push(format!("batch norm's statistics: {of}"));
        let Some(path) = self.save_weights.as_deref() else { return Ok(None) };
        let mut entries = entries(&weights.file, &preprocess, weights.names.clone());
        entries.insert(STATISTICS.to_owned(), of);
        let params = params.clone();
        let storage = storage(&weights.path, path, self.force)?;
        Ok(Some(Averaged { path, storage, network, params, preprocess, entries }))
    }
}

impl Averaged<'_> {
    /// Writes the file, wholly or not at all.
    pub(super) fn write(&self, machine: &Machine) -> Result<(), CliError> {
        let Self { path, storage, network, params, preprocess, entries } = self;
        let mean = pixel_mean(preprocess);
        write_weights_to(*storage, path, network, params, mean.as_ref(), entries)
            .map_err(CliError::failed)?;
        machine.note(&format!("{}: the weights with these statistics", path.display()));
        Ok(())
    }
}
