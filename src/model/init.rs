//! The numbers a network starts training from.
//!
//! He initialisation (He et al., "Delving Deep into Rectifiers", 2015, the paper's reference 13) in
//! the fan-out form of the authors' and torchvision's code. Each tensor draws from a stream of its
//! own, keyed by seed and name: a change of one layer leaves all others as they were.

use super::network::{BlockShortcut, Network};
use super::params::Params;
use super::tensors::Role;
use crate::runtime::Rng;

/// What may be chosen about the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InitOptions {
    /// Each residual block's last batch norm starts with scale 0, so that the block starts as its
    /// shortcut (Goyal et al., 2017, section 5.1). Plain networks are not affected.
    pub zero_init_last_bn: bool,
}

/// Fresh parameters: convolutions normal with standard deviation `sqrt(2 / (kernel² · out))`; batch
/// norm scale 1, shift 0, mean 0, variance 1; classifier and its bias uniform in `±1 / sqrt(in)`.
pub fn initialize(network: &Network, seed: u64, options: InitOptions) -> Params {
    let mut params = Params::zeros(network);
    let bound = (1.0 / (network.fc.in_features as f64).sqrt()) as f32;
    for (id, info) in network.table().iter() {
        let mut rng = Rng::named(seed, &info.name);
        let values = params.get_mut(id);
        match info.role {
            Role::ConvWeight => {
                let fan_out = info.shape[0] * info.shape[2] * info.shape[3];
                let deviation = (2.0 / fan_out as f64).sqrt() as f32;
                values.fill_with(|| deviation * rng.normal());
            }
            Role::Gamma | Role::RunningVar => values.fill(1.0),
            Role::Beta | Role::RunningMean => values.fill(0.0),
            Role::LinearWeight | Role::LinearBias => {
                values.fill_with(|| rng.uniform_in(-bound, bound));
            }
        }
    }
    if options.zero_init_last_bn {
        for block in network.blocks.iter().filter(|b| b.shortcut != BlockShortcut::None) {
            params.get_mut(block.convs[block.convs.len() - 1].gamma).fill(0.0);
        }
    }
    params
}
