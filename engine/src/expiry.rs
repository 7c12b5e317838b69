//! Values that expire.
//!
//! ```text
//! value of `PutUntil` := expires_at_ms u64 | value        little-endian, since the Unix epoch
//! ```
//!
//! From that moment on the put is as a delete of its key: it hides what is older, and operands
//! merged onto it later count from nothing. Operands of the put's own batch are a part of it and
//! expire with it. A read goes by the clock as it was when the read began, a job by the clock as it
//! was when the job began.

use crate::clock::Clock;
use crate::key::Kind;

/// What stands before the value.
pub const EXPIRY_BYTES: usize = 8;

/// The moment at the front of a value of [`Kind::PutUntil`].
///
/// # Panics
/// When it is too short: batches and blocks are checked for that when they are decoded.
pub fn expires_at_ms(value: &[u8]) -> u64 {
    u64::from_le_bytes(*value.first_chunk().expect("an expiring value begins with its moment"))
}

/// Whether a version is a put that has expired at `now_ms`.
pub fn is_expired(kind: Kind, value: &[u8], now_ms: u64) -> bool {
    kind == Kind::PutUntil && expires_at_ms(value) <= now_ms
}

/// The moment of a clock, in milliseconds since the Unix epoch.
pub fn now_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.unix_ns()).unwrap_or(0) / 1_000_000
}

/// The time that a read goes by.
#[derive(Debug, Clone, Copy)]
pub enum Now<'a> {
    /// This one, in milliseconds.
    At(u64),
    /// That of the clock, should the read meet something that expires.
    Of(&'a dyn Clock),
}

impl Now<'_> {
    /// In milliseconds since the Unix epoch.
    pub fn ms(self) -> u64 {
        match self {
            Now::At(ms) => ms,
            Now::Of(clock) => now_ms(clock),
        }
    }
}

/// When the last of a table's entries expires.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expiries {
    latest_ms: u64,
    lasts: bool,
}

impl Expiries {
    /// Takes note of an entry.
    pub fn note(&mut self, kind: Kind, value: &[u8]) {
        if kind == Kind::PutUntil {
            self.latest_ms = self.latest_ms.max(expires_at_ms(value));
        } else {
            self.lasts = true;
        }
    }

    /// The moment, where every entry expires.
    pub fn all_by_ms(self) -> Option<u64> {
        (!self.lasts && self.latest_ms > 0).then_some(self.latest_ms)
    }
}
