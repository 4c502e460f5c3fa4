//! What does not fit together is said before images are read.

use super::*;

#[test]
fn what_does_not_fit_is_one_line_before_images_are_read() {
    let fixture = Fixture::new(&["circle", "ring"], 6);
    // Whoever reads this image fails.
    fs::write(fixture.path("data/ring/broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    fs::create_dir(fixture.path("one")).unwrap();
    fixture.images("one", &["circle"], 3);
    fs::write(
        fixture.path("corrupt.safetensors"),
        &fs::read(fixture.path("weights.safetensors")).unwrap()[..9999],
    )
    .unwrap();
    fixture.images("photos", &["a", "b"], 1);
    image::RgbImage::new(300, 200).save(fixture.path("photos/a/0.png")).unwrap();
    let named = |names: [&str; 10]| Metadata {
        classes: Some(names.map(str::to_owned).to_vec()),
        ..Metadata::default()
    };
    fixture.weights("named.safetensors", "resnet20", named(demo::CLASSES));
    let mut swapped = demo::CLASSES;
    swapped.swap(3, 4);
    fixture.weights("swapped.safetensors", "resnet20", named(swapped));
    let mut ten = demo::CLASSES;
    ten.sort_unstable();
    fixture.images("ten", &ten, 2);
    for (line, code, parts) in [
        ("data -w missing.safetensors", 1, &["missing.safetensors"][..]),
        ("data -w corrupt.safetensors", 1, &["corrupt.safetensors"]),
        ("data -w data/circle/0.png", 1, &["0.png", "PNG image"]),
        (
            "data -w weights.safetensors --arch resnet32",
            1,
            &["weights.safetensors", "resnet32", "resnet20"],
        ),
        ("one -w weights.safetensors", 1, &["circle"]),
        (
            "photos -w weights.safetensors",
            2,
            &["resnet20 sees 24 x 24", "300 x 200", "--arch resnet20"],
        ),
        (
            "data -w weights.safetensors --recipe fast-cifar",
            2,
            &["one for 10 classes, not 2", "--recipe finetune"],
        ),
        (
            "ten -w swapped.safetensors --recipe fast-cifar",
            2,
            &["one whose class ", "--recipe finetune"],
        ),
        (
            "data -w weights.safetensors --mean-mode pixel-mean",
            2,
            &["mean-mode: expected channel, as the weights say"],
        ),
        ("data -w weights.safetensors --zero-init", 2, &["zero-init: expected false"]),
        (
            "data -w weights.safetensors --backbone-lr 0",
            2,
            &["backbone-lr: expected a positive number", "--freeze"],
        ),
        (
            "data -w weights.safetensors --freeze head",
            2,
            &["--freeze: expected none, backbone, found head"],
        ),
        (
            "data -w weights.safetensors --freeze backbone --augment crop",
            2,
            &["augment: expected none, since"],
        ),
        (
            "data -w weights.safetensors --freeze backbone --backbone-lr 0.5",
            2,
            &["backbone-lr: expected nothing"],
        ),
        (
            "data -w weights.safetensors --freeze backbone --batch 8 --micro-batch 4",
            2,
            &["micro-batch: expected nothing"],
        ),
        ("data --freeze backbone", 2, &["freeze: expected none, or --weights FILE"]),
        // Reads no image to say so, either.
        ("data -w weights.safetensors --val-split 12", 2, &["val-split: expected fewer images"]),
    ] {
        let run = fixture.run(&format!("train {line} --out new"));
        run.fails(code, parts);
        assert!(!run.err.contains("broken.png"), "{line}: {}", run.err);
        assert!(!fixture.path("new").exists(), "{line}");
    }
    for flags in ["", "--freeze backbone"] {
        let broken = fixture.run(&format!("train data -w weights.safetensors --out new {flags}"));
        broken.fails(1, &["broken.png"]);
        assert!(!fixture.path("new").exists());
    }
}
