//! Convolutions in groups as usual ones.
//!
//! A few groups together are a bundle, and a bundle is a convolution whose filters have zeros where they would see
//! other groups. So the kernels of the house do, at the price of multiplying the zeros: a bundle is as wide as the
//! kernels need to be fast, and no wider. Where an activation is infinite or NaN, its whole bundle becomes NaN and
//! not only its group.

use crate::conv::ConvShape;
use crate::model::{ConvBn, ParamSource, SourceError};
use crate::numerics::BUNDLE;
use std::borrow::Cow;
use std::ops::Range;

/// Bundles of `conv`; 1 without groups.
pub(super) fn bundles(conv: &ConvBn) -> usize {
    let width = conv.in_channels.max(conv.out_channels) / conv.groups;
    let most = (BUNDLE / width).clamp(1, conv.groups);
    let together = (1..=most).rev().find(|&groups| conv.groups.is_multiple_of(groups));
    conv.groups / together.unwrap_or(1)
}

/// The shape of a bundle, where all of `conv` has `shape`.
pub(super) fn of_bundle(conv: &ConvBn, shape: ConvShape) -> ConvShape {
    let bundles = bundles(conv);
    let (in_channels, out_channels) = (shape.in_channels / bundles, shape.out_channels / bundles);
    ConvShape { in_channels, out_channels, ..shape }
}

/// The filters of each bundle of `conv`, `[out / bundles, in / bundles, kernel, kernel]`, with their zeros.
pub(super) fn filters(
    conv: &ConvBn,
    weights: &dyn ParamSource,
) -> Result<Vec<Vec<f32>>, SourceError> {
    let values = weights.tensor(conv.weight)?;
    Ok(filters_of(conv, &values).into_iter().map(Cow::into_owned).collect())
}

/// As [`filters`], of all filters of `conv`; a convolution without groups has them as they are.
pub(super) fn filters_of<'a, T: Copy + Default>(
    conv: &ConvBn,
    values: &'a [T],
) -> Vec<Cow<'a, [T]>> {
    if conv.groups == 1 {
        return vec![Cow::Borrowed(values)];
    }
    let bundles = bundles(conv);
    let taps = conv.kernel * conv.kernel;
    // Of one filter: what it sees, and what a filter of the bundle sees.
    let (own, all) = (conv.in_channels / conv.groups * taps, conv.in_channels / bundles * taps);
    let (of_group, of_bundle) = (conv.out_channels / conv.groups, conv.out_channels / bundles);
    let bundle = |bundle: usize| {
        let mut filters = vec![T::default(); of_bundle * all];
        for (out, filter) in filters.chunks_exact_mut(all).enumerate() {
            // Within the bundle, as the groups are.
            let at = out / of_group * own;
            let from: Range<usize> =
                (bundle * of_bundle + out) * own..(bundle * of_bundle + out + 1) * own;
            filter[at..at + own].copy_from_slice(&values[from]);
        }
        Cow::Owned(filters)
    };
    (0..bundles).map(bundle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InitOptions, ModelSpec, Network, Options, initialize};

    #[test]
    fn a_bundle_is_as_wide_as_kernels_need() {
        let widths = |name: &str| -> Vec<usize> {
            let network = Network::new(&ModelSpec::new(name, Options::default()).unwrap());
            let of = |conv: &&ConvBn| conv.groups > 1;
            let mut widths: Vec<usize> =
                network.convs().filter(of).map(|conv| conv.out_channels / bundles(conv)).collect();
            widths.dedup();
            widths
        };
        assert_eq!(widths("resnext50_32x4d"), [64]);
        assert_eq!(widths("resnext101_32x32d"), [64, 128, 256]);
        assert!(widths("resnet50").is_empty());
    }

    #[test]
    fn filters_have_zeros_where_other_groups_are() {
        let network = Network::new(&ModelSpec::new("resnext50_32x4d", Options::default()).unwrap());
        let params = initialize(&network, 1, InitOptions::default());
        let conv = &network.blocks[0].convs[1];
        assert_eq!((conv.groups, conv.in_channels, bundles(conv)), (32, 128, 2));
        let filters = filters(conv, &params).unwrap();
        let weights = params.get(conv.weight);
        for (bundle, filters) in filters.iter().enumerate() {
            assert_eq!(filters.len(), 64 * 64 * 9);
            for (i, &value) in filters.iter().enumerate() {
                let (out, channel, tap) = (i / 576, i / 9 % 64, i % 9);
                let same = out / 4 == channel / 4;
                let at = ((bundle * 64 + out) * 4 + channel % 4) * 9 + tap;
                assert_eq!(value, if same { weights[at] } else { 0.0 });
            }
        }
    }
}
