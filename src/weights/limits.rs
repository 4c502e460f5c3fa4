//! What a file of weights may ask for, whatever its format: checked before memory or time is spent.
//!
//! Each is several times what the largest network (ResNet-1202, with a run's state of training) needs.

/// Bytes of what describes the tensors: a header, a pickle, a directory.
pub(super) const MAX_HEADER: usize = 16 << 20;
/// Tensors.
pub(super) const MAX_TENSORS: usize = 50_000;
/// Dimensions of a tensor.
pub(super) const MAX_DIMENSIONS: usize = 8;
/// Bytes of a tensor's name.
pub(super) const MAX_NAME: usize = 1000;
/// Bytes of a text, such as the class names in the metadata.
pub(super) const MAX_TEXT: usize = 4 << 20;
/// Entries of metadata.
pub(super) const MAX_ENTRIES: usize = 10_000;

/// Text of a file, fit for an error: short, and without what would steer a terminal.
pub(crate) fn shown(text: &str) -> String {
    shortened(text, 100)
}

/// At most `count` characters of the text, and without what would steer a terminal.
pub(super) fn shortened(text: &str, count: usize) -> String {
    let mut short: String = text.chars().take(count).flat_map(escaped).collect();
    if text.chars().nth(count).is_some() {
        short += " ...";
    }
    short
}

/// The character, or its escape if it is one that is not seen.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let plain = matches!(c, '\'' | '"' | '\\');
    plain.then_some(c).into_iter().chain((!plain).then(|| c.escape_debug()).into_iter().flatten())
}
