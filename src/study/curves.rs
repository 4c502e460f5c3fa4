//! The charts of a study: errors by iteration as in the paper's figures 4 and 6, responses as in figure 7.

use super::grid::{Kind, Member, Net};
use super::results::{Entry, Row, Study};
use crate::charts::{Chart, Curve, Line, after_begin, number};
use crate::train::EpochMetrics;

/// A curve of a chart: a network, what the legend calls it, its colour.
struct Shown {
    depth: usize,
    net: Net,
    name: String,
    hue: usize,
}

/// A chart's title and the networks in it.
type Panel = (String, Vec<Shown>);

/// Errors by iteration: one chart for each kind of network, with a curve for each depth; of a study of shortcuts,
/// one for each depth, with a curve for each kind.
pub(super) fn errors(study: &Study) -> Vec<Chart> {
    let panels = panels(study);
    let curves: Vec<(String, Vec<Curve>)> = panels
        .into_iter()
        .map(|(title, shown)| (title, shown.iter().flat_map(|shown| pair(study, shown)).collect()))
        .collect();
    let range = after_begin(curves.iter().flat_map(|(_, curves)| curves));
    let chart = |(title, curves)| Chart {
        title,
        x_label: "iterations".to_owned(),
        y_format: |y| number(100.0 * y) + " %",
        y_range: range.clone(),
        curves,
    };
    curves.into_iter().map(chart).collect()
}

/// The standard deviations of responses, in the order of the layers and sorted: of all networks together; with several
/// kinds of residual networks by kind; of a study of shortcuts by depth.
pub(super) fn responses(study: &Study) -> Vec<Chart> {
    let panels = match study.kind {
        // Several kinds of residual networks would have the same lines.
        Kind::Degradation if several_residual(study) => panels(study),
        Kind::Degradation => {
            let all = panels(study).into_iter().flat_map(|(_, shown)| shown);
            let named = |shown: Shown| Shown { name: title(shown.depth, shown.net), ..shown };
            vec![(String::new(), all.map(named).collect())]
        }
        Kind::Shortcuts => panels(study),
    };
    let mut charts = Vec::new();
    for (title, shown) in panels {
        for sorted in [false, true] {
            let curves: Vec<Curve> =
                shown.iter().filter_map(|shown| response(study, shown, sorted)).collect();
            let order = if sorted { "by size" } else { "in order" };
            let title = if title.is_empty() { String::new() } else { format!("{title}, ") };
            charts.push(Chart {
                title: format!("{title}layers {order}"),
                x_label: if sorted { "layers, sorted by size" } else { "layer" }.to_owned(),
                y_format: number,
                y_range: None,
                curves,
            });
        }
    }
    charts.retain(|chart| !chart.curves.is_empty());
    charts
}

/// Which networks are compared in one chart.
fn panels(study: &Study) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    let (mut depths, mut nets) = (Vec::new(), Vec::new());
    for row in &study.table {
        if !depths.contains(&row.depth) {
            depths.push(row.depth);
        }
        if !nets.contains(&row.net()) {
            nets.push(row.net());
        }
    }
    for row in &study.table {
        let (depth, net) = (row.depth, row.net());
        let place = |found: Option<usize>| found.unwrap_or_default();
        let (panel, name, hue) = match study.kind {
            Kind::Degradation => (
                net.title(),
                format!("{depth} layers"),
                place(depths.iter().position(|d| *d == depth)),
            ),
            Kind::Shortcuts => {
                let name = match net {
                    Net::Plain => "plain".to_owned(),
                    Net::Residual(shortcut) => format!("{shortcut:?}"),
                };
                (format!("{depth} layers"), name, place(nets.iter().position(|n| *n == net)))
            }
        };
        let shown = Shown { depth, net, name, hue };
        match panels.iter_mut().find(|(title, _)| *title == panel) {
            Some((_, all)) => all.push(shown),
            None => panels.push((panel, vec![shown])),
        }
    }
    panels
}

fn several_residual(study: &Study) -> bool {
    let mut kinds = study.table.iter().map(Row::net).filter(|net| *net != Net::Plain);
    kinds.next().is_some_and(|first| kinds.any(|net| net != first))
}

fn title(depth: usize, net: Net) -> String {
    Member { depth, net, seed: 0 }.title()
}

/// Training and test error of a network, the mean of its finished runs.
fn pair(study: &Study, shown: &Shown) -> [Curve; 2] {
    let runs: Vec<&Entry> = study.finished(shown.depth, shown.net).collect();
    let curve = |line, name: &str, error: fn(&EpochMetrics) -> Option<f64>| Curve {
        name: name.to_owned(),
        hue: shown.hue,
        line,
        points: mean_curve(&runs, error),
    };
    [
        curve(Line::Dashed, "", |epoch| Some(1.0 - epoch.train_top1?)),
        curve(Line::Solid, &shown.name, |epoch| Some(1.0 - epoch.val_top1?)),
    ]
}

/// The mean of the runs' values after each epoch that all have, by iteration.
fn mean_curve(runs: &[&Entry], value: fn(&EpochMetrics) -> Option<f64>) -> Vec<(f64, f64)> {
    let Some((first, others)) = runs.split_first() else { return Vec::new() };
    let at = |epoch: &EpochMetrics| {
        let mut sum = value(epoch)?;
        for run in others {
            sum += value(run.epochs.iter().find(|other| other.step == epoch.step)?)?;
        }
        Some((epoch.step as f64, sum / runs.len() as f64))
    };
    first.epochs.iter().filter_map(at).collect()
}

/// The responses of a network, the mean of its finished runs. Plain networks are dashed, as far as both are in a
/// chart.
fn response(study: &Study, shown: &Shown, sorted: bool) -> Option<Curve> {
    let runs = study.finished(shown.depth, shown.net).filter_map(|run| run.responses.as_ref());
    let mut sums: Vec<f64> = Vec::new();
    let mut count = 0.0;
    for run in runs {
        sums.resize(run.layers.len(), 0.0);
        sums.iter_mut().zip(&run.layers).for_each(|(sum, layer)| *sum += layer.std);
        count += 1.0;
    }
    let mut means: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
    if sorted {
        means.sort_by(|a, b| b.total_cmp(a));
    }
    let points = means.iter().enumerate().map(|(i, &std)| ((i + 1) as f64, std));
    let line = if shown.net == Net::Plain { Line::Dashed } else { Line::Solid };
    let name = shown.name.clone();
    (!means.is_empty()).then(|| Curve { name, hue: shown.hue, line, points: points.collect() })
}
