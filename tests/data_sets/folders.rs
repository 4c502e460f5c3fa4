//! Class folders: what is trained on and what validated on, what is held out, what is skipped.

use super::*;
use resnet_cpu::runtime::{Cache, Unwatched};
use resnet_cpu::train::TrainData;

fn open_whole(folder: &Path) -> Result<Splits, Error> {
    let wanted = data::Wanted { whole: true, test: false };
    data::open_as(Some(folder), wanted, Limits::default(), &Cache::none(), &Unwatched)
}

#[test]
fn class_folders_with_validation() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path();
    for (name, grey) in [
        ("train/b/1.png", 1),
        ("train/b/deep/2.png", 2),
        ("train/a/3.png", 3),
        ("validation/a/4.png", 4),
        ("validation/b/5.png", 5),
    ] {
        put_image(path, name, grey);
    }
    put(path, "train/.cache/x", b"");
    put(path, "train/b/notes.txt", b"");
    let splits = open(path).unwrap();
    let val = splits.val.unwrap();
    assert_eq!(splits.kind, Kind::ClassFolders);
    assert_eq!(splits.train.class_names().unwrap(), ["a", "b"]);
    assert_eq!((labels(&*splits.train), labels(&*val)), (vec![0, 1, 1], vec![0, 1]));
    assert_eq!(first_bytes(&*splits.train), [3, 1, 2]);
    assert_eq!(splits.origin, ValidationOrigin::Val);
    assert_eq!(splits.notes.len(), 1, "{:?}", splits.notes);
    assert!(splits.notes[0].starts_with("1 hidden or system file"), "{:?}", splits.notes);

    put_image(path, "validation/c/6.png", 6);
    std::fs::rename(path.join("validation/a"), path.join("validation/d")).unwrap();
    let message = error(path);
    let expected = "validation: expected the classes of the training folder, found no a; also c, d";
    assert!(message.ends_with(expected), "{message}");
    std::fs::remove_dir_all(path.join("train/a")).unwrap();
    assert!(error(path).ends_with("train: expected at least two classes, found one: b"));
    std::fs::create_dir(path.join("train/empty")).unwrap();
    let message = error(path);
    assert!(message.contains("empty: expected images (bmp, gif"), "{message}");
}

/// A class on a disk that is not there is not left out in silence, nor is a part of the set.
#[cfg(unix)]
#[test]
fn folders_that_are_not_there_are_named() {
    let root = tempfile::tempdir().unwrap();
    for (i, class) in ["a", "b"].into_iter().enumerate() {
        put_image(root.path(), &format!("train/{class}/1.png"), i as u8);
    }
    for link in ["train/c", "val"] {
        let link = root.path().join(link);
        std::os::unix::fs::symlink("/nowhere/at/all", &link).unwrap();
        let message = error(root.path());
        assert!(message.contains(&*link.to_string_lossy()), "{message}");
        assert!(message.contains("no such file or folder"), "{message}");
        std::fs::remove_file(link).unwrap();
    }
    assert!(open(root.path()).is_ok());
}

#[test]
fn class_folders_without_validation_hold_out_a_tenth() {
    let root = tempfile::tempdir().unwrap();
    let moved = tempfile::tempdir().unwrap();
    for root in [root.path(), moved.path()] {
        (0..40).for_each(|i| put_image(root, &format!("many/{i}.png"), i));
        (0..2).for_each(|i| put_image(root, &format!("few/{i}.png"), 100 + i));
        put_image(root, "one/0.png", 200);
    }
    let splits = open(root.path()).unwrap();
    let val = splits.val.unwrap();
    assert_eq!(val.class_names().unwrap(), ["few", "many", "one"]);
    let count = |data: &dyn Dataset, label| labels(data).iter().filter(|&&l| l == label).count();
    assert_eq!([0, 1, 2].map(|label| count(&*splits.train, label)), [1, 36, 1]);
    assert_eq!([0, 1, 2].map(|label| count(&*val, label)), [1, 4, 0]);
    assert!(splits.notes[0].contains("5 of 43 images are held out"), "{:?}", splits.notes);
    let mut all = [first_bytes(&*splits.train), first_bytes(&*val)].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq((0..40).chain([100, 101, 200])));
    // Where the folder lies does not matter, what is in it does.
    let again = open(moved.path()).unwrap();
    assert_eq!(first_bytes(&*again.val.unwrap()), first_bytes(&*val));
    assert_eq!(again.train.fingerprint(), splits.train.fingerprint());
    put(moved.path(), "one/0.png", b"something else");
    assert_ne!(open(moved.path()).unwrap().train.fingerprint(), splits.train.fingerprint());
}

#[test]
fn real_photographs() {
    let Some(folder) = test_data("hymenoptera") else { return };
    let splits = open(&folder).unwrap();
    let val = splits.val.unwrap();
    assert_eq!(splits.train.class_names().unwrap(), ["ants", "bees"]);
    // 123 ants with a GIF among them and 121 bees.
    assert_eq!((splits.train.len() + val.len(), val.len()), (245, 24));
    val.image(0).unwrap();
}

#[test]
fn an_unreadable_image_is_named_when_it_is_read() {
    let root = tempfile::tempdir().unwrap();
    put_image(root.path(), "train/a/1.png", 1);
    put(root.path(), "train/b/2.png", b"no image");
    put_image(root.path(), "val/a/1.png", 1);
    put_image(root.path(), "val/b/1.png", 1);
    let train = open(root.path()).unwrap().train;
    assert!(train.image(0).is_ok());
    let message = train.image(1).unwrap_err().to_string();
    assert!(message.contains("2.png: expected an image, found a file that starts"), "{message}");
}

#[test]
fn images_can_be_held_out() {
    let data: Arc<dyn Dataset> = Arc::new(MemoryDataset::demo(1, 0..50));
    let (train, val) = Subset::hold_out(data.clone(), 5).unwrap();
    assert_eq!((train.len(), val.len(), val.classes()), (45, 5, 10));
    let find = |image| (0..50).find(|&i| data.image(i).unwrap() == image).unwrap();
    let numbers = |set: &Subset| -> Vec<usize> {
        (0..set.len()).map(|i| find(set.image(i).unwrap())).collect()
    };
    let (train_numbers, val_numbers) = (numbers(&train), numbers(&val));
    assert!(train_numbers.is_sorted() && val_numbers.is_sorted());
    let mut all = [train_numbers, val_numbers].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..50));
    let again = Subset::hold_out(data.clone(), 5).unwrap();
    assert_eq!(again.0.fingerprint(), train.fingerprint());
    assert_ne!(train.fingerprint(), val.fingerprint());
    for held_out in [0, 50] {
        let error = Subset::hold_out(data.clone(), held_out).err().unwrap().to_string();
        let expected =
            format!("expected to hold out 1 to 49 images for validation, found {held_out}");
        assert_eq!(error, expected);
    }
}

#[test]
fn images_are_held_out_of_each_class_in_proportion() {
    let root = tempfile::tempdir().unwrap();
    for (class, images) in [("a", 1), ("b", 3), ("c", 16), ("d", 40)] {
        for i in 0..images {
            put_image(root.path(), &format!("{class}/{i:02}.png"), 1);
        }
    }
    let splits = open_whole(root.path()).unwrap();
    assert!(splits.val.is_none() && splits.notes.is_empty(), "{:?}", splits.notes);
    let data: Arc<dyn Dataset> = Arc::from(splits.train);
    assert_eq!(data.len(), 60);
    let counts = |set: &Subset| {
        let mut counts = [0; 4];
        (0..set.len()).for_each(|i| counts[set.label(i)] += 1);
        counts
    };
    for (held_out, expected) in [
        (6, [0, 0, 2, 4]),
        (15, [0, 1, 4, 10]),
        (1, [0, 0, 0, 1]),
        // Each class keeps an image as long as there are enough.
        (56, [0, 2, 15, 39]),
    ] {
        let (train, val) = Subset::hold_out_of_each_class(data.clone(), held_out).unwrap();
        assert_eq!((train.len(), val.len()), (60 - held_out, held_out));
        assert_eq!(counts(&val), expected, "{held_out}");
        let names = |set: &Subset| (0..set.len()).map(|i| set.name(i)).collect::<Vec<_>>();
        assert!(names(&train).is_sorted() && names(&val).is_sorted());
        let mut all = [names(&train), names(&val)].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 60);
        let again = Subset::hold_out_of_each_class(data.clone(), held_out).unwrap();
        assert_eq!(again.1.fingerprint(), val.fingerprint());
    }
    let (_, val) = Subset::hold_out_of_each_class(data.clone(), 58).unwrap();
    assert_eq!(val.len(), 58);
    for held_out in [0, 60] {
        assert!(Subset::hold_out_of_each_class(data.clone(), held_out).is_err());
    }
}

#[test]
fn nothing_is_held_out_twice() {
    let root = tempfile::tempdir().unwrap();
    for i in 0..40 {
        put_image(root.path(), &format!("{}/{i:02}.png", ["a", "b"][i % 2]), 1);
    }
    let data = TrainData::new(open_whole(root.path()).unwrap(), 6).unwrap();
    assert_eq!((data.train.len(), data.val.unwrap().len()), (34, 6));
    let error = TrainData::new(open(root.path()).unwrap(), 6).err().unwrap().to_string();
    assert!(error.contains("found 36 images for training and 4 for"), "{error}");
}

#[test]
fn parts_have_many_names() {
    for (train, val, origin) in [
        ("Train", "Test", ValidationOrigin::Test),
        ("training_set", "test_set", ValidationOrigin::Test),
        ("train", "valid", ValidationOrigin::Val),
        ("trn", "DEV", ValidationOrigin::Val),
    ] {
        let root = tempfile::tempdir().unwrap();
        for (part, grey) in [(train, 1), (val, 2)] {
            ["a", "b"].iter().for_each(|class| {
                put_image(root.path(), &format!("{part}/{class}/x.png"), grey);
            });
        }
        put(root.path(), "annotations/list.txt", b"");
        let splits = open(root.path()).unwrap();
        assert_eq!((splits.origin, splits.train.class_names().unwrap().len()), (origin, 2));
        assert_eq!(first_bytes(&*splits.train), [1, 1]);
        assert_eq!(first_bytes(&*splits.val.unwrap()), [2, 2]);
        assert!(splits.notes[0].ends_with("not used: annotations"), "{:?}", splits.notes);
    }
}

#[test]
fn a_test_folder_beside_validation_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    for part in ["train", "val", "test"] {
        ["a", "b"]
            .iter()
            .for_each(|class| put_image(root.path(), &format!("{part}/{class}/x.png"), 1));
    }
    let splits = open(root.path()).unwrap();
    assert_eq!(splits.origin, ValidationOrigin::Val);
    assert!(splits.notes[0].ends_with("not used: test"), "{:?}", splits.notes);
    assert!(splits.test.is_none());
}

#[test]
fn a_test_folder_beside_validation_can_be_wanted() {
    let root = tempfile::tempdir().unwrap();
    for image in ["train/a/1", "train/b/1", "train/c/1", "val/a/2", "val/b/2", "val/c/2"] {
        put_image(root.path(), &format!("{image}.png"), 1);
    }
    let wanted = || {
        let wanted = data::Wanted { whole: false, test: true };
        data::open_as(Some(root.path()), wanted, Limits::default(), &Cache::none(), &Unwatched)
    };
    assert!(wanted().unwrap().test.is_none());
    // Of some of the classes: their labels are those of training.
    put_image(root.path(), "test/c/3.png", 7);
    put_image(root.path(), "test/b/3.png", 8);
    let splits = wanted().unwrap();
    assert_eq!((splits.origin, splits.val.unwrap().len()), (ValidationOrigin::Val, 3));
    assert!(splits.notes.is_empty(), "{:?}", splits.notes);
    let test = splits.test.unwrap();
    assert_eq!(
        (test.len(), test.classes(), test.class_names()),
        (2, 3, splits.train.class_names())
    );
    assert_eq!([test.label(0), test.label(1)], [1, 2]);
    assert_eq!(first_bytes(&*test), [8, 7]);
    put_image(root.path(), "test/dog/3.png", 1);
    let error = wanted().err().unwrap().to_string();
    assert!(
        error.ends_with("test: expected the classes of the training folder, found also dog"),
        "{error}"
    );
}

#[test]
fn parts_that_cannot_be_told_are_refused_by_name() {
    let make = |names: &[&str]| {
        let root = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| put_image(root.path(), name, 1));
        root
    };
    for (names, words) in [
        (&["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"][..], "val and valid"),
        (&["train/a/1.png", "Training/a/1.png"], "Training and train"),
        (&["val/a/1.png", "test/a/1.png"], "val and test without a folder of training images"),
        (&["train/a/1.png", "train/b/1.png", "bus/1.png"], "beside it are bus"),
        (&["Train/1.png", "Test/1.png"], "Train: expected a folder for each class"),
    ] {
        let root = make(names);
        let message = error(root.path());
        assert!(message.contains(words), "{message}");
    }
    // A class of trains is a class.
    let root = make(&["train/1.png", "bus/1.png", "bus/2.png"]);
    assert_eq!(open(root.path()).unwrap().train.class_names().unwrap(), ["bus", "train"]);
}

#[test]
fn what_is_not_the_users_data_is_passed_over_and_counted() {
    let root = tempfile::tempdir().unwrap();
    for class in ["ant", "bee"] {
        (0..3).for_each(|i| put_image(root.path(), &format!("{class}/deep/{i}.png"), i));
    }
    let before = open(root.path()).unwrap().train.fingerprint();
    for name in [
        "__MACOSX/ant/._0.png",
        "ant/._0.png",
        "ant/@eaDir/0.png",
        "ant/.ipynb_checkpoints/0.png",
        "bee/deep/Thumbs.db",
        "lost+found/0.png",
        "$RECYCLE.BIN/0.png",
        ".DS_Store",
    ] {
        put(root.path(), name, b"x");
    }
    put(root.path(), "runs/fast-cifar-resnet20/last.safetensors", b"");
    put(root.path(), "bee/mine/last.safetensors", b"");
    put(root.path(), "bee/one.heic", b"");
    let splits = open(root.path()).unwrap();
    assert_eq!(splits.train.fingerprint(), before);
    let notes = splits.notes.join("\n");
    for words in [
        "8 hidden or system files and folders",
        "runs: skipped, since it holds training runs",
        "mine: skipped, since it holds training runs",
        "1 HEIC file, a format that is not read here",
    ] {
        assert!(notes.contains(words), "{words} is not in: {notes}");
    }
    // A folder that `train` made and was stopped in before it saved anything.
    std::fs::remove_file(root.path().join("runs/fast-cifar-resnet20/last.safetensors")).unwrap();
    put(root.path(), "runs/fast-cifar-resnet20/.lock", b"");
    assert_eq!(open(root.path()).unwrap().train.classes(), 2);
}

#[test]
fn one_image_of_each_class_leaves_nothing_to_validate_on() {
    let root = tempfile::tempdir().unwrap();
    ["a", "b"].iter().for_each(|class| put_image(root.path(), &format!("{class}/x.png"), 1));
    let splits = open(root.path()).unwrap();
    assert!(splits.val.is_none() && splits.train.len() == 2);
    assert!(splits.notes[0].contains("every class has a single image"), "{:?}", splits.notes);
    put_image(root.path(), "A/x.png", 1);
    let notes = open(root.path()).unwrap().notes.join(" ");
    assert!(notes.contains("classes whose names differ only in case: A, a"), "{notes}");
}
