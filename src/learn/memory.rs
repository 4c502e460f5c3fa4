//! How much memory a training step takes, from shapes alone: known before anything is allocated.

use crate::model::{Block, BlockShortcut, LayerShape, Network};

/// Gradients of the largest activation's size.
const SCRATCH: u128 = 3;

/// Copies of the weights that the optimiser and both passes have: weights, velocity, gradients, and packed
/// filters, at most four times their size for each pass.
const COPIES: u128 = 3 + 2 * 4;

/// Bytes of memory that it takes to train `network` with `micro_batch` images of `side` x `side` pixels at a
/// time, to within about a tenth. The images of a whole `batch` are prepared at once. Nothing is allocated.
pub fn training_bytes(network: &Network, batch: usize, micro_batch: usize, side: usize) -> u64 {
    let image = 3 * side as u128 * side as u128;
    let weights = network.table().learnable_len() as u128;
    let images = (batch as u128).saturating_mul(image);
    let tape = tape_floats(network, micro_batch, side);
    // Gradients of micro-batches that wait for others.
    let waiting = u128::from(batch.div_ceil(micro_batch.max(1)).max(1).ilog2());
    let floats = images.saturating_add(tape).saturating_add((COPIES + waiting) * weights);
    u64::try_from(floats.saturating_mul(size_of::<f32>() as u128)).unwrap_or(u64::MAX)
}

/// Floats that the buffers of a tape hold.
fn tape_floats(network: &Network, batch: usize, side: usize) -> u128 {
    let layers = network.layers(side, side);
    let floats = |layer: &LayerShape, channels: usize| {
        layer.output.0 as u128 * layer.output.1 as u128 * channels as u128
    };
    let mut convs = layers.iter();
    let stem = convs.next().map_or(0, |stem| floats(stem, network.stem.out_channels));
    // The pool halves both sides, and keeps a byte a value of what it chose.
    let mut all = stem + if network.stem_pool { stem / 4 + stem / 16 } else { stem };
    let mut largest = stem;
    for Block { convs: own, shortcut, pool, .. } in &network.blocks {
        let mut out = 0;
        for (i, conv) in own.iter().enumerate() {
            let Some(layer) = convs.next() else { break };
            if i == 0 && *pool {
                let input = layer.input.0 as u128 * layer.input.1 as u128;
                all += input * conv.in_channels as u128 * 5 / 4;
            }
            out = floats(layer, conv.out_channels);
            largest = largest.max(out);
            all += out;
        }
        // The block's own output.
        all += out;
        if let BlockShortcut::Project(conv) = shortcut
            && let Some(layer) = convs.next()
        {
            all += floats(layer, conv.out_channels);
        }
    }
    (batch as u128).saturating_mul(all + SCRATCH * largest)
}

#[cfg(test)]
mod tests {
    use super::super::tape::Tape;
    use super::*;
    use crate::conv::Convolutions;
    use crate::gemm::Backend;
    use crate::model::{ModelSpec, Options};
    use crate::simd::Isa;

    #[test]
    fn the_estimate_is_what_a_tape_allocates() {
        for (name, side) in [
            ("resnet18", 64),
            ("resnet50", 64),
            ("plain18", 64),
            ("resnet20", 32),
            ("plain20", 32),
            ("resnet18", 65),
        ] {
            let network = Network::new(&ModelSpec::new(name, Options::default()).unwrap());
            let backend = Backend::Native(Isa::best());
            let tape = Tape::new(&network, (backend, Convolutions::Auto), 2, side, side).unwrap();
            let (found, expected) = (tape.floats(), tape_floats(&network, 2, side) as usize);
            let near = found.abs_diff(expected) * 20 < found;
            assert!(near, "{name}: {found} floats, {expected} estimated");
        }
    }

    #[test]
    fn absurd_sizes_have_an_estimate_too() {
        let network = Network::new(&ModelSpec::new("resnet50", Options::default()).unwrap());
        let small = training_bytes(&network, 32, 32, 224);
        assert!((1 << 30..8 << 30).contains(&small), "{small}");
        assert!(training_bytes(&network, 1 << 20, 1 << 20, 16_384) > 1 << 56);
        assert_eq!(training_bytes(&network, usize::MAX, usize::MAX, 1 << 30), u64::MAX);
    }
}
