//! What `infer` prints of each image: a table, or a line of JSON (`docs/infer.schema.json`).

use resnet_cpu::infer::{Classifier, Prediction};
use serde::{Serialize, Serializer};
use std::io::{BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};

use super::super::error::CliError;
use super::super::output::{one_line, print_error, write_json};

/// Which image a line of JSON is about.
#[derive(Serialize)]
pub(super) struct Image {
    /// The path, with U+FFFD for what is not UTF-8.
    pub(super) image: String,
    /// Its bytes in hexadecimal digits, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_bytes: Option<String>,
}

impl Image {
    pub(super) fn of(path: &Path) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            image: path.to_string_lossy().into_owned(),
            image_bytes: match path.to_str() {
                Some(_) => None,
                None => Some(hex(path.as_os_str().as_encoded_bytes())),
            },
        }
    }
}

/// The line of JSON for an image.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    image: Image,
    arch: &'a str,
    #[serde(serialize_with = "thousandths")]
    ms: f64,
    predictions: Vec<Guess<'a>>,
    /// The file of the class-activation maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<String>,
}

#[derive(Serialize)]
struct Guess<'a> {
    index: usize,
    label: Option<&'a str>,
    #[serde(serialize_with = "six_digits")]
    probability: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logit: Option<f32>,
}

/// The line of JSON for an image that cannot be read.
#[derive(Serialize)]
pub(super) struct Failure<'a> {
    #[serde(flatten)]
    pub(super) image: Image,
    pub(super) error: &'a str,
}

fn thousandths<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1e3).round() / 1e3)
}

/// Six significant digits: an f32 has hardly more, and the softmax adds no information.
fn six_digits<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(format!("{value:.5e}").parse().unwrap_or(*value))
}

/// What was found of an image: its most likely classes and, if there is one, the file that shows where they are.
/// Or why there is nothing.
pub(super) type Found = Result<(Vec<Prediction>, Option<PathBuf>), String>;

/// Writes results in the form that was asked for.
pub(super) struct Answers {
    out: BufWriter<Stdout>,
    json: bool,
    arch: String,
    /// Each image's rows follow a line with its path.
    headed: bool,
    pub(super) failed: bool,
}

impl Answers {
    pub(super) fn new(json: bool, arch: String, headed: bool) -> Self {
        let out = BufWriter::new(std::io::stdout());
        Self { out, json, arch, headed, failed: false }
    }

    /// Writes what `result` says of the image at `path`, of a batch that took `ms` an image.
    pub(super) fn add(
        &mut self,
        path: &Path,
        ms: f64,
        result: Found,
        classifier: &Classifier,
    ) -> Result<(), CliError> {
        let image = Image::of(path);
        let (predictions, explanation) = match result {
            Ok(found) => found,
            Err(error) => {
                self.failed = true;
                // What stdout already has comes before the error where both are a terminal.
                self.out.flush()?;
                print_error(&format!("{}: {error}", image.image));
                if self.json {
                    write_json(&mut self.out, &Failure { image, error: &error })?;
                }
                return Ok(());
            }
        };
        let guess = |p: &Prediction| Guess {
            index: p.index,
            label: classifier.label(p.index),
            probability: p.probability,
            logit: p.logit,
        };
        let predictions: Vec<Guess> = predictions.iter().map(guess).collect();
        let explanation = explanation.map(|file| file.to_string_lossy().into_owned());
        if self.json {
            let answer = Answer { image, arch: &self.arch, ms, predictions, explanation };
            return Ok(write_json(&mut self.out, &answer)?);
        }
        if self.headed {
            writeln!(self.out, "{}", one_line(&image.image))?;
        }
        self.write_table(&predictions)?;
        if let Some(file) = explanation {
            writeln!(self.out, "     shown in {}", one_line(&file))?;
        }
        Ok(())
    }

    /// Hands on what was written.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        Ok(self.out.flush()?)
    }

    fn write_table(&mut self, rows: &[Guess]) -> Result<(), CliError> {
        for (rank, row) in rows.iter().enumerate() {
            let (rank, percent, index) = (rank + 1, row.probability * 100.0, row.index);
            let class = match row.label {
                Some(label) => format!("{} ({index})", one_line(label)),
                None => format!("class {index}"),
            };
            writeln!(self.out, "{rank:3}  {percent:6.2} %  {class}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded() {
        let guess = |probability| Guess { index: 1, label: None, probability, logit: Some(0.1) };
        let json = |probability| serde_json::to_string(&guess(probability)).unwrap();
        let line = |number: &str| {
            format!("{{\"index\":1,\"label\":null,\"probability\":{number},\"logit\":0.1}}")
        };
        assert_eq!(json(0.123_456_789), line("0.123457"));
        assert_eq!(json(1.0), line("1.0"));
        assert_eq!(json(0.0), line("0.0"));
        assert_eq!(json(1.234_567_8e-12), line("1.23457e-12"));
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_text_stay_apart() {
        use std::os::unix::ffi::OsStrExt;
        let json = |bytes: &[u8]| {
            let path = Path::new(std::ffi::OsStr::from_bytes(bytes));
            serde_json::to_string(&Image::of(path)).unwrap()
        };
        assert_eq!(json(b"a.png"), "{\"image\":\"a.png\"}");
        let expected = "{\"image\":\"\u{fffd}.png\",\"image_bytes\":\"ff2e706e67\"}";
        assert_eq!(json(b"\xFF.png"), expected);
    }
}
