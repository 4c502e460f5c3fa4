//! What the publisher of weights says about them beside the file: how images are prepared, and the names of
//! the classes.
//!
//! timm writes a `config.json` beside its weights ([`timm`]), transformers a `preprocessor_config.json` and a
//! `config.json` ([`transformers`]), and torchvision puts a digest in the file's name ([`torchvision`]). A
//! configuration of another network is passed over, with a note.

mod fields;
mod timm;
mod torchvision;
mod transformers;

use std::path::Path;

use serde_json::{Map, Value};

use super::{StatedPreprocess, WeightsError, other_nets};
use crate::model::ModelSpec;
pub(super) use fields::resize_of;
use fields::{Fields, read_object};

/// What a publisher says beside a file of weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// How images are prepared.
    pub preprocess: StatedPreprocess,
    /// Class names in index order.
    pub classes: Option<Vec<String>>,
    /// Who says so and what was passed over, a sentence each.
    pub notes: Vec<String>,
    /// The network, if it is a ResNet that is not computed here though its tensors may be those of one that is:
    /// what it is, and who says so.
    pub other: Option<String>,
}

impl Published {
    /// What is said beside the file of weights at `path`, which has a network like `spec`. Nothing, if there
    /// is nothing.
    ///
    /// # Errors
    /// [`WeightsError::Beside`] for a configuration of this network with a value that cannot be followed.
    pub fn beside(path: &Path, spec: &ModelSpec) -> Result<Self, WeightsError> {
        let mut found = Self::default();
        let file = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let by_file = other_nets::by_file(file);
        found.other = by_file.map(|network| format!("{network}, by the name of its file"));
        let folder = path.parent().unwrap_or(Path::new(""));
        let config = folder.join("config.json");
        let mut read = |path: &Path| {
            read_object(path).unwrap_or_else(|reason| {
                found.notes.push(format!("{}: {reason}; passed over", path.display()));
                None
            })
        };
        let object = read(&config);
        let processor = folder.join("preprocessor_config.json");
        let prepared = read(&processor);
        if let Some(object) = &object {
            let fields = Fields { path: &config, object };
            if timm::is_it(object) {
                timm::read(fields, spec, &mut found)?;
            } else if transformers::is_it(object) {
                let prepared = prepared.as_ref().map(|o| Fields { path: &processor, object: o });
                transformers::read(Some(fields), prepared, spec, &mut found)?;
            }
        } else if let Some(object) = &prepared {
            let fields = Fields { path: &processor, object };
            transformers::read(None, Some(fields), spec, &mut found)?;
        }
        if found.preprocess == StatedPreprocess::default() {
            torchvision::read(path, spec, &mut found);
        }
        Ok(found)
    }

    /// Says that what the file at `path` says is followed.
    fn follow(&mut self, path: &Path, who: &str) {
        self.notes.push(format!("prepared as {who} says in {}", path.display()));
    }

    /// Says that the file at `path` is about another network.
    fn pass(&mut self, path: &Path, theirs: &str, spec: &ModelSpec) {
        let (path, ours) = (path.display(), &spec.name);
        self.notes.push(format!("{path} is about {theirs}, not {ours}; passed over"));
    }
}

type Object = Map<String, Value>;
