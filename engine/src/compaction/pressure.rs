//! How much writers are slowed down because compactions are behind.
//!
//! ```text
//! delay per byte
//!   |                                        .'   floor rate: RATE_MIN
//!   |                                     .-'
//!   |                              ...---'
//!   +----------------........------------------------ debt
//!   0              soft       half way            hard
//! ```
//!
//! Debt is what is above the soft limit, as a part of what lies between soft and hard: of bytes
//! that wait for their compaction, or of runs in level 0, whichever is more. At the soft limit the
//! delay begins at nothing; half way writers get the rate at which jobs were seen to drain the
//! debt; towards the hard limit they get less and less, and never less than [`RATE_MIN`]. So ingest
//! settles where debt no longer grows, without a step, and it is free again as soon as debt is
//! below the soft limit.

/// What writers get at the hard limit and beyond, in bytes a second.
pub const RATE_MIN: u64 = 1 << 20;

/// Longest delay of one write, in nanoseconds. A stop of more than 250 ms is one that people see.
pub const DELAY_NS_MAX: u64 = 250_000_000;

/// Why writers are slowed down: a label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum PressureReason {
    /// Too many runs in level 0.
    Runs,
    /// Too many bytes wait for their compaction.
    PendingBytes,
}

impl PressureReason {
    /// All reasons, in metric order.
    pub const ALL: [PressureReason; 2] = [PressureReason::Runs, PressureReason::PendingBytes];

    /// Label of the metric.
    pub fn name(self) -> &'static str {
        match self {
            PressureReason::Runs => "runs",
            PressureReason::PendingBytes => "pending_bytes",
        }
    }
}

/// Where delays begin and where they are longest.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Runs in level 0.
    pub runs: (u64, u64),
    /// Bytes that wait for their compaction.
    pub pending_bytes: (u64, u64),
}

/// How far a keyspace is behind: nothing below the soft limits, 1024 at a hard one and beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// In parts of 1024 of the way from soft to hard; at least 1.
    pub parts: u64,
    /// Which limit it is.
    pub reason: PressureReason,
}

/// All the way.
const WHOLE: u64 = 1024;

impl Pressure {
    /// The pressure that so many runs in level 0 and so many waiting bytes make, if any.
    pub fn of(runs: u64, pending_bytes: u64, limits: &Limits) -> Option<Pressure> {
        let parts = |value: u64, (soft, hard): (u64, u64)| {
            let over = u128::from(value.saturating_sub(soft)) * u128::from(WHOLE);
            let way = u128::from(hard.saturating_sub(soft).max(1));
            u64::try_from(over.div_ceil(way)).unwrap_or(WHOLE).min(WHOLE)
        };
        let runs = (parts(runs, limits.runs), PressureReason::Runs);
        let bytes = (parts(pending_bytes, limits.pending_bytes), PressureReason::PendingBytes);
        let (parts, reason) = if bytes.0 > runs.0 { bytes } else { runs };
        (parts > 0).then_some(Pressure { parts, reason })
    }

    /// Bytes a second that writers get, when jobs drain `drain_rate` bytes a second.
    pub fn rate(&self, drain_rate: u64) -> u64 {
        let rate = u128::from(drain_rate) * u128::from(WHOLE - self.parts) / u128::from(self.parts);
        u64::try_from(rate).unwrap_or(u64::MAX).max(RATE_MIN)
    }

    /// As one word for an atomic; 0 is no pressure.
    pub(crate) fn encode(pressure: Option<Pressure>) -> u64 {
        pressure.map_or(0, |pressure| pressure.parts << 1 | pressure.reason as u64)
    }

    /// The pressure in a word.
    pub(crate) fn decode(word: u64) -> Option<Pressure> {
        let reason = PressureReason::ALL[(word & 1) as usize];
        (word > 1).then_some(Pressure { parts: word >> 1, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { runs: (10, 20), pending_bytes: (1000, 5000) };

    #[test]
    fn pressure_begins_at_nothing_and_grows_with_debt() {
        use PressureReason::{PendingBytes, Runs};
        let cases = [
            (0, 0, None),
            (10, 1000, None),
            (11, 0, Some((103, Runs))),
            (15, 0, Some((512, Runs))),
            (20, 0, Some((1024, Runs))),
            (99, u64::MAX, Some((1024, Runs))),
            (0, 1001, Some((1, PendingBytes))),
            (0, 3000, Some((512, PendingBytes))),
            (11, 3000, Some((512, PendingBytes))),
            (19, 3000, Some((922, Runs))),
            (0, u64::MAX, Some((1024, PendingBytes))),
        ];
        for (runs, bytes, expected) in cases {
            let found = Pressure::of(runs, bytes, &LIMITS);
            assert_eq!(found.map(|p| (p.parts, p.reason)), expected, "{runs} runs, {bytes} bytes");
            assert_eq!(Pressure::decode(Pressure::encode(found)), found);
        }
        // Soft and hard in the wrong order, or alike, make a step and no panic.
        let odd = Limits { runs: (10, 10), pending_bytes: (10, 5) };
        assert_eq!(Pressure::of(11, 0, &odd).map(|p| p.parts), Some(1024));
    }

    /// No cliff: one part more of debt never takes much more than half of the rate.
    #[test]
    fn the_rate_falls_without_a_step() {
        let drain = 100 << 20;
        let rate = |parts| Pressure { parts, reason: PressureReason::Runs }.rate(drain);
        assert!(rate(1) >= 1000 * drain, "next to nothing at the soft limit");
        assert_eq!(rate(512), drain, "half way: as fast as debt is drained");
        assert_eq!(rate(1024), RATE_MIN);
        for parts in 1..1024 {
            assert!(rate(parts + 1) <= rate(parts));
            let is_floor = rate(parts + 1) == RATE_MIN;
            assert!(is_floor || 3 * rate(parts + 1) >= rate(parts), "at {parts}");
        }
    }
}
