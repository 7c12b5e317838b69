//! A pinned moment: the versions it sees are kept until it is dropped.
//!
//! Every job gets the list of live snapshots when it starts and honours it to its end. A snapshot
//! taken later sees nothing that the job may drop: it is at least as new as everything the job
//! reads, because a memtable is flushed only once all of it is visible.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::key::Seq;
use crate::sync::Mutex;

/// The live snapshots of a store: how many there are at each sequence number.
#[derive(Debug, Default)]
pub struct Snapshots(Mutex<BTreeMap<Seq, usize>>);

impl Snapshots {
    /// Pins what `visible` says. It is asked under the lock that `list` takes, so that a job's
    /// list holds every snapshot older than what is visible when the list is made.
    pub fn take(self: &Arc<Self>, visible: impl FnOnce() -> Seq) -> Snapshot {
        let mut live = self.0.lock();
        let seq = visible();
        *live.entry(seq).or_default() += 1;
        Snapshot { seq, live: self.clone() }
    }

    /// Sequence numbers of the live snapshots, ascending.
    pub fn list(&self) -> Vec<Seq> {
        self.0.lock().keys().copied().collect()
    }

    fn release(&self, seq: Seq) {
        let mut live = self.0.lock();
        let count = live.get_mut(&seq).expect("a snapshot is counted while it lives");
        *count -= 1;
        if *count == 0 {
            live.remove(&seq);
        }
    }
}

/// A pinned moment. While it lives, every version it sees is kept.
#[derive(Debug)]
pub struct Snapshot {
    seq: Seq,
    live: Arc<Snapshots>,
}

impl Snapshot {
    /// Its place in the order of all writes.
    pub fn seq(&self) -> Seq {
        self.seq
    }
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        self.live.take(|| self.seq)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.live.release(self.seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_listed_while_a_clone_of_it_lives() {
        let snapshots = Arc::new(Snapshots::default());
        let (a, b) = (snapshots.take(|| 7), snapshots.take(|| 3));
        let c = a.clone();
        assert_eq!(snapshots.list(), [3, 7]);
        drop(a);
        assert_eq!((snapshots.list(), c.seq()), (vec![3, 7], 7));
        drop((b, c));
        assert!(snapshots.list().is_empty());
    }
}
