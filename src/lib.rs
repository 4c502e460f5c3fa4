//! **resnet-cpu**: Residual Networks (He, Zhang, Ren, Sun, 2015) on CPUs alone.
//!
//! A [`Classifier`] names what images show; it is shared by threads. Below it are a [`Model`], the
//! network with its weights, and a [`Session`], one caller's runs. A [`Run`] trains a network on
//! [`TrainData`] by a [`Config`], which a [`Recipe`] makes. `docs/library.md` shows each at work.
//!
//! ```no_run
//! use resnet_cpu::{Classifier, Limits, read_image};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let classifier = Classifier::open("resnet50.safetensors")?;
//! let image = read_image("dog.jpg", &Limits::default())?;
//! for prediction in classifier.classify_one(&image, 5)? {
//!     println!("{:?} {}", classifier.label(prediction.index), prediction.probability);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The result depends on data, seed and shape only: the same bits for any number of threads and for
//! AVX-512, AVX2 and NEON alike.
//!
//! The names below are what the crate promises. The modules are open so that its own program, tests
//! and benches can use them; they may change with any version.
//!
//! Rooms, lowest first (`docs/architecture.md`):
//!
//! | module | job |
//! |---|---|
//! | `simd` | vector operations, one implementation an instruction set, dispatch |
//! | `runtime` | threads, aligned buffers, random numbers, files, signals |
//! | `gemm` | the blocked matrix product: kernels, packing, epilogues |
//! | `conv` | convolutions as matrix products |
//! | `ops` | every other layer |
//! | `int8` | convolutions and pools on 8-bit integers |
//! | `model` | what the networks of the paper are |
//! | `weights` | files of weights and the names in them |
//! | `data` | images to tensors |
//! | `hub` | published weights by name: the only part that speaks to the Internet (feature `hub`) |
//! | `infer` | prepared networks, sessions, predictions |
//! | `charts` | curves as SVG, and the pages that they are on (feature `cli`) |
//! | `quantize` | networks to 8 bits: calibration, ranges, integers |
//! | `learn` | a training step: passes, loss, optimiser, moving average |
//! | `exchange` | several processes that train one network (feature `mpi`) |
//! | `train` | a run: data, recipe, schedule, checkpoints, metrics, report |
//! | `study` | grids of runs, as the paper compares networks (feature `cli`) |

#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod charts;
#[doc(hidden)]
pub mod conv;
#[doc(hidden)]
pub mod data;
#[doc(hidden)]
pub mod exchange;
#[doc(hidden)]
pub mod gemm;
#[cfg(feature = "hub")]
#[doc(hidden)]
pub mod hub;
#[doc(hidden)]
pub mod infer;
#[doc(hidden)]
pub mod int8;
#[doc(hidden)]
pub mod learn;
#[doc(hidden)]
pub mod model;
mod numerics;
#[doc(hidden)]
pub mod ops;
#[doc(hidden)]
pub mod quantize;
#[doc(hidden)]
pub mod runtime;
#[doc(hidden)]
pub mod simd;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod study;
#[doc(hidden)]
pub mod train;
#[doc(hidden)]
pub mod weights;

#[doc(inline)]
pub use data::{
    Crops, Dataset, Error as DataError, Limits, Preprocess, Region, RgbImage, decode, read_image,
};
#[doc(inline)]
pub use gemm::Backend;
#[doc(inline)]
pub use infer::{ClassMap, Classifier, ClassifierError, InferError, Model, Prediction, Session};
#[doc(inline)]
pub use model::{ModelSpec, Network, Options as ModelOptions, ParamSource, Params, SpecError};
#[doc(inline)]
pub use runtime::{Disk, Interrupt, ThreadsError, Watch, pool};
#[doc(inline)]
pub use simd::Isa;
#[doc(inline)]
pub use train::{
    Config, EpochMetrics, Length, Observer, Outcome, Recipe, Run, RunError, RunOptions, StepReport,
    TrainData,
};
#[doc(inline)]
pub use weights::{Overrides, WeightsError, WeightsFile};

/// The README's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
