//! Curves as SVG, and the pages that they are on: of one run, of several runs, of a study.
//!
//! A page is one file. It loads nothing, runs nothing, and suits light and dark screens and telephones: a
//! drawing's colours are names, which the page's style sheet maps.

mod chart;
mod page;
mod palette;
mod range;
mod text;

pub use chart::{Chart, ChartError, Curve};
pub use page::Page;
pub use palette::{HUES, Line};
pub use range::after_begin;
pub use text::{escape, number, percent, thousands};
