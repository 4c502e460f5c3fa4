//! Which network is meant: family, depth, shortcuts, strides. Plain data with the paper's names.
//!
//! He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2015): table 1 for ImageNet,
//! section 4.2 for CIFAR-10; and the [`Variant`]s of it that came after. A spec is always one of the known
//! architectures with options that fit it; [`ModelSpec::new`] refuses the rest with a reason.

use std::fmt;
use std::str::FromStr;

use super::archs::{ARCHS, Arch, BlockKind, Family, find};
use super::variant::Variant;

/// How a residual block's input reaches its end (section 3.3 and "Identity vs. projection
/// shortcuts" in section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortcut {
    /// Identity; where the shape changes every second pixel, zero channels added on both sides.
    A,
    /// Identity; where the shape changes a projection (1x1 convolution and batch norm).
    B,
    /// A projection in every block.
    C,
}

/// How a plain network halves the resolution between stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Downsample {
    /// The first convolution of the stage has stride 2 (the paper).
    Conv,
    /// A 2x2/2 max-pool before the first convolution of the stage, which then has stride 1. The
    /// multiply-accumulates are the same.
    MaxPool,
}

/// Which convolution of a bottleneck block carries the stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StrideIn {
    /// The first 1x1 (the paper, "v1").
    Conv1x1,
    /// The 3x3 (torchvision and most published weights, "v1.5").
    Conv3x3,
}

/// Implements `Display` and `FromStr` for an option, as the command line spells its values; they are
/// read in any case.
macro_rules! spelled {
    ($type:ident, $option:literal, $($variant:ident = $text:literal),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }

        impl FromStr for $type {
            type Err = SpecError;

            fn from_str(text: &str) -> Result<Self, SpecError> {
                match &*text.to_ascii_lowercase() {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(SpecError::UnknownValue {
                        option: $option,
                        value: text.to_owned(),
                        known: [$($text),+].join(", "),
                    }),
                }
            }
        }
    };
}

spelled!(Shortcut, "shortcut", A = "a", B = "b", C = "c");
spelled!(Downsample, "downsample", Conv = "conv", MaxPool = "maxpool");
spelled!(StrideIn, "stride-in", Conv1x1 = "1x1", Conv3x3 = "3x3");

/// Why a network cannot be built as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The name is not one of the known architectures.
    #[error("unknown architecture '{name}'; known are {known}", known = ModelSpec::names().join(", "))]
    UnknownArch {
        /// What was asked for.
        name: String,
    },
    /// A value that the option does not have.
    #[error("{option}: unknown value '{value}'; known are {known}")]
    UnknownValue {
        /// The option, e.g. `shortcut`.
        option: &'static str,
        /// What was given.
        value: String,
        /// The values there are.
        known: String,
    },
    /// An option that the architecture does not have.
    #[error("{option} {value} does not fit {arch}: {reason}")]
    Contradiction {
        /// The architecture.
        arch: String,
        /// The option, e.g. `shortcut`.
        option: &'static str,
        /// The value given.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// A number of classes out of range.
    #[error("{arch}: {classes} classes; expected 1 to {max}", max = ModelSpec::MAX_CLASSES)]
    Classes {
        /// The architecture.
        arch: String,
        /// The number given.
        classes: usize,
    },
    /// A number of input channels out of range.
    #[error("{arch}: {channels} input channels; expected 1 to {max}", max = ModelSpec::MAX_CHANNELS)]
    Channels {
        /// The architecture.
        arch: String,
        /// The number given.
        channels: usize,
    },
}

/// What may be chosen about an architecture; `None` takes its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Residual networks only. Default: B for ImageNet, A for CIFAR.
    pub shortcut: Option<Shortcut>,
    /// Plain networks only. Default: by convolution.
    pub downsample: Option<Downsample>,
    /// Bottleneck networks only. Default: in the 3x3.
    pub stride_in: Option<StrideIn>,
    /// Default: 1000 for ImageNet, 10 for CIFAR.
    pub classes: Option<usize>,
    /// Default: 3.
    pub in_channels: Option<usize>,
}

/// Which network is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelSpec {
    /// The name on the command line, e.g. `resnet50`.
    pub name: String,
    /// ImageNet or CIFAR.
    pub family: Family,
    /// Basic or bottleneck blocks.
    pub block: BlockKind,
    /// Blocks in each stage, e.g. `[3, 4, 6, 3]`.
    pub stages: Vec<usize>,
    /// The kind of shortcut; `None` in a plain network.
    pub shortcut: Option<Shortcut>,
    /// How a plain network downsamples; `Conv` in residual networks.
    pub downsample: Downsample,
    /// Where a bottleneck's stride is; without meaning for basic blocks.
    pub stride_in: StrideIn,
    /// Outputs of the classifier.
    pub classes: usize,
    /// Channels of the images.
    pub in_channels: usize,
    /// What differs from the paper's network of this depth.
    pub variant: Variant,
}

impl ModelSpec {
    /// The largest number of classes accepted (ImageNet-21k has 21,841).
    pub const MAX_CLASSES: usize = 1 << 20;

    /// The largest number of input channels accepted (satellites' images have tens, or a few hundred).
    pub const MAX_CHANNELS: usize = 1024;

    /// The architecture called `name`, with `options` where they are given. Names are read in any case
    /// and spelling: `ResNet-50` is `resnet50`.
    ///
    /// # Errors
    /// The name is unknown, an option does not fit the architecture, or the number of classes is
    /// out of range.
    pub fn new(name: &str, options: Options) -> Result<Self, SpecError> {
        let arch = find(name).ok_or_else(|| SpecError::UnknownArch { name: name.to_owned() })?;
        check_options(arch, &options)?;
        let &Arch { name, family, block, stages, residual, variant } = arch;
        let (default_shortcut, default_classes) = match family {
            Family::ImageNet => (Shortcut::B, 1000),
            Family::Cifar => (Shortcut::A, 10),
        };
        let classes = options.classes.unwrap_or(default_classes);
        if !(1..=Self::MAX_CLASSES).contains(&classes) {
            return Err(SpecError::Classes { arch: name.to_owned(), classes });
        }
        let in_channels = options.in_channels.unwrap_or(3);
        if !(1..=Self::MAX_CHANNELS).contains(&in_channels) {
            return Err(SpecError::Channels { arch: name.to_owned(), channels: in_channels });
        }
        Ok(Self {
            name: name.to_owned(),
            family,
            block,
            stages: stages.to_vec(),
            shortcut: residual.then(|| options.shortcut.unwrap_or(default_shortcut)),
            downsample: options.downsample.unwrap_or(Downsample::Conv),
            stride_in: options.stride_in.unwrap_or(StrideIn::Conv3x3),
            classes,
            in_channels,
            variant,
        })
    }

    /// The name of the architecture that `text` means, whatever its case and spelling: `resnet50` for
    /// `ResNet-50`.
    pub fn name_of(text: &str) -> Option<&'static str> {
        find(text).map(|arch| arch.name)
    }

    /// The names of all architectures.
    pub fn names() -> Vec<&'static str> {
        ARCHS.iter().map(|arch| arch.name).collect()
    }

    /// The residual architecture with these blocks, if there is one.
    pub fn residual_name(
        block: BlockKind,
        stages: &[usize],
        variant: Variant,
    ) -> Option<&'static str> {
        let is = |arch: &&Arch| {
            arch.residual && arch.block == block && arch.stages == stages && arch.variant == variant
        };
        ARCHS.iter().find(is).map(|arch| arch.name)
    }

    /// Width of the first stage, and channels of the stem's convolution unless that is a deep stem.
    pub fn stem_channels(&self) -> usize {
        match self.family {
            Family::ImageNet => 64,
            Family::Cifar => 16,
        }
    }

    /// Output channels of a block over its width: 1 for basic, 4 for bottleneck blocks.
    pub fn expansion(&self) -> usize {
        match self.block {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck => 4,
        }
    }

    /// Channels of the features that the classifier sees.
    pub fn features(&self) -> usize {
        (self.stem_channels() << (self.stages.len() - 1)) * self.expansion()
    }

    /// The side in pixels of the square input that the paper trains and tests on: 224 or 32.
    pub fn input_side(&self) -> usize {
        match self.family {
            Family::ImageNet => 224,
            Family::Cifar => 32,
        }
    }

    /// True for networks without shortcuts.
    pub fn is_plain(&self) -> bool {
        self.shortcut.is_none()
    }

    /// Whether all of its parameters can be trained. Networks with deep stems, pools in shortcuts, groups or
    /// other than three input channels can be run; their classifier can be trained on a frozen backbone.
    pub fn is_trainable(&self) -> bool {
        let Variant { groups, width_per_group: _, deep_stem, pooled_shortcut } = self.variant;
        self.in_channels == 3 && groups == 1 && deep_stem.is_none() && !pooled_shortcut
    }
}

/// The name followed by the options that the architecture has: `resnet50, shortcut b, stride-in 3x3`.
impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.shortcut {
            Some(shortcut) => write!(f, ", shortcut {shortcut}")?,
            None => write!(f, ", downsample {}", self.downsample)?,
        }
        if self.block == BlockKind::Bottleneck {
            write!(f, ", stride-in {}", self.stride_in)?;
        }
        match self.in_channels {
            3 => Ok(()),
            1 => f.write_str(", 1 input channel"),
            channels => write!(f, ", {channels} input channels"),
        }
    }
}

fn check_options(arch: &Arch, options: &Options) -> Result<(), SpecError> {
    let &Arch { name, block, residual, variant, .. } = arch;
    let refuse = |option, value: String, reason| {
        Err(SpecError::Contradiction { arch: name.to_owned(), option, value, reason })
    };
    if let Some(shortcut) = options.shortcut {
        if !residual {
            return refuse("shortcut", shortcut.to_string(), "a plain network has no shortcuts");
        }
        if block == BlockKind::Bottleneck && shortcut == Shortcut::A {
            let reason = "the first bottleneck block widens its input four times (64 to 256), and \
                          the paper defines bottleneck networks only with projections where the \
                          shape changes; use b or c";
            return refuse("shortcut", shortcut.to_string(), reason);
        }
        if variant.pooled_shortcut && shortcut == Shortcut::A {
            let reason = "its shortcuts are a pool and a projection; use b or c";
            return refuse("shortcut", shortcut.to_string(), reason);
        }
    }
    if let (Some(downsample), true) = (options.downsample, residual) {
        let reason = "only plain networks have a choice; a residual network downsamples by \
                      convolution";
        return refuse("downsample", downsample.to_string(), reason);
    }
    if let (Some(stride_in), BlockKind::Basic) = (options.stride_in, block) {
        let reason = "it has no bottleneck blocks; a basic block's stride is in its first 3x3";
        return refuse("stride-in", stride_in.to_string(), reason);
    }
    Ok(())
}
