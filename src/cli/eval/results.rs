//! What `eval` prints: a few lines, or an object of JSON (`docs/eval.schema.json`).

use indicatif::HumanCount;
use resnet_cpu::data::Split;
use resnet_cpu::infer::{ClassScore, Evaluation, wilson};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use std::io::Write;

use super::super::error::CliError;
use super::super::limits::reason;
use super::super::output::{one_line, write_json};
use super::networks::Networks;
use super::views::Views;

/// Classes up to which the confusion matrix is printed: 16 million numbers.
const MATRIX: usize = 4096;

/// Lines of the least accurate classes and of the most frequent mistakes.
const LISTED: usize = 5;

/// What was found, and of what.
pub(super) struct Results<'a> {
    pub(super) found: &'a Evaluation,
    pub(super) networks: &'a Networks,
    pub(super) views: &'a Views,
    pub(super) split: Split,
}

/// The object of JSON.
#[derive(Serialize)]
struct Report<'a> {
    images: u64,
    correct: u64,
    top1: f64,
    top5: f64,
    top1_ci: [f64; 2],
    top5_ci: [f64; 2],
    loss: f64,
    ece: f64,
    arch: String,
    networks: Vec<Network<'a>>,
    split: String,
    crops: &'static str,
    skipped: Vec<Skipped>,
    per_class: Vec<Class<'a>>,
    confusion: Option<Matrix<'a>>,
}

#[derive(Serialize)]
struct Network<'a> {
    weights: String,
    arch: &'a str,
    scales: Option<&'a [usize]>,
}

#[derive(Serialize)]
struct Skipped {
    image: String,
    error: String,
}

#[derive(Serialize)]
struct Class<'a> {
    index: usize,
    label: Option<&'a str>,
    images: u64,
    correct: u64,
    accuracy: Option<f64>,
}

/// All counts, row by row; most are 0 and are not kept.
struct Matrix<'a>(&'a Evaluation);

impl Serialize for Matrix<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let scores = &self.0.scores;
        let classes = scores.per_class().len();
        let mut rows = serializer.serialize_seq(Some(classes))?;
        for truth in 0..classes {
            let mut row = vec![0; classes];
            let counts = scores.confusion().range((truth, 0)..(truth + 1, 0));
            counts.for_each(|(&(_, predicted), &count)| row[predicted] = count);
            rows.serialize_element(&row)?;
        }
        rows.end()
    }
}

impl Results<'_> {
    /// Name of class `index`, if it is known.
    fn label(&self, index: usize) -> Option<&str> {
        self.networks.ensemble.first().label(index)
    }

    /// Name of class `index`, else its number; in one line.
    pub(super) fn name(&self, index: usize) -> String {
        self.label(index).map_or_else(|| format!("class {index}"), one_line)
    }

    /// The classes that have images, the least accurate first; of equals the ones with more images.
    pub(super) fn least_accurate(&self) -> Vec<(usize, ClassScore)> {
        let classes = self.found.scores.per_class().iter().copied().enumerate();
        let mut classes: Vec<_> = classes.filter(|(_, class)| class.images > 0).collect();
        let accuracy = |class: &ClassScore| class.accuracy().unwrap_or(1.0);
        classes.sort_by(|(_, a), (_, b)| {
            accuracy(a).total_cmp(&accuracy(b)).then(b.images.cmp(&a.images))
        });
        classes
    }

    /// Truth, prediction and number of the mistakes, the most frequent first.
    pub(super) fn confusions(&self) -> Vec<(usize, usize, u64)> {
        let counts = self.found.scores.confusion().iter();
        let wrong = counts.filter(|((truth, predicted), _)| truth != predicted);
        let mut wrong: Vec<_> = wrong.map(|(&(t, p), &count)| (t, p, count)).collect();
        wrong.sort_by_key(|&(truth, predicted, count)| (u64::MAX - count, truth, predicted));
        wrong
    }

    /// Prints one object.
    pub(super) fn print_json(&self) -> Result<(), CliError> {
        let Evaluation { scores, skipped, .. } = self.found;
        let class = |(index, class): (usize, &ClassScore)| Class {
            index,
            label: self.label(index),
            images: class.images,
            correct: class.correct,
            accuracy: class.accuracy(),
        };
        let skipped = skipped.iter().map(|error| Skipped {
            image: error.path().to_string_lossy().into_owned(),
            error: reason(error),
        });
        let classifiers = self.networks.ensemble.classifiers();
        let networks = classifiers.zip(&self.networks.paths).enumerate();
        let networks = networks.map(|(i, (classifier, path))| Network {
            weights: path.to_string_lossy().into_owned(),
            arch: &classifier.model().network().spec.name,
            scales: self.views.scales(i),
        });
        let report = Report {
            images: scores.images(),
            correct: scores.correct(),
            top1: scores.top1(),
            top5: scores.top5(),
            top1_ci: wilson(scores.correct(), scores.images()),
            top5_ci: wilson(scores.in_top5(), scores.images()),
            loss: scores.loss(),
            ece: scores.calibration_error(),
            arch: self.networks.arch(),
            networks: networks.collect(),
            split: self.split.to_string(),
            crops: self.views.name(),
            skipped: skipped.collect(),
            per_class: scores.per_class().iter().enumerate().map(class).collect(),
            confusion: (scores.per_class().len() <= MATRIX).then_some(Matrix(self.found)),
        };
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        write_json(&mut out, &report)?;
        Ok(out.flush()?)
    }

    /// Accuracy and loss, a line each: what it is, the number, its uncertainty.
    pub(super) fn headline(&self) -> [[String; 3]; 4] {
        let scores = &self.found.scores;
        let images = scores.images();
        let accuracy = |name: &str, fraction: f64, count: u64| {
            let [low, high] = wilson(count, images).map(|end| 100.0 * end);
            [
                name.to_owned(),
                format!("{:.2} %", 100.0 * fraction),
                format!(
                    "{} of {} images; 95 % interval {low:.2} to {high:.2} %",
                    HumanCount(count),
                    HumanCount(images)
                ),
            ]
        };
        [
            accuracy("top-1", scores.top1(), scores.correct()),
            accuracy("top-5", scores.top5(), scores.in_top5()),
            ["loss".to_owned(), format!("{:.4}", scores.loss()), "mean cross-entropy".to_owned()],
            [
                "calibration error".to_owned(),
                format!("{:.2} %", 100.0 * scores.calibration_error()),
                "mean gap of probability and accuracy, 15 bins".to_owned(),
            ],
        ]
    }

    /// Prints the accuracies, and what is mistaken most.
    pub(super) fn print_text(&self) -> Result<(), CliError> {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        for [name, value, detail] in self.headline() {
            writeln!(out, "{name:<17}  {value:>8}  {detail}")?;
        }
        let classes = self.least_accurate();
        if classes.len() > 1 {
            writeln!(out, "\nleast accurate classes:")?;
        }
        for &(index, class) in classes.iter().take(LISTED).filter(|_| classes.len() > 1) {
            let percent = 100.0 * class.accuracy().unwrap_or_default();
            let (correct, images) = (class.correct, class.images);
            writeln!(out, "{percent:7.2} %  {} ({correct} of {images})", self.name(index))?;
        }
        let wrong = self.confusions();
        if !wrong.is_empty() {
            writeln!(out, "\nmost frequent mistakes:")?;
        }
        for &(truth, predicted, count) in wrong.iter().take(LISTED) {
            writeln!(out, "{count:7}    {} taken for {}", self.name(truth), self.name(predicted))?;
        }
        Ok(out.flush()?)
    }
}
