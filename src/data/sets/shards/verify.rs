//! Reads a whole set of shards and names everything that is wrong with it: tars, indexes, records that do
//! not decode, labels, counts, images that are in two parts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::MANIFEST;
use super::find::ShardSet;
use super::index::{Index, Record};
use super::manifest::Manifest;
use super::map::MappedTar;
use super::open::{difference, foreign_index, packed_index};
use super::scan::scan;
use super::set::decode_record;
use super::watched::Part;
use crate::data::Error;
use crate::data::decode::{Limits, regular};
use crate::data::stamp::Stamp;
use crate::runtime::{Cache, Watch, team};

/// Problems that are kept; of more only the number is known.
const MOST_PROBLEMS: usize = 10_000;
/// Images that are decoded between two looks at `watch`, per thread.
const TOGETHER: usize = 16;

/// What [`verify`] has found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Images that were read.
    pub images: u64,
    /// Everything that is wrong, in the order of parts, tars and records; at most 10,000.
    pub problems: Vec<Error>,
    /// Problems beyond those.
    pub unlisted: u64,
}

impl Verified {
    fn problem(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Interrupted => return Err(error),
            _ if self.problems.len() < MOST_PROBLEMS => self.problems.push(error),
            _ => self.unlisted += 1,
        }
        Ok(())
    }
}

/// Reads all shards at `path`, a folder or a tar: every tar against its index and `dataset.json`, every record
/// against its CRC32C; every image is decoded, up to `limits`, every label compared with the number of classes,
/// and every image looked for in the other parts, byte by byte. `watch` is told how far it is.
///
/// # Errors
/// There is nothing, or no shards, at `path`; [`Error::Interrupted`]. What is wrong with the shards is in
/// the result.
pub fn verify(
    path: &Path,
    limits: &Limits,
    cache: &Cache,
    watch: &dyn Watch,
) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    let set = match ShardSet::find(path, watch) {
        Ok(Some(set)) => set,
        Ok(None) => {
            let detail =
                "expected tars of samples (an image and a label each), found none".to_owned();
            return Err(Error::Tar { path: path.to_path_buf(), detail });
        }
        Err(error @ Error::Manifest { .. }) => {
            verified.problem(error)?;
            return Ok(verified);
        }
        Err(error) => return Err(error),
    };
    if let Some(manifest) = set.manifest() {
        for error in means(manifest, &set.folder) {
            verified.problem(error)?;
        }
    }
    let classes = set.manifest().map(|manifest| manifest.classes.len());
    let classes = classes.or(set.names.as_ref().map(Vec::len));
    let mut contents = Contents::default();
    let tars: Vec<(&str, &PathBuf)> =
        set.parts().flat_map(|(part, tars)| tars.iter().map(move |tar| (part, tar))).collect();
    let sizes = tars.iter().map(|(_, tar)| Stamp::at(tar).map_or(0, |stamp| stamp.bytes));
    let total = sizes.sum();
    let mut before = 0;
    for (part, tar) in tars {
        let of_all = Part { watch, before, total };
        match tar_of(&set, part, tar, cache, of_all, &mut verified) {
            Ok((map, index)) => {
                before += index.bytes;
                records(&map, &index, classes, limits, watch, &mut verified)?;
                contents.add(part, map, index, watch, &mut verified)?;
            }
            Err(error) => verified.problem(error)?,
        }
    }
    Ok(verified)
}

/// Reads a tar through and compares it with its index and its description; the tar with what is in it.
fn tar_of(
    set: &ShardSet,
    part: &str,
    tar: &Path,
    cache: &Cache,
    of_all: Part<'_>,
    verified: &mut Verified,
) -> Result<(MappedTar, Index), Error> {
    let info = set.info(part, tar);
    let expected = match info {
        Some(_) if !Index::path(tar).exists() => {
            let path = Index::path(tar);
            verified.problem(Error::Missing { path })?;
            None
        }
        Some(info) => Some(packed_index(tar, info, &set.folder, of_all)),
        None => Some(foreign_index(tar, cache, of_all)),
    };
    let expected = match expected.transpose() {
        Ok(index) => index,
        Err(error) => {
            verified.problem(error)?;
            None
        }
    };
    let (found, _) = scan(tar, &of_all)?;
    let map = MappedTar::open(tar)?;
    if let Some(expected) = expected {
        compare(&map, &expected, &found, verified)?;
    } else if let Some(info) = info
        && (info.bytes, info.crc32c) != (found.bytes, found.crc)
    {
        let detail = format!(
            "expected {} bytes and CRC32C {:08x} ({MANIFEST}), found {} and {:08x}",
            info.bytes, info.crc32c, found.bytes, found.crc
        );
        verified.problem(Error::Tar { path: tar.to_path_buf(), detail })?;
    }
    Ok((map, found))
}

/// Names the records that are not those of the index, or the tar if it differs elsewhere.
fn compare(
    tar: &MappedTar,
    expected: &Index,
    found: &Index,
    verified: &mut Verified,
) -> Result<(), Error> {
    let Some(detail) = difference(expected, found) else { return Ok(()) };
    let mut named = false;
    if expected.records.len() == found.records.len() {
        for (number, (expected, found)) in expected.records.iter().zip(&found.records).enumerate() {
            let same = |record: &Record| (record.offset, record.length, record.label, record.crc);
            if same(expected) != same(found) {
                let detail = format!(
                    "expected {} bytes at {}, class {} and CRC32C {:08x} (the index), found {} at {}, class {} \
                     and {:08x}",
                    expected.length,
                    expected.offset,
                    expected.label,
                    expected.crc,
                    found.length,
                    found.offset,
                    found.label,
                    found.crc
                );
                let path = tar.name(number, found);
                verified.problem(Error::Record { path, detail })?;
                named = true;
            }
        }
    }
    if !named {
        verified.problem(Error::Tar { path: tar.path().to_path_buf(), detail })?;
    }
    Ok(())
}

/// Decodes every image of a tar and looks at its label.
fn records(
    tar: &MappedTar,
    index: &Index,
    classes: Option<usize>,
    limits: &Limits,
    watch: &dyn Watch,
    verified: &mut Verified,
) -> Result<(), Error> {
    let check = |number: usize, record: &Record| {
        if watch.stopped() {
            return Err(Error::Interrupted);
        }
        let bytes = tar.bytes(number, record)?;
        decode_record(bytes, &tar.name(number, record), limits)?;
        match classes {
            Some(classes) if record.label as usize >= classes => {
                let last = classes.saturating_sub(1);
                let detail = format!("expected a class of 0 to {last}, found {}", record.label);
                Err(Error::Record { path: tar.name(number, record), detail })
            }
            _ => Ok(()),
        }
    };
    team(|team| {
        let together = team.threads() * TOGETHER;
        for (chunk, records) in index.records.chunks(together).enumerate() {
            let first = chunk * together;
            let failed = team.map(records.len(), |i, _| check(first + i, &records[i]).err());
            if watch.stopped() {
                return Err(Error::Interrupted);
            }
            for error in failed.into_iter().flatten() {
                verified.problem(error)?;
            }
            verified.images += records.len() as u64;
            watch.progress("images verified", verified.images, None);
        }
        Ok(())
    })
}

/// Files of per-pixel means that are not those that the description was written with.
fn means(manifest: &Manifest, folder: &Path) -> Vec<Error> {
    let check = |file: &str, expected: u32| {
        let path = folder.join(file);
        let found = crc32c::crc32c(&regular::read(&path)?);
        if found == expected {
            return Ok(());
        }
        let detail = format!("{file}: expected CRC32C {expected:08x}, found {found:08x}");
        Err(Error::Manifest { path: folder.join(MANIFEST), detail })
    };
    let files = manifest.statistics.iter().map(|measured| &measured.pixel_mean);
    files.filter_map(|mean| check(&mean.file, mean.crc32c).err()).collect()
}

/// The images of the parts so far, by checksum and length.
#[derive(Default)]
struct Contents<'a> {
    tars: Vec<(&'a str, MappedTar, Index)>,
    /// Number of the tar, number in it: the first of each part.
    images: HashMap<(u32, u32), Vec<(u32, u32)>>,
}

impl<'a> Contents<'a> {
    /// Adds a tar of `part`; an image of it that another part has, too, is a problem.
    fn add(
        &mut self,
        part: &'a str,
        tar: MappedTar,
        index: Index,
        watch: &dyn Watch,
        verified: &mut Verified,
    ) -> Result<(), Error> {
        let mut new = Vec::new();
        for (number, record) in index.records.iter().enumerate() {
            if watch.stopped() {
                return Err(Error::Interrupted);
            }
            let key = (record.crc, record.length);
            let same = self.images.get(&key).into_iter().flatten().map(|&(other, there)| {
                let (part, other, index) = &self.tars[other as usize];
                (*part, other, there as usize, &index.records[there as usize])
            });
            let (mut known, mut named) = (false, false);
            for (other_part, other, there, elsewhere) in same {
                let wanted = if other_part == part { &mut known } else { &mut named };
                if *wanted || !equal((&tar, number, record), (other, there, elsewhere)) {
                    continue;
                }
                *wanted = true;
                if other_part != part {
                    let detail = format!(
                        "the same image is in {other_part}: {}",
                        other.name(there, elsewhere).display()
                    );
                    verified.problem(Error::Record { path: tar.name(number, record), detail })?;
                }
            }
            if !known {
                new.push((key, number as u32));
            }
        }
        let this = self.tars.len() as u32;
        for (key, number) in new {
            self.images.entry(key).or_default().push((this, number));
        }
        self.tars.push((part, tar, index));
        Ok(())
    }
}

/// Whether two records have the same bytes. Those that can no longer be read were reported before.
fn equal(a: (&MappedTar, usize, &Record), b: (&MappedTar, usize, &Record)) -> bool {
    let bytes = |(tar, number, record): (&'_ MappedTar, usize, &Record)| {
        tar.bytes(number, record).map(<[u8]>::to_vec).ok()
    };
    bytes(a).is_some_and(|a| Some(a) == bytes(b))
}
