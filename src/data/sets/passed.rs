//! What a search for images skips, counted for a note.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files and folders that are not taken.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    hidden: Group,
    runs: Vec<PathBuf>,
    foreign: BTreeMap<&'static str, Group>,
}

/// How many, and the first of them.
#[derive(Debug, Default)]
struct Group {
    count: u64,
    first: PathBuf,
}

impl Group {
    fn add(&mut self, path: &Path) {
        if self.count == 0 {
            path.clone_into(&mut self.first);
        }
        self.count += 1;
    }

    fn join(&mut self, later: Self) {
        if self.count == 0 {
            self.first = later.first;
        }
        self.count += later.count;
    }
}

impl PassedOver {
    /// Notes something that a system or a tool has put there.
    pub(super) fn hidden(&mut self, path: &Path) {
        self.hidden.add(path);
    }

    /// Notes a folder of training runs.
    pub(super) fn run(&mut self, path: PathBuf) {
        self.runs.push(path);
    }

    /// Notes a file in a format that is not read.
    pub(super) fn foreign(&mut self, format: &'static str, path: &Path) {
        self.foreign.entry(format).or_default().add(path);
    }

    /// Adds what `earlier` has counted, which comes first.
    pub(super) fn join(&mut self, earlier: Self) {
        let later = std::mem::replace(self, earlier);
        self.hidden.join(later.hidden);
        self.runs.extend(later.runs);
        for (format, group) in later.foreign {
            self.foreign.entry(format).or_default().join(group);
        }
    }

    /// A sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.hidden.count > 0 {
            let Group { count, first } = &self.hidden;
            let what = if *count == 1 { "file or folder" } else { "files and folders" };
            notes.push(format!(
                "{count} hidden or system {what} skipped (the first: {})",
                first.display()
            ));
        }
        for run in &self.runs {
            notes.push(format!("{}: skipped, since it holds training runs", run.display()));
        }
        notes.extend(self.unread().map(|text| format!("skipped {text}")));
        notes
    }

    /// The files in formats that are not read, a phrase for each format.
    pub(super) fn unread(&self) -> impl Iterator<Item = String> {
        self.foreign.iter().map(|(format, Group { count, first })| {
            let files = if *count == 1 { "file" } else { "files" };
            format!(
                "{count} {format} {files}, a format that is not read here; convert to JPEG or PNG (the \
                 first: {})",
                first.display()
            )
        })
    }
}
