//! Which class of a network is each class of a data set? Found by name, never by the order of folders.
//!
//! Neither case nor what joins the words of a name matters. Of ImageNet's classes any of the words that
//! WordNet has for them counts, and so does the WordNet id. A name that several classes have is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::wordnet::{self, Synset};
use crate::data::Kind;

/// Names that are listed in a message.
const LISTED: usize = 5;
/// Nearest names that are listed, and how like (0..1) a name must be.
const NEAREST: usize = 3;
const LIKE: f64 = 0.7;

/// Classes of data that are not classes of the network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassesError {
    /// Some names of the data are no names of the network, or names of several of its classes.
    #[error("{count} of the data's {classes} classes cannot be matched: {details}")]
    Unmatched {
        /// How many.
        count: usize,
        /// Classes of the data.
        classes: usize,
        /// The first of them, and what they are like.
        details: String,
    },
    /// The data have names, but those of the network's classes are not known.
    #[error(
        "the names of the network's {classes} classes are not known, and the order of names does not say \
         which is which; --labels FILE gives them"
    )]
    NoNames {
        /// Classes of the network.
        classes: usize,
    },
    /// The data only number their classes, and have another number of them.
    #[error(
        "the data have no names for their {found} classes, and the network has {expected}: equal numbers \
         are needed to take them one by one"
    )]
    Count {
        /// Classes of the network.
        expected: usize,
        /// Classes of the data.
        found: usize,
    },
}

/// The network's class for each class of a data set, and what the user should know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// In the order of the data's classes.
    pub indices: Vec<usize>,
    /// A sentence each.
    pub notes: Vec<String>,
}

/// Finds the class of a network for each of the `classes` classes of a data set of `kind`, whose `names` are
/// in label order. `network` has the names of the network's `outputs` classes; `imagenet` says that these are
/// ImageNet's, however they are called.
///
/// By name, if both have names. Data that only number their classes are taken by number, if there are as
/// many, with a note; so are CIFAR-10's records if the network's names are not known.
///
/// # Errors
/// [`ClassesError`] for a class that is not found, or if nothing says which is which.
pub fn match_classes(
    kind: Kind,
    classes: usize,
    names: Option<&[String]>,
    outputs: usize,
    network: Option<&[String]>,
    imagenet: bool,
) -> Result<Matched, ClassesError> {
    let numbers = |names: &[String]| names.iter().enumerate().all(|(i, n)| *n == i.to_string());
    let numbered = kind != Kind::ClassFolders && names.is_none_or(numbers);
    match (names, network) {
        (Some(names), Some(network)) if !numbered || names == network => {
            by_name(names, &Classes::new(network, imagenet))
        }
        _ if !numbered && kind != Kind::Cifar10 => Err(ClassesError::NoNames { classes: outputs }),
        _ if classes != outputs => Err(ClassesError::Count { expected: outputs, found: classes }),
        _ => {
            let whose = if network.is_none() { "network" } else { "data" };
            let note = format!(
                "the names of the {whose}'s classes are not known: class 0 of the data is taken for \
                 class 0 of the network, and so on"
            );
            Ok(Matched { indices: (0..classes).collect(), notes: vec![note] })
        }
    }
}

fn by_name(names: &[String], network: &Classes) -> Result<Matched, ClassesError> {
    let found: Vec<_> = names.iter().map(|name| network.find(name)).collect();
    let failed =
        || names.iter().zip(&found).filter_map(|(name, found)| Some((name, found.as_ref().err()?)));
    let count = failed().count();
    if count > 0 {
        let listed = failed().take(LISTED).map(|(name, found)| network.refusal(name, found));
        let more = if count > LISTED { "; ..." } else { "" };
        let details = listed.collect::<Vec<_>>().join("; ") + more;
        return Err(ClassesError::Unmatched { count, classes: names.len(), details });
    }
    let indices: Vec<usize> = found.into_iter().flatten().collect();
    let mut of_class: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    indices.iter().zip(names).for_each(|(&i, name)| of_class.entry(i).or_default().push(name));
    let shared = of_class.iter().filter(|(_, names)| names.len() > 1);
    let notes = shared
        .map(|(&i, names)| format!("{} are all class {}", names.join(" and "), network.called(i)))
        .collect();
    Ok(Matched { indices, notes })
}

/// A network's classes, by all their names.
struct Classes<'a> {
    names: &'a [String],
    /// WordNet's entry of each class that is one of ImageNet's.
    synsets: Vec<Option<Synset>>,
    /// Whether they are ImageNet's thousand, in order.
    imagenet: bool,
    /// Classes by their plain name as a whole, and by any of the words for them.
    whole: BTreeMap<String, BTreeSet<usize>>,
    words: BTreeMap<String, BTreeSet<usize>>,
}

impl<'a> Classes<'a> {
    fn new(names: &'a [String], imagenet: bool) -> Self {
        let known = wordnet::imagenet();
        let imagenet = names.len() == known.len() && (imagenet || are_imagenet(names));
        let synset = |(i, name): (usize, &String)| match imagenet {
            true => Some(known[i]),
            false => wordnet::index_of(wordnet::id_of(name)?).map(|i| known[i]),
        };
        let synsets: Vec<_> = names.iter().enumerate().map(synset).collect();
        let mut classes =
            Self { names, synsets, imagenet, whole: BTreeMap::new(), words: BTreeMap::new() };
        for (i, name) in names.iter().enumerate() {
            classes.whole.entry(plain(name)).or_default().insert(i);
            for text in [Some(&**name), classes.synsets[i].map(|s| s.words)].into_iter().flatten() {
                for word in text.split(',').chain([text]) {
                    classes.words.entry(plain(word)).or_default().insert(i);
                }
            }
        }
        // What has no letters or digits is no name.
        classes.whole.remove("");
        classes.words.remove("");
        classes
    }

    /// The class that `name` means, else all that it may mean.
    fn find(&self, name: &str) -> Result<usize, BTreeSet<usize>> {
        let id = wordnet::id_of(name).map(str::to_ascii_lowercase);
        let has_id = |i: &usize| self.synsets[*i].is_some_and(|s| Some(s.id) == id.as_deref());
        let exact = |i: &usize| self.names[*i] == name;
        let all = || 0..self.names.len();
        let mut found: BTreeSet<usize> = all().filter(has_id).collect();
        // Of ImageNet's names, some are also words for other classes.
        if found.is_empty() && !self.imagenet {
            found = all().filter(exact).collect();
            if found.is_empty() {
                found = self.whole.get(&plain(name)).cloned().unwrap_or_default();
            }
        }
        if found.is_empty() {
            found = self.by_words(name);
        }
        match found.first() {
            Some(&class) if found.len() == 1 => Ok(class),
            _ => Err(found),
        }
    }

    /// Why `name` is not taken for any of the classes it may mean.
    fn refusal(&self, name: &str, found: &BTreeSet<usize>) -> String {
        if found.is_empty() { self.unknown(name) } else { self.ambiguous(name, found) }
    }

    /// The classes that have `name` among their words, else all words in `name`.
    fn by_words(&self, name: &str) -> BTreeSet<usize> {
        if let Some(found) = self.words.get(&plain(name)) {
            return found.clone();
        }
        let parts = name.split(',').map(|part| self.words.get(&plain(part)));
        let common = parts.map(|found| found.cloned().unwrap_or_default());
        common.reduce(|a, b| &a & &b).unwrap_or_default()
    }

    /// Name and index.
    fn called(&self, i: usize) -> String {
        format!("{:?} ({i})", self.names[i])
    }

    fn unknown(&self, name: &str) -> String {
        let key = plain(name);
        let like = |word: &str| strsim::normalized_damerau_levenshtein(&key, word);
        // A word within a longer name is as near as one that is misspelt.
        let near = |word: &str| {
            let within = key.len() >= 3 && word.split(' ').any(|part| part == key);
            if within { LIKE } else { like(word) }
        };
        let mut nearest: Vec<(f64, usize)> = self
            .words
            .iter()
            .flat_map(|(word, classes)| {
                classes.iter().map(|&i| (near(word), i)).collect::<Vec<_>>()
            })
            .filter(|(score, _)| *score >= LIKE)
            .collect();
        nearest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut seen = BTreeSet::new();
        nearest.retain(|(_, i)| seen.insert(*i));
        let mut text = format!("{name:?} is no class of the network");
        if nearest.is_empty() {
            let some: Vec<String> =
                self.names.iter().take(NEAREST).map(|name| format!("{name:?}")).collect();
            let more = if self.names.len() > NEAREST { ", ..." } else { "" };
            let _ = write!(text, ", whose classes are {}{more}", some.join(", "));
        } else {
            let names: Vec<String> =
                nearest.iter().take(NEAREST).map(|&(_, i)| self.called(i)).collect();
            let _ = write!(text, "; the nearest: {}", names.join(", "));
        }
        text
    }

    fn ambiguous(&self, name: &str, found: &BTreeSet<usize>) -> String {
        let each = found.iter().take(LISTED).map(|&i| match self.synsets[i] {
            Some(Synset { id, words }) => format!("{words:?} ({i}, {id})"),
            None => self.called(i),
        });
        let each: Vec<String> = each.collect();
        let advice = match found.iter().all(|&i| self.synsets[i].is_some()) {
            true => ": name the folder by the WordNet id",
            false => "",
        };
        format!("{name:?} may be {}{advice}", each.join(" or "))
    }
}

/// Whether nine of ten names are words of ImageNet's class of their index.
pub(super) fn are_imagenet(names: &[String]) -> bool {
    let known = wordnet::imagenet();
    let fits = |(name, synset): (&String, &Synset)| {
        let first = plain(name.split(',').next().unwrap_or_default());
        wordnet::id_of(name) == Some(synset.id)
            || synset.words.split(',').any(|w| plain(w) == first)
    };
    let fitting = names.iter().zip(known).filter(|pair| fits(*pair)).count();
    names.len() == known.len() && fitting * 10 >= known.len() * 9
}

/// A name in lower case, its words of letters and digits joined by single blanks.
pub(super) fn plain(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::labels;
    use crate::weights::DataSet;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn folders(names: &[&str], network: &[String]) -> Result<Vec<usize>, String> {
        let names = owned(names);
        let (kind, outputs) = (Kind::ClassFolders, network.len());
        match_classes(kind, names.len(), Some(&names), outputs, Some(network), false)
            .map(|matched| matched.indices)
            .map_err(|error| error.to_string())
    }

    fn imagenet() -> Vec<String> {
        owned(labels::names_of(DataSet::ImageNet))
    }

    #[test]
    fn imagenet_is_found_by_id_name_and_synonym() {
        let network = imagenet();
        for (name, index) in [
            ("n01440764", 0),
            ("N01440764", 0),
            ("n02085620-Chihuahua", 151),
            ("tench", 0),
            ("Tinca_tinca", 0),
            ("tench, Tinca tinca", 0),
            ("tench_Tinca_tinca", 0),
            ("Tinca tinca,tench", 0),
            ("GREAT-WHITE-SHARK", 2),
            ("jack o lantern", 607),
            ("crane bird", 134),
            ("n02012849", 134),
            ("n03126707", 517),
            ("maillot, tank suit", 639),
            ("toilet_tissue", 999),
        ] {
            assert_eq!(folders(&[name], &network), Ok(vec![index]), "{name}");
        }
        // The names of other projects: full ones, ids, or a tenth of them unknown.
        let full: Vec<String> = wordnet::imagenet().iter().map(|s| s.words.to_owned()).collect();
        let ids: Vec<String> = wordnet::imagenet().iter().map(|s| s.id.to_owned()).collect();
        let mut odd = network.clone();
        odd.iter_mut().step_by(11).for_each(|name| *name = format!("?{name}?x"));
        for names in [&full, &ids, &odd] {
            assert_eq!(folders(&["n01443537", "Tinca tinca"], names), Ok(vec![1, 0]));
        }
    }

    /// Every id finds its index, every other word finds it or is refused, and the refused ones are these.
    #[test]
    fn no_word_of_imagenet_finds_another_class() {
        let network = imagenet();
        let classes = Classes::new(&network, true);
        let mut refused = BTreeSet::new();
        for (i, synset) in wordnet::imagenet().iter().enumerate() {
            assert_eq!(classes.find(synset.id), Ok(i));
            for word in synset.words.split(", ").chain([&*network[i]]) {
                match classes.find(word) {
                    Ok(found) => assert_eq!(found, i, "{word}"),
                    Err(found) => {
                        assert!(found.contains(&i) && found.len() > 1, "{word}");
                        assert!(classes.refusal(word, &found).contains(synset.id), "{word}");
                        refused.insert(plain(word));
                    }
                }
            }
        }
        for word in ["crane", "maillot", "cardigan", "missile", "panda", "horn"] {
            assert!(refused.contains(word), "{word}: {refused:?}");
        }
        assert_eq!(refused.len(), 19, "{refused:?}");
    }

    #[test]
    fn what_is_ambiguous_or_unknown_is_refused_by_name() {
        let network = imagenet();
        let error = folders(&["crane", "zebra"], &network).unwrap_err();
        for part in ["1 of the data's 2", "\"crane\" may be", "n02012849", "(517, n03126707)"] {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        let error = folders(&["zebrra", "golden", "xyzzy"], &network).unwrap_err();
        for part in
            ["\"zebrra\"", "\"zebra\" (340)", "\"golden retriever\" (207)", "\"xyzzy\" is no"]
        {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        let many: Vec<String> = (0..9).map(|i| format!("none{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let error = folders(&many, &network).unwrap_err();
        assert!(error.contains("9 of the data's 9") && error.ends_with("; ..."), "{error}");
        let error = folders(&["cat"], &owned(&["ant", "bee"])).unwrap_err();
        assert!(error.contains("whose classes are \"ant\", \"bee\""), "{error}");
    }

    #[test]
    fn own_names_are_found_exactly_before_loosely() {
        let network = owned(&["C", "C++", "c", "ice cream", "ice, snow", "ice"]);
        assert_eq!(
            folders(&["C++", "c", "Ice_Cream", "ice", "snow", "C"], &network),
            Ok(vec![1, 2, 3, 5, 4, 0])
        );
        let error = folders(&["c#"], &network).unwrap_err();
        assert!(error.contains("\"C\" (0) or \"C++\" (1) or \"c\" (2)"), "{error}");
        assert!(folders(&["+"], &network).is_err());
        assert!(folders(&["a"], &owned(&["a", "a"])).unwrap_err().contains("(0) or \"a\" (1)"));
        // Some classes of ImageNet in an order of their own.
        let network = owned(&["n02124075", "n01641577"]);
        assert_eq!(folders(&["bullfrog", "n02124075"], &network), Ok(vec![1, 0]));
        let (kind, names) = (Kind::ClassFolders, owned(&["Ant", "ant", "bee"]));
        let network = owned(&["bee", "ANT"]);
        let matched = match_classes(kind, 3, Some(&names), 2, Some(&network), false).unwrap();
        assert_eq!(matched.indices, [1, 1, 0]);
        assert_eq!(matched.notes, ["Ant and ant are all class \"ANT\" (1)"]);
    }

    #[test]
    fn numbers_are_taken_only_where_nothing_else_is_known() {
        let numbers = owned(&["0", "1", "2"]);
        let names = owned(&["a", "b", "c"]);
        let run = |kind, set: Option<&[String]>, outputs, network: Option<&[String]>| {
            match_classes(kind, 3, set, outputs, network, false)
                .map(|matched| (matched.indices, matched.notes.len()))
        };
        let by_number = Ok((vec![0, 1, 2], 1));
        assert_eq!(run(Kind::Idx, Some(&numbers), 3, Some(&names)), by_number);
        assert_eq!(run(Kind::Idx, None, 3, None), by_number);
        assert_eq!(run(Kind::Cifar10, Some(&names), 3, None), by_number);
        assert_eq!(run(Kind::Idx, Some(&numbers), 3, Some(&numbers)), Ok((vec![0, 1, 2], 0)));
        let count = Err(ClassesError::Count { expected: 4, found: 3 });
        assert_eq!(run(Kind::Idx, Some(&numbers), 4, None), count);
        let unnamed = Err(ClassesError::NoNames { classes: 3 });
        assert_eq!(run(Kind::ClassFolders, Some(&names), 3, None), unnamed);
        assert_eq!(run(Kind::ClassFolders, Some(&numbers), 3, None), unnamed);
        assert!(run(Kind::ClassFolders, Some(&numbers), 3, Some(&names)).is_err());
        assert!(run(Kind::Demo, Some(&names), 3, Some(&numbers)).is_err());
    }
}
