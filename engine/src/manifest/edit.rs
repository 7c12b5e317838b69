//! One atomic change of the picture.
//!
//! ```text
//! edit   := unix_ns i64 | reason slice | change*
//! change := tag u8 | fields
//!   1 next file        number varint
//!   2 last seq         seq varint
//!   3 log from         number varint
//!   4 next keyspace    id varint
//!   5 add keyspace     id varint | name slice | policy | compression
//!   6 drop keyspace    id varint
//!   7 set policy       id varint | policy
//!   8 flushed          id varint | seq varint
//!   9 add table        id varint | level u8 | age varint | table
//!  10 remove table     id varint | number varint
//!  11 add range delete   id varint | seq varint | start slice | end slice
//!  12 drop range delete  id varint | seq varint | start slice | end slice
//!  13 set ttl         id varint | ttl_ms varint, 0: none
//!  14 log end         number varint | bytes varint | chain u32: the last segment at a close
//! policy := 0 | 1 runs0_trigger varint, ratio varint, base_bytes varint
//!             | 2 tiers | 3 tiers, ratio varint | 4 tiers, prefix_bytes u8
//! tiers  := merge_min varint, merge_max varint, ratio f64, runs_max varint
//! compression := 0 store's default | 1 none | 2 zstd, level i32
//! table  := number, bytes, entries, deletes, raw_bytes, min_seq, max_seq varint | flags u8
//!           | [ written_as varint ] | [ clean_seq varint ] | [ expires_max_ms varint ]
//!           | smallest slice | largest slice
//! flags  := 1 final | 2 written under another number (version 2), which follows
//!         | 4 clean of range deletes up to a number, which follows
//!         | 8 every entry expires by a moment, which follows
//! ```
//!
//! Ladder: a job *plans*, writes tables, makes them durable, names them in an *edit*; the manifest
//! turns the edit into a *committed edit*, the token that lets obsolete files go.

use std::sync::Arc;

use super::place::{LEVEL_LAST, Place, TableMeta};
use crate::coding::{DecodeError, Decoder, put_slice, put_u32, put_u64, put_varint};
use crate::compress::Compression;
use crate::key::{FileNumber, KeyspaceId, Seq};
use crate::options::{LazyLeveled, Leveled, Policy, Tiered, TimeWindow};
use crate::range_delete::{RangeDelete, Settled};
use crate::table::TableProperties;
use crate::wal::inspect::SegmentLink;

/// A table whose bytes are synced; its name in the folder may not be.
#[derive(Debug)]
pub struct SyncedTable(TableMeta);

/// A table whose bytes and name are synced. Only such a table can be named in an edit.
#[derive(Debug)]
pub struct DurableTable(TableMeta);

impl SyncedTable {
    /// `properties` come from [`crate::table::TableBuilder::finish`], which syncs the file.
    pub fn new(
        number: FileNumber,
        properties: &TableProperties,
        is_final: bool,
        clean_seq: Seq,
    ) -> Self {
        SyncedTable(TableMeta { clean_seq, ..TableMeta::new(number, properties, is_final) })
    }

    /// A file that came from elsewhere, synced by whoever brought it here under `number`.
    pub fn imported(
        number: FileNumber,
        written_as: FileNumber,
        properties: &TableProperties,
        is_final: bool,
    ) -> Self {
        SyncedTable(TableMeta { written_as, ..TableMeta::new(number, properties, is_final) })
    }

    /// Makes the names of `tables` durable.
    pub fn commit(
        tables: Vec<SyncedTable>,
        fs: &dyn crate::fs::Fs,
        dir: &std::path::Path,
    ) -> crate::Result<Vec<DurableTable>> {
        if !tables.is_empty() {
            fs.sync_dir(dir).map_err(|e| crate::Error::io(dir, "sync", e))?;
        }
        Ok(tables.into_iter().map(|table| DurableTable(table.0)).collect())
    }

    /// What is recorded of it.
    pub fn meta(&self) -> &TableMeta {
        &self.0
    }
}

impl DurableTable {
    /// What is recorded of it.
    pub fn meta(&self) -> &TableMeta {
        &self.0
    }
}

/// Proof that an edit is durable.
#[derive(Debug)]
pub struct CommittedEdit(pub(super) ());

#[cfg(test)]
impl CommittedEdit {
    pub(crate) fn for_test() -> Self {
        CommittedEdit(())
    }
}

/// One thing an edit changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// File numbers below this one are taken.
    NextFile(FileNumber),
    /// No sequence number above this one is in a table.
    LastSeq(Seq),
    /// Log segments below this one are obsolete.
    LogFrom(FileNumber),
    /// Keyspace ids below this one are taken.
    NextKeyspace(KeyspaceId),
    /// A new keyspace.
    AddKeyspace {
        /// Its number.
        id: KeyspaceId,
        /// Its name.
        name: Arc<str>,
        /// Its policy, where it chose one.
        policy: Option<Policy>,
        /// Its compression, where it chose one.
        compression: Option<Compression>,
    },
    /// A keyspace and all its tables are gone.
    DropKeyspace(KeyspaceId),
    /// A keyspace chose another policy.
    SetPolicy(KeyspaceId, Policy),
    /// Operations on the keyspace up to this sequence number are in tables.
    Flushed(KeyspaceId, Seq),
    /// A table takes its place.
    AddTable(KeyspaceId, Place, TableMeta),
    /// A table is no longer needed.
    RemoveTable(KeyspaceId, FileNumber),
    /// Some of what the tables hold is gone by the range.
    AddRangeDelete(KeyspaceId, RangeDelete),
    /// The tables hold nothing any more that it would hide.
    DropRangeDelete(KeyspaceId, RangeDelete),
    /// From now on puts expire after so many milliseconds, or do not.
    SetTtl(KeyspaceId, Option<u64>),
    /// The store was closed, and this was the last segment of its log.
    LogEnd(SegmentLink),
}

/// One atomic change of the picture, with its time and reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// When, nanoseconds since the Unix epoch.
    pub unix_ns: i64,
    /// Why, for people.
    pub reason: String,
    pub(super) changes: Vec<Change>,
}

impl Edit {
    /// An edit that changes nothing yet.
    pub fn new(unix_ns: i64, reason: impl Into<String>) -> Self {
        Edit { unix_ns, reason: reason.into(), changes: Vec::new() }
    }

    /// What it changes, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Adds a keyspace.
    pub fn add_keyspace(
        &mut self,
        id: KeyspaceId,
        name: Arc<str>,
        policy: Option<Policy>,
        compression: Option<Compression>,
    ) {
        self.changes.push(Change::AddKeyspace { id, name, policy, compression });
        self.changes.push(Change::NextKeyspace(KeyspaceId(id.0 + 1)));
    }

    /// Drops a keyspace with all its tables.
    pub fn drop_keyspace(&mut self, id: KeyspaceId) {
        self.changes.push(Change::DropKeyspace(id));
    }

    /// Changes a policy.
    pub fn set_policy(&mut self, id: KeyspaceId, policy: Policy) {
        self.changes.push(Change::SetPolicy(id, policy));
    }

    /// Changes how long puts last that do not say it, in milliseconds; `None`: for ever.
    pub fn set_ttl(&mut self, id: KeyspaceId, ttl_ms: Option<u64>) {
        self.changes.push(Change::SetTtl(id, ttl_ms));
    }

    /// Says up to where a keyspace is in tables, and from where on the log is needed.
    pub fn flushed(&mut self, id: KeyspaceId, seq: Seq, log_from: FileNumber) {
        self.changes.push(Change::Flushed(id, seq));
        self.changes.push(Change::LastSeq(seq));
        self.set_log_from(log_from);
    }

    /// Says from where on the log is needed.
    pub fn set_log_from(&mut self, log_from: FileNumber) {
        self.changes.push(Change::LogFrom(log_from));
    }

    /// Says with which segment the log ended when the store was closed.
    pub fn log_end(&mut self, end: SegmentLink) {
        self.changes.push(Change::LogEnd(end));
    }

    /// Says that sequence numbers up to `seq` are taken.
    pub fn last_seq(&mut self, seq: Seq) {
        self.changes.push(Change::LastSeq(seq));
    }

    /// Gives a durable table its place.
    pub fn add_table(&mut self, id: KeyspaceId, place: Place, table: &DurableTable) {
        self.changes.push(Change::AddTable(id, place, table.0.clone()));
    }

    /// Moves a table of the current picture to another place. Of one that is not in the picture
    /// the removal does not fit, so that no other table can be named this way.
    pub fn move_table(&mut self, id: KeyspaceId, place: Place, table: &TableMeta) {
        self.changes.push(Change::RemoveTable(id, table.number));
        self.changes.push(Change::AddTable(id, place, table.clone()));
    }

    /// Removes a table.
    pub fn remove_table(&mut self, id: KeyspaceId, number: FileNumber) {
        self.changes.push(Change::RemoveTable(id, number));
    }

    /// Says what is gone by the range, and which such deletes are no longer needed.
    pub fn settle_range_deletes(&mut self, id: KeyspaceId, settled: &Settled) {
        let added = settled.added.iter().map(|one| Change::AddRangeDelete(id, one.clone()));
        let dropped = settled.dropped.iter().map(|one| Change::DropRangeDelete(id, one.clone()));
        self.changes.extend(added.chain(dropped));
    }

    /// Says which file numbers are taken.
    pub(super) fn next_file(&mut self, next: FileNumber) {
        self.changes.push(Change::NextFile(next));
    }

    /// Appends its bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.unix_ns as u64);
        put_slice(out, self.reason.as_bytes());
        self.changes.iter().for_each(|change| encode_change(out, change));
    }

    /// The edit with these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Edit, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let unix_ns = decoder.u64()? as i64;
        let reason = decoder.str()?.to_owned();
        let mut changes = Vec::new();
        while !decoder.is_empty() {
            changes.push(decode_change(&mut decoder)?);
        }
        Ok(Edit { unix_ns, reason, changes })
    }
}

fn encode_change(out: &mut Vec<u8>, change: &Change) {
    let id_of = |out: &mut Vec<u8>, tag: u8, id: KeyspaceId| {
        out.push(tag);
        put_varint(out, id.0.into());
    };
    match change {
        Change::NextFile(number) => {
            out.push(1);
            put_varint(out, number.0);
        }
        Change::LastSeq(seq) => {
            out.push(2);
            put_varint(out, *seq);
        }
        Change::LogFrom(number) => {
            out.push(3);
            put_varint(out, number.0);
        }
        Change::NextKeyspace(id) => id_of(out, 4, *id),
        Change::AddKeyspace { id, name, policy, compression } => {
            id_of(out, 5, *id);
            put_slice(out, name.as_bytes());
            encode_policy(out, policy.as_ref());
            encode_compression(out, *compression);
        }
        Change::DropKeyspace(id) => id_of(out, 6, *id),
        Change::SetPolicy(id, policy) => {
            id_of(out, 7, *id);
            encode_policy(out, Some(policy));
        }
        Change::Flushed(id, seq) => {
            id_of(out, 8, *id);
            put_varint(out, *seq);
        }
        Change::AddTable(id, place, table) => {
            id_of(out, 9, *id);
            out.push(place.level);
            put_varint(out, place.age);
            encode_table(out, table);
        }
        Change::RemoveTable(id, number) => {
            id_of(out, 10, *id);
            put_varint(out, number.0);
        }
        Change::AddRangeDelete(id, delete) => {
            id_of(out, 11, *id);
            encode_range_delete(out, delete);
        }
        Change::DropRangeDelete(id, delete) => {
            id_of(out, 12, *id);
            encode_range_delete(out, delete);
        }
        Change::SetTtl(id, ttl_ms) => {
            id_of(out, 13, *id);
            put_varint(out, ttl_ms.unwrap_or(0));
        }
        Change::LogEnd(SegmentLink { number, bytes, chain }) => {
            out.push(14);
            put_varint(out, number.0);
            put_varint(out, *bytes);
            put_u32(out, *chain);
        }
    }
}

fn decode_change(decoder: &mut Decoder<'_>) -> Result<Change, DecodeError> {
    let id = |decoder: &mut Decoder<'_>| Ok(KeyspaceId(decoder.varint_u32()?));
    let number = |decoder: &mut Decoder<'_>| Ok(FileNumber(decoder.varint()?));
    Ok(match decoder.u8()? {
        1 => Change::NextFile(number(decoder)?),
        2 => Change::LastSeq(decoder.varint()?),
        3 => Change::LogFrom(number(decoder)?),
        4 => Change::NextKeyspace(id(decoder)?),
        5 => Change::AddKeyspace {
            id: id(decoder)?,
            name: decoder.str()?.into(),
            policy: decode_policy(decoder)?,
            compression: decode_compression(decoder)?,
        },
        6 => Change::DropKeyspace(id(decoder)?),
        7 => {
            let id = id(decoder)?;
            match decode_policy(decoder)? {
                Some(policy) => Change::SetPolicy(id, policy),
                None => return Err(decoder.error("no policy")),
            }
        }
        8 => Change::Flushed(id(decoder)?, decoder.varint()?),
        9 => {
            let id = id(decoder)?;
            let place = Place { level: decoder.u8()?, age: decoder.varint()? };
            if place.level > LEVEL_LAST {
                return Err(decoder.error("level"));
            }
            Change::AddTable(id, place, decode_table(decoder)?)
        }
        10 => Change::RemoveTable(id(decoder)?, number(decoder)?),
        11 => Change::AddRangeDelete(id(decoder)?, decode_range_delete(decoder)?),
        12 => Change::DropRangeDelete(id(decoder)?, decode_range_delete(decoder)?),
        13 => Change::SetTtl(id(decoder)?, Some(decoder.varint()?).filter(|ttl_ms| *ttl_ms > 0)),
        14 => Change::LogEnd(SegmentLink {
            number: number(decoder)?,
            bytes: decoder.varint()?,
            chain: decoder.u32()?,
        }),
        _ => return Err(decoder.error("unknown change")),
    })
}

fn encode_policy(out: &mut Vec<u8>, policy: Option<&Policy>) {
    match policy {
        None => out.push(0),
        Some(Policy::Leveled(leveled)) => {
            out.push(1);
            put_varint(out, leveled.runs0_trigger.into());
            put_varint(out, leveled.ratio.into());
            put_varint(out, leveled.base_bytes);
        }
        Some(Policy::Tiered(tiered)) => {
            out.push(2);
            encode_tiers(out, tiered);
        }
        Some(Policy::LazyLeveled(lazy)) => {
            out.push(3);
            encode_tiers(out, &lazy.tiers);
            put_varint(out, lazy.ratio.into());
        }
        Some(Policy::TimeWindow(windows)) => {
            out.push(4);
            encode_tiers(out, &windows.tiers);
            out.push(windows.prefix_bytes);
        }
    }
}

fn encode_tiers(out: &mut Vec<u8>, tiered: &Tiered) {
    put_varint(out, tiered.merge_runs_min.into());
    put_varint(out, tiered.merge_runs_max.into());
    put_u64(out, tiered.ratio.to_bits());
    put_varint(out, tiered.runs_max.into());
}

fn decode_tiers(decoder: &mut Decoder<'_>) -> Result<Tiered, DecodeError> {
    Ok(Tiered {
        merge_runs_min: decoder.varint_u32()?,
        merge_runs_max: decoder.varint_u32()?,
        ratio: f64::from_bits(decoder.u64()?),
        runs_max: decoder.varint_u32()?,
    })
}

fn decode_policy(decoder: &mut Decoder<'_>) -> Result<Option<Policy>, DecodeError> {
    Ok(match decoder.u8()? {
        0 => None,
        1 => Some(Policy::Leveled(Leveled {
            runs0_trigger: decoder.varint_u32()?,
            ratio: decoder.varint_u32()?,
            base_bytes: decoder.varint()?,
        })),
        2 => Some(Policy::Tiered(decode_tiers(decoder)?)),
        3 => {
            let tiers = decode_tiers(decoder)?;
            Some(Policy::LazyLeveled(LazyLeveled { tiers, ratio: decoder.varint_u32()? }))
        }
        4 => {
            let tiers = decode_tiers(decoder)?;
            Some(Policy::TimeWindow(TimeWindow { tiers, prefix_bytes: decoder.u8()? }))
        }
        _ => return Err(decoder.error("unknown policy")),
    })
}

fn encode_compression(out: &mut Vec<u8>, compression: Option<Compression>) {
    match compression {
        None => out.push(0),
        Some(Compression::None) => out.push(1),
        Some(Compression::Zstd(level)) => {
            out.push(2);
            out.extend_from_slice(&level.to_le_bytes());
        }
    }
}

fn decode_compression(decoder: &mut Decoder<'_>) -> Result<Option<Compression>, DecodeError> {
    Ok(match decoder.u8()? {
        0 => None,
        1 => Some(Compression::None),
        2 => Some(Compression::Zstd(i32::from_le_bytes(decoder.array()?))),
        _ => return Err(decoder.error("unknown compression")),
    })
}

fn encode_range_delete(out: &mut Vec<u8>, delete: &RangeDelete) {
    put_varint(out, delete.seq);
    put_slice(out, &delete.start);
    put_slice(out, &delete.end);
}

fn decode_range_delete(decoder: &mut Decoder<'_>) -> Result<RangeDelete, DecodeError> {
    let seq = decoder.varint()?;
    let (start, end): (Arc<[u8]>, Arc<[u8]>) = (decoder.slice()?.into(), decoder.slice()?.into());
    if seq == 0 || start >= end {
        return Err(decoder.error("range of a range delete"));
    }
    Ok(RangeDelete { seq, start, end })
}

/// Flags of a table.
const FINAL: u8 = 1;
const IMPORTED: u8 = 2;
const CLEAN: u8 = 4;
const EXPIRES: u8 = 8;

fn encode_table(out: &mut Vec<u8>, table: &TableMeta) {
    for value in [
        table.number.0,
        table.bytes,
        table.entries,
        table.deletes,
        table.raw_bytes,
        table.min_seq,
        table.max_seq,
    ] {
        put_varint(out, value);
    }
    let is_imported = table.written_as != table.number;
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let is_clean = table.clean_seq > 0;
    let expires = flag(table.expires_max_ms.is_some(), EXPIRES);
    let flags = flag(table.is_final, FINAL) | flag(is_imported, IMPORTED) | flag(is_clean, CLEAN);
    out.push(flags | expires);
    if is_imported {
        put_varint(out, table.written_as.0);
    }
    if is_clean {
        put_varint(out, table.clean_seq);
    }
    if let Some(moment) = table.expires_max_ms {
        put_varint(out, moment);
    }
    put_slice(out, &table.smallest);
    put_slice(out, &table.largest);
}

fn decode_table(decoder: &mut Decoder<'_>) -> Result<TableMeta, DecodeError> {
    let number = FileNumber(decoder.varint()?);
    let mut table = TableMeta {
        number,
        written_as: number,
        bytes: decoder.varint()?,
        entries: decoder.varint()?,
        deletes: decoder.varint()?,
        raw_bytes: decoder.varint()?,
        min_seq: decoder.varint()?,
        max_seq: decoder.varint()?,
        is_final: false,
        clean_seq: 0,
        expires_max_ms: None,
        smallest: Arc::default(),
        largest: Arc::default(),
    };
    let flags = decoder.u8()?;
    if flags & !(FINAL | IMPORTED | CLEAN | EXPIRES) != 0 {
        return Err(decoder.error("unknown table flags"));
    }
    table.is_final = flags & FINAL != 0;
    if flags & IMPORTED != 0 {
        table.written_as = FileNumber(decoder.varint()?);
    }
    if flags & CLEAN != 0 {
        table.clean_seq = decoder.varint()?;
    }
    if flags & EXPIRES != 0 {
        table.expires_max_ms = Some(decoder.varint()?);
    }
    table.smallest = decoder.slice()?.into();
    table.largest = decoder.slice()?.into();
    if table.smallest > table.largest {
        return Err(decoder.error("table range"));
    }
    Ok(table)
}
