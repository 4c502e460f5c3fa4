//! A miniature in ImageNet's own layout: a tar of tars with 20 synsets, a flat tar of validation images with
//! their labels, one PNG named .JPEG, one CMYK JPEG, one truncated file.

use std::path::Path;

use resnet_cpu::data::Dataset;
use resnet_cpu::data::shards::Record;

use super::jpeg::Layout;
use super::support::{jpeg, manifest, open, photo, png, records, run, tar, write};

const SYNSETS: usize = 20;
const EACH: usize = 4;

fn wnid(synset: usize) -> String {
    // As in ImageNet, the order of the ids is not that of the tar.
    format!("n{:08}", 1_440_764 + (synset * 7 % SYNSETS) * 1000)
}

fn cmyk_layout() -> Layout {
    Layout {
        sampling: vec![(1, 1); 4],
        scans: vec![vec![0, 1, 2, 3]],
        adobe: Some(2),
        ..Layout::colour([(1, 1); 3])
    }
}

fn cmyk() -> Vec<u8> {
    cmyk_layout().bytes()
}

fn is_cmyk(bytes: &[u8]) -> bool {
    bytes == cmyk()
}

/// Writes both tars; the validation image `i` is of the class `i * 3 % 20` of the sorted ids.
fn write_tars(folder: &Path) {
    let mut tars = Vec::new();
    for synset in 0..SYNSETS {
        let wnid = wnid(synset);
        let mut images = Vec::new();
        for i in 0..EACH {
            let large = synset == 3 && i == 0;
            let (width, height) = if large { (700, 520) } else { (50 + synset as u32, 40) };
            let image = photo((synset * EACH + i) as u64, width, height);
            let bytes = match (synset, i) {
                (5, 1) => png(&image),
                (6, 2) => cmyk(),
                (7, 3) => {
                    let bytes = jpeg(&image);
                    bytes[..bytes.len() * 2 / 3].to_vec()
                }
                _ => jpeg(&image),
            };
            images.push((format!("{wnid}_{i}.JPEG"), bytes));
        }
        tars.push((format!("{wnid}.tar"), tar(&images)));
    }
    write(&folder.join("ILSVRC2012_img_train.tar"), &tar(&tars));
    let mut val = Vec::new();
    for i in (0..30).rev() {
        let bytes = match i {
            4 => cmyk(),
            5 => jpeg(&photo(500, 640, 600)),
            _ => jpeg(&photo(500 + i, 30, 40)),
        };
        val.push((format!("ILSVRC2012_val_{:08}.JPEG", i + 1), bytes));
    }
    write(&folder.join("ILSVRC2012_img_val.tar"), &tar(&val));
}

fn sorted_ids() -> Vec<String> {
    let mut ids: Vec<String> = (0..SYNSETS).map(wnid).collect();
    ids.sort();
    ids
}

#[test]
fn the_three_odd_ones_are_handled_as_documented() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("in");
    write_tars(&folder);
    let args = ["pack", "in", "out", "--crop", "32"];
    run(root.path(), &args).fails(1, &["expected the labels of the validation images"]);
    let ids = sorted_ids();
    let lines: Vec<String> = (0..30).map(|i| ids[i * 3 % SYNSETS].clone() + "\n").collect();
    write(&folder.join("imagenet_2012_validation_synset_labels.txt"), lines.concat().as_bytes());
    let bad = format!("{}_3.JPEG", wnid(7));
    run(root.path(), &args).fails(1, &["ILSVRC2012_img_train.tar", &bad, "truncated image"]);
    run(root.path(), &[&args[..], &["--on-bad-image", "skip"]].concat()).succeeds();
    run(root.path(), &["verify", "out"]).succeeds();

    let manifest = manifest(&root.path().join("out"));
    assert_eq!(manifest.classes, ids);
    let split = &manifest.splits["train"];
    assert_eq!(split.images as usize, SYNSETS * EACH - 1);
    assert_eq!(split.skipped.len(), 1);
    assert_eq!(split.skipped[0].image, format!("ILSVRC2012_img_train.tar, {bad}"));
    assert!(split.skipped[0].reason.starts_with("truncated image: "), "{:?}", split.skipped);

    let train = open(&root.path().join("out"), "train");
    let packed = records(&train);
    for (label, id) in ids.iter().enumerate() {
        let of_class = packed.iter().filter(|(_, found, _)| *found == label).count();
        assert_eq!(of_class, if *id == wnid(7) { EACH - 1 } else { EACH });
    }
    // Every image is a JPEG of three colours; the PNG, the CMYK JPEG and the large one are encoded anew.
    assert!(packed.iter().all(|(bytes, ..)| bytes.starts_with(b"\xFF\xD8") && !is_cmyk(bytes)));
    let anew: Vec<usize> = (0..packed.len()).filter(|&i| packed[i].2 == 0).collect();
    assert!(packed.iter().all(|(.., flags)| [0, Record::UNTOUCHED].contains(flags)));
    let mut sizes: Vec<_> = anew
        .iter()
        .map(|&i| train.image(i).unwrap())
        .map(|image| (image.width(), image.height()))
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [(53, 37), (55, 40), (700 * 480 / 520, 480)]);
    // The colours of the CMYK image are those that it shows.
    let of_cmyk = anew.iter().map(|&i| train.image(i).unwrap());
    let of_cmyk = of_cmyk.into_iter().find(|image| image.width() == 53).unwrap();
    let off = of_cmyk.pixels().iter().zip(cmyk_layout().rgb()).map(|(&a, b)| a.abs_diff(b));
    assert!(off.max().unwrap() <= 6);
    // Images of a class are not beside each other.
    let neighbours = packed.windows(2).filter(|pair| pair[0].1 == pair[1].1).count();
    assert!(neighbours < 15, "{neighbours}");

    // Validation images are what they were, in the order of their names.
    let val = open(&root.path().join("out"), "val");
    for (i, (bytes, label, flags)) in records(&val).into_iter().enumerate() {
        assert_eq!((label, flags), (i * 3 % SYNSETS, Record::UNTOUCHED));
        match i {
            4 => assert!(is_cmyk(&bytes)),
            5 => assert_eq!(bytes, jpeg(&photo(500, 640, 600))),
            _ => assert_eq!(bytes, jpeg(&photo(500 + i as u64, 30, 40))),
        }
    }
}

#[test]
fn labels_come_in_several_forms_and_numbers_are_not_guessed() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("in");
    write_tars(&folder);
    let args = ["pack", "in", "out", "--on-bad-image", "skip", "--crop", "16", "--val-labels"];
    let pack = |list: &str| run(root.path(), &[&args[..], &[list]].concat());
    let numbers: Vec<String> = (0..30).map(|i| format!("{}\n", i % SYNSETS + 1)).collect();
    write(&root.path().join("numbers.txt"), numbers.concat().as_bytes());
    pack("numbers.txt").fails(1, &["numbers.txt: line 1", "meta.mat"]);
    write(&root.path().join("short.txt"), b"n01440764\n");
    pack("short.txt").fails(1, &["expected a label for each of 30 images, found 1"]);
    pack("missing.txt").fails(1, &["missing.txt"]);
    let lines: Vec<String> = (0..30)
        .rev()
        .map(|i| format!("ILSVRC2012_val_{:08}.JPEG {}\n", i + 1, i * 7 % SYNSETS))
        .collect();
    write(&root.path().join("val.txt"), lines.concat().as_bytes());
    pack("val.txt").succeeds();
    let val = open(&root.path().join("out"), "val");
    assert!((0..30).all(|i| val.label(i) == i * 7 % SYNSETS));
}

#[test]
fn tars_that_are_cut_or_something_else_are_named() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("in");
    write_tars(&folder);
    std::fs::remove_file(folder.join("ILSVRC2012_img_val.tar")).unwrap();
    let path = folder.join("ILSVRC2012_img_train.tar");
    let whole = std::fs::read(&path).unwrap();
    let pack = || run(root.path(), &["pack", "in", "out"]);
    for length in [whole.len() / 2, whole.len() - 1024, 700] {
        write(&path, &whole[..length]);
        pack().fails(1, &["ILSVRC2012_img_train.tar", "truncated"]);
    }
    let flat = tar(&[("n01440764_1.JPEG".to_owned(), jpeg(&photo(1, 8, 8)))]);
    write(&path, &flat);
    pack().fails(1, &["expected a tar for each class", "n01440764_1.JPEG"]);
    let file = run(root.path(), &["pack", "in/ILSVRC2012_img_train.tar", "out"]);
    file.fails(2, &["give the folder"]);
    assert!(!root.path().join("out").exists());
}
