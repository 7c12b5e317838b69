//! The memtable of a partition: rows by series, appended as they arrive, sorted when read.
//!
//! Modules in order; each may use those above it: `payload` (rows as bytes), `buffer` (the rows of
//! one series), `erase` (rows taken away), `cursor` (chunks for the flush).
//!
//! Series are spread over shards, 64 neighbouring numbers to a page, pages round robin: a batch in
//! the order of series stays with one lock and one page for 64 rows. An operation is a payload of
//! rows; it was checked before it was logged, so applying it cannot fail. Readers see the rows of
//! a series as they are at one moment; they do not wait for whole batches.

pub mod buffer;
pub mod cursor;
pub mod erase;
pub mod payload;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use firndb_engine as engine;
use firndb_engine::coding::DecodeError;
use firndb_engine::key::{Kind, Op, Seq};
use firndb_engine::memtable::Memtable;
use firndb_engine::scan::Cursor;
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::model::{Columns, FieldId, FieldType, SeriesId, TimeRange};
use buffer::SeriesBuffer;
use cursor::ChunkCursor;
use payload::{RowSink, ShapeField};

/// Shards of a memtable: a few times the writers there may be.
const SHARDS: usize = 16;

/// Series of a page.
const PAGE_SERIES: u32 = 64;

/// No buffer yet.
const NONE: u32 = u32::MAX;

/// A shape, shared by the list and the look-up.
type Shape = Arc<[ShapeField]>;

/// The memtable of a partition.
#[derive(Debug)]
pub struct PointsMemtable {
    shards: [Mutex<Shard>; SHARDS],
    shapes: RwLock<ShapeTable>,
    seq_max: AtomicU64,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct ShapeTable {
    list: Vec<Shape>,
    numbers: HashMap<Shape, u32>,
}

#[derive(Debug, Default)]
struct Shard {
    pages: HashMap<u32, Box<[u32; PAGE_SERIES as usize]>>,
    buffers: Vec<SeriesBuffer>,
    text: Vec<u8>,
}

impl Default for PointsMemtable {
    fn default() -> Self {
        PointsMemtable {
            shards: std::array::from_fn(|_| Mutex::default()),
            shapes: RwLock::default(),
            seq_max: AtomicU64::new(0),
            bytes: AtomicUsize::new(size_of::<PointsMemtable>()),
        }
    }
}

impl PointsMemtable {
    /// An empty memtable.
    pub fn new() -> Self {
        PointsMemtable::default()
    }

    /// Sequence number of the newest operation applied.
    pub fn seq_max(&self) -> Seq {
        self.seq_max.load(Ordering::Acquire)
    }

    /// From the earliest to the latest row of a series.
    pub fn span(&self, series: SeriesId) -> Option<TimeRange> {
        let shard = self.shard(series).lock();
        shard.buffer(series).map(SeriesBuffer::span)
    }

    /// Whether the series has a row within `range`.
    pub fn has_rows(&self, series: SeriesId, range: TimeRange) -> bool {
        let shard = self.shard(series).lock();
        let Some(buffer) = shard.buffer(series) else { return false };
        range.overlaps(&buffer.span()) && buffer.has_rows(range, &self.shapes.read().list)
    }

    /// Number of rows of a series within `range` when they are kept in order of time, so that a
    /// part of them can be read at the cost of that part; `None` when they are not.
    pub fn sorted_rows(&self, series: SeriesId, range: TimeRange) -> Option<usize> {
        let shard = self.shard(series).lock();
        let Some(buffer) = shard.buffer(series) else { return Some(0) };
        buffer.sorted_rows(range, &self.shapes.read().list)
    }

    /// The rows of a series within `range`, a column per field asked for; `None` when there is no
    /// row. A field that has no value here comes as a missing column.
    pub fn read(&self, series: SeriesId, fields: &[FieldId], range: TimeRange) -> Option<Columns> {
        let shard = self.shard(series).lock();
        let buffer = shard.buffer(series)?;
        if !range.overlaps(&buffer.span()) {
            return None;
        }
        let columns = buffer.read(fields, range, &self.shapes.read().list, &shard.text);
        (columns.rows() > 0).then_some(columns)
    }

    /// All fields of a series, its rows within `range`.
    fn read_all(&self, series: SeriesId, range: TimeRange) -> Option<Columns> {
        let shard = self.shard(series).lock();
        let buffer = shard.buffer(series)?;
        let shapes = self.shapes.read();
        let fields: Vec<FieldId> =
            buffer.fields(&shapes.list).iter().map(|(field, _)| *field).collect();
        Some(buffer.read(&fields, range, &shapes.list, &shard.text))
    }

    /// Spans of time that together hold all rows of a series, each `rows_max` of them but the
    /// last, which has no more.
    fn slices(&self, series: SeriesId, rows_max: usize) -> Vec<TimeRange> {
        let shard = self.shard(series).lock();
        let shapes = self.shapes.read();
        shard.buffer(series).map_or_else(Vec::new, |b| b.slices(rows_max, &shapes.list))
    }

    /// The least and the greatest series.
    pub fn series_span(&self) -> Option<(SeriesId, SeriesId)> {
        let mut span: Option<(u32, u32)> = None;
        for shard in &self.shards {
            for (page, slots) in &shard.lock().pages {
                let is_used = |slot: &u32| *slot != NONE;
                let first = slots.iter().position(is_used);
                let last = slots.iter().rposition(is_used);
                if let (Some(first), Some(last)) = (first, last) {
                    let (first, last) =
                        (page * PAGE_SERIES + first as u32, page * PAGE_SERIES + last as u32);
                    let (least, greatest) = span.unwrap_or((first, last));
                    span = Some((least.min(first), greatest.max(last)));
                }
            }
        }
        span.map(|(first, last)| (SeriesId(first), SeriesId(last)))
    }

    /// All series, ascending.
    pub fn series(&self) -> Vec<SeriesId> {
        let mut series = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let is_used =
                |slot: u32| shard.buffers.get(slot as usize).is_some_and(|b| !b.is_empty());
            for (page, slots) in &shard.pages {
                let used = slots.iter().zip(0..).filter(|(slot, _)| is_used(**slot));
                series.extend(used.map(|(_, at)| SeriesId(page * PAGE_SERIES + at)));
            }
        }
        series.sort_unstable();
        series
    }

    fn shard(&self, series: SeriesId) -> &Mutex<Shard> {
        &self.shards[(series.0 / PAGE_SERIES) as usize % SHARDS]
    }

    /// The memtable's number of a shape, and whether it has strings.
    fn shape_number(&self, fields: &[ShapeField]) -> LocalShape {
        let text = fields.iter().any(|(_, field_type)| *field_type == FieldType::String);
        if let Some(number) = self.shapes.read().numbers.get(fields) {
            return LocalShape { number: *number, text };
        }
        let mut shapes = self.shapes.write();
        if let Some(number) = shapes.numbers.get(fields) {
            return LocalShape { number: *number, text };
        }
        let shape: Shape = fields.into();
        let number = shapes.list.len() as u32;
        shapes.list.push(shape.clone());
        shapes.numbers.insert(shape, number);
        let bytes = std::mem::size_of_val(fields) + 64;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        LocalShape { number, text }
    }
}

impl Shard {
    fn buffer(&self, series: SeriesId) -> Option<&SeriesBuffer> {
        let page = self.pages.get(&(series.0 / PAGE_SERIES))?;
        let buffer = self.buffers.get(page[(series.0 % PAGE_SERIES) as usize] as usize);
        buffer.filter(|buffer| !buffer.is_empty())
    }
}

/// Whether a payload can be applied.
pub fn check(payload: &[u8]) -> Result<(), DecodeError> {
    match erase::is_erase(payload) {
        true => erase::decode(payload).map(drop),
        false => payload::decode::<true>(payload, &mut payload::NoSink),
    }
}

impl Memtable for PointsMemtable {
    fn apply(&self, seq: Seq, op: &Op<'_>) {
        assert_eq!(op.kind, Kind::Append, "validated before");
        if erase::is_erase(op.value) {
            self.erase(op.value, seq);
            self.seq_max.fetch_max(seq, Ordering::AcqRel);
            return;
        }
        let mut sink = Applier { memtable: self, shapes: Vec::new(), locked: None, grown: 0 };
        payload::decode::<false>(op.value, &mut sink).expect("validated before it was logged");
        self.bytes.fetch_add(sink.grown, Ordering::Relaxed);
        self.seq_max.fetch_max(seq, Ordering::AcqRel);
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn cursor(self: Arc<Self>) -> Box<dyn Cursor> {
        Box::new(ChunkCursor::new(self))
    }

    fn versions(
        &self,
        _key: &[u8],
        _snapshot: Seq,
        _visit: &mut dyn FnMut(Seq, Kind, &[u8]) -> bool,
    ) -> engine::Result<()> {
        Ok(()) // Rows are read by series and time, not by key.
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A payload's shape in the memtable.
#[derive(Debug, Clone, Copy)]
struct LocalShape {
    number: u32,
    text: bool,
}

/// Appends the rows of one payload. Keeps the lock of a shard while rows stay with it.
struct Applier<'a> {
    memtable: &'a PointsMemtable,
    shapes: Vec<(LocalShape, Box<[ShapeField]>)>,
    locked: Option<Locked<'a>>,
    grown: usize,
}

/// A locked shard and the page last used.
struct Locked<'a> {
    page: u32,
    slots: [u32; PAGE_SERIES as usize],
    shard: MutexGuard<'a, Shard>,
}

impl RowSink for Applier<'_> {
    fn shape(&mut self, fields: &[ShapeField]) {
        self.shapes.push((self.memtable.shape_number(fields), fields.into()));
    }

    fn row(&mut self, series: SeriesId, shape: u32, slots: &[u64], payload: &[u8]) {
        let page = series.0 / PAGE_SERIES;
        if self.locked.as_ref().is_none_or(|locked| locked.page != page) {
            self.lock(page);
        }
        let locked = self.locked.as_mut().expect("locked just now");
        let (shape, fields) = &self.shapes[shape as usize];
        let shard = &mut *locked.shard;
        let slot = &mut locked.slots[(series.0 % PAGE_SERIES) as usize];
        if *slot == NONE {
            *slot = shard.buffers.len() as u32;
            shard.buffers.push(SeriesBuffer::new(shape.number));
            let page = shard.pages.entry(page).or_insert_with(|| {
                self.grown += 2 * size_of::<[u32; PAGE_SERIES as usize]>();
                Box::new([NONE; PAGE_SERIES as usize])
            });
            page[(series.0 % PAGE_SERIES) as usize] = *slot;
            self.grown += size_of::<SeriesBuffer>() * 3 / 2;
        }
        let buffer = &mut shard.buffers[*slot as usize];
        if shape.text {
            let slots = keep_text(fields, slots, payload, &mut shard.text, &mut self.grown);
            self.grown += buffer.push(shape.number, &slots);
        } else {
            self.grown += buffer.push(shape.number, slots);
        }
    }
}

impl Applier<'_> {
    fn lock(&mut self, page: u32) {
        let index = page as usize % SHARDS;
        let shard = match self.locked.take() {
            Some(locked) if locked.page as usize % SHARDS == index => locked.shard,
            other => {
                drop(other); // one lock at a time
                self.memtable.shards[index].lock()
            }
        };
        let slots = shard.pages.get(&page).map_or([NONE; PAGE_SERIES as usize], |slots| **slots);
        self.locked = Some(Locked { page, slots, shard });
    }
}

/// Moves the strings of a row from the payload to `text`; returns the row with their new places.
#[cold]
fn keep_text(
    fields: &[ShapeField],
    slots: &[u64],
    payload: &[u8],
    text: &mut Vec<u8>,
    grown: &mut usize,
) -> Vec<u64> {
    let before = text.capacity();
    let mut slots = slots.to_vec();
    for (slot, (_, field_type)) in slots[1..].iter_mut().zip(fields) {
        if *field_type == FieldType::String {
            let bytes = &payload[payload::text_range(*slot)];
            *slot = payload::text_slot(text.len(), bytes.len());
            text.extend_from_slice(bytes);
        }
    }
    *grown += text.capacity() - before;
    slots
}

#[cfg(test)]
mod tests;
