//! The simulated disk: what is durable, what is pending, and what a crash makes of it.
//!
//! ```text
//! file    durable bytes + changes since the last sync: writes cut at sectors of 512 B, lengths
//! folder  durable names + changes since the last sync: link, unlink, rename
//! crash   file := durable + some of its changes; folder likewise; files without a name are gone
//! ```
//!
//! Which changes survive, by [`Keep`]: none; all; any subset (a later write may survive an earlier
//! one, a length may survive without its bytes); or those before some moment, the last one torn.
//! Names survive in any subset, as POSIX allows, or in order, as a journal keeps them.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Rng;

/// Unit that reaches the disk whole, except for a torn last write.
const SECTOR_BYTES: u64 = 512;

/// Which unsynced bytes survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// None: only what was synced.
    None,
    /// All, as after a killed process.
    All,
    /// Any subset of the sectors.
    Subset,
    /// Those written before some moment, file by file, the last one in part.
    Torn,
}

/// Which unsynced names survive a crash, when not all or none do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirOrder {
    /// Any subset of the changes.
    Any,
    /// Those before some moment.
    Ordered,
}

/// How a crash treats what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashMode {
    /// Bytes.
    pub keep: Keep,
    /// Names.
    pub dirs: DirOrder,
}

impl CrashMode {
    /// Four modes that differ most.
    pub const ALL: [CrashMode; 4] = [
        CrashMode { keep: Keep::None, dirs: DirOrder::Any },
        CrashMode { keep: Keep::All, dirs: DirOrder::Any },
        CrashMode { keep: Keep::Subset, dirs: DirOrder::Any },
        CrashMode { keep: Keep::Torn, dirs: DirOrder::Ordered },
    ];
}

/// A file, whatever names it has.
pub(super) type Node = Arc<Mutex<Inode>>;

#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// Shared with the images of other crashes until written.
    durable: Arc<Vec<u8>>,
    current: Arc<Vec<u8>>,
    pending: Vec<Change>,
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes } => {
            let end = *offset as usize + bytes.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset as usize..end].copy_from_slice(bytes);
        }
        Change::SetLen(len) => image.resize(*len as usize, 0),
    }
}

impl Inode {
    fn with_bytes(bytes: Arc<Vec<u8>>) -> Node {
        Arc::new(Mutex::new(Inode { durable: bytes.clone(), current: bytes, pending: Vec::new() }))
    }

    pub(super) fn current(&self) -> &[u8] {
        &self.current
    }

    pub(super) fn write(&mut self, mut offset: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (SECTOR_BYTES - offset % SECTOR_BYTES) as usize;
            let (sector, rest) = bytes.split_at(room.min(bytes.len()));
            self.change(Change::Write { offset, bytes: sector.to_vec() });
            offset += sector.len() as u64;
            bytes = rest;
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.change(Change::SetLen(len));
    }

    fn change(&mut self, change: Change) {
        apply(Arc::make_mut(&mut self.current), &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        // Not `durable = current`: what a failed sync dropped stays dropped.
        for change in std::mem::take(&mut self.pending) {
            apply(Arc::make_mut(&mut self.durable), &change);
        }
    }

    /// What a failing sync does: some changes reach the disk, none is pending any more.
    pub(super) fn lose_some(&mut self, rng: &mut Rng) {
        self.durable = self.survivors(Keep::Subset, rng);
        self.pending.clear();
    }

    fn survivors(&self, keep: Keep, rng: &mut Rng) -> Arc<Vec<u8>> {
        let mut image = self.durable.clone();
        if self.pending.is_empty() || keep == Keep::None {
            return image;
        }
        let bytes = Arc::make_mut(&mut image);
        let whole = match keep {
            Keep::Torn => rng.below(self.pending.len() as u64 + 1) as usize,
            _ => self.pending.len(),
        };
        for change in &self.pending[..whole] {
            if keep != Keep::Subset || rng.one_in(2) {
                apply(bytes, change);
            } else if let Change::Write { offset, bytes: lost } = change
                && rng.one_in(4)
            {
                // The length grew, the bytes did not come.
                let end = *offset as usize + lost.len();
                bytes.resize(bytes.len().max(end), 0);
            }
        }
        if let Some(Change::Write { offset, bytes: torn }) = self.pending.get(whole) {
            let count = rng.below(torn.len() as u64 + 1) as usize;
            apply(bytes, &Change::Write { offset: *offset, bytes: torn[..count].to_vec() });
        }
        image
    }
}

#[derive(Debug, Clone)]
enum NameChange {
    Link { name: String, node: Node },
    Unlink { name: String },
    Rename { from: String, to: String, node: Node },
}

type Names = BTreeMap<String, Node>;

fn apply_name(names: &mut Names, change: &NameChange) {
    match change {
        NameChange::Link { name, node } => {
            names.insert(name.clone(), node.clone());
        }
        NameChange::Unlink { name } => {
            names.remove(name);
        }
        NameChange::Rename { from, to, node } => {
            if names.get(from).is_some_and(|at| Arc::ptr_eq(at, node)) {
                names.remove(from);
            }
            names.insert(to.clone(), node.clone());
        }
    }
}

#[derive(Debug, Default)]
struct Dir {
    durable: Names,
    current: Names,
    /// With the moment of each change, counted over all folders.
    pending: Vec<(u64, NameChange)>,
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    dirs: BTreeMap<PathBuf, Dir>,
    name_changes: u64,
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn split(path: &Path) -> io::Result<(&Path, String)> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(not_found)?;
    Ok((path.parent().unwrap_or(Path::new("")), name.to_owned()))
}

impl Disk {
    fn dir(&self, path: &Path) -> io::Result<&Dir> {
        self.dirs.get(path).ok_or_else(not_found)
    }

    fn change(&mut self, dir: &Path, change: NameChange) -> io::Result<()> {
        let moment = self.name_changes;
        let dir = self.dirs.get_mut(dir).ok_or_else(not_found)?;
        apply_name(&mut dir.current, &change);
        dir.pending.push((moment, change));
        self.name_changes += 1;
        Ok(())
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        let (dir, name) = split(path)?;
        self.dir(dir)?.current.get(&name).cloned().ok_or_else(not_found)
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<Node> {
        self.check_free(path)?;
        let (dir, name) = split(path)?;
        let node = Inode::with_bytes(Arc::default());
        self.change(dir, NameChange::Link { name, node: node.clone() })?;
        Ok(node)
    }

    fn check_free(&self, path: &Path) -> io::Result<()> {
        if self.exists(path) { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(()) }
    }

    pub(super) fn link(&mut self, existing: &Path, new: &Path) -> io::Result<()> {
        let node = self.find(existing)?;
        self.check_free(new)?;
        let (dir, name) = split(new)?;
        self.change(dir, NameChange::Link { name, node })
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let ((from_dir, from), (to_dir, to)) = (split(from)?, split(to)?);
        if from_dir == to_dir {
            return self.change(from_dir, NameChange::Rename { from, to, node });
        }
        self.change(to_dir, NameChange::Link { name: to, node })?;
        self.change(from_dir, NameChange::Unlink { name: from })
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (dir, name) = split(path)?;
        self.change(dir, NameChange::Unlink { name })
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        for dir in path.ancestors() {
            if self.find(dir).is_ok() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        for dir in path.ancestors() {
            self.dirs.entry(dir.to_owned()).or_default();
        }
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        if !self.list(path)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.dirs.remove(path);
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = self.dir(path)?.current.keys().cloned().collect();
        let below = self.dirs.keys().filter(|dir| dir.parent() == Some(path));
        names.extend(below.filter_map(|dir| dir.file_name()?.to_str().map(str::to_owned)));
        Ok(names)
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.dirs.contains_key(path) || self.find(path).is_ok()
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.dirs.get_mut(path).ok_or_else(not_found)?;
        for (_, change) in std::mem::take(&mut dir.pending) {
            apply_name(&mut dir.durable, &change);
        }
        Ok(())
    }

    pub(super) fn set_bytes(&mut self, path: &Path, bytes: Vec<u8>) {
        let bytes = Arc::new(bytes);
        if let Ok(node) = self.find(path) {
            *node.lock() = Inode { durable: bytes.clone(), current: bytes, pending: Vec::new() };
            return;
        }
        let (dir, name) = split(path).expect("a path with a file name");
        let node = Inode::with_bytes(bytes);
        let dir = self.dirs.entry(dir.to_owned()).or_default();
        dir.durable.insert(name.clone(), node.clone());
        dir.current.insert(name, node);
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let names = |(path, dir): (&PathBuf, &Dir)| {
            dir.current.keys().map(|name| path.join(name)).collect::<Vec<_>>()
        };
        self.dirs.iter().flat_map(names).collect()
    }

    /// The disk after a crash: everything on it is durable.
    pub(super) fn crash(&self, mode: CrashMode, rng: &mut Rng) -> Disk {
        let oldest = self.dirs.values().filter_map(|dir| dir.pending.first()).map(|c| c.0).min();
        let oldest = oldest.unwrap_or(self.name_changes);
        let moment = oldest + rng.below(self.name_changes - oldest + 1);
        // A file with two names stays one file.
        let mut images: HashMap<*const Mutex<Inode>, Node> = HashMap::new();
        let mut disk = Disk::default();
        for (path, dir) in &self.dirs {
            let mut names = dir.durable.clone();
            for (at, change) in &dir.pending {
                let kept = match (mode.keep, mode.dirs) {
                    (Keep::None, _) => false,
                    (Keep::All, _) => true,
                    (_, DirOrder::Ordered) => *at < moment,
                    (_, DirOrder::Any) => rng.one_in(2),
                };
                if kept {
                    apply_name(&mut names, change);
                }
            }
            let mut image_of = |node: &Node| {
                let image = images.entry(Arc::as_ptr(node));
                image
                    .or_insert_with(|| Inode::with_bytes(node.lock().survivors(mode.keep, rng)))
                    .clone()
            };
            let names: Names =
                names.iter().map(|(name, node)| (name.clone(), image_of(node))).collect();
            let dir = Dir { durable: names.clone(), current: names, pending: Vec::new() };
            disk.dirs.insert(path.clone(), dir);
        }
        disk
    }
}
