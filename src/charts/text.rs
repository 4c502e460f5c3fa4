//! Numbers and text on a page.

use std::fmt::Display;

/// Three significant digits, without zeros at the end.
pub fn number(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if !x.is_finite() {
        return x.to_string();
    }
    let decimals = (2 - x.abs().log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{x:.decimals$}");
    let trimmed = if text.contains('.') { text.trim_end_matches('0') } else { &text };
    match trimmed.trim_end_matches('.') {
        // What is left of a place on an axis that rounding has moved.
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

/// 0.9123 to `91.23 %`.
pub fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// A count at an axis: 64,000 to `64k`, nothing for what is no whole number.
pub fn thousands(x: f64) -> String {
    match x {
        _ if x.fract() != 0.0 => String::new(),
        10_000.0.. => format!("{}k", x / 1000.0),
        _ => x.to_string(),
    }
}

/// Text for HTML, attributes included.
pub fn escape(text: &impl Display) -> String {
    let text = text.to_string();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts: Vec<String> = [0.1, 0.0123456, 1234.0, 2.0, 0.0, 0.30000000000000004, 1e-5]
            .into_iter()
            .map(number)
            .collect();
        assert_eq!(texts, ["0.1", "0.0123", "1234", "2", "0", "0.3", "0.00001"]);
        assert_eq!([-1e-17, -0.0, -0.5].map(number), ["0", "0", "-0.5"]);
        assert_eq!(
            [0.0, 0.5, 500.0, 9_999.0, 64_000.0, 12_500.0].map(thousands),
            ["0", "", "500", "9999", "64k", "12.5k"]
        );
    }

    #[test]
    fn text_is_no_markup() {
        assert_eq!(escape(&"<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
