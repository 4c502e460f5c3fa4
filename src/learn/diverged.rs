//! Where the numbers of a run first stopped being finite.

use std::fmt;

use super::tape::{Shortcut, Tape};
use crate::model::{ConvBn, Network, Params, TensorInfo};

/// The first layer, in the order in which a step computes, with a number that is not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// What the number is part of: `weights`, `activations`, `loss` or `gradients`.
    pub of: &'static str,
    /// The layer or tensor, e.g. `layer1.0.conv1`.
    pub layer: String,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.of, self.layer)
    }
}

/// The first of `weights` (or of other numbers laid out so, say gradients) that is not finite.
pub(crate) fn in_flat(params: &Params, values: &[f32], of: &'static str) -> Option<NotFinite> {
    let learnable = params.table().infos().iter().filter(|info| info.role.is_learnable());
    let bad = |info: &&TensorInfo| !finite(&values[info.range()]);
    learnable.into_iter().find(bad).map(|info| NotFinite { of, layer: info.name.clone() })
}

/// The first convolution whose output, or else the classifier if its output is not finite.
pub(super) fn in_tape(network: &Network, tape: &Tape) -> Option<NotFinite> {
    let layer = |conv: &ConvBn| {
        let name = &network.tensor(conv.weight).name;
        name.strip_suffix(".weight").unwrap_or(name).to_owned()
    };
    let blocks = tape.blocks.iter().flat_map(|block| {
        let project = match &block.shortcut {
            Shortcut::Project(unit) => Some(&**unit),
            _ => None,
        };
        block.units.iter().chain(project)
    });
    let mut units = std::iter::once(&tape.stem).chain(blocks);
    let of = "activations";
    units
        .find(|unit| !finite(&unit.y))
        .map(|unit| NotFinite { of, layer: layer(&unit.conv) })
        .or_else(|| (!finite(&tape.logits)).then(|| NotFinite { of, layer: "fc".to_owned() }))
}

pub(crate) fn finite(values: &[f32]) -> bool {
    // Counting without early exit lets the compiler use vectors.
    values.chunks(4096).all(|part| part.iter().filter(|x| !x.is_finite()).count() == 0)
}
