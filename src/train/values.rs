//! How single values of settings are spelled, read and limited.

use std::fmt::Display;
use std::str::FromStr;

pub(super) fn spelled(value: Option<impl Display>) -> Option<String> {
    value.map(|value| value.to_string())
}

pub(super) fn list(values: &[u64]) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    values.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

/// Whether it is positive as f32, too, in which it is used.
pub(super) fn positive(x: f64) -> bool {
    x > 0.0 && (x as f32).is_normal()
}

pub(super) fn share(x: f64) -> bool {
    (0.0..1.0).contains(&x)
}

/// Puts a value in its place, if there is one.
pub(super) fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

pub(super) fn parse<T: FromStr>(text: &str, expected: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected {expected}, found {text}"))
}

pub(super) fn number(text: &str) -> Result<f64, String> {
    parse(text, "a number")
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    parse(text, "true or false")
}

/// The one of `all` that is spelled `text`.
pub(super) fn named<T: Copy + Display>(text: &str, all: &[T]) -> Result<T, String> {
    let found = all.iter().copied().find(|value| value.to_string().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let names: Vec<String> = all.iter().map(T::to_string).collect();
        format!("expected {}, found {text}", names.join(", "))
    })
}
