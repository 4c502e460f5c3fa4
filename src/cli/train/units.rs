//! Times and sizes as people read them.

/// 100.0 to `1 min 40 s`.
pub(super) fn duration(seconds: f64) -> String {
    let parts = [("years", 365.0 * 86_400.0), ("days", 86_400.0), ("h", 3600.0), ("min", 60.0)];
    let Some(i) = parts.iter().position(|(_, unit)| seconds >= *unit) else {
        return if seconds < 9.95 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") };
    };
    let (name, unit) = parts[i];
    let (smaller, less) = parts.get(i + 1).copied().unwrap_or(("s", 1.0));
    let rest = ((seconds % unit) / less).floor();
    format!("{:.0} {name} {rest:.0} {smaller}", (seconds / unit).floor())
}

/// 2,500,000 to `2.5 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes >= 1e9 { format!("{:.1} GB", bytes / 1e9) } else { format!("{:.1} MB", bytes / 1e6) }
}

/// 0.9123 to `91.23 %`.
pub(super) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_have_two_parts() {
        let texts = [0.0, 3.21, 59.4, 60.0, 3_725.0, 90_000.0, 5e7].map(super::duration);
        let expected =
            ["0.0 s", "3.2 s", "59 s", "1 min 0 s", "1 h 2 min", "1 days 1 h", "1 years 213 days"];
        assert_eq!(texts, expected);
        assert_eq!([2_500_000, 7_000_000_000].map(super::bytes), ["2.5 MB", "7.0 GB"]);
    }
}
