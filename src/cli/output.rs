//! Lines on stderr and what all output shares. Stderr may be closed; nobody is told.

use std::io::{self, Write};

use super::error::CliError;

/// An error, in one line.
pub(super) fn print_error(reason: &str) {
    print_line(&format!("error: {reason}"));
}

/// Progress or a note, in one line.
pub(super) fn print_line(text: &str) {
    let _ = writeln!(io::stderr(), "resnet-cpu: {}", one_line(text));
}

/// The text without line ends and whatever else would steer a terminal: files may put in anything.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Writes `value` as one line of JSON.
pub(super) fn write_json(
    out: &mut impl Write,
    value: &impl serde::Serialize,
) -> Result<(), CliError> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

/// 11689512 to `11,689,512`.
pub(super) fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(super::one_line("a\nb\u{1b}[31mc\u{9b}d"), "a b [31mc d");
    }

    #[test]
    fn digits_are_grouped_in_threes() {
        assert_eq!(
            [0, 999, 1000, 11_689_512].map(super::grouped),
            ["0", "999", "1,000", "11,689,512"]
        );
    }
}
