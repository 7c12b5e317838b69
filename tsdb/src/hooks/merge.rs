//! Chunks of a series into fewer, larger ones: the merge of a partition's compactions.
//!
//! Chunks come in the order of series and first timestamps. Those that overlap form a group:
//!
//! 1. A chunk alone and large enough goes out as it came in, undecoded.
//! 2. Any other group is decoded and merged, the newest write of each row and field winning, and
//!    joins the rows still open; full chunks are cut from these and encoded.
//! 3. At the end of a series, or before a chunk that goes out undecoded, what is open goes out.
//!
//! A group may go on for the whole series: late points bridge chunk to chunk. Nothing that comes
//! later is older than the first timestamp of the chunk at hand, so a group that grew large is cut
//! there: rows before it are merged, and of chunks that reach past it the rest stays for later.
//!
//! A final merge, of a partition whose window is over, decodes what is not cold yet and encodes it
//! in the cold class. Series that were dropped are left out, and so is what was erased: a chunk
//! that an erasure touches is decoded even where it lies alone.
//!
//! Invariants: outputs of a series do not overlap; an output's sequence number is the newest of
//! what is in it, so that it wins and loses against chunks outside the job as its inputs would;
//! memory holds the rows of one cut, at most `GROUP_BYTES_MAX` and a chunk of each run that
//! reaches into it, and one open chunk.

use firndb_engine as engine;
use firndb_engine::hooks::{EntryMerge, EntrySink, InputEntry};
use firndb_engine::key::{Kind, Seq};
use firndb_engine::scan::Body;

use crate::chunk::{self, Class, Head, ROWS_MAX_COLD, ROWS_MAX_HOT, merge_columns};
use crate::erasure::SeriesErasures;
use crate::keys;
use crate::left_out::PolicyLeftOut;
use crate::memtable::cursor::cuts;
use crate::model::{Columns, FieldId, SeriesId, TimeRange, Timestamp};
use crate::reader;

/// Decoded bytes of a group at which it is cut: many chunks, so that few are read twice.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// The merge of one compaction.
pub struct PointsMerge {
    is_final: bool,
    left_out: PolicyLeftOut,
    series: SeriesId,
    /// Those of the series.
    erasures: SeriesErasures,
    group: Vec<Source>,
    /// Last timestamp of the group.
    group_end: Timestamp,
    /// Decoded bytes of what joined the group since it was cut.
    group_bytes: usize,
    /// At which it is cut.
    group_bytes_max: usize,
    open: Columns,
    open_seq: Seq,
}

/// A chunk of a group.
struct Source {
    key: Vec<u8>,
    seq: Seq,
    head_bytes: Vec<u8>,
    head: Head,
    body: Body,
    /// Whether an erasure takes some of it.
    is_touched: bool,
    /// First timestamp that was not merged yet.
    from: Timestamp,
}

impl Source {
    /// Bytes of its rows when decoded, as far as the head tells: text is counted as packed.
    fn decoded_bytes(&self) -> usize {
        let words = self.head.rows() * (self.head.columns().len() + 1);
        (words * size_of::<u64>()).max(self.body.len())
    }

    /// Its rows up to `end`, as far as they were not merged yet.
    fn load_until(&self, end: Timestamp) -> engine::Result<Option<Columns>> {
        let range = TimeRange::new(self.from, end);
        if !range.overlaps(&self.head.time_range()) {
            return Ok(None);
        }
        let fields: Vec<FieldId> = self.head.columns().iter().map(|c| c.field).collect();
        let rows = reader::load(&self.head, &self.body, &fields, range, None)?;
        Ok((rows.rows() > 0).then_some(rows))
    }
}

impl PointsMerge {
    /// A merge that leaves out what `left_out` says.
    pub fn new(is_final: bool, left_out: PolicyLeftOut) -> Self {
        PointsMerge {
            is_final,
            erasures: left_out.of(SeriesId(0)),
            left_out,
            series: SeriesId(0),
            group: Vec::new(),
            group_end: Timestamp::MIN,
            group_bytes: 0,
            group_bytes_max: GROUP_BYTES_MAX,
            open: Columns::default(),
            open_seq: 0,
        }
    }

    fn rows_max(&self) -> usize {
        if self.is_final { ROWS_MAX_COLD } else { ROWS_MAX_HOT }
    }

    /// Whether a chunk that overlaps nothing may stay as it is. More rows than a hot chunk can
    /// have come from a final merge: they are cold already, so that closing a partition again
    /// after a late point does not encode all of it again.
    fn is_large_enough(&self, head: &Head) -> bool {
        match self.is_final {
            true => head.rows() > ROWS_MAX_HOT,
            false => head.rows() * 2 >= ROWS_MAX_HOT,
        }
    }

    fn close_group(&mut self, out: &mut dyn EntrySink) -> engine::Result<()> {
        if let [source] = &self.group[..]
            && !source.is_touched
            && source.from == Timestamp::MIN
            && self.is_large_enough(&source.head)
        {
            let source = self.group.pop().expect("there is one");
            self.group_bytes = 0;
            self.put_open(out)?;
            let body = source.body.read_all()?;
            return out.put(&source.key, source.seq, Kind::Put, &source.head_bytes, Some(&body));
        }
        self.merge_until(Timestamp::MAX, out)
    }

    /// Merges the rows of the group up to `end` with what is open; the rest of it stays.
    fn merge_until(&mut self, end: Timestamp, out: &mut dyn EntrySink) -> engine::Result<()> {
        let mut group = std::mem::take(&mut self.group);
        self.group_bytes = 0;
        group.sort_by_key(|source| source.seq);
        let mut columns = Vec::with_capacity(group.len() + 1);
        if self.open.rows() > 0 {
            columns.push(std::mem::take(&mut self.open));
        }
        for source in &group {
            let Some(mut rows) = source.load_until(end)? else { continue };
            if source.is_touched {
                self.erasures.apply(source.seq, &mut rows);
            }
            if rows.rows() > 0 {
                self.open_seq = self.open_seq.max(source.seq);
                columns.push(rows);
            }
        }
        self.open = match columns.len() {
            0 => Columns::default(),
            1 => columns.remove(0),
            _ => merge_columns(&columns),
        };
        drop(columns);
        group.retain(|source| source.head.last_timestamp() > end);
        group.iter_mut().for_each(|source| source.from = end + 1);
        self.group = group;
        self.put_full(out)
    }

    /// Writes the full chunks of what is open and keeps the rest.
    fn put_full(&mut self, out: &mut dyn EntrySink) -> engine::Result<()> {
        if self.open.rows() < self.rows_max() {
            return Ok(());
        }
        let mut cuts = cuts(&self.open, self.rows_max());
        let rest = match cuts.last() {
            Some(last) if last.len() < self.rows_max() => cuts.pop(),
            _ => None,
        };
        for rows in cuts {
            self.put(&self.open.slice(rows), out)?;
        }
        self.open = rest.map_or_else(Columns::default, |rows| self.open.slice(rows));
        if self.open.rows() == 0 {
            self.open_seq = 0;
        }
        Ok(())
    }

    /// Writes all that is open.
    fn put_open(&mut self, out: &mut dyn EntrySink) -> engine::Result<()> {
        let open = std::mem::take(&mut self.open);
        for rows in cuts(&open, self.rows_max()) {
            if rows.len() == open.rows() {
                self.put(&open, out)?;
            } else {
                self.put(&open.slice(rows), out)?;
            }
        }
        self.open_seq = 0;
        Ok(())
    }

    fn put(&self, columns: &Columns, out: &mut dyn EntrySink) -> engine::Result<()> {
        let class = if self.is_final { Class::Cold } else { Class::Hot };
        let encoded = chunk::encode(columns, class);
        let key = keys::chunk_key(self.series, columns.timestamps[0]);
        out.put(&key, self.open_seq, Kind::Put, &encoded.head, Some(&encoded.body))
    }
}

impl EntryMerge for PointsMerge {
    fn entry(&mut self, entry: InputEntry<'_>, out: &mut dyn EntrySink) -> engine::Result<()> {
        let head = reader::decode_head(entry.value, entry.body.as_ref())?;
        let key = keys::parse_chunk_key(entry.key).filter(|key| key.1 == head.first_timestamp());
        let (Some((series, first)), Some(body)) = (key, entry.body) else {
            let reason = format!("entry {:02x?} is no chunk", entry.key);
            return Err(engine::Error::Invalid { reason });
        };
        if self.left_out.dropped.contains(series.0) {
            return Ok(());
        }
        if series != self.series {
            self.finish(out)?;
            self.series = series;
            self.erasures = self.left_out.of(series);
        }
        let (range, fields) = (head.time_range(), head.columns().iter().map(|c| c.field));
        if self.erasures.cover(entry.seq, &range, fields.clone()) {
            return Ok(());
        }
        let is_touched = self.erasures.touch(entry.seq, &range, fields);
        if !self.group.is_empty() && first > self.group_end {
            self.close_group(out)?;
        } else if self.group_bytes >= self.group_bytes_max {
            self.merge_until(first - 1, out)?;
        }
        self.group_end = match self.group.is_empty() {
            true => head.last_timestamp(),
            false => self.group_end.max(head.last_timestamp()),
        };
        let source = Source {
            key: entry.key.to_vec(),
            seq: entry.seq,
            head_bytes: entry.value.to_vec(),
            head,
            body,
            is_touched,
            from: Timestamp::MIN,
        };
        self.group_bytes += source.decoded_bytes();
        self.group.push(source);
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn EntrySink) -> engine::Result<()> {
        self.close_group(out)?;
        self.put_open(out)
    }

    fn held_bytes(&self) -> u64 {
        // Decoded, merged, and encoded.
        let heads: usize = self.group.iter().map(|source| 4 * source.head_bytes.len()).sum();
        let open = self.open.rows() * (self.open.columns.len() + 1) * size_of::<u64>();
        (3 * self.group_bytes.min(2 * self.group_bytes_max) + 2 * open + heads) as u64
    }
}

#[cfg(test)]
mod tests;
