//! The tables of a study: errors by depth and kind of network (the paper's tables 2 and 6), networks one by one
//! (tables 3 and 6), and runs.

use std::fmt::Write as _;

use super::grid::Net;
use super::results::{Entry, Row, Spread, Study};
use crate::charts::{escape, percent};
use crate::data::Kind;
use crate::model::Shortcut;

/// The paper's test errors in percent on CIFAR-10 (table 6), by layers; of the 110-layer network the mean of five.
const PAPER_CIFAR: [(usize, f64); 6] =
    [(20, 8.75), (32, 7.51), (44, 7.17), (56, 6.97), (110, 6.61), (1202, 7.93)];

/// Errors by depth, a column for each kind of network.
pub(super) fn by_depth(study: &Study) -> String {
    let mut nets: Vec<Net> = Vec::new();
    let mut depths: Vec<usize> = Vec::new();
    for row in &study.table {
        if !nets.contains(&row.net()) {
            nets.push(row.net());
        }
        if !depths.contains(&row.depth) {
            depths.push(row.depth);
        }
    }
    let mut html = "<div class=\"wide\"><table>\n<tr><th>layers</th>".to_owned();
    nets.iter().for_each(|net| html += &format!("<th>{}</th>", net.title()));
    html += "</tr>\n";
    for depth in depths {
        let _ = write!(html, "<tr><td>{depth}</td>");
        for &net in &nets {
            let found = study.table.iter().find(|row| (row.depth, row.net()) == (depth, net));
            let runs = found.map_or(0, |row| row.runs);
            let top1_error = found.and_then(|row| row.top1_error);
            let _ = write!(html, "<td>{}</td>", error(top1_error, runs));
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// Every network with its parameters and errors.
pub(super) fn networks(study: &Study) -> String {
    let paper = study.table.iter().any(|row| paper(study, row).is_some());
    let top5 = study.classes > 5;
    let measured = &study.measured_on;
    let mut html = format!(
        "<div class=\"wide\"><table>\n<tr><th class=\"text\">network</th><th>layers</th><th>parameters</th>\
         <th>runs</th><th>training error</th><th>{measured} error</th>{}{}</tr>\n",
        if top5 { format!("<th>top-5 {measured} error</th>") } else { String::new() },
        if paper { "<th>the paper</th>" } else { "" }
    );
    for row in &study.table {
        let _ = write!(
            html,
            "<tr><td class=\"text\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
            row.title(),
            row.depth,
            millions(row.parameters),
            row.runs,
            error(row.train_error, row.runs),
            error(row.top1_error, row.runs),
        );
        if top5 {
            let _ = write!(html, "<td>{}</td>", error(row.top5_error, row.runs));
        }
        if paper {
            let known = self::paper(study, row).map(|error| format!("{error:.2} %"));
            let _ = write!(html, "<td>{}</td>", known.unwrap_or_default());
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// Every run with the time it took.
pub(super) fn runs(study: &Study) -> String {
    let mut html = format!(
        "<div class=\"wide\"><table>\n<tr><th class=\"text\">run</th><th>training error</th><th>{} error</th>\
         <th>loss</th><th>images/s</th><th>time</th></tr>\n",
        study.measured_on
    );
    for run in &study.runs {
        let _ = write!(html, "<tr><td class=\"text\">{}</td>", escape(&run.name));
        if !run.finished {
            html += "<td colspan=\"5\" class=\"text\">missing</td></tr>\n";
            continue;
        }
        let last = run.last();
        let loss = last.and_then(|last| last.loss).map(|loss| format!("{loss:.4}"));
        let images = speed(run).map(|speed| format!("{speed:.0}"));
        let cells = [
            run.train_error.map(percent),
            last.map(|last| percent(1.0 - last.top1)),
            loss,
            images,
            Some(duration(seconds(run))),
        ];
        for cell in cells {
            let _ = write!(html, "<td>{}</td>", cell.unwrap_or_else(|| "–".to_owned()));
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

/// Seconds that a run's epochs took, tests included.
pub(super) fn seconds(run: &Entry) -> f64 {
    run.epochs.iter().filter_map(|epoch| epoch.seconds).sum()
}

/// Seconds as people say them.
pub(super) fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round();
    match seconds {
        ..60.0 => format!("{seconds:.0} s"),
        60.0..5970.0 => format!("{minutes} min"),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// Training images a second: the median of its epochs.
fn speed(run: &Entry) -> Option<f64> {
    let mut speeds: Vec<f64> = run.epochs.iter().filter_map(|e| e.images_per_second).collect();
    speeds.sort_by(f64::total_cmp);
    speeds.get(speeds.len() / 2).copied()
}

/// `8.75 %`, or `6.61 ± 0.16 %`, of so many finished `runs`. Where images are mixed there is no training error.
fn error(spread: Option<Spread>, runs: usize) -> String {
    match spread {
        None if runs > 0 => "–".to_owned(),
        None => "missing".to_owned(),
        Some(Spread { mean, std: None }) => percent(mean),
        Some(Spread { mean, std: Some(std) }) => {
            format!("{:.2} ± {:.2} %", 100.0 * mean, 100.0 * std)
        }
    }
}

/// 270,000 to `0.27 M`, as the paper's table 6 has it.
fn millions(parameters: usize) -> String {
    let millions = parameters as f64 / 1e6;
    if millions < 1.0 { format!("{millions:.2} M") } else { format!("{millions:.1} M") }
}

/// The paper's error of this network, in percent, where it is comparable.
fn paper(study: &Study, row: &Row) -> Option<f64> {
    let same = study.data == Kind::Cifar10.to_string()
        && (study.train_images, study.images) == (50_000, 10_000)
        && row.net() == Net::Residual(Shortcut::A);
    let known = PAPER_CIFAR.iter().find(|(depth, _)| *depth == row.depth);
    known.filter(|_| same).map(|(_, error)| *error)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations() {
        assert_eq!([4.4, 90.0, 5400.0, 7200.0].map(duration), ["4 s", "2 min", "90 min", "2.0 h"]);
    }
}
