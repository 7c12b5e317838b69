//! Counters of the write side. The process shows them; the handlers add to them.

use std::sync::atomic::{AtomicU64, Ordering};

use firndb_engine::histogram::Histogram;
use firndb_tsdb::write::RefusalReason;

/// The API a write came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Protocol {
    /// `/write`.
    V1,
    /// `/api/v2/write`.
    V2,
    /// `/api/v3/write_lp`.
    V3,
}

impl Protocol {
    /// All, in metric order.
    pub const ALL: [Protocol; 3] = [Protocol::V1, Protocol::V2, Protocol::V3];

    /// Label of the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::V1 => "v1",
            Protocol::V2 => "v2",
            Protocol::V3 => "v3",
        }
    }
}

/// Why a line was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Rejection {
    /// It is not line protocol.
    Parse,
    /// A field has another type, or a name is reserved.
    Schema,
    /// It is older than its retention policy keeps points.
    Retention,
    /// It would make one series, tag value or field too many.
    Cardinality,
    /// Something in it is too long.
    Limit,
}

impl Rejection {
    /// All, in metric order.
    pub const ALL: [Rejection; 5] = [
        Rejection::Parse,
        Rejection::Schema,
        Rejection::Retention,
        Rejection::Cardinality,
        Rejection::Limit,
    ];

    /// Label of the metric, and `kind` in structured errors.
    pub fn name(self) -> &'static str {
        match self {
            Rejection::Parse => "parse",
            Rejection::Schema => "schema",
            Rejection::Retention => "retention",
            Rejection::Cardinality => "cardinality",
            Rejection::Limit => "limit",
        }
    }

    /// The kind of a refusal of the write stage.
    pub fn of(reason: &RefusalReason) -> Self {
        use RefusalReason::*;
        match reason {
            BeyondRetention => Rejection::Retention,
            SeriesLimit { .. }
            | TagValuesLimit { .. }
            | FieldsLimit { .. }
            | SchemaMemory { .. } => Rejection::Cardinality,
            KeyLength { .. } | StringLength { .. } | TimeRange => Rejection::Limit,
            _ => Rejection::Schema,
        }
    }
}

/// Counters of one API.
#[derive(Debug, Default)]
pub struct ProtocolMetrics {
    /// Points stored.
    pub points_written: AtomicU64,
    /// Nanoseconds from the parsed batch to its acknowledgement.
    pub write_ns: Histogram,
    /// Points of each request.
    pub batch_points: Histogram,
}

/// Counters of the write side.
#[derive(Debug, Default)]
pub struct IngestMetrics {
    protocols: [ProtocolMetrics; Protocol::ALL.len()],
    rejected: [AtomicU64; Rejection::ALL.len()],
    /// Bytes of line protocol, after decompression.
    pub text_bytes: AtomicU64,
    /// Nanoseconds of parsing.
    pub parse_ns: Histogram,
    /// Requests refused for want of memory.
    pub overloaded: AtomicU64,
    /// Requests refused for their size.
    pub too_large: AtomicU64,
}

impl IngestMetrics {
    /// Counters of one API.
    pub fn of(&self, protocol: Protocol) -> &ProtocolMetrics {
        &self.protocols[protocol as usize]
    }

    /// Lines not stored for `reason`.
    pub fn rejected(&self, reason: Rejection) -> u64 {
        self.rejected[reason as usize].load(Ordering::Relaxed)
    }

    /// Counts lines that were not stored.
    pub(crate) fn reject(&self, reason: Rejection, lines: u64) {
        self.rejected[reason as usize].fetch_add(lines, Ordering::Relaxed);
    }
}
