//! The page of a study: `study.html`.

use super::curves;
use super::grid::{Kind, Member};
use super::results::Study;
use super::tables::{self, duration, seconds};
use crate::charts::{ChartError, Page, escape};

/// How a study was made, for its page. None of it is in the numbers.
#[derive(Clone, Debug)]
pub struct Made {
    /// The command line.
    pub command: String,
    /// The processor's name.
    pub cpu: String,
    /// What computes: instruction set, threads.
    pub machine: String,
    /// The data's name.
    pub data: String,
    /// The recipe, the data and the settings that differ from the recipe's: names and values.
    pub settings: Vec<(&'static str, String)>,
}

/// The page.
///
/// # Errors
/// A chart cannot be drawn.
pub fn page(study: &Study, made: &Made) -> Result<String, ChartError> {
    let title = match study.kind {
        Kind::Degradation => "Degradation: deeper networks, plain and residual",
        Kind::Shortcuts => "Shortcuts: A, B and C",
    };
    let mut page = Page::new(&format!("{title} · {}", made.data));
    page.push(&format!("<p class=\"soft\">{}</p>\n", summary(study)));
    page.push(&format!("<p class=\"note\">{}</p>\n", question(study.kind)));

    page.heading("Error by iteration");
    let seeds = seeds(study);
    let many = seeds.len() > 1;
    page.push(&format!(
        "<p class=\"note\">Dashed: training error, of the images as they are used for training. Bold: {} error. As \
         in figures 4 and 6 of the paper{}.</p>\n",
        study.measured_on,
        if many { "; curves are the mean of the finished runs" } else { "" }
    ));
    page.charts(&curves::errors(study))?;

    let measured = &study.measured_on;
    page.heading("Error by depth");
    page.push(&format!(
        "<p class=\"note\">Top-1 {measured} error after the last iteration, as in table {} of the paper{}. Nothing is \
         chosen by it.</p>\n",
        match study.kind {
            Kind::Degradation => 2,
            Kind::Shortcuts => 3,
        },
        if many { "; mean ± standard deviation of the finished runs" } else { "" }
    ));
    page.push(&tables::by_depth(study));
    page.heading("Networks");
    page.push(&tables::networks(study));

    let responses = curves::responses(study);
    if !responses.is_empty() {
        page.heading("Layer responses");
        page.push(&format!(
            "<p class=\"note\">The standard deviation of the outputs of each 3x3 layer, after batch norm and before \
             addition and ReLU, over all {measured} images: figure 7 of the paper.{}</p>\n",
            match study.kind {
                Kind::Degradation => " Dashed: plain networks. Bold: residual networks.",
                Kind::Shortcuts => "",
            }
        ));
        page.charts(&responses)?;
    }

    page.heading("Runs");
    page.push(&tables::runs(study));
    page.heading("How this was made");
    page.push("<table class=\"config\">\n");
    let took = study.runs.iter().map(seconds).sum();
    let facts = [
        ("command", format!("<code>{}</code>", escape(&made.command))),
        ("iterations", iterations(study)),
        ("seeds", seeds.join(", ")),
        ("processor", escape(&format!("{}; {}", made.cpu, made.machine))),
        ("time of the runs", duration(took)),
        ("program", format!("resnet-cpu {}", env!("CARGO_PKG_VERSION"))),
    ];
    for (name, value) in facts {
        page.push(&format!("<tr><th>{name}</th><td>{value}</td></tr>\n"));
    }
    for (name, value) in &made.settings {
        page.push(&format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value)));
    }
    page.push("</table>\n");
    Ok(page.finish())
}

/// What the study asks, in the words of the paper's finding.
fn question(kind: Kind) -> &'static str {
    match kind {
        Kind::Degradation => {
            "He, Zhang, Ren and Sun (2015) found that plain networks of more layers have a higher training error, \
             so it is not overfitting, and that residual networks of more layers have a lower one."
        }
        Kind::Shortcuts => {
            "A: identity shortcuts with zero padding, without parameters. B: projections where the shape changes. \
             C: projections in every block. He, Zhang, Ren and Sun (2015) found B slightly better than A, C \
             marginally better than B, and projections not essential."
        }
    }
}

fn summary(study: &Study) -> String {
    let done = study.runs.iter().filter(|run| run.finished).count();
    format!(
        "{done} of {} runs finished · {} a run · {} training and {} {} images in {} classes, {} px",
        study.runs.len(),
        iterations(study),
        study.train_images,
        study.images,
        study.measured_on,
        study.classes,
        study.side,
    )
}

/// `3200 iterations (5 % of the recipe's 64000)`.
fn iterations(study: &Study) -> String {
    let (own, whole) = (study.iterations, study.recipe_iterations);
    let share = 100.0 * own as f64 / whole as f64;
    let of = if own == whole {
        ", as in the recipe".to_owned()
    } else {
        format!(" ({} % of the recipe's {whole})", crate::charts::number(share))
    };
    format!("{own} iterations{of}")
}

/// The seeds of the runs.
fn seeds(study: &Study) -> Vec<String> {
    let members = study.runs.iter().filter_map(|run| Member::of_name(&run.name));
    let mut seeds: Vec<String> = members.map(|member| member.seed.to_string()).collect();
    // The runs of a seed follow one another.
    seeds.dedup();
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::grid::{Grid, Net};
    use crate::study::responses::{Response, Responses};
    use crate::study::results::{Entry, Row, Spread};
    use crate::train::{EpochMetrics, Measurement, RunResult};

    /// A study of which all runs but the last are done.
    fn study(kind: Kind, seeds: &[u64]) -> Study {
        let nets = match kind {
            Kind::Degradation => &["plain", "a"][..],
            Kind::Shortcuts => &["a", "b", "c"],
        };
        let nets: Vec<Net> = nets.iter().map(|net| net.parse().unwrap()).collect();
        let grid = Grid::new(kind, &[20, 32], &nets, seeds);
        let epochs = |seed: u64| {
            let epoch = |i: u64| EpochMetrics {
                epoch: i,
                step: 400 * i,
                train_top1: Some(1.0 - 0.9 / (i + seed) as f64),
                val_top1: (i != 2).then_some(1.0 - 0.8 / (i + seed) as f64),
                seconds: Some(40.0),
                ..EpochMetrics::default()
            };
            (1..=8).map(epoch).collect::<Vec<_>>()
        };
        let entry = |member: &Member| {
            let last = Measurement {
                epoch: 8,
                step: 3200,
                loss: None,
                top1: 0.9,
                top5: 0.99,
                images: 10_000,
            };
            let layers = (0..member.depth)
                .map(|i| Response { layer: format!("conv{i}"), std: 1.0 / (i + 1) as f64 });
            Entry {
                name: member.name(),
                finished: true,
                train_error: Some(0.1),
                result: Some(RunResult {
                    step: 3200,
                    steps: 3200,
                    best: Some(last.clone()),
                    last: Some(last.clone()),
                    test: Some(last),
                }),
                responses: Some(Responses { step: 3200, images: 10_000, layers: layers.collect() }),
                epochs: epochs(member.seed),
            }
        };
        let mut runs: Vec<Entry> = grid.members().iter().map(entry).collect();
        let last = runs.last_mut().unwrap();
        *last = Entry {
            finished: false,
            train_error: None,
            result: None,
            responses: None,
            epochs: vec![],
            name: last.name.clone(),
        };
        let row = |(depth, net): (usize, Net)| Row {
            arch: Member { depth, net, seed: 1 }.arch(),
            shortcut: net.shortcut().map(|s| s.to_string()),
            depth,
            parameters: 270_000,
            runs: seeds.len(),
            train_error: Spread::of([0.1]),
            top1_error: Spread::of(seeds.iter().map(|seed| 0.08 + 0.001 * *seed as f64)),
            top5_error: None,
        };
        let table = grid.depths.iter().flat_map(|&d| grid.nets.iter().map(move |&n| (d, n)));
        Study {
            kind,
            recipe: "paper-cifar".to_owned(),
            data: crate::data::Kind::Cifar10.to_string(),
            fingerprint: "0f".to_owned(),
            classes: 10,
            train_images: 50_000,
            images: 10_000,
            measured_on: "test".to_owned(),
            side: 32,
            iterations: 3200,
            recipe_iterations: 64_000,
            table: table.map(row).collect(),
            runs,
        }
    }

    fn made() -> Made {
        Made {
            command: "resnet-cpu study 'a <b>'".to_owned(),
            cpu: "a CPU".to_owned(),
            machine: "avx2, 2 threads".to_owned(),
            data: "<data>".to_owned(),
            settings: vec![("lr", "0.1".to_owned())],
        }
    }

    #[test]
    fn pages_of_both_kinds() {
        for (kind, charts) in [(Kind::Degradation, 2 + 2), (Kind::Shortcuts, 2 + 4)] {
            let html = page(&study(kind, &[1, 2]), &made()).unwrap();
            assert_eq!(html.matches("<svg").count(), charts, "{kind}");
            assert!(html.contains("5 % of the recipe's 64000"), "{html}");
            assert!(html.contains("± 0.07 %") && html.contains("missing"), "{html}");
            assert!(html.contains("&lt;data&gt;") && html.contains("a &lt;b&gt;"));
            assert!(!html.contains("<script") && !html.contains("NaN"));
            assert_eq!(html.matches("http").count(), charts, "namespaces only");
            assert!(html.contains("8.75 %"), "the paper's ResNet-20");
        }
    }

    /// Colours tell depths, and lines plain from residual: kinds of residual networks have a chart each.
    #[test]
    fn several_kinds_of_residual_networks_are_told_apart() {
        let mut both = study(Kind::Shortcuts, &[1]);
        both.kind = Kind::Degradation;
        let html = page(&both, &made()).unwrap();
        assert_eq!(html.matches("<svg").count(), 3 + 2 * 3, "errors and responses of a, b, c");
    }

    /// Where images are mixed, there is no training error to tell.
    #[test]
    fn a_finished_run_is_not_missing() {
        let mut mixed = study(Kind::Degradation, &[1]);
        let (done, last) = (mixed.runs[0].clone(), mixed.runs.last_mut().unwrap());
        *last = Entry { name: last.name.clone(), ..done };
        mixed.runs.iter_mut().for_each(|run| run.train_error = None);
        mixed.table.iter_mut().for_each(|row| row.train_error = None);
        assert!(!page(&mixed, &made()).unwrap().contains("missing"));
    }

    #[test]
    fn a_study_that_has_just_begun_has_a_page() {
        let mut new = study(Kind::Degradation, &[1]);
        for run in &mut new.runs {
            *run = Entry {
                finished: false,
                train_error: None,
                result: None,
                responses: None,
                epochs: vec![],
                name: run.name.clone(),
            };
        }
        for row in &mut new.table {
            (row.runs, row.train_error, row.top1_error) = (0, None, None);
        }
        let html = page(&new, &made()).unwrap();
        assert!(html.contains("0 of 4 runs finished") && !html.contains("Layer responses"));
    }
}
