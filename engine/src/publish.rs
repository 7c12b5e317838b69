//! Makes batches visible in the order of their sequence numbers, whatever order they are applied
//! in.
//!
//! ```text
//! sequence      7      8      9      10
//! slot       applied   -   applied   -        visible = 7; whoever applies 8 makes it 9
//! ```
//!
//! Steps of a batch: it gets the next sequence number (under the commit lock), is applied to its
//! memtables (under no lock), marks its slot, and pushes `visible` over every marked slot at the
//! front. When an older batch is still being applied it waits once, and is woken by the one that
//! published it.
//!
//! Invariants: numbers are given without gaps; at most [`SLOTS`] batches are between number and
//! publication (`has_room`); `visible` never goes back.

use crate::key::Seq;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{self, Condvar, Mutex};

/// Batches between number and publication; each is a thread in `write`.
pub const SLOTS: u64 = 1024;

/// Makes batches visible in order.
#[derive(Debug)]
pub struct Publisher {
    visible: AtomicU64,
    /// Slot `seq % SLOTS` holds `seq` once that batch is applied.
    slots: Box<[AtomicU64]>,
    waiting: AtomicUsize,
    lock: Mutex<()>,
    published: Condvar,
}

impl Publisher {
    /// Everything up to `visible` is visible.
    pub fn new(visible: Seq) -> Self {
        Publisher {
            visible: AtomicU64::new(visible),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            waiting: AtomicUsize::new(0),
            lock: Mutex::new(()),
            published: Condvar::new(),
        }
    }

    /// The newest sequence number up to which everything is visible.
    pub fn visible(&self) -> Seq {
        self.visible.load(Ordering::SeqCst)
    }

    /// Starts over at `visible`: while the store opens and nobody writes.
    pub fn restart(&self, visible: Seq) {
        self.visible.store(visible, Ordering::SeqCst);
    }

    /// Whether `seq` may be given out.
    pub fn has_room(&self, seq: Seq) -> bool {
        seq <= self.visible() + SLOTS
    }

    /// Marks `seq` as applied and returns once it is visible.
    pub fn publish(&self, seq: Seq) {
        self.mark(seq);
        self.wait(seq);
    }

    /// Marks `seq` as applied and publishes what can be.
    ///
    /// Of two threads that mark neighbours, at least one sees both marks: mark and look are
    /// sequentially consistent, so the later mark is seen by its own thread's look.
    fn mark(&self, seq: Seq) {
        self.slots[(seq % SLOTS) as usize].store(seq, Ordering::SeqCst);
        let mut moved = false;
        loop {
            let visible = self.visible();
            let next = visible + 1;
            if self.slots[(next % SLOTS) as usize].load(Ordering::SeqCst) != next {
                break;
            }
            let swap =
                self.visible.compare_exchange(visible, next, Ordering::SeqCst, Ordering::SeqCst);
            moved |= swap.is_ok();
        }
        if moved && self.waiting.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock());
            self.published.notify_all();
        }
    }

    /// Returns once `seq` is visible.
    pub fn wait(&self, seq: Seq) {
        for _ in 0..sync::SPINS {
            if self.visible() >= seq {
                return;
            }
            crate::sync::thread::yield_now();
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.lock.lock();
        while self.visible() < seq {
            self.published.wait(&mut guard);
        }
        drop(guard);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs writers at the same time")]
    fn batches_become_visible_in_order_and_without_gaps() {
        let publisher = std::sync::Arc::new(Publisher::new(0));
        let next = std::sync::Arc::new(AtomicU64::new(1));
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (publisher, next) = (publisher.clone(), next.clone());
                std::thread::spawn(move || {
                    for _ in 0..2000 {
                        let seq = next.fetch_add(1, Ordering::SeqCst);
                        assert!(publisher.has_room(seq));
                        publisher.publish(seq);
                        assert!(publisher.visible() >= seq);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(publisher.visible(), 8000);
        assert!(publisher.has_room(8000 + SLOTS));
        assert!(!publisher.has_room(8001 + SLOTS));
    }
}
