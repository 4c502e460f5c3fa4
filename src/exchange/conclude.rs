//! How work that processes share has ended: all learn the same.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::gather::gather;
use super::transport::Exchange;
use crate::ops::Loss;

/// How it has ended, on all processes alike.
#[derive(Clone, Debug, PartialEq)]
pub enum Concluded<T> {
    /// What each process has found, in their order, and the floats with it.
    Found(Vec<(T, Vec<f32>)>),
    /// A process was asked to stop.
    Stopped,
    /// Another process cannot go on.
    Failed(Failed),
}

/// A process that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its number.
    pub rank: usize,
    /// Its machine.
    pub host: String,
    /// What it says.
    pub reason: String,
}

/// What a process says; its floats follow.
#[derive(Serialize, Deserialize)]
struct Words<T> {
    host: String,
    failed: Option<String>,
    found: Option<T>,
}

/// A loss as it is told: the bits of the sum, which may be no number of JSON, top-1, top-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldLoss(u64, usize, usize);

impl From<Loss> for ToldLoss {
    fn from(Loss { sum, top1, top5 }: Loss) -> Self {
        Self(sum.to_bits(), top1, top5)
    }
}

impl From<ToldLoss> for Loss {
    fn from(ToldLoss(sum, top1, top5): ToldLoss) -> Self {
        Self { sum: f64::from_bits(sum), top1, top5 }
    }
}

/// Tells the others what this process has found, if it was not stopped and did not fail, and hears it of them.
/// `waiting` is called until all have said it.
///
/// # Errors
/// This process's own; the others hear of it.
pub fn conclude<T: Serialize + DeserializeOwned, E: Display>(
    exchange: &dyn Exchange,
    own: Result<Option<(T, Vec<f32>)>, E>,
    waiting: &mut dyn FnMut(),
) -> Result<Concluded<T>, E> {
    let (own, failure) = match own {
        Ok(own) => (own, None),
        Err(error) => (None, Some(error)),
    };
    let (found, floats) = own.unzip();
    let failed = failure.as_ref().map(E::to_string);
    let words = Words { host: exchange.host(), failed, found };
    let words = serde_json::to_vec(&words).expect("plain data");
    let mut mine = (words.len() as u64).to_le_bytes().to_vec();
    mine.extend(words);
    mine.extend_from_slice(bytemuck::cast_slice(&floats.unwrap_or_default()));
    let all = gather(exchange, &mine, waiting);
    if let Some(error) = failure {
        return Err(error);
    }
    let mut parts = Vec::with_capacity(all.len());
    let mut stopped = false;
    for (rank, said) in all.iter().enumerate() {
        let (len, rest) = said.split_at(size_of::<u64>());
        let len = u64::from_le_bytes(len.try_into().expect("eight bytes")) as usize;
        let (words, floats) = rest.split_at(len);
        let Words { host, failed, found } =
            serde_json::from_slice(words).expect("this very program's words");
        if let Some(reason) = failed {
            return Ok(Concluded::Failed(Failed { rank, host, reason }));
        }
        match found {
            Some(found) => parts.push((found, bytemuck::pod_collect_to_vec(floats))),
            None => stopped = true,
        }
    }
    Ok(if stopped { Concluded::Stopped } else { Concluded::Found(parts) })
}
