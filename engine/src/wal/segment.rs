//! Bytes of a segment: its name, its header, the header of a record. Drawn in [`super`].

use crate::coding::{self, DecodeError, Decoder};
use crate::key::{FileNumber, Seq};

/// The newest format this build reads. A header without flags is written as version 1.
pub(super) const FORMAT_VERSION: u32 = 2;
/// Flag of version 2: the segment before may not be on disk.
const FLAG_UNSYNCED: u32 = 1;
/// Length of a segment's header.
pub(super) const HEADER_BYTES: u64 = 64;
/// Length of a record's header.
pub(super) const RECORD_HEADER_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"FIRNWAL\n";
const EXTENSION: &str = ".log";

/// Name of the segment `number`.
pub fn file_name(number: FileNumber) -> String {
    format!("{:06}{EXTENSION}", number.0)
}

/// Number of the segment called `name`, if it is one.
pub fn file_number(name: &str) -> Option<FileNumber> {
    let digits = name.strip_suffix(EXTENSION)?;
    let number = FileNumber(digits.parse().ok()?);
    (file_name(number) == name).then_some(number)
}

/// What a segment says about the one before it, which is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Previous {
    pub number: FileNumber,
    pub bytes: u64,
    pub chain: u32,
    /// It was on disk before this segment was begun, and so were all before it.
    pub is_synced: bool,
}

/// Header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub store_id: u128,
    pub number: FileNumber,
    /// `None` in the first segment of a store (stored as number 0, which no file has).
    pub previous: Option<Previous>,
}

/// Why a header is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// All zeros, or not even that: a segment that was never used.
    Blank,
    /// Not a header.
    Damaged(&'static str),
    /// A header of a later format.
    Version(u32),
}

impl SegmentHeader {
    /// Whether all that is needed of the segments before it, those from `from` on, was on disk when
    /// it was begun.
    pub(super) fn is_on_durable(&self, from: FileNumber) -> bool {
        self.previous.is_none_or(|previous| previous.is_synced || previous.number < from)
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let none = Previous { number: FileNumber(0), bytes: 0, chain: 0, is_synced: true };
        let previous = self.previous.unwrap_or(none);
        let (version, flags) = if previous.is_synced { (1, 0) } else { (2, FLAG_UNSYNCED) };
        let mut tail = Vec::with_capacity(48);
        coding::put_u128(&mut tail, self.store_id);
        coding::put_u64(&mut tail, self.number.0);
        coding::put_u64(&mut tail, previous.number.0);
        coding::put_u64(&mut tail, previous.bytes);
        coding::put_u32(&mut tail, previous.chain);
        coding::put_u32(&mut tail, flags);
        let version = u32::to_le_bytes(version);
        let mut out = [0; HEADER_BYTES as usize];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&version);
        out[12..16].copy_from_slice(&coding::crc_of_parts(&[MAGIC, &version, &tail]).to_le_bytes());
        out[16..].copy_from_slice(&tail);
        out
    }

    /// Reads a header; `bytes` may be short.
    pub(super) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(HeaderError::Blank);
        }
        let damaged = |error: DecodeError| HeaderError::Damaged(error.reason);
        let mut decoder = Decoder::new(bytes);
        let magic = decoder.bytes(8).map_err(damaged)?;
        let version = decoder.array::<4>().map_err(damaged)?;
        let crc = decoder.u32().map_err(damaged)?;
        let tail = decoder.bytes(48).map_err(damaged)?;
        if magic != MAGIC {
            return Err(HeaderError::Damaged("magic of the segment header"));
        }
        if coding::crc_of_parts(&[magic, &version, tail]) != crc {
            return Err(HeaderError::Damaged("checksum of the segment header"));
        }
        let version = u32::from_le_bytes(version);
        if !(1..=FORMAT_VERSION).contains(&version) {
            return Err(HeaderError::Version(version));
        }
        Self::decode_fields(version, tail).map_err(damaged)
    }

    fn decode_fields(version: u32, bytes: &[u8]) -> Result<SegmentHeader, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let store_id = decoder.u128()?;
        let number = FileNumber(decoder.u64()?);
        let (before, bytes, chain) = (FileNumber(decoder.u64()?), decoder.u64()?, decoder.u32()?);
        let is_synced = match (version, decoder.u32()?) {
            (1, 0) => true,
            (2, FLAG_UNSYNCED) => false,
            _ => return Err(DecodeError { offset: 60, reason: "flags of the segment header" }),
        };
        let previous = Previous { number: before, bytes, chain, is_synced };
        decoder.finish()?;
        let previous = (previous.number.0 != 0).then_some(previous);
        Ok(SegmentHeader { store_id, number, previous })
    }
}

/// What a record is. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum RecordKind {
    Data = 1,
    Seal = 2,
}

/// Header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub len: u32,
    pub body_crc: u32,
    pub kind: RecordKind,
    /// Bytes of the segment that are on disk, and with them all segments before it; 0 while a
    /// segment before it may not be.
    pub durable_upto: u64,
    pub seq: Seq,
}

/// Bytes of a record with a body of `len`: header, body, padding.
pub(super) fn record_bytes(len: u64) -> u64 {
    (RECORD_HEADER_BYTES as u64 + len).next_multiple_of(8)
}

/// The checksum of record headers in one segment.
#[derive(Debug, Clone)]
pub(super) struct RecordCrc(crc32fast::Hasher);

impl RecordCrc {
    pub(super) fn new(store_id: u128, number: FileNumber) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&store_id.to_le_bytes());
        hasher.update(&number.0.to_le_bytes());
        RecordCrc(hasher)
    }

    fn of(&self, header_after_crc: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(header_after_crc);
        hasher.finalize()
    }

    /// The bytes of a header, and its checksum.
    pub(super) fn encode(&self, header: &RecordHeader) -> ([u8; RECORD_HEADER_BYTES], u32) {
        let mut out = [0; RECORD_HEADER_BYTES];
        out[4..8].copy_from_slice(&header.len.to_le_bytes());
        out[8..12].copy_from_slice(&header.body_crc.to_le_bytes());
        out[12..16].copy_from_slice(&(header.kind as u32).to_le_bytes());
        out[16..24].copy_from_slice(&header.durable_upto.to_le_bytes());
        out[24..32].copy_from_slice(&header.seq.to_le_bytes());
        let crc = self.of(&out[4..]);
        out[..4].copy_from_slice(&crc.to_le_bytes());
        (out, crc)
    }

    /// Reads a header and its checksum.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<(RecordHeader, u32), DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let crc = decoder.u32()?;
        let mut fields = Decoder::new(decoder.bytes(RECORD_HEADER_BYTES - 4)?);
        let (len, body_crc) = (fields.u32()?, fields.u32()?);
        // Cheaper than the checksum, and what a search over foreign bytes ends at.
        let kind = match fields.u32()? {
            1 => RecordKind::Data,
            2 => RecordKind::Seal,
            _ => return Err(DecodeError { offset: 12, reason: "kind of the record" }),
        };
        if self.of(&bytes[4..RECORD_HEADER_BYTES]) != crc {
            return Err(DecodeError { offset: 0, reason: "checksum of the record header" });
        }
        let (durable_upto, seq) = (fields.u64()?, fields.u64()?);
        Ok((RecordHeader { len, body_crc, kind, durable_upto, seq }, crc))
    }
}

/// Adds the next checksum to a chain.
pub(super) fn chain(chain: u32, crc: u32) -> u32 {
    coding::crc_of_parts(&[&chain.to_le_bytes(), &crc.to_le_bytes()])
}

/// The chain of a segment that holds only this header.
pub(super) fn chain_start(header: &[u8; HEADER_BYTES as usize]) -> u32 {
    chain(0, coding::crc(header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(file_name(FileNumber(7)), "000007.log");
        for number in [1, 999_999, 1_000_000, u64::MAX] {
            assert_eq!(file_number(&file_name(FileNumber(number))), Some(FileNumber(number)));
        }
        for name in ["7.log", "0000007.log", "000007.tbl", "LOCK", ".log", "+00007.log"] {
            assert_eq!(file_number(name), None, "{name}");
        }
    }

    #[test]
    fn a_segment_header_comes_back_and_every_flip_is_seen() {
        let previous =
            |is_synced| Previous { number: FileNumber(3), bytes: 640, chain: 9, is_synced };
        for previous in [None, Some(previous(true)), Some(previous(false))] {
            let header = SegmentHeader { store_id: 1 << 100, number: FileNumber(4), previous };
            let bytes = header.encode();
            assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
            for at in 0..bytes.len() * 8 {
                let mut bad = bytes;
                bad[at / 8] ^= 1 << (at % 8);
                assert!(matches!(SegmentHeader::decode(&bad), Err(HeaderError::Damaged(_))));
            }
            assert!(matches!(SegmentHeader::decode(&bytes[..63]), Err(HeaderError::Damaged(_))));
        }
        assert_eq!(SegmentHeader::decode(&[0; 64]), Err(HeaderError::Blank));
        assert_eq!(SegmentHeader::decode(&[]), Err(HeaderError::Blank));
    }

    #[test]
    fn a_record_header_belongs_to_its_store_and_segment() {
        let kind = RecordKind::Data;
        let header = RecordHeader { len: 5, body_crc: 6, kind, durable_upto: 64, seq: 8 };
        let crc = RecordCrc::new(1, FileNumber(2));
        let (bytes, sum) = crc.encode(&header);
        assert_eq!(crc.decode(&bytes), Ok((header, sum)));
        for other in [RecordCrc::new(1, FileNumber(3)), RecordCrc::new(2, FileNumber(2))] {
            assert_eq!(other.decode(&bytes).unwrap_err().reason, "checksum of the record header");
        }
        for at in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[at / 8] ^= 1 << (at % 8);
            assert!(crc.decode(&bad).is_err());
        }
        assert!(crc.decode(&bytes[..31]).is_err());
    }
}
