//! Opening a store: lock, manifest, log, orphans.
//!
//! Steps:
//! 1. lock the folder;
//! 2. read the manifest: keyspaces and tables. No table is read, but each must be there;
//! 3. make the log's end durable, replay it into memtables, past what each keyspace has in tables;
//!    when memtables exceed
//!    their limit the largest is flushed, so that a log of any length opens in bounded memory;
//! 4. begin a new manifest file: file numbers seen in the folder are then durably taken;
//! 5. begin a new log segment; an old one is never appended to;
//! 6. remove files that nothing names. This is the only directory scan that removes tables, it
//!    considers only files listed in step 1, and no job runs yet;
//! 7. start the background.
//!
//! Invariant: opening again right after finds nothing to repair.
//!
//! `read_only` opens without any of the writing steps; `salvaging` mends a damaged log where the
//! options ask for it, and the steps begin again.

pub(crate) mod read_only;
mod salvaging;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::background::Step;
use crate::batch::{BatchOps, superseded};
use crate::clock::Clock;
use crate::coding::DecodeError;
use crate::events::EventKind;
use crate::folder::{FileKind, LOCK};
use crate::fs::Fs;
use crate::kernel::Kernel;
use crate::key::{FileNumber, KeyspaceId, Kind, Seq};
use crate::keyspace::{FlushReason, Keyspace, KeyspaceState, MemtableSlot};
use crate::levels::{TableFile, Version};
use crate::manifest::log::{CURRENT, FileNumbers, load, manifest_name};
use crate::manifest::{KeyspaceRecord, Manifest};
use crate::options::{Background, Options, RuntimeOptions};
use crate::range_delete::RangeDeletes;
use crate::wal::{self, LogPosition, Replay, ReplayOptions, Wal, WalOptions};
use crate::{Error, Result};

/// How far opening is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenProgress {
    /// The manifest is read.
    Manifest,
    /// The log is replayed.
    Replay {
        /// Bytes done.
        done_bytes: u64,
        /// Bytes of all segments.
        total_bytes: u64,
    },
}

/// Opens the store in `options.dir`, or creates it.
pub(crate) fn open(options: Options, progress: &dyn Fn(OpenProgress)) -> Result<Arc<Kernel>> {
    check_options(&options)?;
    let error = match open_as_it_is(options.clone(), progress) {
        Err(error) => error,
        opened => return opened,
    };
    let salvage = salvaging::mend(&options, error)?;
    let kernel = open_as_it_is(options, progress)?;
    kernel.counters.salvaged(&salvage);
    kernel.note(&"".into(), 0, EventKind::of_salvage(&salvage));
    Ok(kernel)
}

fn open_as_it_is(options: Options, progress: &dyn Fn(OpenProgress)) -> Result<Arc<Kernel>> {
    let (fs, dir) = (options.fs.clone(), options.dir.clone());
    fs.create_dir_all(&dir).map_err(|e| Error::io(&dir, "create", e))?;
    let lock = lock(&*fs, &dir)?;
    let names = fs.list(&dir).map_err(|e| Error::io(&dir, "list", e))?;
    progress(OpenProgress::Manifest);
    let loaded = load(&*fs, &dir, &mut |_| {})?;
    if loaded.is_none() {
        check_is_new(&dir, &names)?;
    }
    let seen = names.iter().filter_map(|name| FileKind::of(name).number()).max();
    let next = FileNumber(seen.map_or(1, |number| number.0 + 1));
    let next = loaded.as_ref().map_or(next, |loaded| loaded.state.next_file.max(next));
    let numbers = Arc::new(FileNumbers::from(next));
    let store_id =
        loaded.as_ref().map_or_else(|| new_store_id(&*options.clock, &dir), |l| l.store_id);
    let clock = options.clock.clone();
    let manifest = Manifest::new(fs, &dir, clock, numbers.clone(), store_id, loaded);
    let kernel = Kernel::new(options, lock, manifest, numbers);
    let flushed = load_keyspaces(&kernel, &names)?;
    let replay = replay(&kernel, store_id, &flushed, How::Proved, progress)?;
    kernel.manifest.lock().begin()?;
    begin_log(&kernel, store_id, &replay)?;
    remove_orphans(&kernel, &names);
    start(&kernel)?;
    Ok(kernel)
}

fn check_options(options: &Options) -> Result<()> {
    let invalid = |reason: &str| Err(Error::Invalid { reason: reason.to_owned() });
    if options.background == Background::Threads(0) {
        return invalid("background threads: at least one");
    }
    options.policy.check()?;
    RuntimeOptions::of(options).check()
}

fn lock(fs: &dyn Fs, dir: &Path) -> Result<Box<dyn crate::fs::LockGuard>> {
    let path = dir.join(LOCK);
    fs.lock(&path).map_err(|e| locked(fs, path, e))
}

/// Why the lock file could not be locked.
pub(crate) fn locked(fs: &dyn Fs, path: PathBuf, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            let text = crate::fs::read_all(fs, &path).unwrap_or_default();
            let pid = String::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
            Error::Locked { path, pid }
        }
        _ => Error::io(&path, "lock", error),
    }
}

/// Without CURRENT the folder may hold what a first open left that did not get far.
fn check_is_new(dir: &Path, names: &[String]) -> Result<()> {
    let is_used =
        |name: &&String| matches!(FileKind::of(name), FileKind::Table(_) | FileKind::Log(_));
    match names.iter().find(is_used) {
        Some(name) => {
            let reason = format!("{CURRENT} is missing, but {name} is there");
            Err(Error::corrupt(&dir.join(CURRENT), 0, reason))
        }
        None => Ok(()),
    }
}

/// An identity that no other store has: when and where it was made.
pub(crate) fn new_store_id(clock: &dyn Clock, dir: &Path) -> u128 {
    let mut bytes = clock.unix_ns().to_le_bytes().to_vec();
    bytes.extend(clock.monotonic_ns().to_le_bytes());
    bytes.extend(dir.as_os_str().as_encoded_bytes());
    xxhash_rust::xxh3::xxh3_128(&bytes)
}

/// Makes the keyspaces of the manifest; gives up to where each is in tables.
fn load_keyspaces(kernel: &Kernel, names: &[String]) -> Result<HashMap<KeyspaceId, Seq>> {
    let tables: HashSet<_> = names
        .iter()
        .filter_map(|name| match FileKind::of(name) {
            FileKind::Table(number) => Some(number),
            _ => None,
        })
        .collect();
    let manifest = kernel.manifest.lock();
    let mut registry = kernel.registry.write();
    let mut flushed = HashMap::new();
    for (id, record) in &manifest.state().keyspaces {
        if let Some(missing) = record.tables.keys().find(|number| !tables.contains(number)) {
            let path = crate::manifest::table_path(&kernel.options.dir, *missing);
            let reason = format!("the manifest names it for {}, but it is missing", record.name);
            return Err(Error::corrupt(&path, 0, reason));
        }
        registry.insert(keyspace_state(kernel, *id, record)?);
        flushed.insert(*id, record.flushed_seq);
    }
    Ok(flushed)
}

fn keyspace_state(
    kernel: &Kernel,
    id: KeyspaceId,
    record: &KeyspaceRecord,
) -> Result<Arc<KeyspaceState>> {
    let mut added = Vec::new();
    for (place, meta) in record.tables.values() {
        added.push((*place, TableFile::open(meta.clone(), &kernel.cache, &kernel.graveyard)?));
    }
    let version = Version::default().edited(&[], &added);
    let mut version = version.map_err(|reason| {
        let reason = format!("tables of {}: {reason}", record.name);
        Error::corrupt(&kernel.options.dir.join(CURRENT), 0, reason)
    })?;
    let deletes = record.range_deletes.iter().cloned().collect();
    let deletes = RangeDeletes::new(deletes, &[]).charged(&kernel.options.budget);
    version.range_deletes = Arc::new(deletes);
    let hooks = kernel.options.hooks.hooks(&record.name);
    let policy = record.policy.unwrap_or(kernel.options.policy);
    let keyspace = Keyspace { id, name: record.name.clone() };
    let keyspace = KeyspaceState::new(keyspace, hooks, record.compression, policy, version);
    keyspace.set_ttl_ms(record.ttl_ms);
    Ok(keyspace)
}

/// How the log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// What is read is on disk before it is read; memtables over their limit are flushed.
    Proved,
    /// Nothing is written, and all of it goes into memory.
    AsItLies,
}

fn replay(
    kernel: &Arc<Kernel>,
    store_id: u128,
    flushed: &HashMap<KeyspaceId, Seq>,
    how: How,
    progress: &dyn Fn(OpenProgress),
) -> Result<Replay> {
    let (bounds, next_keyspace) = {
        let manifest = kernel.manifest.lock();
        (manifest.state().log_bounds(), manifest.state().next_keyspace)
    };
    let options = ReplayOptions { store_id, bounds, record_bytes_max: wal::RECORD_BYTES_MAX };
    let mut replayer = Replayer { kernel, flushed, how, next_keyspace, last: None };
    let visit = &mut |segment, seq, body: &[u8]| replayer.record(segment, seq, body);
    let progress =
        &|done_bytes, total_bytes| progress(OpenProgress::Replay { done_bytes, total_bytes });
    let (fs, dir) = (&*kernel.options.fs, &kernel.options.dir);
    let replayed = match how {
        How::Proved => wal::recover(fs, dir, &options, &|| kernel.numbers.take(), visit, progress)?,
        How::AsItLies => wal::replay(fs, dir, &options, visit, progress)?,
    };
    let last_seq = replayed.last_seq.max(kernel.manifest.lock().state().last_seq);
    kernel.commits.lock().last_seq = last_seq;
    kernel.publisher.restart(last_seq);
    kernel.counters.recovered_records.store(replayed.records, Ordering::Relaxed);
    let torn = replayed.torn_tail.as_ref().map_or(0, |tail| tail.bytes);
    kernel.counters.torn_bytes.store(torn, Ordering::Relaxed);
    Ok(replayed)
}

struct Replayer<'a> {
    kernel: &'a Arc<Kernel>,
    flushed: &'a HashMap<KeyspaceId, Seq>,
    how: How,
    next_keyspace: KeyspaceId,
    last: Option<Arc<KeyspaceState>>,
}

impl Replayer<'_> {
    fn record(&mut self, segment: FileNumber, seq: Seq, body: &[u8]) -> Result<()> {
        let corrupt = |reason: String| {
            let path = self.kernel.options.dir.join(wal::file_name(segment));
            Error::corrupt(&path, 0, format!("record {seq}: {reason}"))
        };
        let damage = |e: DecodeError| corrupt(format!("{} at byte {}", e.reason, e.offset));
        self.kernel.counters.set_replayed_segment(segment);
        self.kernel.publisher.restart(seq);
        let ops = BatchOps::new(body).map_err(damage)?;
        let superseded = superseded(&ops).map_err(damage)?;
        for (index, op) in ops.enumerate() {
            let (id, op) = op.map_err(damage)?;
            if superseded.get(index) == Some(&true) {
                continue;
            }
            if self.last.as_ref().is_none_or(|keyspace| keyspace.id != id) {
                self.last = self.kernel.registry.read().get(id).cloned();
            }
            let Some(keyspace) = &self.last else {
                if id >= self.next_keyspace {
                    return Err(corrupt(format!("keyspace {} was never made", id.0)));
                }
                continue; // dropped since
            };
            if self.flushed.get(&id).is_some_and(|flushed| seq <= *flushed) {
                continue; // in a table
            }
            keyspace.hooks.validate(&op).map_err(|error| corrupt(error.to_string()))?;
            let slot = self.slot(keyspace, segment);
            slot.enter(seq, LogPosition(0), op.kind != Kind::DeleteRange);
            slot.apply(seq, &op);
            self.kernel.memory.count(&slot);
            slot.leave();
        }
        let is_full = self.kernel.memory.active() > self.kernel.options.memtable_bytes_max;
        if is_full && self.how == How::Proved {
            self.flush()?;
        }
        Ok(())
    }

    fn slot(&self, keyspace: &Arc<KeyspaceState>, segment: FileNumber) -> Arc<MemtableSlot> {
        if let Some(slot) = keyspace.active() {
            return slot;
        }
        let created = self.kernel.options.clock.monotonic_ns();
        let memtable = keyspace.hooks.memtable(&self.kernel.memtables);
        let slot = MemtableSlot::new(memtable, segment, LogPosition(0), created);
        keyspace.change_picture(|picture| picture.active = Some(slot.clone()));
        self.kernel.commits.lock().dirty.insert(keyspace.id, keyspace.clone());
        slot
    }

    fn flush(&self) -> Result<()> {
        self.kernel.seal_largest(FlushReason::Replay);
        while self.kernel.flush_step() == Step::Done {}
        match self.kernel.counters.last_job_error.lock().clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn begin_log(kernel: &Kernel, store_id: u128, replay: &Replay) -> Result<()> {
    let options = WalOptions {
        store_id,
        segment_bytes: kernel.options.wal_segment_bytes,
        prepare: true,
        ..WalOptions::default()
    };
    let numbers = kernel.numbers.clone();
    // The next sequence number follows the newest of tables and log.
    let replay = Replay { last_seq: kernel.publisher.visible(), ..replay.clone() };
    let wal = Wal::create(
        kernel.options.fs.clone(),
        &kernel.options.dir,
        options,
        &replay,
        kernel.options.clock.clone(),
        kernel.wal_metrics.clone(),
        Arc::new(move || numbers.take()),
    )?;
    let is_first = kernel.wal.set(wal).is_ok();
    assert!(is_first, "a store is opened once");
    Ok(())
}

/// Removes what nothing names, of the files that were there when the store was opened. What cannot
/// be removed stays for the next open.
fn remove_orphans(kernel: &Kernel, names: &[String]) {
    let manifest = kernel.manifest.lock();
    let keyspaces = manifest.state().keyspaces.values();
    let named: HashSet<_> = keyspaces.flat_map(|keyspace| keyspace.tables.keys()).collect();
    let current = manifest.number().map(manifest_name);
    for name in names {
        let is_orphan = match FileKind::of(name) {
            FileKind::Table(number) => !named.contains(&number),
            FileKind::Manifest(_) => Some(name) != current.as_ref(),
            FileKind::CurrentNew => true,
            _ => false,
        };
        if is_orphan {
            let _ = kernel.options.fs.remove_file(&kernel.options.dir.join(name));
        }
    }
}

fn start(kernel: &Arc<Kernel>) -> Result<()> {
    {
        let registry = kernel.registry.read();
        let mut schedule = kernel.schedule.lock();
        let with_tables = registry.all().filter(|keyspace| !keyspace.picture().version.is_empty());
        with_tables.for_each(|keyspace| schedule.compaction_due(keyspace));
    }
    let Background::Threads(count) = kernel.options.background else { return Ok(()) };
    let worker = kernel.clone();
    let step: Arc<dyn Fn() -> Step + Send + Sync> = Arc::new(move || worker.guarded_step());
    kernel.workers.start(count, &kernel.signal, &step).map_err(|e| {
        kernel.close_workers();
        Error::io(&kernel.options.dir, "start a thread for", e)
    })
}
