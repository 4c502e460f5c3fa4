//! Opening the shards of a part: each tar with its index, which for sets of others is made where there is
//! none that fits.

use std::io::Read;
use std::path::Path;

use super::find::ShardSet;
use super::index::{Index, Record};
use super::manifest::{Manifest, ShardInfo};
use super::map::MappedTar;
use super::scan::scan;
use super::set::{Packed, Shard, Shards};
use super::watched::Part;
use super::write::write_index;
use super::{MANIFEST, MOST_CLASSES};
use crate::data::decode::{Limits, regular};
use crate::data::hash::Hash;
use crate::data::stamp::Stamp;
use crate::data::{Dataset, Error};
use crate::runtime::{Cache, Disk, Watch};

/// The part whose statistics a description has.
const MEASURED: &str = "train";

impl ShardSet {
    /// Opens the part `part` (`train`, `val` or `test`) for images up to `limits`. Indexes that have to be made
    /// are kept beside the tars, or in `cache` where that cannot be written.
    ///
    /// # Errors
    /// [`Error`] naming the tar or the index that is not as it should be; [`Error::Interrupted`].
    pub fn open(
        &self,
        part: &str,
        limits: Limits,
        cache: &Cache,
        watch: &dyn Watch,
    ) -> Result<Shards, Error> {
        let tars = self.parts.get(part).map_or(&[][..], |tars| tars);
        let mut total = 0;
        for tar in tars {
            total += Stamp::at(tar)?.bytes;
        }
        let (mut shards, mut before) = (Vec::new(), 0);
        for (number, tar) in tars.iter().enumerate() {
            if watch.stopped() {
                return Err(Error::Interrupted);
            }
            watch.progress("shards opened", number as u64, Some(tars.len() as u64));
            let of_all = Part { watch, before, total };
            let index = match self.info(part, tar) {
                Some(info) => packed_index(tar, info, &self.folder, of_all)?,
                None => foreign_index(tar, cache, of_all)?,
            };
            let shard = Shard { tar: MappedTar::open(tar)?, index };
            if shard.tar.stamp().bytes != shard.index.bytes {
                let (expected, found) = (shard.index.bytes, shard.tar.stamp().bytes);
                let detail = format!("it had {expected} bytes, and has {found} now");
                return Err(Error::Changed { path: tar.clone(), detail });
            }
            before += shard.index.bytes;
            shards.push(shard);
        }
        if shards.iter().all(|shard| shard.index.records.is_empty()) {
            let detail = format!("expected images for {part}, found none");
            return Err(Error::Tar { path: self.folder.clone(), detail });
        }
        let classes = self.classes(&shards)?;
        Shards::new(shards, classes, limits, self.packed_as(part))
    }

    /// What is known of the images of `part` since they were packed.
    fn packed_as(&self, part: &str) -> Option<Packed> {
        let manifest = self.manifest.as_ref()?;
        // One tar of many has statistics of its own.
        let all = manifest.splits.get(part)?.shards.len() == self.parts.get(part)?.len();
        let statistics = match part == MEASURED && all {
            true => manifest.statistics.clone(),
            false => Vec::new(),
        };
        let (folder, &Manifest { pad, flip, within, .. }) = (self.folder.clone(), manifest);
        Some(Packed { folder, statistics, pad, may_flip: flip, within })
    }

    /// What the description says about a tar.
    pub(super) fn info(&self, part: &str, tar: &Path) -> Option<&ShardInfo> {
        let split = self.manifest.as_ref()?.splits.get(part)?;
        split.shards.iter().find(|shard| tar.file_name() == Some(shard.name.as_ref()))
    }

    /// The names of the classes: those of a description, else numbers up to the largest label.
    fn classes(&self, shards: &[Shard]) -> Result<Vec<String>, Error> {
        let described = self.manifest.as_ref().map(|manifest| &manifest.classes);
        if let Some(names) = described.or(self.names.as_ref()) {
            return Ok(names.clone());
        }
        let beyond = |record: &Record| record.label as usize >= MOST_CLASSES;
        for Shard { tar, index } in shards {
            if let Some(number) = index.records.iter().position(beyond) {
                let record = &index.records[number];
                let detail =
                    format!("expected a class below {MOST_CLASSES}, found {}", record.label);
                return Err(Error::Record { path: tar.name(number, record), detail });
            }
        }
        let largest = shards.iter().filter_map(|shard| shard.index.largest_label()).max();
        Ok((0..=largest.unwrap_or(0)).map(|class| class.to_string()).collect())
    }
}

/// The index of a tar that `folder`'s description lists. It has to fit; where there is none, it is made.
pub(super) fn packed_index(
    tar: &Path,
    info: &ShardInfo,
    folder: &Path,
    part: Part<'_>,
) -> Result<Index, Error> {
    let stamp = Stamp::at(tar)?;
    if stamp.bytes != info.bytes {
        let how =
            if stamp.bytes < info.bytes { "truncated" } else { "not the one that was packed" };
        let (expected, found) = (info.bytes, stamp.bytes);
        let detail = format!("expected {expected} bytes ({MANIFEST}), found {found}: it is {how}");
        return Err(Error::Tar { path: tar.to_path_buf(), detail });
    }
    let path = Index::path(tar);
    let (index, made) = match Index::read(&path) {
        Ok(index) => (index, false),
        Err(Error::Missing { .. }) => (scan(tar, &part)?.0, true),
        Err(error) => return Err(error),
    };
    let fits = |index: &Index| {
        (index.records.len() as u64, index.bytes, index.crc)
            == (info.records, info.bytes, info.crc32c)
    };
    if fits(&index) {
        if made {
            // It is made again where that fails.
            let _ = write_index(&Disk, tar, &index);
        }
        return Ok(index);
    }
    let detail = format!(
        "expected {} records and CRC32C {:08x} ({}), found {} and {:08x}",
        info.records,
        info.crc32c,
        folder.join(MANIFEST).display(),
        index.records.len(),
        index.crc
    );
    Err(match made {
        true => Error::Tar { path: tar.to_path_buf(), detail },
        false => Error::Index { path, detail },
    })
}

/// The index of somebody else's tar: the one beside it or in the cache if it is newer than the tar, else
/// a new one.
pub(super) fn foreign_index(tar: &Path, cache: &Cache, part: Part<'_>) -> Result<Index, Error> {
    let stamp = Stamp::at(tar)?;
    let path = Index::path(tar);
    if let Some(index) = fresh(&path, &stamp) {
        return Ok(index);
    }
    let name = cached_name(tar, &stamp);
    let cached = cache.read(&name);
    if let Some(index) = cached.and_then(|bytes| Index::parse(&bytes, &path).ok())
        && index.bytes == stamp.bytes
    {
        return Ok(index);
    }
    let (index, scanned) = scan(tar, &part)?;
    // Somebody else's file of that name is left alone. A tar whose time lies in the future makes every index
    // beside it look old.
    let beside = is_ours_or_nothing(&path)
        && write_index(&Disk, tar, &index).is_ok()
        && fresh(&path, &scanned).is_some();
    if !beside {
        // Where neither can be written, it is made again.
        let _ = cache.write(&name, &index.to_bytes());
    }
    Ok(index)
}

/// The index at `path`, if it is whole and not older than the tar of `stamp`.
fn fresh(path: &Path, stamp: &Stamp) -> Option<Index> {
    let written = Stamp::at(path).ok()?;
    let index = Index::read(path).ok()?;
    (index.bytes == stamp.bytes && written.is_newer_than(stamp)).then_some(index)
}

fn is_ours_or_nothing(path: &Path) -> bool {
    let mut start = Vec::new();
    match regular::open(path) {
        Ok(file) => file.take(8).read_to_end(&mut start).is_ok() && Index::is_one(&start),
        Err(Error::Missing { .. }) => true,
        Err(_) => false,
    }
}

/// The name in the cache of the index of a tar: of its path, size and time, so another tar has another.
fn cached_name(tar: &Path, stamp: &Stamp) -> String {
    let path = tar.canonicalize().unwrap_or_else(|_| tar.to_path_buf());
    let mut hash = Hash::new();
    hash.text(path.as_os_str().as_encoded_bytes());
    stamp.hash(&mut hash);
    format!("shard-{hash}.index")
}

/// Opens `X.tar` as it was packed: its index is there, and is that of the tar, which is read through.
///
/// # Errors
/// [`Error::Index`] if the index is damaged or that of another tar, [`Error::Tar`] if the tar is damaged.
pub fn check_shard(tar: &Path, watch: &dyn Watch) -> Result<Index, Error> {
    let path = Index::path(tar);
    let index = Index::read(&path)?;
    let (scanned, _) = scan(tar, &Part { watch, before: 0, total: index.bytes })?;
    match difference(&index, &scanned) {
        None => Ok(index),
        Some(detail) => Err(Error::Index { path, detail }),
    }
}

/// Makes the index of any tar of samples by reading it through.
///
/// # Errors
/// [`Error::Tar`] if it is cut short or no tar of samples; [`Error::Interrupted`].
pub fn scan_shard(tar: &Path, watch: &dyn Watch) -> Result<Index, Error> {
    let total = Stamp::at(tar)?.bytes;
    scan(tar, &Part { watch, before: 0, total }).map(|(index, _)| index)
}

/// In what an index differs from what its tar holds.
pub(super) fn difference(index: &Index, scanned: &Index) -> Option<String> {
    let of = |index: &Index| (index.records.len(), index.bytes, index.crc);
    let ((records, bytes, crc), found) = (of(index), of(scanned));
    if (records, bytes, crc) != found {
        return Some(format!(
            "expected {records} records, {bytes} bytes and CRC32C {crc:08x} as the index says, found {}, {} and \
             {:08x} in the tar",
            found.0, found.1, found.2
        ));
    }
    // That a record's bytes are the source's cannot be seen in a tar.
    let plain = |record: &Record| Record { flags: record.flags & Record::RAW, ..*record };
    let pairs = index.records.iter().zip(&scanned.records);
    let number = pairs.into_iter().position(|(a, b)| plain(a) != plain(b))?;
    Some(format!("record {number}: the index says other than the tar"))
}

/// Classes of which `data` has no image, by number, as a note.
pub(super) fn without_images(data: &Shards) -> Option<String> {
    let mut occurs = vec![false; data.classes()];
    for (_, index) in data.shards() {
        index.records.iter().for_each(|record| occurs[record.label as usize] = true);
    }
    let missing: Vec<usize> = (0..occurs.len()).filter(|&class| !occurs[class]).collect();
    let first = missing.first()?;
    let (count, of) = (missing.len(), occurs.len());
    Some(format!("{count} of {of} classes have no training image (the first: {first})"))
}
