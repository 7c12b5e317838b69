//! What a database leaves out of reads and merges: dropped series and erasures.
//!
//! Shared by the database, which knows, and the hooks of its partitions, which ask. Hooks ask when
//! a merge begins, since keyspaces are opened before databases are, and jobs run before and while
//! what they would have to leave out becomes known. So there are two answers:
//!
//! - what is left out now: the merge applies it, and its output is as new as its newest input;
//! - *not known*, until the deletes were read and while one is being made: then a merge must keep
//!   sources of different age apart, or what is older than a delete would come to look newer. It
//!   copies its input, and is counted: a purge that met one did not purge.
//!
//! Invariant: no merge puts rows from both sides of a delete into one source without applying it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use croaring::Bitmap;
use firndb_engine::key::Seq;
use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::erasure::{Erasure, ErasureSet, Group, SeriesErasures};
use crate::index::Dropped;
use crate::model::SeriesId;
use crate::rollup::is_internal_policy;

/// What one database leaves out.
#[derive(Debug, Default)]
pub struct LeftOut {
    dropped: Arc<Dropped>,
    state: RwLock<State>,
    blind_merges: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the deletes were read from the store.
    is_loaded: bool,
    /// Whether a delete is on its way into the log.
    is_deleting: bool,
    deletes: Vec<(Seq, Arc<[Group]>)>,
    /// What rules of expiry took by the last maintenance, by policy.
    expired: HashMap<String, Arc<ErasureSet>>,
    /// The deletes by policy, as far as somebody asked.
    by_policy: HashMap<String, Arc<ErasureSet>>,
}

impl State {
    fn deletes_of(&mut self, policy: &str) -> Arc<ErasureSet> {
        if let Some(set) = self.by_policy.get(policy) {
            return set.clone();
        }
        let erasures = self.deletes.iter().flat_map(|(seq, groups)| {
            let own = groups.iter().filter(|group| is_meant(group.policy.as_deref(), policy));
            own.map(|group| group.erasure(*seq))
        });
        let set = Arc::new(ErasureSet::new(erasures.collect()));
        self.by_policy.insert(policy.to_owned(), set.clone());
        set
    }
}

/// What a scan or a merge of partitions of one policy leaves out.
#[derive(Debug, Clone)]
pub struct PolicyLeftOut {
    /// Series that are gone.
    pub dropped: Arc<Bitmap>,
    sets: Vec<Arc<ErasureSet>>,
}

impl PolicyLeftOut {
    /// Nothing.
    pub fn nothing() -> Self {
        PolicyLeftOut { dropped: Arc::default(), sets: Vec::new() }
    }

    /// Adds erasures.
    pub fn add(&mut self, set: Arc<ErasureSet>) {
        if !set.is_empty() {
            self.sets.push(set);
        }
    }

    /// The erasures that mean `series`.
    pub fn of(&self, series: SeriesId) -> SeriesErasures {
        let mut all = SeriesErasures::default();
        self.sets.iter().for_each(|set| all.extend(set.of(series)));
        all
    }
}

impl LeftOut {
    /// The dropped series.
    pub fn dropped(&self) -> &Arc<Dropped> {
        &self.dropped
    }

    /// What reads of partitions of `policy` leave out: the deletes. Ask before pinning what is
    /// read: a delete that is purged meanwhile is then applied twice and not never.
    pub fn for_scan(&self, policy: &str) -> PolicyLeftOut {
        let mut left_out = PolicyLeftOut::nothing();
        if let Some(set) = self.state.read().by_policy.get(policy) {
            left_out.add(set.clone());
            return left_out;
        }
        left_out.add(self.state.write().deletes_of(policy));
        left_out
    }

    /// What a merge of a partition of `policy` leaves out; `None`: not known now. What expired goes
    /// only where nothing older stays outside the merge (`is_bottom`): a rule can be dropped again,
    /// and then a row must not come back as it was before its last change.
    pub fn for_merge(&self, policy: &str, is_bottom: bool) -> Option<PolicyLeftOut> {
        let mut state = self.state.write();
        if !state.is_loaded || state.is_deleting {
            self.blind_merges.fetch_add(1, Ordering::AcqRel);
            return None;
        }
        let mut left_out = PolicyLeftOut { dropped: self.dropped.get(), sets: Vec::new() };
        left_out.add(state.deletes_of(policy));
        if is_bottom {
            state.expired.get(policy).into_iter().for_each(|set| left_out.add(set.clone()));
        }
        Some(left_out)
    }

    /// Merges so far that were told nothing.
    pub fn blind_merges(&self) -> u64 {
        self.blind_merges.load(Ordering::Acquire)
    }

    /// Whether a delete takes some fields of rows and leaves others.
    pub fn has_fields(&self) -> bool {
        let state = self.state.read();
        state.deletes.iter().any(|(_, groups)| groups.iter().any(|group| group.fields.is_some()))
    }

    /// All deletes were read and added.
    pub fn set_loaded(&self) {
        self.state.write().is_loaded = true;
    }

    /// Says that a delete is on its way into the log; until the guard is dropped merges are told
    /// nothing.
    pub fn begin_delete(&self) -> Deleting<'_> {
        self.state.write().is_deleting = true;
        Deleting(self)
    }

    /// Adds a delete that is in the log.
    pub fn add_delete(&self, seq: Seq, groups: Arc<[Group]>) {
        let mut state = self.state.write();
        state.deletes.push((seq, groups));
        state.by_policy.clear();
    }

    /// Forgets a delete: nothing is left of what it took.
    pub fn remove_delete(&self, seq: Seq) {
        let mut state = self.state.write();
        state.deletes.retain(|(other, _)| *other != seq);
        state.by_policy.clear();
    }

    /// Replaces what merges of partitions of `policy` leave out beside the deletes.
    pub fn set_expired(&self, policy: &str, erasures: Vec<Erasure>) {
        let mut state = self.state.write();
        match erasures.is_empty() {
            true => _ = state.expired.remove(policy),
            false => {
                _ = state.expired.insert(policy.to_owned(), Arc::new(ErasureSet::new(erasures)));
            }
        }
    }
}

/// Whether what holds for `scope` (`None`: every policy of clients) holds for `policy`.
pub(crate) fn is_meant(scope: Option<&str>, policy: &str) -> bool {
    match scope {
        Some(own) => own == policy,
        None => !is_internal_policy(policy),
    }
}

/// While it lives a delete is on its way into the log.
#[derive(Debug)]
pub struct Deleting<'a>(&'a LeftOut);

impl Drop for Deleting<'_> {
    fn drop(&mut self) {
        self.0.state.write().is_deleting = false;
    }
}
