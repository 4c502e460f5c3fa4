//! Files of weights and the names in them.
//!
//! [`TensorFile`] lists what any safetensors or PyTorch file holds; [`WeightsFile`] finds out which network it
//! is, checks every tensor and provides the values as a [`ParamSource`](crate::model::ParamSource), read
//! from the file when they are needed. Metadata decide which network it is; without them names and shapes
//! do, and [`WeightsFile::notes`] says what had to be assumed. Nothing in a file can make the program panic:
//! anything wrong is a [`WeightsError`] that names the file and the tensor.

mod error;
mod file;
mod kind;
mod limits;
mod load;
mod loaders;
mod metadata;
mod names;
#[cfg(feature = "onnx")]
mod onnx;
mod other_nets;
mod published;
mod publisher;
mod quantized;
mod resolve;
mod safetensors;
mod sort;
mod source;
mod stated;
mod stored;
mod structure;
mod torch;
mod write;

pub use error::{Mismatch, WeightsError, WrongTensor};
pub use file::TensorFile;
pub use load::{PixelMean, WeightsFile};
pub use loaders::{Loader, LoaderError, timm_config};
pub use metadata::Metadata;
pub use names::{Canonical, PIXEL_MEAN, canonical};
#[cfg(feature = "onnx")]
pub use onnx::write_onnx_to;
pub use published::Published;
pub use publisher::DataSet;
pub use quantized::{write_quantized, write_quantized_to};
pub use resolve::Overrides;
pub use stated::{StatedPreprocess, parse_mean, parse_std};
pub use stored::{Dtype, FileFormat, FloatType, StoredTensor};
pub use write::{
    NamedTensor, network_tensors, write_safetensors, write_safetensors_to, write_weights,
    write_weights_to,
};

pub(crate) use kind::{START, other};
#[cfg(feature = "hub")]
pub(crate) use limits::shown;
pub(crate) use source::{NotOpened, open_regular};
