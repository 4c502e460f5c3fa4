//! A disk in memory that can fail: it is full or read-only from some operation on, or loses power at
//! it. What was not synced then lands, vanishes or turns into garbage, as SQLite's crash tests do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use resnet_cpu::runtime::{Rng, Storage, StorageFile};

/// What fails.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    Never,
    /// The power goes at this operation: it and all later ones fail.
    PowerAt(usize),
    /// After this many bytes there is no space left.
    FullAfter(usize),
    /// No name can be created, changed or removed.
    ReadOnly,
}

/// A file's content.
#[derive(Clone, Default)]
struct Node {
    durable: Vec<u8>,
    written: Vec<u8>,
}

#[derive(Clone, Default)]
struct Inner {
    nodes: Vec<Node>,
    /// Names as programs see them, and as they are on disk.
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Every state of `names` since the last sync of the folder.
    pending: Vec<BTreeMap<PathBuf, usize>>,
    operations: usize,
    bytes: usize,
}

/// The disk.
pub(crate) struct MemoryDisk {
    fault: Fault,
    /// Leaves out all syncs of files: to see that the test would notice.
    pub(crate) ignore_sync: bool,
    inner: RefCell<Inner>,
}

impl MemoryDisk {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, ignore_sync: false, inner: RefCell::default() }
    }

    /// The same content with another fault; operations count from 0.
    pub(crate) fn with_fault(&self, fault: Fault) -> Self {
        let inner = Inner { operations: 0, bytes: 0, ..self.inner.borrow().clone() };
        Self { fault, ignore_sync: false, inner: RefCell::new(inner) }
    }

    pub(crate) fn operations(&self) -> usize {
        self.inner.borrow().operations
    }

    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.inner.borrow();
        inner.names.get(path).map(|&node| inner.nodes[node].written.clone())
    }

    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.inner.borrow().names.keys().cloned().collect()
    }

    /// The disk as it is found after the power comes back; `seed` decides what became of all that
    /// was not synced.
    pub(crate) fn after_power_loss(&self, seed: u64) -> Self {
        let mut rng = Rng::new(seed, &[]);
        let mut inner = self.inner.borrow().clone();
        for node in &mut inner.nodes {
            node.written = match rng.below(4) {
                0 => node.durable.clone(),
                1 => node.written.clone(),
                2 => node.written[..rng.below(node.written.len() + 1)].to_vec(),
                _ => {
                    // What was synced stays; the rest has the right length and any content.
                    let mut bytes = node.written.clone();
                    let synced = node.durable.len().min(bytes.len());
                    for part in bytes[synced..].chunks_mut(8) {
                        part.copy_from_slice(&rng.next_u64().to_le_bytes()[..part.len()]);
                    }
                    bytes
                }
            };
            if node.written.len() < node.durable.len() {
                node.written.clone_from(&node.durable);
            }
            node.durable.clone_from(&node.written);
        }
        // Folders keep the order of changes: some of the first ones have landed.
        let landed = rng.below(inner.pending.len() + 1);
        if landed > 0 {
            inner.durable_names = inner.pending[landed - 1].clone();
        }
        inner.names = inner.durable_names.clone();
        inner.pending.clear();
        Self { fault: Fault::Never, ignore_sync: false, inner: RefCell::new(inner) }
    }

    /// Counts an operation, which may be the one that fails.
    fn operation(&self) -> io::Result<()> {
        let mut inner = self.inner.borrow_mut();
        inner.operations += 1;
        match self.fault {
            Fault::PowerAt(k) if inner.operations > k => Err(io::Error::other("no power")),
            _ => Ok(()),
        }
    }

    fn change_names<T>(&self, change: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        self.operation()?;
        if self.fault == Fault::ReadOnly {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let mut inner = self.inner.borrow_mut();
        let result = change(&mut inner)?;
        let names = inner.names.clone();
        inner.pending.push(names);
        Ok(result)
    }
}

struct MemoryFile<'a> {
    disk: &'a MemoryDisk,
    node: usize,
}

impl Write for MemoryFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.operation()?;
        let mut inner = self.disk.inner.borrow_mut();
        inner.bytes += bytes.len();
        if matches!(self.disk.fault, Fault::FullAfter(space) if inner.bytes > space) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inner.nodes[self.node].written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StorageFile for MemoryFile<'_> {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.operation()?;
        if !self.disk.ignore_sync {
            let node = &mut self.disk.inner.borrow_mut().nodes[self.node];
            node.durable.clone_from(&node.written);
        }
        Ok(())
    }
}

impl Storage for MemoryDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>> {
        let node = self.change_names(|inner| {
            inner.nodes.push(Node::default());
            let node = inner.nodes.len() - 1;
            inner.names.insert(path.to_owned(), node);
            Ok(node)
        })?;
        Ok(Box::new(MemoryFile { disk: self, node }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn StorageFile + '_>> {
        let node = self.inner.borrow().names.get(path).copied();
        match node {
            Some(node) => {
                self.operation()?;
                Ok(Box::new(MemoryFile { disk: self, node }))
            }
            None => self.create(path),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.operation()?;
        Self::read(self, path).ok_or(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_names(|inner| {
            let node = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            inner.names.insert(to.to_owned(), node);
            Ok(())
        })
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.operation()?;
        let inner = &mut *self.inner.borrow_mut();
        inner.durable_names.clone_from(&inner.names);
        inner.pending.clear();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change_names(|inner| {
            inner.names.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.operation()?;
        let inner = self.inner.borrow();
        let inside = inner.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| path.file_name().map(ToOwned::to_owned)).collect())
    }
}
