//! What decides the bytes of a pack: stored in `dataset.json`, and before that is written in a file of its own, so
//! that a pack is only ever continued with the same settings and the same images.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::part::PartPlan;
use super::source::Source;
use super::store::{Format, Rule};
use resnet_cpu::data::View;

/// The key of the version of this program. It matters while a pack is unfinished: another version may encode
/// otherwise.
pub(super) const VERSION: &str = "version";

/// Names and values of settings.
pub(super) type Settings = BTreeMap<String, Value>;

/// What the flags say, as far as it decides bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choices {
    pub(super) shorter_side: usize,
    pub(super) format: Format,
    pub(super) quality: u8,
    pub(super) shard_size: u64,
    pub(super) seed: u64,
    pub(super) view: View,
}

impl Choices {
    /// The rule for the part called `name`: only images to train on are changed, and measured.
    pub(super) fn rule(&self, name: &str) -> Rule {
        let trained = name == "train";
        Rule {
            shorter_side: trained.then_some(self.shorter_side),
            format: self.format,
            quality: self.quality,
            view: trained.then_some(self.view),
        }
    }

    /// The settings of a pack of `source`, cut into `parts`.
    pub(super) fn settings(&self, source: &Source, parts: &[PartPlan]) -> Settings {
        let mut settings = Settings::new();
        let mut set = |key: &str, value: Value| settings.insert(key.to_owned(), value);
        set(VERSION, json!(env!("CARGO_PKG_VERSION")));
        set("source", json!(source.kind));
        for part in parts {
            set(&format!("images of {}", part.name), json!(part.data.fingerprint()));
        }
        set("shorter_side", json!(self.shorter_side));
        match self.format {
            Format::Jpeg => {
                set("format", json!("jpeg"));
                set("quality", json!(self.quality));
            }
            Format::Raw => {
                set("format", json!("raw"));
            }
        }
        set("shard_size", json!(self.shard_size));
        set("seed", json!(self.seed));
        if let Some(pad) = self.view.pad {
            set("pad", json!(pad));
        }
        set("resize", json!(self.view.resize));
        set("crop", json!(self.view.crop));
        settings
    }
}

/// What differs between two packs, one setting after another; nothing if they agree.
pub(super) fn difference(there: &Settings, now: &Settings) -> Option<String> {
    let keys: std::collections::BTreeSet<_> = there.keys().chain(now.keys()).collect();
    let text = |settings: &Settings, key: &str| {
        settings.get(key).map_or("nothing".to_owned(), Value::to_string)
    };
    let different = keys.into_iter().filter(|key| there.get(*key) != now.get(*key));
    let lines: Vec<String> = different
        .map(|key| format!("{key}: there {}, now {}", text(there, key), text(now, key)))
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let settings = |pairs: &[(&str, Value)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect::<Settings>()
        };
        let a = settings(&[("seed", json!(1)), ("format", json!("jpeg")), ("quality", json!(95))]);
        let b = settings(&[("seed", json!(2)), ("format", json!("raw"))]);
        assert_eq!(difference(&a, &a), None);
        assert_eq!(
            difference(&a, &b).unwrap(),
            "format: there \"jpeg\", now \"raw\"; quality: there 95, now nothing; seed: there 1, now 2"
        );
    }
}
