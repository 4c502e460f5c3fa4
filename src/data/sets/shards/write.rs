//! Writing a shard: a tar that anyone's tools read, and its index. The same records give the same bytes on
//! every machine and on every day: ustar, without times, owners or names of users.

use std::io::{self, Write};
use std::path::Path;

use super::index::{BLOCK, Index, Record};
use crate::runtime::{Storage, write_durably};

/// Bytes of a file of a shard: the length of a record is a `u32`.
const MOST: usize = u32::MAX as usize;

/// Writes the shard `path` (`X.tar`) and then its index (`X.tar.index`), each beside its place, synced and
/// renamed: a tar has its whole content at any time, and a tar without an index that fits it is one whose
/// writing was interrupted. Returns the index.
///
/// # Errors
/// Those of `fill`, and those of writing. Nothing of that name is then changed, or the tar is new and
/// whole.
pub fn write_shard<E: From<io::Error>>(
    storage: &dyn Storage,
    path: &Path,
    fill: impl FnOnce(&mut ShardWriter<'_>) -> Result<(), E>,
) -> Result<Index, E> {
    let (mut index, mut failed) = (None, None);
    let written = write_durably(storage, path, |out| {
        let mut shard = ShardWriter::new(out);
        if let Err(error) = fill(&mut shard) {
            failed = Some(error);
            return Err(io::Error::other("given up"));
        }
        index = Some(shard.finish()?);
        Ok(())
    });
    if let Some(error) = failed {
        return Err(error);
    }
    written?;
    let index = index.ok_or_else(|| io::Error::other("nothing was written"))?;
    write_index(storage, path, &index)?;
    Ok(index)
}

/// Writes the index of the shard `tar` beside it.
///
/// # Errors
/// The file cannot be written.
pub fn write_index(storage: &dyn Storage, tar: &Path, index: &Index) -> io::Result<()> {
    write_durably(storage, &Index::path(tar), |out| out.write_all(&index.to_bytes()))
}

/// A shard that is being written.
pub struct ShardWriter<'a> {
    tar: tar::Builder<Counted<'a>>,
    records: Vec<Record>,
}

impl<'a> ShardWriter<'a> {
    /// One that writes to `out`.
    pub fn new(out: &'a mut dyn Write) -> Self {
        let tar = tar::Builder::new(Counted { out, bytes: 0, crc: 0 });
        Self { tar, records: Vec::new() }
    }

    /// Appends a record: the file `key.extension` with the image, and `key.cls` with the label in decimal
    /// digits. `flags` are those of [`Record`].
    ///
    /// # Errors
    /// The file cannot be written; the key is empty, has a dot or a slash or does not fit into a ustar header;
    /// the extension is none of those that are read as images; or the image is 4 GiB or more.
    pub fn add(
        &mut self,
        key: &str,
        extension: &str,
        image: &[u8],
        label: u32,
        flags: u32,
    ) -> io::Result<()> {
        let plain = |text: &str| !text.is_empty() && !text.contains(['.', '/', '\\', '\0']);
        if !plain(key) || !plain(extension) || image.len() > MOST {
            let length = image.len();
            let message = format!("a record cannot be {key:?}.{extension:?} with {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let offset = self.bytes() + BLOCK;
        self.file(&format!("{key}.{extension}"), image)?;
        self.file(&format!("{key}.cls"), label.to_string().as_bytes())?;
        let (length, crc) = (image.len() as u32, crc32c::crc32c(image));
        self.records.push(Record { offset, length, label, crc, flags });
        Ok(())
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.tar.get_ref().bytes
    }

    /// Bytes by which a record with an image of `image` bytes and a label of at most 512 digits makes a
    /// shard longer.
    pub fn size_of(image: u64) -> u64 {
        // Two headers, the image in whole blocks, and the block of the label.
        2 * BLOCK + image.div_ceil(BLOCK) * BLOCK + BLOCK
    }

    /// Records so far.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Ends the tar, and returns its index.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> io::Result<Index> {
        let Counted { bytes, crc, .. } = self.tar.into_inner()?;
        Ok(Index { records: self.records, bytes, crc })
    }

    fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.tar.append(&header, content)
    }
}

/// Counts and sums what is written.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
    crc: u32,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        self.crc = crc32c::crc32c_append(self.crc, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
