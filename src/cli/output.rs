//! Lines on stderr and what all output shares. Stderr may be closed; nobody is told.

use std::io::{self, Write};

/// An error, in one line.
pub(super) fn print_error(reason: &str) {
    print_line(&format!("error: {reason}"));
}

/// Progress or a note, in one line.
pub(super) fn print_line(text: &str) {
    let _ = writeln!(io::stderr(), "resnet-cpu: {}", one_line(text));
}

/// The text in one line and without whatever else would steer a terminal (escape sequences, marks that
/// turn the direction of writing): files may put in anything. Such characters become their escapes.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}' => line.extend(c.escape_unicode()),
            _ if c.is_control() => line.extend(c.escape_debug()),
            _ => line.push(c),
        }
    }
    line
}

/// Writes `value` as one line of JSON.
pub(super) fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// The rows of a table as lines: the first `words` columns begin together, the others end together.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]], words: usize) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (text, width))| {
            if column < words { format!("{text:width$}") } else { format!("{text:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
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

/// To four significant digits, which is more than two measurements agree in; digits before the point
/// stay.
pub(super) fn rounded(x: f64) -> f64 {
    let decimals = if x == 0.0 { 0.0 } else { (3.0 - x.abs().log10().floor()).clamp(0.0, 9.0) };
    let unit = 10_f64.powf(decimals);
    (x * unit).round() / unit
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_steers_the_terminal() {
        let steering = "a\nb\r\u{1b}[31mc\u{9b}d\u{202e}e\u{2066}\u{2028}f";
        let seen = "a\\nb\\r\\u{1b}[31mc\\u{9b}d\\u{202e}e\\u{2066}\\u{2028}f";
        assert_eq!(super::one_line(steering), seen);
        assert_eq!(
            super::one_line("caf\u{e9} \u{4e2d}\u{6587} \\ 'a' \"b\""),
            "café 中文 \\ 'a' \"b\""
        );
    }

    #[test]
    fn digits_are_grouped_in_threes() {
        assert_eq!(
            [0, 999, 1000, 11_689_512].map(super::grouped),
            ["0", "999", "1,000", "11,689,512"]
        );
    }

    #[test]
    fn numbers_have_four_digits_or_their_whole_part() {
        let given = [0.0, 0.234_567, 10.912_345, 235.1234, 12_345.678, 0.000_012_345_6];
        assert_eq!(given.map(super::rounded), [0.0, 0.2346, 10.91, 235.1, 12_346.0, 0.000_012_35]);
        assert_eq!(serde_json::to_string(&super::rounded(0.1 + 0.2)).unwrap(), "0.3");
    }
}
