//! Which runs a study has, what they are called, and in which order they are trained.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::{Options, Shortcut};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Plain beside residual networks of several depths (the paper's figures 4 and 6, tables 2 and 6).
    Degradation,
    /// Residual networks with shortcuts A, B and C (table 3).
    Shortcuts,
}

/// A kind of network, of any depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// Without shortcuts.
    Plain,
    /// With these.
    Residual(Shortcut),
}

/// A run of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Layers.
    pub depth: usize,
    /// The kind of network.
    pub net: Net,
    /// The seed of the run.
    pub seed: u64,
}

/// All runs of a study: each kind of network in each depth, with each seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// What is compared.
    pub kind: Kind,
    /// Layers, ascending.
    pub depths: Vec<usize>,
    /// Kinds of network, each once.
    pub nets: Vec<Net>,
    /// Seeds, each once.
    pub seeds: Vec<u64>,
}

impl Grid {
    /// The grid of these; what is named twice is there once.
    pub fn new(kind: Kind, depths: &[usize], nets: &[Net], seeds: &[u64]) -> Self {
        let mut depths = depths.to_vec();
        depths.sort_unstable();
        depths.dedup();
        let (mut own_nets, mut own_seeds) = (Vec::new(), Vec::new());
        nets.iter().for_each(|net| {
            if !own_nets.contains(net) {
                own_nets.push(*net)
            }
        });
        seeds.iter().for_each(|seed| {
            if !own_seeds.contains(seed) {
                own_seeds.push(*seed)
            }
        });
        Self { kind, depths, nets: own_nets, seeds: own_seeds }
    }

    /// The runs in the order in which they are trained: the shallow, which are short, first, and all networks of a
    /// depth one after another. Further seeds come when all networks have one.
    pub fn members(&self) -> Vec<Member> {
        let mut members = Vec::new();
        for &seed in &self.seeds {
            for &depth in &self.depths {
                members.extend(self.nets.iter().map(|&net| Member { depth, net, seed }));
            }
        }
        members
    }
}

impl Member {
    /// The architecture's name.
    pub fn arch(&self) -> String {
        match self.net {
            Net::Plain => format!("plain{}", self.depth),
            Net::Residual(_) => format!("resnet{}", self.depth),
        }
    }

    /// The options of the architecture.
    pub fn options(&self) -> Options {
        Options { shortcut: self.net.shortcut(), ..Options::default() }
    }

    /// The name of its folder: `plain20-seed1`, `resnet20-a-seed1`.
    pub fn name(&self) -> String {
        let (arch, seed) = (self.arch(), self.seed);
        match self.net {
            Net::Plain => format!("{arch}-seed{seed}"),
            Net::Residual(shortcut) => format!("{arch}-{shortcut}-seed{seed}"),
        }
    }

    /// The member whose folder has this name, if there is one.
    pub fn of_name(name: &str) -> Option<Self> {
        let (network, seed) = name.rsplit_once("-seed")?;
        let (depth, net) = match network.strip_prefix("plain") {
            Some(depth) => (depth, Net::Plain),
            None => {
                let (depth, shortcut) = network.strip_prefix("resnet")?.split_once('-')?;
                (depth, Net::Residual(shortcut.parse().ok()?))
            }
        };
        let member = Self { depth: depth.parse().ok()?, net, seed: seed.parse().ok()? };
        // Not `plain020`.
        (member.name() == name).then_some(member)
    }

    /// As the paper calls the network: `plain-20`, `ResNet-20 (A)`.
    pub fn title(&self) -> String {
        match self.net {
            Net::Plain => format!("plain-{}", self.depth),
            Net::Residual(shortcut) => format!("ResNet-{} ({shortcut:?})", self.depth),
        }
    }
}

impl Net {
    /// Its kind of shortcut, if it has shortcuts.
    pub fn shortcut(self) -> Option<Shortcut> {
        match self {
            Self::Plain => None,
            Self::Residual(shortcut) => Some(shortcut),
        }
    }

    /// As a heading: `plain`, `ResNet, shortcuts A`.
    pub fn title(self) -> String {
        match self {
            Self::Plain => "plain".to_owned(),
            Self::Residual(shortcut) => format!("ResNet, shortcuts {shortcut:?}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Degradation => "degradation",
            Self::Shortcuts => "shortcuts",
        })
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::Residual(shortcut) => shortcut.fmt(f),
        }
    }
}

/// A kind of network that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected plain, a, b or c, found {0}")]
pub struct UnknownNet(String);

impl FromStr for Net {
    type Err = UnknownNet;

    fn from_str(text: &str) -> Result<Self, UnknownNet> {
        if text.eq_ignore_ascii_case("plain") {
            return Ok(Self::Plain);
        }
        text.parse().map(Self::Residual).map_err(|_| UnknownNet(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_useful_early() {
        let nets = ["plain", "A", "plain"].map(|net| net.parse().unwrap());
        let grid = Grid::new(Kind::Degradation, &[56, 20, 20], &nets, &[1, 2, 1]);
        let names: Vec<String> = grid.members().iter().map(Member::name).collect();
        assert_eq!(
            names,
            [
                "plain20-seed1",
                "resnet20-a-seed1",
                "plain56-seed1",
                "resnet56-a-seed1",
                "plain20-seed2",
                "resnet20-a-seed2",
                "plain56-seed2",
                "resnet56-a-seed2",
            ]
        );
        for member in grid.members() {
            assert_eq!(Member::of_name(&member.name()), Some(member));
        }
    }

    #[test]
    fn other_folders_are_no_members() {
        for name in
            ["", "plain20", "plain020-seed1", "resnet20-seed1", "resnet20-d-seed1", "-seed1"]
        {
            assert_eq!(Member::of_name(name), None, "{name}");
        }
        let error = "d".parse::<Net>().unwrap_err().to_string();
        assert_eq!(error, "expected plain, a, b or c, found d");
    }
}
