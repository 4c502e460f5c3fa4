//! `dataset.json`, the description of a packed set: its classes, its shards with their checksums, what was
//! skipped, how it was packed and what was measured on it.
//!
//! The file begins with its own checksum, so that any change of it is found:
//!
//! ```text
//! {
//!   "crc32c": "0123abcd",
//!   "format": "resnet-cpu shards",
//! ```
//!
//! The eight hexadecimal digits are the CRC32C of all bytes after the line that they are in.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::measured::Measured;
use super::{MANIFEST, hexadecimal};
use crate::data::Error;
use crate::data::decode::{Limits, regular};
use crate::runtime::{Storage, write_durably};

const FORMAT: &str = "resnet-cpu shards";
/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;
/// How a file of ours begins, up to its checksum, and how the line of the checksum ends.
const START: &str = "{\n  \"crc32c\": \"";
const LINE_END: &str = "\",\n";
/// Digits of a checksum.
const DIGITS: usize = 8;

/// Bytes of a description at most, so that no wrong file fills the memory.
const MOST: u64 = 256 << 20;

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    regular::read_at_most(path, MOST, |found| {
        let detail = format!("expected at most {MOST} bytes, found {found}");
        Error::Manifest { path: path.to_path_buf(), detail }
    })
}

/// What a folder of shards holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    version: u32,
    /// Names of the classes, in the order of their labels.
    pub classes: Vec<String>,
    /// The parts of the set by name: `train`, `val`, `test`.
    pub splits: BTreeMap<String, Split>,
    /// [`Dataset::pad`](crate::data::Dataset::pad) of the set that was packed. Images stand in the middle of that square
    /// already; those that a network sees later should, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<usize>,
    /// [`Dataset::may_flip`](crate::data::Dataset::may_flip) of the set that was packed.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub flip: bool,
    /// How large an image may have been when it was packed: whoever allows as much can read all.
    #[serde(default, skip_serializing_if = "Within::is_usual")]
    pub within: Within,
    /// How it was packed: settings of `resnet-data pack`, which reading does not need.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pack: BTreeMap<String, serde_json::Value>,
    /// What was measured on the images of `train`, one entry for each view of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statistics: Vec<Measured>,
}

/// How large images were allowed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// [`Limits::side`].
    pub side: u32,
    /// [`Limits::bytes`].
    pub bytes: u64,
}

impl Within {
    /// That of `limits`.
    pub fn of(limits: &Limits) -> Self {
        Self { side: limits.side, bytes: limits.bytes }
    }

    /// What allows all that either does.
    pub fn or(self, other: Self) -> Self {
        Self { side: self.side.max(other.side), bytes: self.bytes.max(other.bytes) }
    }

    /// Whether whatever is within these is within `limits`.
    pub fn fits(self, limits: &Limits) -> bool {
        self.side <= limits.side && self.bytes <= limits.bytes
    }

    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Within {
    /// The usual limits.
    fn default() -> Self {
        Self::of(&Limits::default())
    }
}

/// A part of a packed set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Images, those of all shards.
    pub images: u64,
    /// Its shards, in their order.
    pub shards: Vec<ShardInfo>,
    /// Images that could not be read and were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// A shard as the description has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardInfo {
    /// Its name in the folder, such as `train-000000.tar`.
    pub name: String,
    /// Images.
    pub records: u64,
    /// Bytes of the tar.
    pub bytes: u64,
    /// CRC32C of the tar.
    #[serde(with = "hexadecimal")]
    pub crc32c: u32,
}

/// An image that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// Its name in the source.
    pub image: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What `dataset.json` in a folder is.
#[derive(Debug)]
pub(super) enum Found {
    /// There is none.
    Nothing,
    /// That of a packed set.
    Ours(Manifest),
    /// Somebody else's, with names of classes if it has the key `classes`.
    Foreign(Option<Vec<String>>),
}

impl Manifest {
    /// The description of a set of `classes`, without images yet.
    pub fn new(classes: Vec<String>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            classes,
            splits: BTreeMap::new(),
            pad: None,
            flip: true,
            within: Within::default(),
            pack: BTreeMap::new(),
            statistics: Vec::new(),
        }
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// A number in it is not finite.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        let content = json.strip_prefix("{\n").unwrap_or(&json);
        let crc = crc32c::crc32c(content.as_bytes());
        Ok(format!("{START}{crc:08x}{LINE_END}{content}").into_bytes())
    }

    /// Writes `dataset.json` in `folder`, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, storage: &dyn Storage, folder: &Path) -> io::Result<()> {
        let bytes = self.to_bytes()?;
        write_durably(storage, &folder.join(MANIFEST), |out| out.write_all(&bytes))
    }

    /// Reads `dataset.json` in `folder`.
    ///
    /// # Errors
    /// [`Error`] if there is none or it cannot be read; [`Error::Manifest`] if it is damaged, of another
    /// version, or somebody else's.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(MANIFEST);
        Self::parse(&read_file(&path)?, &path)
    }

    /// The description that `bytes` are; `path` is only the name that errors carry.
    ///
    /// # Errors
    /// [`Error::Manifest`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        Self::parsed(bytes).map_err(|detail| Error::Manifest { path: path.to_path_buf(), detail })
    }

    /// Finds out what `dataset.json` in `folder` is, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is ours and damaged.
    pub(super) fn find(folder: &Path) -> Result<Found, Error> {
        #[derive(Deserialize)]
        struct Foreign {
            classes: Option<Vec<String>>,
        }
        let path = folder.join(MANIFEST);
        if !path.exists() {
            return Ok(Found::Nothing);
        }
        let bytes = read_file(&path)?;
        // Two marks, so that a single damage does not make it somebody else's.
        let format = FORMAT.as_bytes();
        if bytes.starts_with(START.as_bytes()) || bytes.windows(format.len()).any(|w| w == format) {
            return Self::parse(&bytes, &path).map(Found::Ours);
        }
        let foreign = serde_json::from_slice::<Foreign>(&bytes).ok();
        Ok(Found::Foreign(foreign.and_then(|foreign| foreign.classes)))
    }

    fn parsed(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            format: String,
            version: u32,
        }
        let text =
            std::str::from_utf8(bytes).map_err(|error| format!("it is not UTF-8: {error}"))?;
        if let Ok(Version { format, version }) = serde_json::from_str(text)
            && format == FORMAT
            && version != VERSION
        {
            return Err(format!(
                "expected version {VERSION}, found {version}: a later version wrote it, or it is damaged"
            ));
        }
        let parts = text.strip_prefix(START).and_then(|rest| rest.split_at_checked(DIGITS));
        let parts = parts.and_then(|(digits, rest)| Some((digits, rest.strip_prefix(LINE_END)?)));
        let Some((digits, content)) = parts else {
            return Err(
                "expected its checksum (crc32c) on its second line; resnet-data writes such a \
                        file, and it is not to be edited"
                    .to_owned(),
            );
        };
        let found = format!("{:08x}", crc32c::crc32c(content.as_bytes()));
        if digits != found {
            return Err(format!(
                "expected CRC32C {digits}, found {found}: it is damaged, or was edited"
            ));
        }
        let manifest: Self =
            serde_json::from_str(&format!("{{\n{content}")).map_err(|error| error.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    /// What the reader relies on.
    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("expected the format {FORMAT:?}, found {:?}", self.format));
        }
        if self.classes.len() > super::MOST_CLASSES {
            let (most, found) = (super::MOST_CLASSES, self.classes.len());
            return Err(format!("expected at most {most} classes, found {found}"));
        }
        let most = Limits::default().side as usize;
        if let Some(pad) = self.pad.filter(|pad| !(1..=most).contains(pad)) {
            return Err(format!("pad: expected a side of 1 to {most}, found {pad}"));
        }
        let shards = self.splits.values().flat_map(|split| &split.shards).map(|shard| &shard.name);
        let means = self.statistics.iter().map(|measured| &measured.pixel_mean.file);
        for name in shards.clone().chain(means) {
            if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
                return Err(format!("expected names of files in its folder, found {name:?}"));
            }
        }
        let mut names: Vec<_> = shards.collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("the shard {} is listed twice", pair[0]));
        }
        for (name, split) in &self.splits {
            let records =
                split.shards.iter().try_fold(0_u64, |sum, shard| sum.checked_add(shard.records));
            if records != Some(split.images) {
                let records = records.map_or("more".to_owned(), |records| records.to_string());
                return Err(format!("{name}: expected {} images, found {records}", split.images));
            }
        }
        Ok(())
    }
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

#[cfg(test)]
mod tests {
    use super::super::MeanFile;
    use super::*;
    use crate::data::Colours;

    fn manifest() -> Manifest {
        let mut manifest = Manifest::new(vec!["ant".to_owned(), "bee \"ü\"\n".to_owned()]);
        let shard =
            ShardInfo { name: "train-000000.tar".to_owned(), records: 3, bytes: 5120, crc32c: 7 };
        let skipped = Skipped { image: "a.jpg".to_owned(), reason: "truncated".to_owned() };
        let split = Split { images: 3, shards: vec![shard], skipped: vec![skipped] };
        manifest.splits.insert("train".to_owned(), split);
        manifest.pack.insert("quality".to_owned(), 95.into());
        let colours =
            Colours { eigenvalues: [0.1 + 0.2, 0.1, 1e-300], eigenvectors: [[1.0; 3]; 3] };
        manifest.statistics.push(Measured {
            pad: None,
            resize: Some(256),
            crop: 224,
            mean: [0.1, 0.485, 1.0 / 3.0],
            std: [0.2; 3],
            colours,
            pixel_mean: MeanFile { file: "mean-224.safetensors".to_owned(), crc32c: 0xABCD },
        });
        manifest
    }

    fn parse(bytes: &[u8]) -> Result<Manifest, String> {
        Manifest::parse(bytes, Path::new("d/dataset.json")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = manifest().to_bytes().unwrap();
        assert_eq!(parse(&bytes).unwrap(), manifest());
        let text = std::str::from_utf8(&bytes).unwrap();
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(json["splits"]["train"]["shards"][0]["crc32c"], "00000007");
        // As the text above defines the checksum.
        let second = text.lines().nth(1).unwrap();
        let after = text.split_once("\",\n").unwrap().1;
        assert_eq!(second, format!("  \"crc32c\": \"{:08x}\",", crc32c::crc32c(after.as_bytes())));
    }

    #[test]
    fn what_was_written_before_means_what_it_meant() {
        // Neither key was there.
        let text = String::from_utf8(manifest().to_bytes().unwrap()).unwrap();
        assert!(!text.contains("\"flip\"") && !text.contains("\n  \"pad\""), "{text}");
        let before = parse(text.as_bytes()).unwrap();
        assert_eq!((before.pad, before.flip), (None, true));
        assert_eq!(before.within, Within::of(&Limits::default()));
        let digits = Manifest { pad: Some(32), flip: false, ..manifest() };
        assert_eq!(parse(&digits.to_bytes().unwrap()).unwrap(), digits);
    }

    #[test]
    fn every_change_and_every_cut_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let whole = manifest().to_bytes().unwrap();
        let path = folder.path().join(MANIFEST);
        for at in 0..whole.len() {
            for change in [1, 0x20, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                assert!(parse(&bytes).unwrap_err().starts_with("d/dataset.json: "), "{at}");
            }
            assert!(parse(&whole[..at]).is_err(), "{at}");
            // Nor does it become somebody else's description.
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            std::fs::write(&path, &bytes).unwrap();
            assert!(Manifest::find(folder.path()).is_err(), "{at}");
        }
        assert!(parse(&[&whole[..], b"\n"].concat()).is_err());
    }

    #[test]
    fn what_contradicts_itself_is_refused_though_its_checksum_is_right() {
        let change = |change: &dyn Fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            parse(&manifest.to_bytes().unwrap()).unwrap_err()
        };
        let shards = |manifest: &mut Manifest, name: &str| {
            manifest.splits.get_mut("train").unwrap().shards[0].name = name.to_owned();
        };
        assert!(
            change(&|m| m.pad = Some(0)).contains("pad: expected a side of 1 to 16384, found 0")
        );
        assert!(change(&|m| m.version = 2).contains("expected version 1, found 2"));
        assert!(change(&|m| m.format = "x".to_owned()).contains("expected the format"));
        for name in ["", "../a.tar", "/a.tar", "a\\b.tar", ".hidden"] {
            assert!(
                change(&|m| shards(m, name)).contains("names of files in its folder"),
                "{name}"
            );
        }
        let images = change(&|m| m.splits.get_mut("train").unwrap().images = 4);
        assert!(images.contains("train: expected 4 images, found 3"), "{images}");
        let twice = change(&|m| {
            let train = m.splits["train"].clone();
            m.splits.insert("val".to_owned(), train);
        });
        assert!(twice.contains("train-000000.tar is listed twice"), "{twice}");
    }

    #[test]
    fn descriptions_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let find = |text: &str| {
            std::fs::write(folder.path().join(MANIFEST), text).unwrap();
            Manifest::find(folder.path()).unwrap()
        };
        let found = find(r#"{"classes": ["a", "b"], "license": "x"}"#);
        assert!(matches!(found, Found::Foreign(Some(classes)) if classes == ["a", "b"]));
        for text in ["", "[]", "{}", r#"{"classes": 3}"#] {
            assert!(matches!(find(text), Found::Foreign(None)), "{text}");
        }
        std::fs::remove_file(folder.path().join(MANIFEST)).unwrap();
        assert!(matches!(Manifest::find(folder.path()).unwrap(), Found::Nothing));
    }
}
