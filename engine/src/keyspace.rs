//! A keyspace: a named ordered map with memtables and tables of its own.
//!
//! What a reader needs is one `Picture`: memtables and version, swapped as a whole, so that a
//! flushed memtable is either still in the picture or already in its version, never in neither.
//! An idle keyspace holds no memtable, no file and no thread: a few hundred bytes.

mod input;
pub mod slot;
pub mod traffic;
pub mod view;

use std::sync::Arc;

use crate::compaction::pressure::Pressure;
use crate::compress::Compression;
use crate::hooks::Hooks;
use crate::key::{KeyspaceId, Seq};
use crate::levels::Version;
use crate::options::Policy;
use crate::scan::hidden::HiddenKeys;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};

pub(crate) use slot::{FlushReason, MemtableSlot};
pub(crate) use traffic::Traffic;
pub use view::{KvIterator, TableSummary, View};

/// A keyspace by name and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyspace {
    /// Its number, which batches name.
    pub id: KeyspaceId,
    /// Its name.
    pub name: Arc<str>,
}

/// Memtables and tables of a keyspace at one moment.
#[derive(Clone, Default)]
pub(crate) struct Picture {
    /// Takes writes; none before the first.
    pub active: Option<Arc<MemtableSlot>>,
    /// Waiting for their flush, newest first.
    pub sealed: Vec<Arc<MemtableSlot>>,
    /// The tables.
    pub version: Arc<Version>,
}

impl Picture {
    /// The memtables, newest first.
    pub fn slots(&self) -> impl Iterator<Item = &Arc<MemtableSlot>> {
        self.active.iter().chain(&self.sealed)
    }

    /// Whether any key was deleted by the range: where none was, readers pay for no more than this.
    pub fn has_range_deletes(&self) -> bool {
        !self.version.range_deletes.is_empty()
            || self.slots().any(|slot| !slot.range_deletes.is_empty())
    }

    /// Below which number versions of `key` are gone for a reader at `snapshot`; 0: none is.
    pub fn hidden_below(&self, key: &[u8], snapshot: Seq) -> Seq {
        if !self.has_range_deletes() {
            return 0;
        }
        let live = self.slots().map(|slot| slot.range_deletes.hidden_below(key, snapshot));
        live.fold(self.version.range_deletes.hidden_below(key, snapshot), Seq::max)
    }

    /// What range deletes hide from a scan at `snapshot`.
    pub fn hidden_keys(&self, snapshot: Seq) -> Option<HiddenKeys> {
        self.has_range_deletes().then(|| {
            let used = self.slots().filter(|slot| !slot.range_deletes.is_empty());
            let live = used.map(|slot| slot.range_deletes.clone()).collect();
            HiddenKeys::new(snapshot, live, self.version.range_deletes.clone())
        })
    }
}

/// A keyspace of an open store.
///
/// The picture is changed only under the commit lock (memtables) or the manifest lock (tables),
/// and always by a swap under its own lock, which is held for no longer than that.
pub(crate) struct KeyspaceState {
    pub id: KeyspaceId,
    pub name: Arc<str>,
    pub hooks: Arc<dyn Hooks>,
    pub compression: Option<Compression>,
    pub policy: Mutex<Policy>,
    picture: RwLock<Arc<Picture>>,
    /// How far compactions are behind, for writers to see; a [`Pressure`] in a word.
    pressure: AtomicU64,
    /// When that began, on the monotonic clock.
    pub pressed_ns: AtomicU64,
    /// What goes through it.
    pub traffic: Traffic,
    /// How long its puts last that do not say it, in milliseconds; 0: for ever.
    ttl_ms: AtomicU64,
    /// Set under the commit lock when it is dropped: no batch enters the log for it any more.
    pub is_dropped: AtomicBool,
    /// A final compaction was asked for.
    pub wants_final: AtomicBool,
}

impl KeyspaceState {
    /// A keyspace with these tables and no memtable.
    pub fn new(
        keyspace: Keyspace,
        hooks: Arc<dyn Hooks>,
        compression: Option<Compression>,
        policy: Policy,
        version: Version,
    ) -> Arc<Self> {
        let picture = Picture { version: Arc::new(version), ..Picture::default() };
        Arc::new(KeyspaceState {
            id: keyspace.id,
            name: keyspace.name,
            hooks,
            compression,
            policy: Mutex::new(policy),
            picture: RwLock::new(Arc::new(picture)),
            pressure: AtomicU64::new(0),
            pressed_ns: AtomicU64::new(0),
            traffic: Traffic::default(),
            ttl_ms: AtomicU64::new(0),
            is_dropped: AtomicBool::new(false),
            wants_final: AtomicBool::new(false),
        })
    }

    /// The picture now.
    pub fn picture(&self) -> Arc<Picture> {
        self.picture.read().clone()
    }

    /// The active memtable now.
    pub fn active(&self) -> Option<Arc<MemtableSlot>> {
        self.picture.read().active.clone()
    }

    /// Swaps the picture for a changed one and gives the old.
    pub fn change_picture(&self, change: impl FnOnce(&mut Picture)) -> Arc<Picture> {
        let mut picture = self.picture.write();
        let mut next = Picture::clone(&picture);
        change(&mut next);
        std::mem::replace(&mut *picture, Arc::new(next))
    }

    /// How long its puts last that do not say it, in milliseconds.
    pub fn ttl_ms(&self) -> Option<u64> {
        Some(self.ttl_ms.load(Ordering::Relaxed)).filter(|ttl_ms| *ttl_ms > 0)
    }

    /// Changes how long its puts last that do not say it.
    pub fn set_ttl_ms(&self, ttl_ms: Option<u64>) {
        self.ttl_ms.store(ttl_ms.unwrap_or(0), Ordering::Relaxed);
    }

    /// How far compactions are behind, if they are.
    pub fn pressure(&self) -> Option<Pressure> {
        Pressure::decode(self.pressure.load(Ordering::Relaxed))
    }

    /// Says how far compactions are behind; gives what it was before.
    pub fn set_pressure(&self, pressure: Option<Pressure>) -> Option<Pressure> {
        Pressure::decode(self.pressure.swap(Pressure::encode(pressure), Ordering::Relaxed))
    }

    /// Its name and number.
    pub fn handle(&self) -> Keyspace {
        Keyspace { id: self.id, name: self.name.clone() }
    }
}
