//! Who waits for the disk without a thread: wakers, by the place in the log that they wait for.
//!
//! Steps of one that waits: look how far the disk is; enter; look again. Steps of whoever syncs:
//! say how far the disk is; take out all up to there; wake them. Whichever comes first, the other
//! one sees it.

use std::collections::BTreeMap;
use std::task::Waker;

use parking_lot::Mutex;

/// Wakers in the order of the places that they wait for.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    wakers: BTreeMap<Ticket, Waker>,
    last_number: u64,
}

/// A place in the line: the position waited for, and a number that makes it one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    position: u64,
    number: u64,
}

impl Waiting {
    /// Enters, or enters again with another waker.
    pub fn enter(&self, position: u64, ticket: &mut Option<Ticket>, waker: &Waker) {
        let mut entries = self.0.lock();
        let ticket = *ticket.get_or_insert_with(|| {
            entries.last_number += 1;
            Ticket { position, number: entries.last_number }
        });
        entries.wakers.insert(ticket, waker.clone());
    }

    /// Leaves without being woken.
    pub fn leave(&self, ticket: Ticket) {
        self.0.lock().wakers.remove(&ticket);
    }

    /// Whether anybody waits.
    pub fn is_empty(&self) -> bool {
        self.0.lock().wakers.is_empty()
    }

    /// Wakes all that wait for a position up to `durable`.
    pub fn wake(&self, durable: u64) {
        let woken = {
            let mut entries = self.0.lock();
            let behind = Ticket { position: durable.saturating_add(1), number: 0 };
            let later = entries.wakers.split_off(&behind);
            std::mem::replace(&mut entries.wakers, later)
        };
        // Under no lock: who is woken may come back at once.
        woken.into_values().for_each(Waker::wake);
    }
}
