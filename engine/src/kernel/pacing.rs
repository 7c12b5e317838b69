//! Writers meet compactions half way: a write is delayed by what its keyspace is behind.
//!
//! Whenever tables change their place the pressure of the keyspace is worked out anew and put where
//! writers see it; a write of a keyspace without pressure reads one word. Under pressure writers
//! share a rate ([`crate::compaction::pressure`]) and wait for their turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Kernel;
use super::commit::Touched;
use crate::compaction::pick;
use crate::compaction::pressure::{DELAY_NS_MAX, Limits, Pressure};
use crate::events::EventKind;
use crate::keyspace::KeyspaceState;

/// Bytes a second that jobs are taken to drain before one was measured.
const DRAIN_RATE: u64 = 64 << 20;

/// A measured job counts for one part in this many of the drain rate.
const DRAIN_PARTS: u64 = 4;

impl Kernel {
    /// Delays a write of `bytes` while compactions of a keyspace it touches are behind.
    pub(super) fn pace(self: &Arc<Self>, pressure: Pressure, bytes: u64, touched: &[Touched]) {
        if self.is_inline() {
            self.run_due();
            return;
        }
        let clock = &self.options.clock;
        let start = clock.monotonic_ns();
        let rate = pressure.rate(self.drain_rate());
        let until = self.turns.take_at(start, bytes, rate, DELAY_NS_MAX);
        let is_free = || touched.iter().all(|touched| touched.keyspace.pressure().is_none());
        let mut left = until.saturating_sub(start);
        while left > 0 && !is_free() {
            let seen = self.signal.now();
            if !self.signal.wait(seen, Duration::from_nanos(left)) {
                break;
            }
            left = until.saturating_sub(clock.monotonic_ns()).min(left);
        }
        let waited = clock.monotonic_ns().saturating_sub(start);
        let counters = &self.counters;
        counters.delays[pressure.reason as usize].fetch_add(1, Ordering::Relaxed);
        counters.delay_ns.record(waited);
    }

    /// Works out how far compactions of `keyspace` are behind, after its tables, or what is asked
    /// of them, have changed.
    pub(super) fn press(&self, keyspace: &KeyspaceState) {
        let version = keyspace.picture().version.clone();
        let policy = *keyspace.policy.lock();
        let pending_bytes = pick::debt_bytes(&version.summary(), &policy);
        let options = self.runtime.all();
        let limits = Limits {
            runs: (options.runs0_slow as u64, options.runs0_hard as u64),
            pending_bytes: (options.pending_bytes_slow, options.pending_bytes_hard),
        };
        let pressure = Pressure::of(version.runs0.len() as u64, pending_bytes, &limits);
        let now = self.options.clock.monotonic_ns();
        match (keyspace.set_pressure(pressure), pressure) {
            (None, Some(Pressure { reason, .. })) => {
                keyspace.pressed_ns.store(now, Ordering::Relaxed);
                self.note(&keyspace.name, 0, EventKind::WritesSlowed { reason: reason.name() });
            }
            (Some(Pressure { reason, .. }), None) => {
                let spell = now.saturating_sub(keyspace.pressed_ns.load(Ordering::Relaxed));
                self.note(&keyspace.name, spell, EventKind::WritesFree { reason: reason.name() });
            }
            _ => {}
        }
    }

    /// Bytes a second that jobs were seen to drain.
    fn drain_rate(&self) -> u64 {
        match self.counters.drain_rate.load(Ordering::Relaxed) {
            0 => DRAIN_RATE,
            rate => rate,
        }
    }

    /// A merge of `bytes` took `ns`.
    pub(super) fn drained(&self, bytes: u64, ns: u64) {
        if bytes == 0 || ns == 0 {
            return;
        }
        let rate = u128::from(bytes) * 1_000_000_000 / u128::from(ns);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX).max(1);
        // Two jobs that end at once may count as one: it is an estimate.
        let before = self.drain_rate();
        let next = before - before / DRAIN_PARTS + rate / DRAIN_PARTS;
        self.counters.drain_rate.store(next, Ordering::Relaxed);
    }
}
