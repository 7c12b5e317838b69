//! A file system in memory that crashes and fails on demand, the same way for the same seed.
//!
//! Reads see every write at once, as with a page cache. What is *durable* is kept beside it: the
//! bytes since the last `sync` of a file and the names since the last `sync_dir` of a folder are
//! pending, and [`SimFs::crash`] decides which of them reached the disk (see [`disk`]).
//!
//! Every call is counted and may be made to fail by its number:
//! - [`SimFs::inject`]: an errno or a short transfer, once or for a range of calls;
//! - a `sync` that fails drops a random part of its pending bytes and forgets that they were
//!   pending, while reads still show them: what Linux does;
//! - [`SimFs::crash_at`]: every call from there on fails, then [`SimFs::crash`] gives what is left;
//! - [`SimFs::flip_bit`]: damage at rest.
//!
//! Invariants: no clock and no global state; one lock, so calls have one order; a folder is durable
//! once created (the promise of [`Fs::create_dir_all`]).

mod disk;
mod rng;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{File, Fs, LockGuard, Space};
use disk::{Disk, Node};

pub use disk::{CrashMode, DirOrder, Keep};
pub use rng::Rng;

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// [`Fs::create`]
    Create,
    /// [`Fs::open`]
    Open,
    /// [`Fs::rename`]
    Rename,
    /// [`Fs::link`]
    Link,
    /// [`Fs::remove_file`]
    Remove,
    /// [`Fs::create_dir_all`]
    CreateDir,
    /// [`Fs::remove_dir`]
    RemoveDir,
    /// [`Fs::list`]
    List,
    /// [`Fs::exists`]
    Exists,
    /// [`Fs::sync_dir`]
    SyncDir,
    /// [`Fs::lock`]
    Lock,
    /// [`Fs::space`]
    Space,
    /// [`File::read_at`]
    Read,
    /// [`File::write_at`]
    Write,
    /// [`File::sync`]
    Sync,
    /// [`File::len`]
    Len,
    /// [`File::set_len`]
    SetLen,
}

impl OpKind {
    /// Whether the call may need room on the disk.
    pub fn takes_space(self) -> bool {
        use OpKind::*;
        matches!(self, Create | Rename | Link | CreateDir | SyncDir | Lock | Write | Sync | SetLen)
    }

    /// Whether the call may move fewer bytes than asked, or none for a signal.
    pub fn may_be_short(self) -> bool {
        matches!(self, OpKind::Read | OpKind::Write)
    }
}

/// One call, for the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// What it did.
    pub kind: OpKind,
    /// The file or folder; of a rename the new name.
    pub path: PathBuf,
}

/// A failure to inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device fails. Applies to every call.
    Eio,
    /// The disk is full. Applies where [`OpKind::takes_space`].
    NoSpace,
    /// A signal came. Applies where [`OpKind::may_be_short`]; inject it for single calls only,
    /// since callers retry for ever.
    Interrupted,
    /// Half the bytes are moved, at least one. Applies where [`OpKind::may_be_short`].
    Short,
}

impl Fault {
    fn applies_to(self, kind: OpKind) -> bool {
        match self {
            Fault::Eio => true,
            Fault::NoSpace => kind.takes_space(),
            Fault::Interrupted | Fault::Short => kind.may_be_short(),
        }
    }

    fn error(self) -> Option<io::Error> {
        match self {
            Fault::Eio => Some(io::Error::from_raw_os_error(5)),
            Fault::NoSpace => Some(io::Error::from_raw_os_error(28)),
            Fault::Interrupted => Some(io::ErrorKind::Interrupted.into()),
            Fault::Short => None,
        }
    }
}

/// Called before each call with its number and what it is.
pub type Observer = Box<dyn FnMut(u64, &Op) + Send>;

#[derive(Debug)]
struct State {
    disk: Disk,
    rng: Rng,
    ops: u64,
    trace: Option<Vec<Op>>,
    crash_at: Option<u64>,
    injected: Vec<(Range<u64>, Option<OpKind>, Fault)>,
    locked: Vec<PathBuf>,
}

struct Shared {
    state: Mutex<State>,
    observer: Mutex<Option<Observer>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimFs").field("ops", &self.state.lock().ops).finish_non_exhaustive()
    }
}

/// The simulated file system. Clones share it.
#[derive(Debug, Clone)]
pub struct SimFs(Arc<Shared>);

impl SimFs {
    /// An empty file system; `seed` decides what a failing sync drops.
    pub fn new(seed: u64) -> Self {
        SimFs::with_disk(Disk::default(), seed)
    }

    fn with_disk(disk: Disk, seed: u64) -> Self {
        let state = State {
            disk,
            rng: Rng::new(seed),
            ops: 0,
            trace: None,
            crash_at: None,
            injected: Vec::new(),
            locked: Vec::new(),
        };
        SimFs(Arc::new(Shared { state: Mutex::new(state), observer: Mutex::new(None) }))
    }

    /// What is on the disk after a crash now. This file system stays as it is.
    pub fn crash(&self, mode: CrashMode, seed: u64) -> SimFs {
        let disk = self.0.state.lock().disk.crash(mode, &mut Rng::new(seed));
        SimFs::with_disk(disk, seed)
    }

    /// Makes every call from number `op` on fail, as for a process that is no more.
    pub fn crash_at(&self, op: u64) {
        self.0.state.lock().crash_at = Some(op);
    }

    /// Makes the calls `ops` (of one kind, if given) fail where `fault` applies to them.
    pub fn inject(&self, ops: Range<u64>, only: Option<OpKind>, fault: Fault) {
        self.0.state.lock().injected.push((ops, only, fault));
    }

    /// Takes back all that was injected.
    pub fn heal(&self) {
        self.0.state.lock().injected.clear();
    }

    /// Calls made so far; the number of the next one.
    pub fn op_count(&self) -> u64 {
        self.0.state.lock().ops
    }

    /// Starts to keep the calls, dropping those kept so far.
    pub fn start_trace(&self) {
        self.0.state.lock().trace = Some(Vec::new());
    }

    /// The calls since [`SimFs::start_trace`].
    pub fn trace(&self) -> Vec<Op> {
        self.0.state.lock().trace.clone().unwrap_or_default()
    }

    /// Sets or clears who is called before each call. It may use [`SimFs::crash`] and the other
    /// methods of this type, not the file system itself.
    pub fn observe(&self, observer: Option<Observer>) {
        *self.0.observer.lock() = observer;
    }

    /// Flips bit `bit` of byte `offset` of a file, on the disk and in the cache.
    ///
    /// # Panics
    /// When there is no such byte: tests take offsets from [`SimFs::bytes`].
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) {
        let mut bytes = self.bytes(path).expect("no such file to flip a bit in");
        bytes[offset as usize] ^= 1 << bit;
        self.set_bytes(path, bytes);
    }

    /// The bytes that a reader would see. Not counted as a call.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        Some(self.0.state.lock().disk.find(path).ok()?.lock().current().to_vec())
    }

    /// Puts a durable file with these bytes there. Not counted as a call.
    pub fn set_bytes(&self, path: &Path, bytes: Vec<u8>) {
        self.0.state.lock().disk.set_bytes(path, bytes);
    }

    /// All files, in order. Not counted as a call.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.state.lock().disk.files()
    }

    /// Counts a call and decides its fate, then runs it under the lock. `run` gets whether the
    /// transfer is to be short.
    fn call<T>(
        &self,
        kind: OpKind,
        path: &Path,
        run: impl FnOnce(&mut State, bool) -> io::Result<T>,
    ) -> io::Result<T> {
        let op = Op { kind, path: path.to_owned() };
        if let Some(observer) = &mut *self.0.observer.lock() {
            let number = self.0.state.lock().ops;
            observer(number, &op);
        }
        let state = &mut *self.0.state.lock();
        let number = state.ops;
        state.ops += 1;
        if let Some(trace) = &mut state.trace {
            trace.push(op);
        }
        if state.crash_at.is_some_and(|at| number >= at) {
            return Err(io::Error::other("the simulated machine has crashed"));
        }
        let fault = state.injected.iter().find(|(ops, only, fault)| {
            ops.contains(&number) && only.is_none_or(|k| k == kind) && fault.applies_to(kind)
        });
        match fault.map(|f| f.2) {
            Some(Fault::Short) => run(state, true),
            Some(fault) => {
                if kind == OpKind::Sync
                    && let Ok(node) = state.disk.find(path)
                {
                    node.lock().lose_some(&mut state.rng);
                }
                Err(fault.error().expect("every fault but Short has an errno"))
            }
            None => run(state, false),
        }
    }
}

impl Fs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let node = self.call(OpKind::Create, path, |state, _| state.disk.create(path))?;
        Ok(Box::new(SimFile { fs: self.clone(), path: path.into(), node, can_write: true }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let node = self.call(OpKind::Open, path, |state, _| state.disk.find(path))?;
        Ok(Box::new(SimFile { fs: self.clone(), path: path.into(), node, can_write: false }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(OpKind::Rename, to, |state, _| state.disk.rename(from, to))
    }

    fn link(&self, existing: &Path, new: &Path) -> io::Result<()> {
        self.call(OpKind::Link, new, |state, _| state.disk.link(existing, new))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(OpKind::Remove, path, |state, _| state.disk.remove_file(path))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call(OpKind::CreateDir, path, |state, _| state.disk.create_dir_all(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call(OpKind::RemoveDir, path, |state, _| state.disk.remove_dir(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.call(OpKind::List, dir, |state, _| state.disk.list(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.call(OpKind::Exists, path, |state, _| Ok(state.disk.exists(path)))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(OpKind::SyncDir, dir, |state, _| state.disk.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.call(OpKind::Lock, path, |state, _| {
            if state.locked.iter().any(|held| held == path) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let node = match state.disk.create(path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => state.disk.find(path)?,
                other => other?,
            };
            node.lock().write(0, b"1\n");
            state.locked.push(path.into());
            Ok(())
        })?;
        Ok(Box::new(SimLock { fs: self.clone(), path: path.into() }))
    }

    fn lock_unmarked(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.call(OpKind::Lock, path, |state, _| {
            state.disk.find(path)?;
            if state.locked.iter().any(|held| held == path) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state.locked.push(path.into());
            Ok(())
        })?;
        Ok(Box::new(SimLock { fs: self.clone(), path: path.into() }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let space = Space { free_bytes: 1 << 40, total_bytes: 1 << 41 };
        self.call(OpKind::Space, path, |_, _| Ok(space))
    }
}

#[derive(Debug)]
struct SimLock {
    fs: SimFs,
    path: PathBuf,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.fs.0.state.lock().locked.retain(|path| *path != self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    fs: SimFs,
    /// The name it was opened by, for the trace.
    path: PathBuf,
    node: Node,
    can_write: bool,
}

impl SimFile {
    fn check_can_write(&self) -> io::Result<()> {
        if self.can_write { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

/// Bytes that a call moves.
fn transfer(len: usize, short: bool) -> usize {
    if short { len.div_ceil(2) } else { len }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.fs.call(OpKind::Read, &self.path, |_, short| {
            let node = self.node.lock();
            let bytes = node.current().get(offset as usize..).unwrap_or_default();
            let count = transfer(buf.len().min(bytes.len()), short);
            buf[..count].copy_from_slice(&bytes[..count]);
            Ok(count)
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.fs.call(OpKind::Write, &self.path, |_, short| {
            self.check_can_write()?;
            let count = transfer(buf.len(), short);
            self.node.lock().write(offset, &buf[..count]);
            Ok(count)
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.fs.call(OpKind::Sync, &self.path, |_, _| {
            self.node.lock().sync();
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.fs.call(OpKind::Len, &self.path, |_, _| Ok(self.node.lock().current().len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.call(OpKind::SetLen, &self.path, |_, _| {
            self.check_can_write()?;
            self.node.lock().set_len(len);
            Ok(())
        })
    }

    fn will_read(&self, _offset: u64, _len: u64) {}
}

#[cfg(test)]
mod tests;
