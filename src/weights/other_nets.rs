//! ResNets that are not computed here, by name: a list of missing and unexpected tensors would not say that.

use std::collections::BTreeMap;

use super::stored::StoredTensor;

/// Families, by a part of a tensor's name that no network of ours has, in a block or (without `layer`) anywhere.
const BY_TENSOR: [(bool, &str, &str); 21] = [
    (true, ".se.conv.", ECA),
    (true, ".se.", SE),
    (true, ".se_module.", SE),
    (true, ".conv1.paths.", SK),
    (true, ".conv2.paths.", SK),
    (true, ".conv2.fc1.", RESNEST),
    (true, ".conv2.bn0.", RESNEST),
    (true, ".convs.0.", "a Res2Net, whose blocks have scales within them"),
    (true, ".bn1.IN.", "an IBN-Net, which has instance normalisation"),
    (false, ".filt", ANTI_ALIASED),
    (false, "body.layer1.0.conv1.", "a TResNet"),
    (false, "attnpool.", "CLIP's ResNet, which ends in attention"),
    (false, "stages.0.blocks.0.norm1.", PRE_ACTIVATION),
    (false, "encoder.stages.0.layers.0.norm1.", PRE_ACTIVATION),
    (false, "stem.conv.gain", "a BN-free ResNet (NF-ResNet)"),
    (false, "stages.0.0.conv1_1x1.", BLOCKS),
    (false, "stages.0.0.conv1.conv.", BLOCKS),
    (false, "stages.0.conv_exp.", "a CSPNet"),
    (false, "self_attn.", "a network with self-attention"),
    (false, "res2.0.conv1.", "a backbone of Detectron2, with names and images of its own"),
    (false, "blocks.0.attn.", "a transformer"),
];

const SE: &str = "an SE-ResNet, whose blocks weigh channels (squeeze and excitation)";
const ECA: &str = "an ECA-ResNet, whose blocks weigh channels (efficient channel attention)";
const SK: &str = "an SK-ResNet, whose blocks choose kernels";
const RESNEST: &str = "a ResNeSt, whose blocks split their attention";
const ANTI_ALIASED: &str = "an anti-aliased ResNet, which filters before each stride";
const PRE_ACTIVATION: &str = "a pre-activation ResNet (ResNetV2, BiT)";
const BLOCKS: &str = "one of timm's networks of configurable blocks (byobnet)";
const GROUP_NORM: &str = "a ResNet with group normalisation in the place of batch norm";
const CIFAR: &str =
    "a four-stage ResNet for small images: a 3x3 convolution and no max-pool at the start";

/// Families by how timm calls their architectures, where tensors do not always show them.
const BY_ARCHITECTURE: [(&str, &str); 13] = [
    ("resnetaa", ANTI_ALIASED),
    ("resnetblur", ANTI_ALIASED),
    ("ecaresn", ECA),
    ("legacy_seresn", SE),
    ("resnetrs", SE),
    ("seresn", SE),
    ("senet", SE),
    ("skresn", SK),
    ("resnest", RESNEST),
    ("res2ne", "a Res2Net, whose blocks have scales within them"),
    ("resnetv2", PRE_ACTIVATION),
    ("nf_resn", "a BN-free ResNet (NF-ResNet)"),
    ("tresnet", "a TResNet"),
];

/// What network has these tensors (under our names), if it is one of those that are not computed.
pub(super) fn by_tensors(tensors: &BTreeMap<String, &StoredTensor>) -> Option<String> {
    let first = |(in_block, part, what): &(bool, &str, &str)| {
        let mut names = tensors.keys();
        let name =
            names.find(|name| name.contains(part) && (!in_block || name.starts_with("layer")));
        name.map(|name| format!("{what}: it has {}", super::limits::shown(name)))
    };
    if let Some(found) = BY_TENSOR.iter().find_map(first) {
        return Some(found);
    }
    let has = |end: &str| tensors.keys().any(|name| name.ends_with(end));
    if has("layer1.0.bn1.weight") && has("layer1.0.conv1.weight") && !has(".running_mean") {
        return Some(GROUP_NORM.to_owned());
    }
    let stem = tensors.get("conv1.weight").map(|tensor| &tensor.shape[..]);
    let small = matches!(stem, Some([_, _, 3, 3])) && has("layer4.0.conv1.weight");
    small.then(|| CIFAR.to_owned())
}

/// What network is called `architecture`, if it is one of those that are not computed.
pub(super) fn by_architecture(architecture: &str) -> Option<&'static str> {
    let found = BY_ARCHITECTURE.iter().find(|(start, _)| architecture.starts_with(start));
    match found {
        Some((_, what)) => Some(what),
        None if architecture.ends_with("_gn") => Some(GROUP_NORM),
        None if architecture.contains("resn") => Some("another ResNet"),
        None => None,
    }
}

/// The same for networks whose tensors are those of a network that is computed, by the name of their file:
/// `resnetblur50-84f4748f.pth`.
pub(super) fn by_file(stem: &str) -> Option<&'static str> {
    let stem = stem.to_ascii_lowercase();
    ["resnetaa", "resnetblur"].iter().any(|start| stem.starts_with(start)).then_some(ANTI_ALIASED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelSpec;
    use crate::weights::stored::Dtype;

    fn found(names: &[(&str, &[usize])]) -> Option<String> {
        let tensor = |(name, shape): &(&str, &[usize])| StoredTensor {
            name: (*name).to_owned(),
            dtype: Dtype::named("F32"),
            shape: shape.to_vec(),
            bytes: 0..4,
            strides: None,
        };
        let stored: Vec<StoredTensor> = names.iter().map(tensor).collect();
        by_tensors(&stored.iter().map(|tensor| (tensor.name.clone(), tensor)).collect())
    }

    /// A name of each family as timm (or its own publisher) writes it.
    #[test]
    fn families_are_called_by_name() {
        for (name, what) in [
            ("layer1.0.se.fc1.weight", "an SE-ResNet"),
            ("layer1.0.se_module.fc1.weight", "an SE-ResNet"),
            ("layer1.0.se.conv.weight", "an ECA-ResNet"),
            ("layer1.0.conv1.paths.0.conv.weight", "an SK-ResNet"),
            ("layer1.0.conv2.attn.fc_reduce.weight", ""),
            ("layer1.0.conv2.fc1.weight", "a ResNeSt"),
            ("layer1.0.convs.0.weight", "a Res2Net"),
            ("layer2.0.conv2.1.filt", "an anti-aliased ResNet"),
            ("stages.0.blocks.0.norm1.weight", "a pre-activation ResNet"),
            ("bit.encoder.stages.0.layers.0.norm1.weight", "a pre-activation ResNet"),
            ("stem.conv.gain", "a BN-free ResNet"),
            ("stages.0.0.conv1_1x1.conv.weight", "one of timm's networks"),
            ("body.layer1.0.conv1.conv.weight", "a TResNet"),
            ("visual.attnpool.k_proj.weight", "CLIP's ResNet"),
            ("layer1.0.bn1.IN.weight", "an IBN-Net"),
        ] {
            let found = found(&[(name, &[1]), ("layer1.0.bn1.running_mean", &[1])]);
            match what {
                "" => assert_eq!(found, None),
                _ => {
                    assert!(found.as_ref().is_some_and(|f| f.starts_with(what)), "{name} {found:?}")
                }
            }
        }
        let norms: [(&str, &[usize]); 2] =
            [("layer1.0.bn1.weight", &[64]), ("layer1.0.conv1.weight", &[64, 64, 1, 1])];
        assert!(found(&norms).is_some_and(|found| found.contains("group normalisation")));
        let small: [(&str, &[usize]); 3] = [
            ("conv1.weight", &[64, 3, 3, 3]),
            ("layer4.0.conv1.weight", &[1]),
            ("layer4.0.bn1.running_mean", &[1]),
        ];
        assert!(found(&small).is_some_and(|found| found.contains("small images")));
        assert_eq!(found(&[("layer1.0.bn1.running_mean", &[64])]), None);
    }

    #[test]
    fn architectures_and_files_are_told_by_their_names() {
        for (name, what) in [
            ("resnetaa50d", "anti-aliased"),
            ("seresnextaa101d_32x8d", "SE-ResNet"),
            ("ecaresnetlight", "ECA"),
            ("resnet50_gn", "group"),
            ("resnetrs50", "SE-ResNet"),
            ("resnetv2_50x1_bit", "pre-activation"),
            ("lambda_resnet26t", "another"),
        ] {
            assert!(by_architecture(name).is_some_and(|found| found.contains(what)), "{name}");
        }
        assert_eq!(by_architecture("vit_base_patch16_224"), None);
        assert!(
            by_file("resnetblur50-84f4748f").is_some() && by_file("resnet50-0676ba61").is_none()
        );
        // What is computed is not among them.
        for name in ModelSpec::names() {
            let by_prefix = BY_ARCHITECTURE.iter().any(|(start, _)| name.starts_with(start));
            assert!(!by_prefix && by_file(name).is_none(), "{name}");
        }
    }
}
