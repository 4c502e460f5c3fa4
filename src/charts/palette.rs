//! How curves are told apart: colours and dashes. A drawing has those of the light page; the style sheet replaces them.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Bold: what a chart is about. Few points are marked with dots, as one alone is in any case.
    Solid,
    /// Thin: what it is compared with.
    Dashed,
}

/// Colours that can be told apart; curves beyond them begin again.
pub const HUES: usize = LIGHT.len();

/// On white, in an order in which neighbours differ, also for eyes that see two colours.
const LIGHT: [RGBColor; 8] = [
    RGBColor(0x1F, 0x77, 0xB4),
    RGBColor(0xD0, 0x72, 0x00),
    RGBColor(0x24, 0x8A, 0x3A),
    RGBColor(0xC8, 0x32, 0x3C),
    RGBColor(0x7D, 0x55, 0xB8),
    RGBColor(0x0C, 0x88, 0x90),
    RGBColor(0x8A, 0x5A, 0x3C),
    RGBColor(0xC0, 0x46, 0x98),
];

/// The same on black.
const DARK: [&str; HUES] =
    ["#5fb0ee", "#ffa63d", "#5fd07a", "#ff7b80", "#b694f0", "#4fd0d8", "#d2a07e", "#f08ad0"];

/// The colour that a drawing has for a curve. A dashed one has a blue that differs by one, so that the style sheet
/// can tell them apart.
pub(super) fn color(hue: usize, line: Line) -> RGBColor {
    let RGBColor(red, green, blue) = LIGHT[hue % HUES];
    match line {
        Line::Solid => RGBColor(red, green, blue),
        Line::Dashed => RGBColor(red, green, blue ^ 1),
    }
}

/// The colour as a drawing spells it.
fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}

/// The variables `--c0`... of the light or the dark page.
pub(super) fn variables(dark: bool) -> String {
    let mut css = String::new();
    for (hue, dark_color) in DARK.iter().enumerate() {
        let value = if dark { (*dark_color).to_owned() } else { hex(LIGHT[hue]) };
        let _ = write!(css, "--c{hue}: {value}; ");
    }
    css
}

/// The rules that give drawings and legends their colours.
pub(super) fn rules() -> String {
    let mut css = String::new();
    for hue in 0..HUES {
        let [solid, dashed] = [Line::Solid, Line::Dashed].map(|line| hex(color(hue, line)));
        let _ = writeln!(
            css,
            "svg [stroke='{solid}'] {{ stroke: var(--c{hue}); }}\n\
             svg [stroke='{dashed}'] {{ stroke: var(--c{hue}); stroke-dasharray: 5 3; }}\n\
             svg [fill='{solid}'], svg [fill='{dashed}'] {{ fill: var(--c{hue}); stroke: none; }}\n\
             .c{hue} {{ color: var(--c{hue}); }}"
        );
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_curves_look_alike() {
        let lines = [Line::Solid, Line::Dashed];
        let mut all: Vec<String> =
            (0..HUES).flat_map(|hue| lines.map(|line| hex(color(hue, line)))).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 2 * HUES);
        assert_eq!(color(HUES, Line::Solid), color(0, Line::Solid));
        assert!(all.iter().all(|color| rules().contains(&format!("[stroke='{color}']"))));
    }
}
