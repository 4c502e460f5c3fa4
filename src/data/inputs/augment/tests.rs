//! Distributions of what is drawn, with stated bounds: against the definition, and against torchvision's
//! own draws (`tests/data/augment.json`, written by `data-tools/pytorch/check_augment.py`).

use super::*;
use crate::data::Colours;

/// Draws of each test: a count of probability p has the standard deviation sqrt(p (1 - p) N).
const N: u64 = 40_000;

fn draw(augment: &Augmentation, size: [usize; 2], crop: usize) -> impl Iterator<Item = Drawn> {
    let view = View::of(crop, crop);
    (0..N).map(move |i| augment.draw(view, size, &mut Rng::new(9, &[i])))
}

/// Each place is as likely as the others: six standard deviations.
fn assert_uniform(counts: &[u64]) {
    let expected = N as f64 / counts.len() as f64;
    let far = |&n: &u64| (n as f64 - expected).abs() > 6.0 * expected.sqrt();
    assert!(!counts.iter().any(far), "expected {expected}: {counts:?}");
}

#[test]
fn scales_corners_and_flips_are_uniform() {
    let crop = Crop::Scale { shortest: 256, longest: 480 };
    let augment = Augmentation { crop, flip: true, ..Augmentation::NONE };
    let (mut scales, mut corners, mut flips) = ([0; 225], [[0; 10]; 2], [0; 2]);
    for drawn in draw(&augment, [500, 375], 224) {
        let Place::Cut { resize, corner } = drawn.place else { panic!("{drawn:?}") };
        scales[resize - 256] += 1;
        for (axis, side) in [500 * resize / 375, resize].into_iter().enumerate() {
            // The tenth of the possible places in which it is.
            corners[axis][corner[axis] * 10 / (side - 224 + 1)] += 1;
        }
        flips[usize::from(drawn.flip)] += 1;
    }
    assert_uniform(&scales);
    assert_uniform(&flips);
    // Of 33 places at least, a tenth has 3 or 4: uneven by itself, so not tested closely.
    for counts in corners {
        let near = |&n: &u64| (n as f64 - N as f64 / 10.0).abs() < 0.05 * N as f64 / 10.0;
        assert!(counts.iter().all(near), "{counts:?}");
    }
}

/// A histogram of torchvision's draws, and ours of the same quantity, do not differ by more than chance:
/// their chi-square statistic is below its mean by less than six standard deviations.
fn assert_alike(name: &str, golden: &serde_json::Value, ours: &[u64]) {
    let theirs: Vec<f64> = golden.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
    assert_eq!(theirs.len(), ours.len(), "{name}");
    let (total, own) = (theirs.iter().sum::<f64>(), ours.iter().sum::<u64>() as f64);
    let (mut statistic, mut cells) = (0.0_f64, 0.0_f64);
    for (&theirs, &ours) in theirs.iter().zip(ours) {
        let ours = ours as f64;
        if theirs + ours > 0.0 {
            let difference = ours * (total / own).sqrt() - theirs * (own / total).sqrt();
            statistic += difference * difference / (theirs + ours);
            cells += 1.0;
        }
    }
    let degrees = cells - 1.0;
    let limit = degrees + 6.0 * (2.0 * degrees).sqrt();
    assert!(statistic < limit, "{name}: {statistic:.1} of {limit:.1}: {theirs:?}, {ours:?}");
}

/// The cell of twenty in [0, 1).
fn cell(share: f64) -> usize {
    ((share * 20.0) as usize).min(19)
}

#[test]
fn crops_of_random_area_are_distributed_as_torchvisions() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/data/augment.json")).unwrap();
    let cases = golden["random_resized_crop"].as_array().unwrap();
    assert!(cases.len() > 3);
    for case in cases {
        let number = |name: &str| case[name].as_f64().unwrap();
        let [width, height] = ["width", "height"].map(|name| number(name) as usize);
        let crop = Crop::Area { least: number("least") as f32 };
        let augment = Augmentation { crop, ..Augmentation::NONE };
        let mut found = [[0; 20]; 4];
        for drawn in draw(&augment, [width, height], 224) {
            let Place::Part(part) = drawn.place else { panic!("{drawn:?}") };
            let sides = [part.width as f64, part.height as f64];
            let of = [width as f64, height as f64];
            let ratio = sides[0] / sides[1];
            found[0][cell(sides[0] * sides[1] / (of[0] * of[1]))] += 1;
            found[1][cell((ratio - 0.5) / 1.2)] += 1;
            found[2][cell((part.left as f64 + sides[0] / 2.0) / of[0])] += 1;
            found[3][cell((part.top as f64 + sides[1] / 2.0) / of[1])] += 1;
        }
        for (name, found) in ["area", "ratio", "x", "y"].iter().zip(found) {
            assert_alike(&format!("{width}x{height} {name}"), &case[*name], &found);
        }
    }
}

#[test]
fn erased_rectangles_are_distributed_as_torchvisions() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/data/augment.json")).unwrap();
    let case = &golden["random_erasing"];
    let augment = Augmentation { erase: 0.25, ..Augmentation::NONE };
    let (mut found, mut none) = ([[0; 20]; 3], 0);
    for drawn in draw(&augment, [224, 224], 224) {
        let Some(part) = drawn.erased else {
            none += 1;
            continue;
        };
        found[0][cell((part.width * part.height) as f64 / (224.0 * 224.0))] += 1;
        found[1][cell((part.left as f64 + part.width as f64 / 2.0) / 224.0)] += 1;
        found[2][cell((part.height as f64 / part.width as f64) / 4.0)] += 1;
    }
    for (name, found) in ["area", "x", "ratio"].iter().zip(found) {
        assert_alike(name, &case[*name], &found);
    }
    // A try almost always fits.
    let expected = 0.75 * N as f64;
    assert!((f64::from(none) - expected).abs() < 6.0 * (0.25 * expected).sqrt(), "{none}");
}

#[test]
fn shapes_beyond_all_bounds_have_a_crop() {
    for least in [0.01, 0.08, 1.0] {
        let augment = Augmentation { crop: Crop::Area { least }, ..Augmentation::NONE };
        for size in [[1, 1], [1, 300], [300, 1], [7, 2]] {
            for drawn in draw(&augment, size, 4).take(500) {
                let Place::Part(part) = drawn.place else { panic!("{drawn:?}") };
                assert!(part.width > 0 && part.left + part.width <= size[0], "{part:?}");
                assert!(part.height > 0 && part.top + part.height <= size[1], "{part:?}");
            }
        }
    }
}

/// Each part draws for itself: with another one on, what comes before it stays.
#[test]
fn switches_do_not_change_what_is_drawn_before_them() {
    let colours = Colours { eigenvalues: [0.1, 0.05, 0.01], eigenvectors: [[1.0, 0.0, 0.0]; 3] };
    let crop = Crop::Area { least: 0.08 };
    let plain = Augmentation { crop, flip: true, ..Augmentation::NONE };
    let jitter = Jitter { brightness: 0.4, ..Jitter::default() };
    let all = Augmentation { jitter, colour: Some(ColourShift::of(&colours)), erase: 1.0, ..plain };
    for (a, b) in draw(&plain, [50, 40], 32).zip(draw(&all, [50, 40], 32)).take(100) {
        assert_eq!(format!("{:?} {}", a.place, a.flip), format!("{:?} {}", b.place, b.flip));
        assert!(b.changes.len() == 1 && b.colour.is_some() && b.erased.is_some());
    }
}
