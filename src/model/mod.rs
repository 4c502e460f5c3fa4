//! What the networks of the paper are: plain data, an executable description, its parameters.
//!
//! A [`ModelSpec`] says which network is meant (depth, family, shortcuts, strides); a [`Network`] is
//! the list of layers that inference and training walk; [`Params`] holds the numbers. Tensor names
//! are torchvision's.

mod archs;
mod init;
mod layers;
mod network;
mod params;
mod quantized;
mod source;
mod spec;
mod tensors;
mod variant;

pub use archs::{BlockKind, Family};
pub use init::{InitOptions, initialize};
pub use layers::{Layer, LayerShape};
pub use network::{BN_EPSILON, Block, BlockShortcut, ConvBn, FullyConnected, Network};
pub use params::Params;
pub use quantized::{InputScale, Quantized, QuantizedConv, QuantizedLinear, Scale, Weights};
pub use source::{ParamSource, SourceError};
pub use spec::{Downsample, ModelSpec, Options, Shortcut, SpecError, StrideIn};
pub use tensors::{Role, TensorId, TensorInfo, TensorTable};
pub use variant::Variant;
