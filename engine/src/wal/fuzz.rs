//! A segment from whatever records, with right checksums: what fuzzing puts beneath them.

use super::segment::{RECORD_HEADER_BYTES, RecordCrc, RecordHeader, RecordKind, SegmentHeader};
use crate::coding::crc;
use crate::key::{FileNumber, Seq};

/// A record as a writer would never make it.
#[derive(Debug, Clone)]
pub struct FuzzRecord {
    /// A seal instead of data.
    pub is_seal: bool,
    /// Added to the body's length in the header.
    pub more: u32,
    /// What the header says is durable.
    pub durable_upto: u64,
    /// Its sequence number.
    pub seq: Seq,
    /// Its body.
    pub body: Vec<u8>,
}

/// The first segment of the store `store_id`: `records`, then `rest`.
pub fn assemble(
    store_id: u128,
    number: FileNumber,
    records: &[FuzzRecord],
    rest: &[u8],
) -> Vec<u8> {
    let mut segment = SegmentHeader { store_id, number, previous: None }.encode().to_vec();
    let record_crc = RecordCrc::new(store_id, number);
    for record in records {
        let header = RecordHeader {
            len: (record.body.len() as u32).wrapping_add(record.more),
            body_crc: crc(&record.body),
            kind: if record.is_seal { RecordKind::Seal } else { RecordKind::Data },
            durable_upto: record.durable_upto,
            seq: record.seq,
        };
        segment.extend_from_slice(&record_crc.encode(&header).0);
        segment.extend_from_slice(&record.body);
        let record_len = RECORD_HEADER_BYTES + record.body.len();
        segment.resize(segment.len() + record_len.next_multiple_of(8) - record_len, 0);
    }
    segment.extend_from_slice(rest);
    segment
}
