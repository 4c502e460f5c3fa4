//! Class folders, CIFAR-10, idx files and shards: what each becomes, settings that are refused, plans.

use std::fs;

use resnet_cpu::data::shards::{RawImage, Record, Within};
use resnet_cpu::data::{Dataset, Limits, Statistics, View, epoch_order, open as open_set};
use resnet_cpu::runtime::Unwatched;

use super::support::{
    class_folders, files, jpeg, manifest, open, photo, png, records, run, tar, write,
};

#[test]
fn a_folder_becomes_shards_that_hold_its_images() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 24), ("val", 9)]);
    write(&root.path().join("in/train/ant/x.png"), &png(&photo(7, 20, 20)));
    let out = root.path().join("out");
    let args = ["pack", "in", "out", "--shorter-side", "48", "--crop", "20", "--resize", "24"];
    let done = run(root.path(), &args).succeeds();
    assert!(done.out.contains("train: 25 images in 1 shard"), "{}", done.out);
    assert!(done.out.contains("val: 9 images in 1 shard"), "{}", done.out);
    // The order of training images is that of the first epoch with this seed.
    let source = open_set(Some(&root.path().join("in"))).unwrap();
    let train = open(&out, "train");
    let packed = records(&train);
    for (record, index) in packed.iter().zip(epoch_order(0, 0, 25)) {
        let (bytes, label, flags) = record;
        assert_eq!(*label, source.train.label(index));
        let original = source.train.stored(index).unwrap().unwrap();
        let image = source.train.image(index).unwrap();
        let small = image.width().min(image.height()) <= 48;
        if small && !original.starts_with(b"\x89PNG") {
            assert_eq!((&bytes[..], *flags), (&original[..], Record::UNTOUCHED));
        } else {
            assert_eq!((&bytes[..2], *flags), (&b"\xFF\xD8"[..], 0));
        }
    }
    for i in 0..train.len() {
        let image = train.image(i).unwrap();
        assert!(image.width().min(image.height()) <= 48);
    }
    let val = source.val.unwrap();
    for (i, (bytes, label, flags)) in records(&open(&out, "val")).into_iter().enumerate() {
        assert_eq!(bytes, *val.stored(i).unwrap().unwrap());
        assert_eq!((label, flags), (val.label(i), Record::UNTOUCHED));
    }
    // What was measured on the way is what the library finds in the shards.
    let view = View::of(24, 20);
    let expected = Statistics::of(&train, view, &Unwatched).unwrap();
    let found = train.measured(view).unwrap().unwrap();
    assert_eq!(found, expected);
    run(root.path(), &["verify", "out"]).succeeds();
    let other = run(root.path(), &["stats", "out", "--crop", "16", "--resize", "16"]).succeeds();
    assert!(other.out.contains("\"images\":25"), "{}", other.out);
    assert_eq!(manifest(&out).statistics.len(), 2);
    let again = run(root.path(), &["stats", "out", "--crop", "16", "--resize", "16"]).succeeds();
    assert_eq!(again.out, other.out);
    assert_eq!(manifest(&out).statistics.len(), 2);
    run(root.path(), &["verify", "out"]).succeeds();
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 40), ("val", 6)]);
    let mut packs = Vec::new();
    for threads in ["1", "2", "3"] {
        let args = ["pack", "in", threads, "-j", threads, "--shorter-side", "48", "--crop", "16"];
        run(root.path(), &[&args[..], &["--shard-size", "30kB"]].concat()).succeeds();
        packs.push(files(&root.path().join(threads)));
    }
    assert!(packs[0].len() > 8, "several shards: {:?}", packs[0].keys());
    assert!(packs.iter().all(|pack| *pack == packs[0]));
    for (name, bytes) in &packs[0] {
        assert!(!name.ends_with(".tar") || bytes.len() <= 30_000, "{name}: {}", bytes.len());
    }
    // Another seed is another order, and where the set lies is none of it.
    fs::rename(root.path().join("in"), root.path().join("elsewhere")).unwrap();
    let args = ["--shorter-side", "48", "--crop", "16", "--shard-size", "30kB"];
    run(root.path(), &[&["pack", "elsewhere/", "moved"], &args[..]].concat()).succeeds();
    assert_eq!(files(&root.path().join("moved")), packs[0]);
    run(root.path(), &[&["pack", "elsewhere", "other", "--seed", "1"], &args[..]].concat())
        .succeeds();
    assert_ne!(files(&root.path().join("other")), packs[0]);
}

#[test]
fn what_is_held_out_is_what_training_would_hold_out() {
    let root = tempfile::tempdir().unwrap();
    class_folders(root.path(), &[("in", 30)]);
    let images = |out: &str, part: &str| manifest(&root.path().join(out)).splits[part].images;
    let pack = |out: &str, more: &[&str]| {
        run(root.path(), &[&["pack", "in", out, "--crop", "16"], more].concat())
    };
    let usual = pack("usual", &[]).succeeds();
    assert!(usual.err.contains("a tenth of each class"), "{}", usual.err);
    let held_out = open_set(Some(&root.path().join("in"))).unwrap().val.unwrap();
    let val = open(&root.path().join("usual"), "val");
    let stored = |i| held_out.stored(i).unwrap().unwrap().into_owned();
    let expected: Vec<_> = (0..held_out.len()).map(stored).collect();
    let found: Vec<_> = records(&val).into_iter().map(|(bytes, ..)| bytes).collect();
    assert_eq!(found, expected);
    let none = pack("none", &["--val-split", "0"]).succeeds();
    assert!(!none.err.contains("held out"), "{}", none.err);
    assert_eq!(images("none", "train"), 30);
    assert_eq!(manifest(&root.path().join("none")).splits.len(), 1);
    pack("seven", &["--val-split", "7"]).succeeds();
    assert_eq!((images("seven", "train"), images("seven", "val")), (23, 7));
    let val = records(&open(&root.path().join("seven"), "val"));
    let of_class = |class| val.iter().filter(|(_, label, _)| *label == class).count();
    assert_eq!([0, 1, 2].map(of_class).iter().max(), Some(&3), "of each class in proportion");
    assert_eq!([0, 1, 2].map(of_class).iter().min(), Some(&2));
    pack("all", &["--val-split", "30"]).fails(2, &["--val-split", "1 to 29"]);
    // Shards can be packed again, with all their parts.
    run(root.path(), &["pack", "seven", "again", "--crop", "16"]).succeeds();
    assert_eq!((images("again", "train"), images("again", "val")), (23, 7));
    run(root.path(), &["pack", "seven", "more", "--val-split", "3"])
        .fails(2, &["--val-split", "it has validation images"]);
}

#[test]
fn all_of_train_val_and_test_are_packed() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 12), ("val", 6), ("test", 9)]);
    // A test set may lack a class.
    fs::remove_dir_all(root.path().join("in/test/ant")).unwrap();
    let args = ["pack", "in", "out", "--crop", "16"];
    let packed = run(root.path(), &args).succeeds();
    assert!(packed.out.contains("test: 6 images in 1 shard"), "{}", packed.out);
    assert!(!packed.err.contains("not used"), "{}", packed.err);
    let test = records(&open(&root.path().join("out"), "test"));
    assert_eq!(test.iter().map(|record| record.1).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2]);
    for (i, (bytes, _, flags)) in test.into_iter().enumerate() {
        let (class, number) = [("bee", 1), ("cat", 2)][i / 3];
        let path = root.path().join(format!("in/test/{class}/{:03}.jpg", number + i % 3 * 3));
        assert_eq!((bytes, flags), (fs::read(path).unwrap(), Record::UNTOUCHED));
    }
    run(root.path(), &["verify", "out"]).succeeds();
    // All of them again from shards, and beside images that are held out.
    run(root.path(), &["pack", "out", "again", "--crop", "16"]).succeeds();
    assert_eq!(manifest(&root.path().join("again")).splits["test"].images, 6);
    fs::remove_dir_all(root.path().join("in/val")).unwrap();
    class_folders(&root.path().join("in"), &[("test", 9)]);
    run(root.path(), &["pack", "in", "split", "--crop", "16", "--val-split", "3"]).succeeds();
    let splits = manifest(&root.path().join("split")).splits;
    assert_eq!(["train", "val", "test"].map(|part| splits[part].images), [9, 3, 9]);
    // Nothing is left out without a word.
    class_folders(&root.path().join("in"), &[("val", 6)]);
    write(&root.path().join("in/test/dog/1.jpg"), &jpeg(&photo(1, 20, 20)));
    run(root.path(), &["pack", "in", "other", "--crop", "16"])
        .fails(1, &["in/test: expected the classes of the training folder, found also dog"]);
}

#[test]
fn pixels_stay_what_they_are() {
    let root = tempfile::tempdir().unwrap();
    let mut idx = [&[0, 0, 8, 3], &6_u32.to_be_bytes()[..]].concat();
    idx.extend([28_u32, 28].iter().flat_map(|side| side.to_be_bytes()));
    idx.extend((0..6 * 28 * 28).map(|i| (i * 7 % 251) as u8));
    write(&root.path().join("idx/train-images-idx3-ubyte"), &idx);
    let labels = [&[0, 0, 8, 1], &6_u32.to_be_bytes()[..], &[0, 1, 2, 0, 1, 2]].concat();
    write(&root.path().join("idx/train-labels-idx1-ubyte"), &labels);
    let mut cifar = Vec::new();
    for i in 0..8_usize {
        cifar.push((i % 10) as u8);
        cifar.extend((0..3072).map(|j| (i * 31 + j) as u8));
    }
    write(&root.path().join("cifar/train.bin"), &cifar);
    for set in ["idx", "cifar"] {
        let out = format!("{set}-out");
        run(root.path(), &["pack", set, &out]).succeeds();
        run(root.path(), &["verify", &out]).succeeds();
        let source = open_set(Some(&root.path().join(set))).unwrap().train;
        let train = open(&root.path().join(&out), "train");
        let view = View { pad: source.pad(), resize: None, ..View::of(32, 32) };
        for (i, index) in epoch_order(0, 0, source.len()).into_iter().enumerate() {
            assert_eq!(train.image(i).unwrap(), view.center(&source.image(index).unwrap()));
            assert_eq!(train.label(i), source.label(index));
            assert_eq!(train.entry(i).flags, Record::RAW);
        }
        // What training has to know of digits, wherever they come from.
        assert_eq!((train.pad(), train.may_flip()), (source.pad(), source.may_flip()));
        assert_eq!(train.may_flip(), set == "cifar");
        let view = View { pad: source.pad(), ..View::cifar() };
        assert!(train.measured(view).unwrap().is_some());
        let again = format!("{set}-again");
        let args = ["pack", &out, &again, "--format", "raw", "--crop", "32", "--resize", "32"];
        run(root.path(), &args).succeeds();
        let again = open(&root.path().join(again), "train");
        assert_eq!((again.pad(), again.may_flip()), (source.pad(), source.may_flip()));
        assert!(again.measured(view).unwrap().is_some());
    }
}

#[test]
fn raw_images_are_pixels_at_the_stored_size() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 12), ("val", 3)]);
    let args = ["pack", "in", "out", "--format", "raw", "--shorter-side", "32", "--crop", "16"];
    run(root.path(), &args).succeeds();
    let train = open(&root.path().join("out"), "train");
    for (bytes, _, flags) in records(&train) {
        assert!(RawImage::is_raw(&bytes) && flags == Record::RAW);
    }
    for (bytes, _, flags) in records(&open(&root.path().join("out"), "val")) {
        assert!(bytes.starts_with(b"\xFF\xD8") && flags == Record::UNTOUCHED);
    }
    run(root.path(), &["verify", "out"]).succeeds();
}

/// A grey image takes three times as much as pixels: what the readers of the set refuse is not stored.
#[test]
fn raw_images_are_within_the_limits_of_their_readers() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 12)]);
    let grey = root.path().join("in/train");
    let class = std::fs::read_dir(grey).unwrap().next().unwrap().unwrap().path();
    image::GrayImage::new(400, 400).save(class.join("grey.png")).unwrap();
    let limits = ["--max-bytes", "400000", "--crop", "16", "--resize", "16"];
    let pack = |more: &[&str]| {
        let args = [&["pack", "in", "out", "--format", "raw"], &limits[..], more].concat();
        run(root.path(), &args)
    };
    pack(&[]).fails(1, &["grey.png"]);
    pack(&["--on-bad-image", "skip"]).succeeds();
    run(root.path(), &["verify", "out"]).succeeds();
}

#[test]
fn a_plan_writes_nothing() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 12), ("val", 3)]);
    write(&root.path().join("in/train/ant/bad.jpg"), b"\xFF\xD8\xFFno image");
    let plan = run(root.path(), &["pack", "in", "out", "--plan", "--shard-size", "10kB"]);
    let plan = plan.succeeds();
    assert!(plan.out.contains("train: 13 images, about "), "{}", plan.out);
    assert!(plan.out.contains("1 of those cannot be read"), "{}", plan.out);
    assert!(plan.out.contains("total: about "), "{}", plan.out);
    assert!(!root.path().join("out").exists());
}

#[test]
fn a_folder_that_is_not_this_packs_is_refused_and_left() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 6), ("val", 3)]);
    let pack = |args: &[&str]| run(root.path(), &[&["pack", "in"], args].concat());
    write(&root.path().join("other/notes.txt"), b"mine");
    pack(&["other"]).fails(1, &["expected an empty folder or a pack, found notes.txt"]);
    assert_eq!(fs::read_dir(root.path().join("other")).unwrap().count(), 1);
    pack(&["in/out"]).fails(2, &["it lies in in"]);
    pack(&["in"]).fails(2, &["it lies in in"]);
    pack(&["out", "--shard-size", "0"]).fails(2, &["--shard-size"]);
    pack(&["out", "--quality", "101"]).fails(2, &["--quality"]);
    run(root.path(), &["pack", "nowhere", "out"]).fails(1, &["nowhere", "no such file"]);
    pack(&["out", "--crop", "16"]).succeeds();
    let before = files(&root.path().join("out"));
    let again = pack(&["out", "--crop", "16"]).succeeds();
    assert!(again.err.contains("packed already"), "{}", again.err);
    let other = ["out", "--crop", "16", "--seed", "4", "--quality", "90"];
    pack(&other).fails(1, &["quality: there 95, now 90", "seed: there 0, now 4"]);
    write(&root.path().join("in/train/ant/new.jpg"), &jpeg(&photo(99, 20, 20)));
    pack(&["out", "--crop", "16"]).fails(1, &["images of train: there"]);
    assert_eq!(files(&root.path().join("out")), before);
}

#[test]
fn a_bad_image_is_named_or_left_out_and_listed() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 12), ("val", 6)]);
    let bytes = jpeg(&photo(5, 90, 90));
    write(&root.path().join("in/train/bee/cut.jpg"), &bytes[..bytes.len() / 2]);
    write(&root.path().join("in/val/cat/none.png"), b"");
    let args = ["pack", "in", "out", "--crop", "16"];
    run(root.path(), &args).fails(1, &["in/train/bee/cut.jpg", "--on-bad-image skip"]);
    // The same folder goes on.
    let skipping = run(root.path(), &[&args[..], &["--on-bad-image", "skip"]].concat()).succeeds();
    assert!(skipping.out.contains("1 skipped"), "{}", skipping.out);
    assert!(
        skipping.err.contains("skipped train/bee/cut.jpg: truncated image"),
        "{}",
        skipping.err
    );
    let manifest = manifest(&root.path().join("out"));
    let train = &manifest.splits["train"];
    assert_eq!((train.images, &*train.skipped[0].image), (12, "train/bee/cut.jpg"));
    let val = &manifest.splits["val"];
    assert_eq!((val.images, &*val.skipped[0].image), (6, "val/cat/none.png"));
    assert_eq!(val.skipped[0].reason, "expected an image, found an empty file");
    run(root.path(), &["verify", "out"]).succeeds();
}

#[test]
fn a_single_tar_is_packed_wherever_it_lies() {
    let root = tempfile::tempdir().unwrap();
    let mut samples = Vec::new();
    for i in 0..6_u64 {
        let whole = jpeg(&photo(i, 30, 40));
        let bytes = if i == 3 { whole[..500].to_vec() } else { whole };
        samples.push((format!("sample{i}.jpeg"), bytes));
        samples.push((format!("sample{i}.cls"), (i % 3).to_string().into_bytes()));
    }
    for path in ["web.tar", "far/away/web.tar"] {
        write(&root.path().join(path), &tar(&samples));
    }
    let pack = |tar: &str, out: &str| {
        run(root.path(), &["pack", tar, out, "--crop", "16", "--on-bad-image", "skip"]).succeeds();
        files(&root.path().join(out))
    };
    let near = pack("web.tar", "near");
    assert_eq!(pack("far/away/web.tar", "far/out"), near);
    let absolute = root.path().join("web.tar");
    assert_eq!(pack(absolute.to_str().unwrap(), "out"), near);
    let skipped = &manifest(&root.path().join("near")).splits["train"].skipped;
    assert_eq!(skipped[0].image, "web.tar, record 3 (sample3.jpeg)");
    assert_eq!(open(&root.path().join("near"), "train").classes(), 3);
}

#[test]
fn the_limits_of_a_pack_are_kept() {
    let root = tempfile::tempdir().unwrap();
    class_folders(&root.path().join("in"), &[("train", 12), ("val", 3)]);
    let within = |out: &str, flags: &[&str]| {
        run(root.path(), &[&["pack", "in", out, "--crop", "16"], flags].concat()).succeeds();
        let text = fs::read_to_string(root.path().join(out).join("dataset.json")).unwrap();
        (text.contains("within"), manifest(&root.path().join(out)).within)
    };
    let usual = Within::of(&Limits::default());
    assert_eq!(within("usual", &[]), (false, usual));
    let large = Within { side: 20_000, ..usual };
    assert_eq!(within("large", &["--max-side", "20000"]), (true, large));
    assert_eq!(within("small", &["--max-side", "90"]), (true, Within { side: 90, ..usual }));
    // What was packed before an interruption counts, too: here all of train.
    write(&root.path().join("in/val/cat/none.png"), b"");
    run(root.path(), &["pack", "in", "again", "--crop", "16", "--max-side", "20000"])
        .fails(1, &["none.png"]);
    assert_eq!(within("again", &["--on-bad-image", "skip"]), (true, large));
}
