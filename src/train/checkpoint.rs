//! Checkpoints: a run's whole [`State`] in one safetensors file that anyone's tools can read.
//!
//! Weights and running statistics have torchvision's names and layout, and batch norm's counters are
//! there too, so `load_state_dict` takes the file strictly once other keys are dropped. The
//! optimiser's velocity is `optimizer.momentum.<name>`, the moving average `ema.<name>`; everything
//! else is JSON in the metadata. The bytes are a function of the state and of the program's version alone:
//! no time, host or path.
//! A checksum over all of it tells a damaged file from a good one.

mod head;

pub use head::{Head, load_config, load_head};

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::Config;
use super::images::ColourKind;
use super::state::{InferenceInfo, State};
use crate::data::Preprocess;
use crate::model::{Network, Params, Role, TensorInfo, TensorTable};
use crate::runtime::{AlignedBuf, Storage};
use crate::weights::{
    Dtype, FloatType, Metadata, Mismatch, NamedTensor, Overrides, PIXEL_MEAN, StoredTensor,
    TensorFile, WeightsError, WeightsFile, WrongTensor, network_tensors, write_safetensors_to,
};

const FORMAT: &str = "resnet_cpu.train.format";
const CONFIG: &str = "resnet_cpu.train.config";
const PROGRESS: &str = "resnet_cpu.train.progress";
const SCHEDULE: &str = "resnet_cpu.train.schedule";
const COLOURS: &str = "resnet_cpu.train.colours";
const BEST: &str = "resnet_cpu.train.best";
const CHECKSUM: &str = "resnet_cpu.train.crc32";
const PROGRAM: &str = "resnet_cpu.train.program";

/// The version of the format that this program writes and reads.
const VERSION: &str = "1";
const MOMENTUM_PREFIX: &str = "optimizer.momentum.";
const EMA_PREFIX: &str = "ema.";

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be written or read, or its weights are not the network's.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Weights without the state of a run.
    #[error(
        "{}: this file has no training state ({FORMAT} is missing), so no run can be resumed from it",
        path.display()
    )]
    NoState {
        /// The file.
        path: PathBuf,
    },
    /// An entry of the metadata is missing or impossible.
    #[error("{}: metadata {key}: expected {expected}, found {found}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The metadata's key.
        key: &'static str,
        /// What it should have been.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The content is not what was written.
    #[error("{}: damaged: expected checksum {expected}, found {found}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The checksum in the file.
        expected: String,
        /// The content's.
        found: String,
    },
}

/// Writes `state` to `path`; a checkpoint of that name stays whole until the new one is on disk.
///
/// # Errors
/// The file cannot be written.
///
/// # Panics
/// The state's parts do not belong together.
pub fn save(state: &State, path: &Path, storage: &dyn Storage) -> Result<(), CheckpointError> {
    let table = state.params.table();
    assert_eq!(state.momentum.len(), table.learnable_len(), "momentum");
    assert_eq!(state.ema.is_some(), state.config.ema_decay.is_some(), "moving average");
    let counters = counters(table, state.progress.step);
    let mut tensors = network_tensors(table, &state.params);
    tensors.extend(pixel_mean(state));
    tensors.extend(learnable(table).map(|info| NamedTensor {
        name: format!("{MOMENTUM_PREFIX}{}", info.name),
        shape: info.shape.clone(),
        values: Cow::Borrowed(&state.momentum[info.range()]),
    }));
    if let Some(ema) = &state.ema {
        tensors.extend(
            network_tensors(table, ema).into_iter().map(|tensor| NamedTensor {
                name: format!("{EMA_PREFIX}{}", tensor.name),
                ..tensor
            }),
        );
    }
    let mut metadata = inference_entries(state);
    metadata.extend([
        (FORMAT.to_owned(), VERSION.to_owned()),
        (PROGRAM.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        (CONFIG.to_owned(), json(&state.config)),
        (PROGRESS.to_owned(), json(&state.progress)),
        (SCHEDULE.to_owned(), json(&state.schedule)),
        (BEST.to_owned(), json(&state.best)),
    ]);
    if let Some(colours) = &state.colours {
        metadata.insert(COLOURS.to_owned(), json(colours));
    }
    let mut checksum = Checksum::of_metadata(&metadata);
    for (name, value) in &counters {
        checksum.tensor(name, "I64", &[]);
        checksum.bytes(&value.to_le_bytes());
    }
    for tensor in &tensors {
        checksum.tensor(&tensor.name, "F32", &tensor.shape);
        checksum.floats(&tensor.values);
    }
    metadata.insert(CHECKSUM.to_owned(), checksum.text());
    Ok(write_safetensors_to(storage, path, &counters, &tensors, &metadata)?)
}

/// Writes what inference needs of `state`: the averaged weights if there are any, else the weights;
/// class names and preprocessing.
///
/// # Errors
/// The file cannot be written.
pub fn save_for_inference(
    state: &State,
    path: &Path,
    storage: &dyn Storage,
) -> Result<(), CheckpointError> {
    let table = state.params.table();
    let mut tensors = network_tensors(table, state.averaged());
    tensors.extend(pixel_mean(state));
    let counters = counters(table, state.progress.step);
    Ok(write_safetensors_to(storage, path, &counters, &tensors, &inference_entries(state))?)
}

/// Reads the state that [`save`] wrote.
///
/// # Errors
/// The file cannot be read, is damaged, or is not a checkpoint of a run.
pub fn load(path: &Path) -> Result<State, CheckpointError> {
    // Opened once: what the checksum is of is what is loaded.
    let file = TensorFile::open(path)?;
    let entries = file.metadata().clone();
    let fields = Fields { path, entries: &entries };
    match fields.entries.get(FORMAT).map(String::as_str) {
        None => return Err(CheckpointError::NoState { path: path.to_owned() }),
        Some(VERSION) => {}
        Some(other) => return Err(fields.error(FORMAT, format!("version {VERSION}"), other)),
    }
    fields.check(&file)?;
    let config: Config = fields.read(CONFIG)?;
    let invalid = |error: String| fields.error(CONFIG, "the configuration of a run".into(), &error);
    config.validate().map_err(|e| invalid(e.to_string()))?;
    let spec = config.spec().map_err(|e| invalid(e.to_string()))?;
    let weights = WeightsFile::of_file(file, &Overrides::default())?;
    if *weights.spec() != spec {
        let expected = format!("{}, as the tensors are", weights.spec());
        return Err(fields.error(CONFIG, expected, &spec.to_string()));
    }
    let file = weights.file();
    let network = weights.network();
    let mut momentum = AlignedBuf::zeroed(network.table().learnable_len());
    let mut ema = config.ema_decay.is_some().then(|| Params::zeros(network));
    read_state_tensors(file, network, &mut momentum, ema.as_mut())?;
    let own = config.colour() == ColourKind::Own;
    let state = State {
        colours: own.then(|| fields.read(COLOURS)).transpose()?,
        inference: InferenceInfo {
            preprocess: Preprocess::complete(
                spec.family,
                weights.preprocess(),
                weights.pixel_mean().map(|mean| mean.values.into_owned()),
            ),
            classes: weights.classes().map(<[String]>::to_vec),
        },
        params: Params::from_source(network, &weights).map_err(WeightsError::from)?,
        momentum,
        ema,
        progress: fields.read(PROGRESS)?,
        schedule: fields.read(SCHEDULE)?,
        best: fields.read(BEST)?,
        config,
    };
    let (cursor, images) = (state.progress.cursor, state.config.data.train_images);
    if cursor > images {
        return Err(fields.error(PROGRESS, format!("cursor up to {images}"), &cursor.to_string()));
    }
    Ok(state)
}

/// batch norm's `num_batches_tracked`, which PyTorch's strict loading asks for.
fn counters(table: &TensorTable, step: u64) -> Vec<(String, i64)> {
    let layers = table.infos().iter().filter(|info| info.role == Role::RunningVar);
    let value = i64::try_from(step).unwrap_or(i64::MAX);
    layers.map(|info| (info.name.replace("running_var", "num_batches_tracked"), value)).collect()
}

fn learnable(table: &TensorTable) -> impl Iterator<Item = &TensorInfo> {
    table.infos().iter().filter(|info| info.role.is_learnable())
}

fn pixel_mean(state: &State) -> Option<NamedTensor<'_>> {
    let values = Cow::Borrowed(state.inference.preprocess.pixel_mean()?);
    let side = state.config.side;
    Some(NamedTensor { name: PIXEL_MEAN.to_owned(), shape: vec![side, side, 3], values })
}

fn inference_entries(state: &State) -> BTreeMap<String, String> {
    let spec = state.config.spec().expect("the state has a network of this configuration");
    let InferenceInfo { preprocess, classes } = &state.inference;
    let (preprocess, classes) = (preprocess.stated(), classes.clone());
    Metadata { preprocess, classes, ..Metadata::of_spec(&spec) }.entries()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with string keys")
}

/// Copies the optimiser's and the average's tensors to their places, or says all that is wrong.
fn read_state_tensors(
    file: &TensorFile,
    network: &Network,
    momentum: &mut AlignedBuf,
    ema: Option<&mut Params>,
) -> Result<(), CheckpointError> {
    let mut stored: HashMap<&str, &StoredTensor> =
        file.tensors().iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut mismatch = Mismatch {
        network: format!("the training state of {}", network.spec),
        ..Mismatch::default()
    };
    let mut read = |name: String, info: &TensorInfo, to: &mut [f32]| {
        mismatch.expected += 1;
        let Some(tensor) = stored.remove(name.as_str()) else {
            mismatch.missing.push(name);
            return Ok(());
        };
        let wrong = |expected, found| {
            mismatch.wrong.push(WrongTensor { name, expected, found });
        };
        if tensor.shape != info.shape {
            wrong(format!("{:?}", info.shape), format!("{:?}", tensor.shape));
            return Ok(());
        }
        match file.values(tensor)? {
            Some(values) if tensor.dtype == Dtype::Float(FloatType::F32) => {
                if values.iter().all(|x| x.is_finite()) {
                    to.copy_from_slice(&values);
                    mismatch.matched += 1;
                } else {
                    wrong("finite values".to_owned(), "NaN or infinite ones".to_owned());
                }
            }
            _ => wrong("F32".to_owned(), tensor.dtype.to_string()),
        }
        Ok::<(), WeightsError>(())
    };
    for info in learnable(network.table()) {
        read(format!("{MOMENTUM_PREFIX}{}", info.name), info, &mut momentum[info.range()])?;
    }
    if let Some(ema) = ema {
        for (id, info) in network.table().iter() {
            read(format!("{EMA_PREFIX}{}", info.name), info, ema.get_mut(id))?;
        }
    }
    let state =
        |name: &&str| ["optimizer.", "ema.", "schedule."].iter().any(|p| name.starts_with(p));
    mismatch.unexpected = stored.keys().copied().filter(state).map(str::to_owned).collect();
    mismatch.unexpected.sort();
    if mismatch.is_empty() {
        return Ok(());
    }
    let (path, mismatch) = (file.path().to_owned(), Box::new(mismatch));
    Err(WeightsError::Mismatch { path, mismatch }.into())
}

/// Reads entries of the metadata, with errors that name file and key.
struct Fields<'a> {
    path: &'a Path,
    entries: &'a BTreeMap<String, String>,
}

impl Fields<'_> {
    fn error(&self, key: &'static str, expected: String, found: &str) -> CheckpointError {
        let found = if found.is_empty() { "nothing" } else { found }.to_owned();
        CheckpointError::Field { path: self.path.to_owned(), key, expected, found }
    }

    fn read<T: DeserializeOwned>(&self, key: &'static str) -> Result<T, CheckpointError> {
        let text = self.entries.get(key).map_or("", String::as_str);
        serde_json::from_str(text).map_err(|error| {
            let this = env!("CARGO_PKG_VERSION");
            let expected = format!("what resnet-cpu {this} knows");
            if text.is_empty() {
                return self.error(key, expected, "");
            }
            let writer = self.entries.get(PROGRAM).map_or("an unknown version", String::as_str);
            self.error(
                key,
                expected,
                &format!("{error}; the file was written by resnet-cpu {writer}"),
            )
        })
    }

    /// Compares the checksum with the content.
    fn check(&self, file: &TensorFile) -> Result<(), CheckpointError> {
        let mut rest = self.entries.clone();
        let expected = rest.remove(CHECKSUM).unwrap_or_default();
        let mut checksum = Checksum::of_metadata(&rest);
        for tensor in file.tensors() {
            checksum.tensor(&tensor.name, &tensor.dtype.to_string(), &tensor.shape);
            file.read_bytes(tensor, |bytes| checksum.bytes(bytes))?;
        }
        let found = checksum.text();
        if expected == found {
            return Ok(());
        }
        Err(CheckpointError::Checksum { path: self.path.to_owned(), expected, found })
    }
}

/// CRC-32 of the metadata and then of each tensor: its name, type and shape, its bytes.
struct Checksum(crc32fast::Hasher);

impl Checksum {
    fn of_metadata(entries: &BTreeMap<String, String>) -> Self {
        let mut checksum = Self(crc32fast::Hasher::new());
        checksum.bytes(json(entries).as_bytes());
        checksum
    }

    fn tensor(&mut self, name: &str, dtype: &str, shape: &[usize]) {
        self.bytes(format!("{name} {dtype} {shape:?}").as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn floats(&mut self, values: &[f32]) {
        if cfg!(target_endian = "little") {
            self.bytes(bytemuck::cast_slice(values));
        } else {
            values.iter().for_each(|value| self.bytes(&value.to_le_bytes()));
        }
    }

    fn text(self) -> String {
        format!("{:08x}", self.0.finalize())
    }
}
