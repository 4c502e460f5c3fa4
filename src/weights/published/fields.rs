//! Reading the fields of a configuration in JSON, with errors that name the file and the field.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::Object;
use crate::model::ModelSpec;
use crate::weights::limits::{MAX_TEXT, shortened};
use crate::weights::stated::MAX_SIDE;
use crate::weights::{NotOpened, WeightsError, open_regular};

/// A configuration.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
    pub(super) object: &'a Object,
}

/// The object in the file at `path`; none if there is no such file. Else the reason why it has none.
pub(super) fn read_object(path: &Path) -> Result<Option<Object>, String> {
    let file = match open_regular(path) {
        Ok((file, _)) => file,
        Err(NotOpened::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(NotOpened::Io(error)) => return Err(format!("cannot read: {error}")),
        Err(NotOpened::Kind(kind)) => return Err(format!("it is {kind}")),
    };
    let mut bytes = Vec::new();
    let read = file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read: {error}"))?;
    if bytes.len() > MAX_TEXT {
        return Err(format!("it has more than {MAX_TEXT} bytes"));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err("it is not a JSON object".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

impl<'a> Fields<'a> {
    /// The value of a field; none if it is missing or null.
    pub(super) fn get(self, field: &str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    /// An error about the value of a field.
    pub(super) fn wrong(self, field: &str, expected: &str, found: &Value) -> WeightsError {
        WeightsError::Beside {
            path: self.path.to_owned(),
            field: field.to_owned(),
            expected: expected.to_owned(),
            found: shortened(&found.to_string(), 100),
        }
    }

    /// A field that `read` understands, or an error that says what was expected.
    pub(super) fn read<T>(
        self,
        field: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, WeightsError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(field, expected, value))
    }

    /// A positive number.
    pub(super) fn positive(self, field: &str) -> Result<Option<f64>, WeightsError> {
        self.read(field, "a positive number", |value| value.as_f64().filter(|x| *x > 0.0))
    }

    /// A yes or no.
    pub(super) fn truth(self, field: &str) -> Result<Option<bool>, WeightsError> {
        self.read(field, "true or false", Value::as_bool)
    }

    /// A number for each of red, green and blue, as `parse` reads three; one number stands for all.
    pub(super) fn triple(
        self,
        field: &str,
        parse: fn(&str) -> Result<[f32; 3], String>,
    ) -> Result<Option<[f32; 3]>, WeightsError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let numbers: Vec<String> = match value {
            Value::Array(items) if items.len() == 1 => vec![items[0].to_string(); 3],
            Value::Array(items) => items.iter().map(Value::to_string).collect(),
            value => vec![value.to_string(); 3],
        };
        let parsed = parse(&numbers.join(","));
        parsed.map(Some).map_err(|expected| self.wrong(field, &expected, value))
    }

    /// Names by index, `{"0": "tench"}`, or a list of them. Names that nobody chose (`LABEL_0`) are none.
    pub(super) fn names(self, field: &str) -> Result<Option<Vec<String>>, WeightsError> {
        let expected = "a name for each index from 0";
        let names = self.read(field, expected, |value| {
            let text = |value: &Value| value.as_str().map(str::to_owned).filter(|s| !s.is_empty());
            let names: Vec<String> = match value {
                Value::Array(items) => items.iter().map(text).collect::<Option<_>>()?,
                Value::Object(items) => (0..items.len())
                    .map(|index| items.get(&index.to_string()).and_then(text))
                    .collect::<Option<_>>()?,
                _ => return None,
            };
            (1..=ModelSpec::MAX_CLASSES).contains(&names.len()).then_some(names)
        })?;
        let chosen = |names: &Vec<String>| {
            !names.iter().enumerate().all(|(i, name)| *name == format!("LABEL_{i}"))
        };
        Ok(names.filter(chosen))
    }
}

/// A side in pixels, in bounds.
pub(super) fn side(value: &Value) -> Option<usize> {
    value.as_u64().map(|n| n as usize).filter(|side| (1..=MAX_SIDE).contains(side))
}

/// What `crop` is of the resized side if it is `share` of it, as Python's `math.floor(crop / share)`.
pub(in crate::weights) fn resize_of(crop: usize, share: f64) -> Option<usize> {
    let resize = (crop as f64 / share).floor();
    (1.0..=MAX_SIDE as f64).contains(&resize).then_some(resize as usize)
}
