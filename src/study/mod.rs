//! A study: the paper's comparisons of networks, as a grid of ordinary runs and one page about them.
//!
//! Each member of the grid is a run in a folder of its own. What a study shows follows from these folders alone,
//! so it may be stopped, gone on with, or have members that were trained by hand.

mod curves;
mod grid;
mod page;
mod responses;
mod results;
mod tables;

pub use grid::{Grid, Kind, Member, Net};
pub use page::{Made, page};
pub use responses::{RESPONSES, Responses, measure_responses};
pub use results::{Entry, Row, Spread, Study};

/// The name of the page in a study's folder.
pub const PAGE: &str = "study.html";
/// The name of the file with the numbers.
pub const NUMBERS: &str = "study.json";
