//! How far a network in 8 bits is from what it was made from: the same images through both, layer by layer.

use super::POOL;
use super::error::QuantizeError;
use super::range::decibels;
use crate::data;
use crate::infer::{Model, Seen, SeenValues, Session};
use crate::model::{Network, Quantized, Scale};
use crate::runtime::Watch;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// How far the logits are from those in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Agreement {
    /// Images that were compared.
    pub images: usize,
    /// Those whose most likely class is the same.
    pub same_top1: usize,
    /// Mean cosine of the angle between the logits; 1 where they are the same but for a factor.
    pub cosine: f64,
}

/// What was found.
#[derive(Default)]
pub(super) struct Comparison {
    pub(super) agreement: Agreement,
    /// Of each activation: the sums of the squares of its values in f32, and of the differences.
    sums: HashMap<String, (f64, f64)>,
}

impl Comparison {
    /// Signal to noise of what layer `name` makes, in dB, with the errors of all layers before it.
    pub(super) fn decibels(&self, name: &str) -> Option<f64> {
        let &(signal, noise) = self.sums.get(name)?;
        decibels(signal, noise)
    }
}

/// The scale of each activation, by the name of what makes it.
pub(super) fn scales(network: &Network, quantized: &Quantized) -> BTreeMap<String, Scale> {
    let outputs = network.convs().zip(&quantized.convs);
    let named = outputs.map(|(conv, numbers)| (conv.name.clone(), numbers.output));
    named.chain([(POOL.to_owned(), quantized.fc.input)]).collect()
}

/// Runs each of `inputs`, of `side` pixels, through the two models; `scales` are those of the `integers`.
///
/// # Errors
/// A network cannot run; it was stopped.
pub(super) fn compare(
    exact: &Arc<Model<'_>>,
    integers: &Arc<Model<'_>>,
    scales: &BTreeMap<String, Scale>,
    inputs: &[Vec<f32>],
    side: usize,
    watch: &dyn Watch,
) -> Result<Comparison, QuantizeError> {
    let network = exact.network();
    let stem = &network.deep_stem.last().unwrap_or(&network.stem).name;
    let (mut exact, mut integers) = (Session::of(exact), Session::of(integers));
    let mut found = Comparison::default();
    let mut cosines = 0.0;
    let stopped = || watch.stopped();
    for (i, input) in inputs.iter().enumerate() {
        // One image at a time: all values of an activation are shown at once, and in order.
        let made: Mutex<HashMap<String, Vec<f32>>> = Mutex::default();
        let keep = |Seen { name, values }: Seen<'_>| {
            if let SeenValues::F32(values) = values {
                let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                made.insert(own_name(name, stem), values.to_vec());
            }
        };
        let logits = exact.run_watched(input, 1, side, side, &stopped, &keep)?;
        let logits = logits.ok_or(data::Error::Interrupted)?;
        let made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        let sums = Mutex::new(&mut found.sums);
        let add = |Seen { name, values }: Seen<'_>| {
            let name = own_name(name, stem);
            let (Some(exact), Some(scale), SeenValues::U8(values)) =
                (made.get(&name), scales.get(&name), values)
            else {
                return;
            };
            // The stem's max-pool may be computed with its convolution in f32: then it is compared alone.
            if exact.len() != values.len() {
                return;
            }
            let added = differences(exact, values, *scale);
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            let sum = sums.entry(name).or_default();
            *sum = (sum.0 + added.0, sum.1 + added.1);
        };
        let rounded = integers.run_watched(input, 1, side, side, &stopped, &add)?;
        let rounded = rounded.ok_or(data::Error::Interrupted)?;
        found.agreement.images += 1;
        found.agreement.same_top1 += usize::from(largest(logits) == largest(rounded));
        cosines += cosine(logits, rounded);
        watch.progress("images compared", i as u64 + 1, Some(inputs.len() as u64));
    }
    found.agreement.cosine = cosines / inputs.len().max(1) as f64;
    Ok(found)
}

/// The layer whose values are shown under `name`: the stem's max-pool keeps those of the convolution before it.
fn own_name(name: &str, stem: &str) -> String {
    if name == Seen::STEM_POOL { stem.to_owned() } else { name.to_owned() }
}

/// The sums of the squares of `exact`, and of what differs.
fn differences(exact: &[f32], integers: &[u8], scale: Scale) -> (f64, f64) {
    let (step, zero) = (f64::from(scale.scale), f64::from(scale.zero_point));
    let mut sums = (0.0, 0.0);
    for (&x, &q) in exact.iter().zip(integers) {
        let x = f64::from(x);
        let difference = x - (f64::from(q) - zero) * step;
        sums = (sums.0 + x * x, sums.1 + difference * difference);
    }
    sums
}

fn largest(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)))
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 { dot(a, b) / lengths } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_summed() {
        let scale = Scale { scale: 0.5, zero_point: 10 };
        assert_eq!(differences(&[0.0, 1.0, -2.0], &[10, 13, 6], scale), (5.0, 0.25));
        assert_eq!(largest(&[1.0, 3.0, 3.0, -1.0]), Some(1));
        assert!((cosine(&[1.0, 2.0], &[2.0, 4.0]) - 1.0).abs() < 1e-12);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
    }
}
