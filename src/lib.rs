//! **resnet-cpu** trains and runs Residual Networks (He, Zhang, Ren, Sun, 2015) on the CPU.
//!
//! Start with [`infer::Classifier`], which classifies images with the weights in a file:
//!
//! ```no_run
//! use resnet_cpu::{data, infer::Classifier};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let classifier = Classifier::open("resnet50.safetensors")?;
//! let image = data::read_image("dog.jpg".as_ref(), &data::Limits::default())?;
//! for prediction in classifier.classify_one(&image, 5)? {
//!     println!("{:?} {}", classifier.label(prediction.index), prediction.probability);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`train::Run`] trains a network, and [`learn::Learner`] computes a single training step.
//!
//! Every convolution is a matrix product over NHWC activations, and one blocked SGEMM computes all of them.
//! They differ in where a panel of the left operand comes from (a packer) and in what happens to a finished
//! tile (an epilogue). The result depends on data, seed and shape only: the same bits for any number of
//! threads and for AVX-512, AVX2 and NEON.
//!
//! The modules, lowest first. Each uses only those above it in this list (`docs/architecture.md`):
//!
//! | module | job |
//! |---|---|
//! | [`simd`] | vector operations, one implementation per instruction set; dispatch |
//! | [`runtime`] | threads and teams of them, buffers, durable files, signals, random numbers |
//! | [`gemm`] | the blocked matrix product: kernels, packing, epilogues |
//! | [`conv`] | convolutions as matrix products |
//! | [`ops`] | every other layer |
//! | [`model`] | the networks of the paper, as plain data |
//! | [`weights`] | files of weights and the names in them |
//! | [`data`] | from images to tensors |
//! | [`infer`] | models, sessions, classifiers, predictions |
//! | [`learn`] | a training step: forward and backward pass, loss, optimiser, moving average |
//! | [`train`] | a run: data, recipe, schedule, checkpoints, metrics, report |

pub mod conv;
pub mod data;
pub mod gemm;
pub mod infer;
pub mod learn;
pub mod model;
mod numerics;
pub mod ops;
pub mod runtime;
pub mod simd;
pub mod train;
pub mod weights;
