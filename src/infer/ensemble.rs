//! Several networks as one: their probabilities are averaged (He et al. 2015, table 5).
//!
//! Each prepares images in its own way. Their classes must be the same, by name; where the order differs, the
//! first network's counts.

use std::collections::{BTreeMap, BTreeSet};

use super::Classifier;
use super::classes::{are_imagenet, plain};
use crate::data::Crops;

/// Names that are listed in a message.
const LISTED: usize = 3;

/// Classifiers whose probabilities are averaged. One alone is an ensemble, too.
#[derive(Clone)]
pub struct Ensemble {
    /// At least one.
    members: Vec<Member>,
}

/// A network of an ensemble.
#[derive(Clone)]
struct Member {
    classifier: Classifier,
    /// Its class for each of the ensemble's; none where they are in the same order.
    order: Option<Vec<usize>>,
}

/// Why networks cannot be averaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the classes are not those of the first network: {mismatch}")]
pub struct EnsembleError {
    /// Which of the networks is not like the first.
    pub index: usize,
    /// How its classes differ.
    pub mismatch: ClassMismatch,
}

/// How the classes of two networks differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassMismatch {
    /// There are more or fewer of them.
    #[error("expected {expected}, found {found}")]
    Count {
        /// Classes of the first network.
        expected: usize,
        /// Classes of the other.
        found: usize,
    },
    /// Only one of the two has names.
    #[error("only one of the two has names for them (--labels FILE gives them to both)")]
    NoNames,
    /// Some have names that the other network does not have.
    #[error("it has no {0}")]
    Missing(String),
    /// A name stands for several classes, and not for the same ones.
    #[error("{0:?} is the name of several, in another order")]
    Ambiguous(String),
}

impl From<Classifier> for Ensemble {
    fn from(classifier: Classifier) -> Self {
        Self { members: vec![Member { classifier, order: None }] }
    }
}

impl Ensemble {
    /// The average of `first` and `others`.
    ///
    /// # Errors
    /// [`EnsembleError`] if the classes of one are not those of the first. Neither case nor what joins words
    /// matters in their names; ImageNet's thousand are known under any of their names. Networks without names need as
    /// many classes.
    pub fn new(
        first: Classifier,
        others: impl IntoIterator<Item = Classifier>,
    ) -> Result<Self, EnsembleError> {
        let mut members = Self::from(first).members;
        for (i, classifier) in others.into_iter().enumerate() {
            let order = order(&members[0].classifier, &classifier);
            let order = order.map_err(|mismatch| EnsembleError { index: i + 1, mismatch })?;
            members.push(Member { classifier, order });
        }
        Ok(Self { members })
    }

    /// The same, each of whose classifiers uses `crops` of an image.
    pub fn with_crops(self, crops: Crops) -> Self {
        let of = |Member { classifier, order }| Member {
            classifier: Classifier::with_crops(classifier, crops),
            order,
        };
        Self { members: self.members.into_iter().map(of).collect() }
    }

    /// The classifiers.
    pub fn classifiers(&self) -> impl ExactSizeIterator<Item = &Classifier> {
        self.members.iter().map(|member| &member.classifier)
    }

    /// The first, in the order of whose classes results are.
    pub fn first(&self) -> &Classifier {
        &self.members[0].classifier
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.first().model().network().fc.out_features
    }

    /// Adds the share in the average of classifier `index`, which found `probabilities`, to `mean`. Shares are added
    /// in the order of the classifiers.
    pub(super) fn add(&self, index: usize, probabilities: &[f64], mean: &mut [f64]) {
        let count = self.members.len() as f64;
        match &self.members[index].order {
            None => mean.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += p / count),
            Some(order) => {
                mean.iter_mut().zip(order).for_each(|(sum, &i)| *sum += probabilities[i] / count);
            }
        }
    }
}

/// The class of `other` for each of `first`; none where they are in the same order.
fn order(first: &Classifier, other: &Classifier) -> Result<Option<Vec<usize>>, ClassMismatch> {
    let [expected, found] = [first, other].map(|c| c.model().network().fc.out_features);
    if expected != found {
        return Err(ClassMismatch::Count { expected, found });
    }
    match (first.labels(), other.labels()) {
        (None, None) => Ok(None),
        (Some(first), Some(other)) => order_of_names(first, other),
        _ => Err(ClassMismatch::NoNames),
    }
}

/// The same for names. A name counts exactly as it is, if that tells which class is meant; else whatever its case; else
/// by its words alone.
fn order_of_names(first: &[String], other: &[String]) -> Result<Option<Vec<usize>>, ClassMismatch> {
    if are_imagenet(first) && are_imagenet(other) {
        return Ok(None);
    }
    let levels: [fn(&str) -> String; 3] = [str::to_owned, str::to_lowercase, plain];
    let levels = levels.map(|key| [first, other].map(|names| Places::new(names, key)));
    let [plain_first, plain_other] = &levels[2];
    let unknown = |i: &usize| !plain_other.by_key.contains_key(&plain_first.keys[*i]);
    let missing: Vec<String> =
        (0..first.len()).filter(unknown).map(|i| format!("{:?}", first[i])).collect();
    if !missing.is_empty() {
        let more = if missing.len() > LISTED { ", ..." } else { "" };
        return Err(ClassMismatch::Missing(missing[..missing.len().min(LISTED)].join(", ") + more));
    }
    let ambiguous = |i: usize| ClassMismatch::Ambiguous(first[i].clone());
    let one = |i: usize| {
        let mut found = levels.iter().map(|[first, other]| {
            let key = &first.keys[i];
            (&first.by_key[key], other.by_key.get(key))
        });
        // As many classes of the one as of the other.
        let found = found.find(|(own, found)| found.is_some_and(|found| found.len() == own.len()));
        match found.and_then(|(own, found)| Some((own, found?))) {
            Some((_, found)) if found.len() == 1 => Ok(found[0]),
            Some((own, found)) if own == found => Ok(i),
            _ => Err(ambiguous(i)),
        }
    };
    let order: Vec<usize> = (0..first.len()).map(one).collect::<Result<_, _>>()?;
    let mut taken = BTreeSet::new();
    if let Some(twice) = order.iter().position(|&place| !taken.insert(place)) {
        return Err(ambiguous(twice));
    }
    Ok((!order.is_sorted()).then_some(order))
}

/// Names by what is compared of them.
struct Places {
    keys: Vec<String>,
    by_key: BTreeMap<String, Vec<usize>>,
}

impl Places {
    fn new(names: &[String], key: fn(&str) -> String) -> Self {
        let keys: Vec<String> = names.iter().map(|name| key(name)).collect();
        let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        keys.iter().enumerate().for_each(|(i, key)| by_key.entry(key.clone()).or_default().push(i));
        Self { keys, by_key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::labels;
    use crate::weights::DataSet;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn classes_are_found_by_name_in_any_order() {
        let first = names("Great_White-Shark,ant,bee");
        assert_eq!(order_of_names(&first, &names("great white shark,ANT,bee")), Ok(None));
        let found = order_of_names(&first, &names("bee,ant,great white shark"));
        assert_eq!(found, Ok(Some(vec![2, 1, 0])));
        for (other, error) in [
            ("ant,bee,cat", "it has no \"Great_White-Shark\""),
            ("a,b,c", "it has no \"Great_White-Shark\", \"ant\", \"bee\""),
        ] {
            let found = order_of_names(&first, &names(other)).unwrap_err().to_string();
            assert_eq!(found, error);
        }
        // As many places as there are names, but one of them twice.
        let error = order_of_names(&names("crane,crane,ant"), &names("crane,ant,crane"));
        assert_eq!(error, Err(ClassMismatch::Ambiguous("crane".to_owned())));
        assert_eq!(order_of_names(&names("crane,crane"), &names("crane,Crane")), Ok(None));
    }

    /// Words alone do not tell C from C++.
    #[test]
    fn names_that_differ_in_marks_alone_are_told_apart() {
        let first = names("C,C++,java");
        for (other, order) in [
            ("C,C++,java", Ok(None)),
            ("java,C,C++", Ok(Some(vec![1, 2, 0]))),
            ("C++,C,Java", Ok(Some(vec![1, 0, 2]))),
            ("c++,c,JAVA", Ok(Some(vec![1, 0, 2]))),
            ("C,java,rust", Err(ClassMismatch::Ambiguous("C++".to_owned()))),
            ("C--,C,java", Err(ClassMismatch::Ambiguous("C++".to_owned()))),
        ] {
            assert_eq!(order_of_names(&first, &names(other)), order, "{other}");
        }
    }

    /// Two of ImageNet's classes are called crane, and other lists have other words for some.
    #[test]
    fn imagenets_classes_are_known_under_any_name() {
        let known: Vec<String> =
            labels::names_of(DataSet::ImageNet).iter().map(|&name| name.to_owned()).collect();
        let ids: Vec<String> =
            crate::infer::wordnet::imagenet().iter().map(|synset| synset.id.to_owned()).collect();
        assert_eq!(order_of_names(&known, &ids), Ok(None));
    }
}
