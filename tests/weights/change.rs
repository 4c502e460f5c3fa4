//! Files that change while a program uses them: the old answer, or an error that names the file.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use resnet_cpu::gemm::Backend;
use resnet_cpu::infer::{InferError, Session};
use resnet_cpu::model::{Options, Params};
use resnet_cpu::simd::Isa;
use resnet_cpu::weights::{Overrides, WeightsFile, write_weights};

use crate::{Entries, Fixture};

/// A file of weights that was written a minute ago.
fn old_file(fixture: &Fixture) {
    write_weights(fixture.path(), &fixture.network, &fixture.params, None, &Entries::new())
        .unwrap();
    let file = File::options().write(true).open(fixture.path()).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

fn run(session: &mut Session<'_>, batch: usize) -> Result<Vec<f32>, InferError> {
    session.run(&vec![0.5; batch * 32 * 32 * 3], batch, 32, 32).map(<[f32]>::to_vec)
}

/// The logits of a session whose file `change` changes after it was opened.
fn after(change: impl Fn(&Path)) -> (Result<Vec<f32>, InferError>, Vec<f32>, String) {
    let fixture = Fixture::new("resnet20", Options::default());
    old_file(&fixture);
    let backend = Backend::Native(Isa::best());
    let mut sound = Session::new(&fixture.network, &fixture.params, backend);
    let expected = run(&mut sound, 1).unwrap();
    let weights = WeightsFile::open(fixture.path(), &Overrides::default()).unwrap();
    let mut session = Session::new(&fixture.network, weights, backend);
    change(&fixture.path());
    let first = run(&mut session, 1);
    // An error stays one: nothing that was packed in part is used.
    assert_eq!(run(&mut session, 1), first);
    (first, expected, fixture.path().display().to_string())
}

#[test]
fn a_file_that_is_cut_or_overwritten_is_an_error_that_names_it() {
    let rewrite = |change: fn(&mut Vec<u8>)| {
        move |path: &Path| {
            let mut bytes = std::fs::read(path).unwrap();
            change(&mut bytes);
            // In place, as `cp` does it.
            std::fs::write(path, bytes).unwrap();
        }
    };
    let changes: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.clear(),
        |bytes| bytes.push(0),
        // Valid weights of the same size, but others.
        |bytes| *bytes.last_mut().unwrap() ^= 1,
        |bytes| bytes.fill(0),
    ];
    for change in changes {
        let (found, _, path) = after(rewrite(change));
        let error = found.unwrap_err();
        assert!(matches!(error, InferError::Weights(_)), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(&path) && text.contains("has changed since"), "{text}");
    }
}

#[test]
fn a_file_that_is_replaced_or_removed_gives_the_old_answer() {
    let replace = |path: &Path| {
        let other = path.with_extension("new");
        std::fs::write(&other, b"something else").unwrap();
        std::fs::rename(other, path).unwrap();
    };
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    for (found, expected, _) in [after(replace), after(remove)] {
        assert_eq!(found.unwrap(), expected);
    }
}

#[test]
fn copies_of_a_changed_file_are_errors() {
    let fixture = Fixture::new("resnet20", Options::default());
    old_file(&fixture);
    let weights = WeightsFile::open(fixture.path(), &Overrides::default()).unwrap();
    File::options().write(true).open(fixture.path()).unwrap().set_len(5000).unwrap();
    let error = Params::from_source(weights.network(), &weights).unwrap_err().to_string();
    assert!(error.contains("expected") && error.contains("found 5000"), "{error}");
    let copy = fixture.path().with_extension("copy");
    let written = write_weights(&copy, weights.network(), &weights, None, &Entries::new());
    let error = written.unwrap_err().to_string();
    assert!(error.starts_with(&fixture.path().display().to_string()), "{error}");
    assert!(!copy.exists() && std::fs::read_dir(fixture.folder.path()).unwrap().count() == 1);
    assert!(weights.file().values(&weights.file().tensors()[0]).is_err());
}
