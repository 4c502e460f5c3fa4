//! ImageNet's classes in WordNet: the id of each and the words for it, in the order of ILSVRC 2012's indices,
//! which is that of the sorted ids.
//!
//! Folders of ImageNet's images are called by these ids. Some words belong to several classes: a crane is a
//! bird and a machine.

use std::sync::LazyLock;

/// A class of ImageNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synset {
    /// Its WordNet id, such as `n01440764`.
    pub id: &'static str,
    /// The words for it with commas between them, such as `tench, Tinca tinca`.
    pub words: &'static str,
}

static IMAGENET: LazyLock<Vec<Synset>> = LazyLock::new(|| {
    let lines = include_str!("imagenet_synsets.txt").lines();
    lines.filter_map(|line| line.split_once(' ')).map(|(id, words)| Synset { id, words }).collect()
});

/// The 1,000 classes of ILSVRC 2012, in the order of their indices.
pub fn imagenet() -> &'static [Synset] {
    &IMAGENET
}

/// The WordNet id that `name` is or begins with, as in `n02085620-Chihuahua`.
pub(super) fn id_of(name: &str) -> Option<&str> {
    const LEN: usize = 9;
    let id = name.get(..LEN)?;
    let digits = id.strip_prefix(['n', 'N'])?;
    let ends = name[LEN..].chars().next().is_none_or(|c| !c.is_alphanumeric());
    (ends && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(id)
}

/// The class of ILSVRC 2012 with this WordNet id.
pub(super) fn index_of(id: &str) -> Option<usize> {
    let id = id.to_ascii_lowercase();
    IMAGENET.binary_search_by(|synset| synset.id.cmp(&id)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::labels;
    use crate::weights::DataSet;

    #[test]
    fn a_thousand_classes_in_the_order_of_their_ids() {
        let synsets = imagenet();
        assert_eq!(synsets.len(), 1000);
        assert!(synsets.is_sorted_by(|a, b| a.id < b.id));
        assert!(synsets.iter().all(|s| id_of(s.id) == Some(s.id) && !s.words.is_empty()));
        assert_eq!(synsets[0], Synset { id: "n01440764", words: "tench, Tinca tinca" });
        assert_eq!(index_of("N15075141"), Some(999));
        assert_eq!(index_of("n00000000"), None);
    }

    /// The two lists come from different places: each name is one of the words at its index.
    #[test]
    fn the_built_in_names_are_words_of_the_same_classes() {
        let names = labels::names_of(DataSet::ImageNet);
        let differ: Vec<usize> = (0..1000)
            .filter(|&i| !imagenet()[i].words.split(", ").any(|word| word == names[i]))
            .collect();
        // "crane bird" and "maillot tank suit", which torchvision tells from "crane" and "maillot".
        assert_eq!(differ, [134, 639]);
    }

    #[test]
    fn names_may_begin_with_an_id() {
        assert_eq!(id_of("n02085620-Chihuahua"), Some("n02085620"));
        assert_eq!(id_of("n02085620_x"), Some("n02085620"));
        for name in ["n0208562", "n02085620x", "n020856201", "x02085620", "nü2085620", ""] {
            assert_eq!(id_of(name), None, "{name}");
        }
    }
}
