//! The page of a quantisation: what each layer lost, and which values its activation had beside those that the integers
//! stand for.

use super::compare::Agreement;
use super::histogram::Histogram;
use super::report::{ActivationReport, LayerReport, Report};
use crate::charts::{Chart, ChartError, Curve, Line, Page, escape, number, thousands};

/// Points of the curve of a histogram.
const CELLS: usize = 128;

/// The page called `title` of `report`, whose layers' activations had the values `seen`.
///
/// # Errors
/// A chart cannot be drawn.
pub fn page(title: &str, report: &Report, seen: &[Histogram]) -> Result<String, ChartError> {
    let mut page = Page::new(title);
    page.push(&format!(
        "<p class=\"soft\">{} in 8 bits · {} images · ranges by {}</p>\n",
        escape(&report.arch),
        report.images,
        escape(&report.method)
    ));
    page.push(&format!("<p class=\"note\">{}</p>\n", image(report)));
    let Agreement { images, same_top1, cosine } = report.agreement;
    page.push(&format!(
        "<p class=\"note\">The most likely class is that of f32 for {same_top1} of {images} images; mean cosine of \
         the logits {cosine:.4}.</p>\n"
    ));
    page.heading("Layers");
    page.push(
        "<p class=\"note\">Signal to noise: of the weights, and of what the layer makes (of the classifier: what it \
         reads); in all: of what it makes when all layers are in 8 bits. 6 dB are a bit. Cut: the share of values beyond the integers.</p>\n",
    );
    page.push(&table(report));
    page.heading("Activations");
    page.push(
        "<p class=\"note\">How many values were seen (bold), by the integer that would stand for them; values that \
         are exactly 0 are left out. The integers that there are lie between the dashed lines: what is outside is \
         cut.</p>\n",
    );
    let charts: Vec<Chart> =
        report.layers.iter().zip(seen).map(|(layer, seen)| chart(layer, seen)).collect();
    page.charts(&charts)?;
    Ok(page.finish())
}

/// How the image becomes integers.
fn image(report: &Report) -> String {
    if !report.input_is_pixels {
        return "The image's integers cover the values that preprocessed images had.".to_owned();
    }
    let offsets: Vec<String> =
        report.input_offset.iter().map(|offset| format!("{offset:.2}")).collect();
    let padding: Vec<String> =
        report.input_offset.iter().map(|offset| offset.round_ties_even().to_string()).collect();
    format!(
        "The image's integers are its pixels: the first layer's filters and biases contain the normalisation. Its \
         padding, the mean colour {}, is rounded to {}.",
        offsets.join(", "),
        padding.join(", ")
    )
}

fn table(report: &Report) -> String {
    let mut html =
        "<div class=\"wide\"><table>\n<tr><th class=\"text\">layer</th><th>weights, dB</th>\
                    <th>activation, dB</th><th>in all, dB</th><th>cut</th><th>seen</th><th>kept</th><th>step</th>\
                    <th>zero</th></tr>\n"
            .to_owned();
    let decibels = |snr: Option<f64>| snr.map_or("–".to_owned(), |snr| format!("{snr:.1}"));
    let range =
        |low: f32, high: f32| format!("{} to {}", number(f64::from(low)), number(f64::from(high)));
    for LayerReport { name, kept_f32, weights_snr_db, total_snr_db, activation } in &report.layers {
        let weights = if *kept_f32 { "f32".to_owned() } else { decibels(*weights_snr_db) };
        let ActivationReport { min, max, low, high, scale, zero_point, clipped, snr_db } =
            *activation;
        let clipped = format!("{:.3} %", 100.0 * clipped);
        html += &format!(
            "<tr><td class=\"text\">{}</td><td>{weights}</td><td>{}</td><td>{}</td><td>{clipped}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{zero_point}</td></tr>\n",
            escape(name),
            decibels(snr_db),
            decibels(*total_snr_db),
            range(min, max),
            range(low, high),
            number(f64::from(scale)),
        );
    }
    html + "</table></div>\n"
}

/// The values of a layer's activation, in steps of its integers.
fn chart(layer: &LayerReport, seen: &Histogram) -> Chart {
    let ActivationReport { scale, zero_point, min, max, .. } = layer.activation;
    let integer = |x: f64| x / f64::from(scale) + f64::from(zero_point);
    let (first, last) = (integer(min.into()), integer(max.into()));
    let width = ((last - first) / CELLS as f64).max(f64::MIN_POSITIVE);
    let mut counts = vec![0; CELLS];
    for bin in seen.bins() {
        let at = (integer((bin.low + bin.high) / 2.0) - first) / width;
        counts[(at as usize).min(CELLS - 1)] += bin.count;
    }
    // By powers of ten: most values are near 0, and the others matter.
    let height = |count: u64| (count.max(1) as f64).log10();
    let most = counts.iter().copied().max().map_or(1.0, height).max(1.0);
    let points = counts.iter().enumerate();
    let points = points.map(|(i, &count)| (first + (i as f64 + 0.5) * width, height(count)));
    let values = Curve { name: String::new(), hue: 0, line: Line::Solid, points: points.collect() };
    let end = |x: f64| Curve {
        name: String::new(),
        hue: 1,
        line: Line::Dashed,
        points: vec![(x, 0.0), (x, most)],
    };
    Chart {
        title: layer.name.clone(),
        x_label: "integer".to_owned(),
        y_format: |y| thousands(10_f64.powf(y).round()),
        y_range: None,
        curves: vec![end(0.0), end(255.0), values],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_is_on_the_page() {
        let activation = ActivationReport {
            min: -1.0,
            max: 3.0,
            low: -0.8,
            high: 2.0,
            scale: 0.011,
            zero_point: 73,
            clipped: 0.01,
            snr_db: Some(33.25),
        };
        let layer = |name: &str, kept_f32| LayerReport {
            name: name.to_owned(),
            kept_f32,
            weights_snr_db: Some(41.0),
            total_snr_db: Some(28.8),
            activation,
        };
        let report = Report {
            arch: "resnet18".to_owned(),
            method: "mse".to_owned(),
            images: 64,
            input_factor: vec![58.395; 3],
            input_offset: vec![123.675, 116.28, 103.53],
            input_is_pixels: true,
            agreement: Agreement { images: 32, same_top1: 31, cosine: 0.9981 },
            layers: vec![layer("conv1", false), layer("<b>", true)],
        };
        let seen = vec![Histogram::of(&[-1.0, 0.0, 0.5, 3.0]), Histogram::default()];
        let page = page("a & b", &report, &seen).unwrap();
        for expected in [
            "a &amp; b",
            "conv1",
            "&lt;b&gt;",
            "33.2",
            "28.8",
            "31 of 32",
            "0.9981",
            "1.000 %",
            "123.68, 116.28, 103.53",
            "124, 116, 104",
        ] {
            assert!(page.contains(expected), "{expected}");
        }
        assert!(!page.contains("<b>") && page.matches("<svg").count() == 2);
    }
}
