//! What the store did lately: a bounded journal of flushes, compactions, imports, changes of policy
//! and of the pressure on writers.
//!
//! An event is written when its job has ended, so it carries its duration and its sizes; what runs
//! now is asked for with [`crate::store::Store::jobs`]. The journal is in memory only: the manifest
//! keeps the reason of every edit, and that outlives the process.
//!
//! Invariants: ids ascend by one from 1, in the order of the journal; the oldest events go first.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::manifest::Place;
use crate::sync::Mutex;
use crate::wal::salvage::Salvage;

/// Events that are remembered.
pub const EVENTS_MAX: usize = 1024;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Counts events from 1.
    pub id: u64,
    /// When it ended, nanoseconds since the Unix epoch.
    pub unix_ns: i64,
    /// How long it took; 0 for what is over at once.
    pub ns: u64,
    /// Name of the keyspace; empty where it is about the whole store.
    pub keyspace: Arc<str>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A memtable became tables.
    Flush {
        /// Number of the job.
        job: u64,
        /// Why.
        reason: &'static str,
        /// Tables written.
        tables: u64,
        /// Sizes of their files.
        bytes: u64,
    },
    /// Tables were merged.
    Compaction {
        /// Number of the job.
        job: u64,
        /// Why.
        reason: &'static str,
        /// The newest run that went in.
        from: Place,
        /// The run that came out.
        to: Place,
        /// Tables that went in.
        input_tables: u64,
        /// Sizes of their files.
        input_bytes: u64,
        /// Tables written.
        tables: u64,
        /// Sizes of their files.
        bytes: u64,
    },
    /// Tables changed their place and nothing was written.
    Move {
        /// Number of the job.
        job: u64,
        /// Why.
        reason: &'static str,
        /// The newest run they left.
        from: Place,
        /// The run they are in now.
        to: Place,
        /// The tables.
        tables: u64,
        /// Sizes of their files.
        bytes: u64,
    },
    /// A job did not finish.
    JobFailed {
        /// Number of the job.
        job: u64,
        /// Why; `cancelled` where somebody asked for it.
        error: String,
    },
    /// Writers are slowed down from now on.
    WritesSlowed {
        /// What is behind.
        reason: &'static str,
    },
    /// Writers are no longer slowed down; the duration is that of the whole spell.
    WritesFree {
        /// What was behind.
        reason: &'static str,
    },
    /// A writer was stopped until there was room, or until it was refused.
    WritesStopped {
        /// What was behind.
        reason: &'static str,
    },
    /// Tables came in from elsewhere.
    Ingest {
        /// How many.
        tables: u64,
        /// Sizes of their files.
        bytes: u64,
    },
    /// The policy was changed.
    Policy {
        /// Name of the policy it has now.
        name: &'static str,
    },
    /// The log was damaged inside when the store was opened, and what was whole of it was kept.
    Salvage {
        /// Segments set aside.
        set_aside: u64,
        /// Records that were kept.
        records: u64,
        /// Places where records were lost.
        losses: u64,
        /// Bytes of what was lost.
        lost_bytes: u64,
    },
    /// Compactions were paused.
    Paused,
    /// Compactions go on.
    Resumed,
}

impl EventKind {
    pub(crate) fn of_salvage(salvage: &Salvage) -> Self {
        EventKind::Salvage {
            set_aside: salvage.set_aside.len() as u64,
            records: salvage.records,
            losses: salvage.lost.len() as u64,
            lost_bytes: salvage.lost_bytes(),
        }
    }

    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::Flush { .. } => "flush",
            EventKind::Compaction { .. } => "compaction",
            EventKind::Move { .. } => "move",
            EventKind::JobFailed { .. } => "job_failed",
            EventKind::WritesSlowed { .. } => "writes_slowed",
            EventKind::WritesFree { .. } => "writes_free",
            EventKind::WritesStopped { .. } => "writes_stopped",
            EventKind::Ingest { .. } => "ingest",
            EventKind::Policy { .. } => "policy",
            EventKind::Salvage { .. } => "salvage",
            EventKind::Paused => "paused",
            EventKind::Resumed => "resumed",
        }
    }
}

/// The journal of a store.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    last_id: u64,
    events: VecDeque<Event>,
}

impl Journal {
    /// Writes down what has just ended.
    pub fn add(&self, unix_ns: i64, ns: u64, keyspace: Arc<str>, kind: EventKind) {
        let mut ring = self.0.lock();
        ring.last_id += 1;
        let id = ring.last_id;
        if ring.events.len() == EVENTS_MAX {
            ring.events.pop_front();
        }
        ring.events.push_back(Event { id, unix_ns, ns, keyspace, kind });
    }

    /// The events with an id above `id` that are still there, oldest first.
    pub fn since(&self, id: u64) -> Vec<Event> {
        let ring = self.0.lock();
        let start = ring.events.partition_point(|event| event.id <= id);
        ring.events.range(start..).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_go_first() {
        let journal = Journal::default();
        assert_eq!(journal.since(0), []);
        let count = EVENTS_MAX as u64 + 5;
        for ns in 1..=count {
            journal.add(7, ns, "kv/a".into(), EventKind::Paused);
        }
        let events = journal.since(0);
        let ids: Vec<_> = events.iter().map(|event| (event.id, event.ns)).collect();
        assert_eq!(ids, (6..=count).map(|id| (id, id)).collect::<Vec<_>>());
        assert_eq!(journal.since(count - 2).len(), 2);
        assert_eq!(journal.since(count), []);
        assert_eq!(journal.since(u64::MAX), []);
    }
}
