//! How strongly the layers of a network respond (the paper's section 4.2, "Analysis of Layer Responses", and figure
//! 7): the standard deviation of the outputs of each 3x3 layer, after batch norm and before addition and ReLU.
//!
//! Outputs are those of evaluation, over all images, pixels and channels. No output is kept: the deviation follows
//! from the moments of each convolution's channels, which the forward pass takes anyway.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::gemm::Backend;
use crate::learn::{Learner, Measured};
use crate::model::Network;
use crate::numerics::VALIDATION_BATCH;
use crate::runtime::{Storage, Watch, write_durably};
use crate::train::measured::measure_parts;
use crate::train::{RunError, State};

/// The name of the file with a run's responses in its folder.
pub const RESPONSES: &str = "responses.json";

/// The responses of a network's layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Responses {
    /// Weight updates done when they were measured.
    pub step: u64,
    /// Images that they were measured on.
    pub images: u64,
    /// The 3x3 layers, in the order in which they are computed.
    pub layers: Vec<Response>,
}

/// The response of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The convolution's name, as in the weights.
    pub layer: String,
    /// The standard deviation.
    pub std: f64,
}

/// Measures the responses of the network of `state` to the images of `data`.
///
/// # Errors
/// An image cannot be read, the images are too small, or it was stopped ([`data::Error::Interrupted`](crate::data::Error::Interrupted)).
pub fn measure_responses(
    state: &State,
    data: &dyn Dataset,
    backend: Backend,
    watch: &dyn Watch,
) -> Result<Responses, RunError> {
    let network = Network::new(&state.config.spec()?);
    let params = state.averaged();
    let preprocess = &state.inference.preprocess;
    let side = preprocess.view.crop;
    let mut learner = Learner::new(&network, backend).with_convolutions(state.config.convolutions);
    let mut measured = Measured::default();
    let images: Vec<usize> = (0..data.len()).collect();
    // They take no more memory than a step of training.
    let together = VALIDATION_BATCH.min(state.config.images_at_a_time());
    let parts: Vec<&[usize]> = images.chunks(together).collect();
    let stopped = || watch.stopped();
    measure_parts::<RunError>(
        data,
        preprocess,
        &parts,
        watch,
        "images of layer responses",
        |input, images| learner.measure(params, input, images, side, &mut measured, &stopped),
    )?;
    let layers = network.convs().filter(|conv| conv.kernel == 3);
    let layers = layers
        .map(|conv| Response { layer: conv.name.clone(), std: measured.deviation(conv, params) });
    Ok(Responses {
        step: state.progress.step,
        images: images.len() as u64,
        layers: if images.is_empty() { Vec::new() } else { layers.collect() },
    })
}

impl Responses {
    /// What the file at `path` holds; `None` if there is none, or it is not such a file: it is measured again then.
    pub fn read(path: &Path, storage: &dyn Storage) -> Option<Self> {
        serde_json::from_slice(&storage.read(path).ok()?).ok()
    }

    /// Writes the file, wholly or not at all.
    ///
    /// # Errors
    /// The operating system refused.
    pub fn write(&self, path: &Path, storage: &dyn Storage) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self).expect("plain data with string keys") + "\n";
        write_durably(storage, path, |out| out.write_all(text.as_bytes()))
    }
}
