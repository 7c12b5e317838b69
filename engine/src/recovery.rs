//! Opening a store: lock, manifest, log, orphans.
//!
//! Steps:
//! 1. lock the folder;
//! 2. read the manifest: keyspaces and tables. No table is read, but each must be there;
//! 3. make the log's end durable, replay it into memtables, past what each keyspace has in tables; when memtables exceed
//!    their limit the largest is flushed, so that a log of any length opens in bounded memory;
//! 4. begin a new manifest file: file numbers seen in the folder are then durably taken;
//! 5. begin a new log segment; an old one is never appended to;
//! 6. remove files that nothing names. This is the only directory scan that removes tables, it
//!    considers only files listed in step 1, and no job runs yet;
//! 7. start the background.
//!
//! Invariant: opening again right after finds nothing to repair.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::background::Step;
use crate::batch::BatchOps;
use crate::coding::DecodeError;
use crate::fs::Fs;
use crate::key::{FileNumber, KeyspaceId, Seq};
use crate::keyspace::{FlushReason, Keyspace, KeyspaceState, MemtableSlot};
use crate::levels::{TableFile, Version};
use crate::manifest::log::{CURRENT, CURRENT_NEW, FileNumbers, load, manifest_name};
use crate::manifest::{Edit, KeyspaceRecord, Manifest};
use crate::options::{Background, Options};
use crate::store::core::Core;
use crate::wal::{self, LogPosition, Replay, ReplayOptions, Wal, WalOptions};
use crate::{Error, Result};

/// Name of the lock file.
pub const LOCK: &str = "LOCK";

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

/// What a name in the folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Table(FileNumber),
    Log(FileNumber),
    Manifest(FileNumber),
    Current,
    CurrentNew,
    Lock,
    Other,
}

impl FileKind {
    pub fn of(name: &str) -> FileKind {
        let number = |digits: &str| {
            let is_plain = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| digits.parse().ok()).flatten().map(FileNumber)
        };
        let kind = if let Some(digits) = name.strip_suffix(".tbl") {
            number(digits).map(FileKind::Table)
        } else if let Some(digits) = name.strip_suffix(".log") {
            number(digits).map(FileKind::Log)
        } else if let Some(digits) = name.strip_prefix("MANIFEST-") {
            number(digits).map(FileKind::Manifest)
        } else {
            None
        };
        match name {
            CURRENT => FileKind::Current,
            CURRENT_NEW => FileKind::CurrentNew,
            LOCK => FileKind::Lock,
            _ => kind.unwrap_or(FileKind::Other),
        }
    }

    fn number(self) -> Option<FileNumber> {
        match self {
            FileKind::Table(number) | FileKind::Log(number) | FileKind::Manifest(number) => {
                Some(number)
            }
            _ => None,
        }
    }
}

/// Opens the store in `options.dir`, or creates it.
pub(crate) fn open(options: Options, progress: &dyn Fn(OpenProgress)) -> Result<Arc<Core>> {
    check_options(&options)?;
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
    let store_id = loaded.as_ref().map_or_else(|| new_store_id(&options), |l| l.store_id);
    let clock = options.clock.clone();
    let manifest = Manifest::new(fs, &dir, clock, numbers.clone(), store_id, loaded);
    let core = Core::new(options, lock, manifest, numbers);
    let flushed = load_keyspaces(&core, &names)?;
    let replay = replay(&core, store_id, &flushed, progress)?;
    core.manifest.lock().begin()?;
    begin_log(&core, store_id, &replay)?;
    remove_orphans(&core, &names);
    start(&core)?;
    Ok(core)
}

fn check_options(options: &Options) -> Result<()> {
    let invalid = |reason: &str| Err(Error::Invalid { reason: reason.to_owned() });
    if options.background == Background::Threads(0) {
        return invalid("background threads: at least one");
    }
    if options.memtable_bytes_hard < options.memtable_bytes_max {
        return invalid("memtable_bytes_hard is below memtable_bytes_max");
    }
    Ok(())
}

fn lock(fs: &dyn Fs, dir: &Path) -> Result<Box<dyn crate::fs::LockGuard>> {
    let path = dir.join(LOCK);
    fs.lock(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => {
            let text = crate::fs::read_all(fs, &path).unwrap_or_default();
            let pid = String::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
            Error::Locked { path, pid }
        }
        _ => Error::io(&path, "lock", e),
    })
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
fn new_store_id(options: &Options) -> u128 {
    let mut bytes = options.clock.unix_ns().to_le_bytes().to_vec();
    bytes.extend(options.clock.monotonic_ns().to_le_bytes());
    bytes.extend(options.dir.as_os_str().as_encoded_bytes());
    xxhash_rust::xxh3::xxh3_128(&bytes)
}

/// Makes the keyspaces of the manifest; gives up to where each is in tables.
fn load_keyspaces(core: &Core, names: &[String]) -> Result<HashMap<KeyspaceId, Seq>> {
    let tables: HashSet<_> = names
        .iter()
        .filter_map(|name| match FileKind::of(name) {
            FileKind::Table(number) => Some(number),
            _ => None,
        })
        .collect();
    let manifest = core.manifest.lock();
    let mut registry = core.registry.write();
    let mut flushed = HashMap::new();
    for (id, record) in &manifest.state().keyspaces {
        if let Some(missing) = record.tables.keys().find(|number| !tables.contains(number)) {
            let path = crate::levels::table_path(&core.options.dir, *missing);
            let reason = format!("the manifest names it for {}, but it is missing", record.name);
            return Err(Error::corrupt(&path, 0, reason));
        }
        registry.insert(keyspace_state(core, *id, record)?);
        flushed.insert(*id, record.flushed_seq);
    }
    Ok(flushed)
}

fn keyspace_state(
    core: &Core,
    id: KeyspaceId,
    record: &KeyspaceRecord,
) -> Result<Arc<KeyspaceState>> {
    let mut added = Vec::new();
    for (place, meta) in record.tables.values() {
        added.push((*place, TableFile::open(meta.clone(), &core.cache, &core.graveyard)?));
    }
    let version = Version::default().edited(&[], &added);
    let version = version.map_err(|reason| {
        let reason = format!("tables of {}: {reason}", record.name);
        Error::corrupt(&core.options.dir.join(CURRENT), 0, reason)
    })?;
    let hooks = core.options.hooks.hooks(&record.name);
    let policy = record.policy.unwrap_or(core.options.policy);
    let keyspace = Keyspace { id, name: record.name.clone() };
    Ok(KeyspaceState::new(keyspace, hooks, record.compression, policy, version))
}

fn replay(
    core: &Arc<Core>,
    store_id: u128,
    flushed: &HashMap<KeyspaceId, Seq>,
    progress: &dyn Fn(OpenProgress),
) -> Result<Replay> {
    let (from, next_keyspace) = {
        let manifest = core.manifest.lock();
        (manifest.state().log_from, manifest.state().next_keyspace)
    };
    let options = ReplayOptions { store_id, from, record_bytes_max: wal::RECORD_BYTES_MAX };
    let mut replayer = Replayer { core, flushed, next_keyspace, last: None };
    let replayed = wal::recover(
        &*core.options.fs,
        &core.options.dir,
        &options,
        &|| core.numbers.take(),
        &mut |segment, seq, body| replayer.record(segment, seq, body),
        &|done_bytes, total_bytes| progress(OpenProgress::Replay { done_bytes, total_bytes }),
    )?;
    let last_seq = replayed.last_seq.max(core.manifest.lock().state().last_seq);
    core.commits.lock().last_seq = last_seq;
    core.publisher.restart(last_seq);
    core.counters.recovered_records.store(replayed.records, Ordering::Relaxed);
    let torn = replayed.torn_tail.as_ref().map_or(0, |tail| tail.bytes);
    core.counters.torn_bytes.store(torn, Ordering::Relaxed);
    Ok(replayed)
}

struct Replayer<'a> {
    core: &'a Arc<Core>,
    flushed: &'a HashMap<KeyspaceId, Seq>,
    next_keyspace: KeyspaceId,
    last: Option<Arc<KeyspaceState>>,
}

impl Replayer<'_> {
    fn record(&mut self, segment: FileNumber, seq: Seq, body: &[u8]) -> Result<()> {
        let corrupt = |reason: String| {
            let path = self.core.options.dir.join(wal::file_name(segment));
            Error::corrupt(&path, 0, format!("record {seq}: {reason}"))
        };
        let damage = |e: DecodeError| corrupt(format!("{} at byte {}", e.reason, e.offset));
        self.core.counters.set_replayed_segment(segment);
        self.core.publisher.restart(seq);
        for op in BatchOps::new(body).map_err(damage)? {
            let (id, op) = op.map_err(damage)?;
            if self.last.as_ref().is_none_or(|keyspace| keyspace.id != id) {
                self.last = self.core.registry.read().get(id).cloned();
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
            slot.enter(seq, LogPosition(0));
            slot.memtable.apply(seq, &op);
            self.core.memory.count(&slot);
            slot.leave();
        }
        if self.core.memory.active() > self.core.options.memtable_bytes_max {
            self.flush()?;
        }
        Ok(())
    }

    fn slot(&self, keyspace: &Arc<KeyspaceState>, segment: FileNumber) -> Arc<MemtableSlot> {
        if let Some(slot) = keyspace.active() {
            return slot;
        }
        let created = self.core.options.clock.monotonic_ns();
        let memtable = keyspace.hooks.memtable();
        let slot = MemtableSlot::new(memtable, segment, LogPosition(0), created);
        keyspace.change_picture(|picture| picture.active = Some(slot.clone()));
        self.core.commits.lock().dirty.insert(keyspace.id, keyspace.clone());
        slot
    }

    fn flush(&self) -> Result<()> {
        self.core.seal_largest(FlushReason::Replay);
        while self.core.flush_step() == Step::Done {}
        match self.core.counters.last_job_error.lock().clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn begin_log(core: &Core, store_id: u128, replay: &Replay) -> Result<()> {
    let options = WalOptions {
        store_id,
        segment_bytes: core.options.wal_segment_bytes,
        prepare: true,
        ..WalOptions::default()
    };
    let numbers = core.numbers.clone();
    // The next sequence number follows the newest of tables and log.
    let replay = Replay { last_seq: core.publisher.visible(), ..replay.clone() };
    let wal = Wal::create(
        core.options.fs.clone(),
        &core.options.dir,
        options,
        &replay,
        core.options.clock.clone(),
        core.wal_metrics.clone(),
        Arc::new(move || numbers.take()),
    )?;
    let is_first = core.wal.set(wal).is_ok();
    assert!(is_first, "a store is opened once");
    Ok(())
}

/// Removes what nothing names, of the files that were there when the store was opened. What cannot
/// be removed stays for the next open.
fn remove_orphans(core: &Core, names: &[String]) {
    let manifest = core.manifest.lock();
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
            let _ = core.options.fs.remove_file(&core.options.dir.join(name));
        }
    }
}

fn start(core: &Arc<Core>) -> Result<()> {
    {
        let registry = core.registry.read();
        let mut schedule = core.schedule.lock();
        let with_tables = registry.all().filter(|keyspace| !keyspace.picture().version.is_empty());
        with_tables.for_each(|keyspace| schedule.compaction_due(keyspace));
    }
    let Background::Threads(count) = core.options.background else { return Ok(()) };
    let worker = core.clone();
    let step: Arc<dyn Fn() -> Step + Send + Sync> = Arc::new(move || worker.guarded_step());
    core.workers.start(count, &core.signal, &step).map_err(|e| {
        core.close_workers();
        Error::io(&core.options.dir, "start a thread for", e)
    })
}

/// What a new keyspace's edit says.
pub(crate) fn keyspace_edit(unix_ns: i64, id: KeyspaceId, record: &KeyspaceRecord) -> Edit {
    let mut edit = Edit::new(unix_ns, format!("create {}", record.name));
    edit.add_keyspace(id, record.name.clone(), record.policy, record.compression);
    edit
}
