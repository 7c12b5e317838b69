//! The rows of one series in a memtable.
//!
//! ```text
//! segment := shape number | row x n        row := timestamp | word per field of the shape
//! ```
//!
//! A segment per shape that the series was written with, nearly always one. Rows are appended as
//! they arrive; the buffer remembers whether they arrived in time order, and only when they did not
//! does a reader sort them. With several segments `order` says which segment each row, in order of
//! arrival, went to.
//!
//! Why rows of words and not a vector per column: appending touches one place in memory, not
//! eleven, and a reader's stride over a row of ten fields is a cache line and a half. A million
//! series of two rows hold no more than their rows and 64 bytes each.

use crate::erasure::Erasure;
use crate::memtable::erase::Reduced;
use crate::memtable::payload::{ShapeField, text_range};
use crate::model::{Bitmap, Column, Columns, FieldId, FieldType, TimeRange, Timestamp, Values};

/// Looks up shapes by number.
pub trait Shapes {
    /// Fields of shape `number`, ascending.
    fn fields(&self, number: u32) -> &[ShapeField];
}

impl<T: AsRef<[ShapeField]>> Shapes for Vec<T> {
    fn fields(&self, number: u32) -> &[ShapeField] {
        self[number as usize].as_ref()
    }
}

/// The rows of one series.
#[derive(Debug)]
pub struct SeriesBuffer {
    first: Timestamp,
    last: Timestamp,
    /// Whether timestamps strictly ascend in order of arrival.
    sorted: bool,
    head: Segment,
    more: Option<Box<More>>,
}

#[derive(Debug)]
struct Segment {
    shape: u32,
    rows: Vec<u64>,
}

#[derive(Debug)]
struct More {
    segments: Vec<Segment>,
    /// Per row in order of arrival: 0 for the head, else one more than the index of the segment.
    order: Vec<u32>,
}

impl Segment {
    fn new(shape: u32) -> Self {
        Segment { shape, rows: Vec::new() }
    }

    /// Appends a row; returns the bytes by which the segment grew.
    fn push(&mut self, slots: &[u64]) -> usize {
        let before = self.rows.capacity();
        if self.rows.len() + slots.len() > before {
            // By half and a row: from 1 row to 2, 4, 7, 11 ... with at most a third unused.
            let rows = self.rows.len() / slots.len();
            self.rows.reserve_exact((rows / 2 + 1) * slots.len());
        }
        self.rows.extend_from_slice(slots);
        (self.rows.capacity() - before) * size_of::<u64>()
    }
}

/// A row of a buffer: where it is.
#[derive(Clone, Copy)]
struct Place {
    timestamp: Timestamp,
    segment: u32,
    row: u32,
}

impl SeriesBuffer {
    /// A buffer whose first row will have `shape`.
    pub fn new(shape: u32) -> Self {
        SeriesBuffer {
            first: Timestamp::MAX,
            last: Timestamp::MIN,
            sorted: true,
            head: Segment::new(shape),
            more: None,
        }
    }

    /// Appends a row of `shape`; the first slot is its timestamp. Returns the bytes by which the
    /// buffer grew.
    pub fn push(&mut self, shape: u32, slots: &[u64]) -> usize {
        let timestamp = slots[0] as Timestamp;
        self.sorted &= timestamp > self.last;
        self.first = self.first.min(timestamp);
        self.last = self.last.max(timestamp);
        if self.more.is_none() && shape == self.head.shape {
            return self.head.push(slots);
        }
        self.push_mixed(shape, slots)
    }

    #[cold]
    fn push_mixed(&mut self, shape: u32, slots: &[u64]) -> usize {
        let head = &mut self.head;
        let mut grown = 0;
        let more = self.more.get_or_insert_with(|| {
            // The head's width is not known here; its rows are counted by who knows the shape.
            grown += size_of::<More>();
            Box::new(More { segments: Vec::new(), order: Vec::new() })
        });
        let number = if shape == head.shape {
            0
        } else if let Some(at) = more.segments.iter().position(|s| s.shape == shape) {
            at + 1
        } else {
            more.segments.push(Segment::new(shape));
            grown += size_of::<Segment>();
            more.segments.len()
        };
        more.order.push(number as u32);
        grown += size_of::<u32>();
        grown
            + match number {
                0 => head.push(slots),
                _ => more.segments[number - 1].push(slots),
            }
    }

    /// Whether there is no row: all were erased.
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// Bytes that its rows hold.
    pub fn heap_bytes(&self) -> usize {
        let words = |segment: &Segment| segment.rows.capacity() * size_of::<u64>();
        let more = self.more.as_ref().map_or(0, |more| {
            let segments = more.segments.iter().map(|s| words(s) + size_of::<Segment>());
            size_of::<More>() + size_of::<u32>() * more.order.len() + segments.sum::<usize>()
        });
        words(&self.head) + more
    }

    /// The rows that are left when `erasure` is taken away; `None`: all of them. `reduce` says what
    /// becomes of the rows of a shape.
    pub fn without(
        &self,
        erasure: &Erasure,
        shapes: &impl Shapes,
        reduce: impl Fn(u32) -> Reduced,
    ) -> Option<SeriesBuffer> {
        if self.is_empty() || !self.places(shapes).any(|place| erasure.holds(place.timestamp)) {
            return None;
        }
        let mut left: Option<SeriesBuffer> = None;
        let mut push = |shape: u32, slots: &[u64]| {
            left.get_or_insert_with(|| SeriesBuffer::new(shape)).push(shape, slots);
        };
        let segments = 1 + self.more.as_ref().map_or(0, |more| more.segments.len());
        let reduced: Vec<Reduced> =
            (0..segments as u32).map(|number| reduce(self.segment(number).shape)).collect();
        for place in self.places(shapes) {
            let segment = self.segment(place.segment);
            let width = self.width(segment, shapes);
            let at = place.row as usize * width;
            let slots = &segment.rows[at..at + width];
            match &reduced[place.segment as usize] {
                Reduced::Gone if erasure.holds(place.timestamp) => {}
                Reduced::To(shape, kept) if erasure.holds(place.timestamp) => {
                    let kept = kept.iter().map(|at| slots[at + 1]);
                    push(*shape, &std::iter::once(slots[0]).chain(kept).collect::<Vec<u64>>());
                }
                _ => push(segment.shape, slots),
            }
        }
        Some(left.unwrap_or_else(|| SeriesBuffer::new(self.head.shape)))
    }

    /// From the earliest to the latest row.
    pub fn span(&self) -> TimeRange {
        TimeRange::new(self.first, self.last)
    }

    fn segment(&self, number: u32) -> &Segment {
        match (number, &self.more) {
            (0, _) | (_, None) => &self.head,
            (_, Some(more)) => &more.segments[number as usize - 1],
        }
    }

    fn width(&self, segment: &Segment, shapes: &impl Shapes) -> usize {
        shapes.fields(segment.shape).len() + 1
    }

    /// Whether a row lies in `range`.
    pub fn has_rows(&self, range: TimeRange, shapes: &impl Shapes) -> bool {
        if !range.overlaps(&self.span()) {
            return false;
        }
        if self.sorted && self.more.is_none() {
            return !self.sorted_rows_in(range, shapes).is_empty();
        }
        self.places(shapes).any(|place| range.contains(place.timestamp))
    }

    /// Number of rows within `range`, if rows lie in order of time.
    pub fn sorted_rows(&self, range: TimeRange, shapes: &impl Shapes) -> Option<usize> {
        (self.sorted && self.more.is_none()).then(|| self.sorted_rows_in(range, shapes).len())
    }

    /// Rows of the head within `range`; the head is all there is, and sorted.
    fn sorted_rows_in(&self, range: TimeRange, shapes: &impl Shapes) -> std::ops::Range<usize> {
        let width = self.width(&self.head, shapes);
        let rows = &self.head.rows;
        let before = |bound: &dyn Fn(Timestamp) -> bool| {
            let (mut low, mut high) = (0, rows.len() / width);
            while low < high {
                let middle = low.midpoint(high);
                if bound(rows[middle * width] as Timestamp) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        };
        let start = before(&|timestamp| timestamp < range.start);
        let end = before(&|timestamp| timestamp <= range.end);
        start..end.max(start)
    }

    /// All rows in order of arrival.
    fn places(&self, shapes: &impl Shapes) -> impl Iterator<Item = Place> {
        let width = self.width(&self.head, shapes);
        let rows = self.head.rows.len() / width;
        let order: &[u32] = self.more.as_ref().map_or(&[], |more| &more.order);
        let total = match &self.more {
            None => rows,
            Some(more) => {
                let others: usize =
                    (more.segments.iter()).map(|s| s.rows.len() / self.width(s, shapes)).sum();
                rows + others
            }
        };
        // Rows before the second shape came are not in `order`: all of them are the head's.
        let plain = total - order.len();
        let segments = std::iter::repeat_n(0, plain).chain(order.iter().copied());
        let widths: Vec<usize> = std::iter::once(width)
            .chain(self.more.iter().flat_map(|more| &more.segments).map(|s| self.width(s, shapes)))
            .collect();
        let mut next = vec![0u32; widths.len()];
        segments.map(move |segment| {
            let row = next[segment as usize];
            next[segment as usize] += 1;
            let at = row as usize * widths[segment as usize];
            let timestamp = self.segment(segment).rows[at] as Timestamp;
            Place { timestamp, segment, row }
        })
    }

    /// Spans of time that together hold all rows, each `rows_max` of them but the last.
    pub fn slices(&self, rows_max: usize, shapes: &impl Shapes) -> Vec<TimeRange> {
        let rows = self.head.rows.len() / self.width(&self.head, shapes);
        if self.more.is_none() && rows <= rows_max {
            return vec![self.span()];
        }
        let mut times: Vec<Timestamp> = self.places(shapes).map(|place| place.timestamp).collect();
        if !self.sorted {
            times.sort_unstable();
            times.dedup();
        }
        let starts = times.iter().step_by(rows_max).copied();
        let ends = times.iter().skip(rows_max).step_by(rows_max).map(|start| start - 1);
        starts.zip(ends.chain([self.last])).map(|(a, b)| TimeRange::new(a, b)).collect()
    }

    /// Fields of all rows, ascending, with their types.
    pub fn fields(&self, shapes: &impl Shapes) -> Vec<ShapeField> {
        let mut fields = shapes.fields(self.head.shape).to_vec();
        if let Some(more) = &self.more {
            for segment in &more.segments {
                fields.extend_from_slice(shapes.fields(segment.shape));
            }
            fields.sort_by_key(|(id, _)| *id);
            fields.dedup();
        }
        fields
    }

    /// The rows within `range`, with a column per field asked for; of equal timestamps the last
    /// value of each field that arrived counts. `text` holds the strings.
    pub fn read(
        &self,
        fields: &[FieldId],
        range: TimeRange,
        shapes: &impl Shapes,
        text: &[u8],
    ) -> Columns {
        if self.sorted && self.more.is_none() {
            return self.read_sorted(fields, range, shapes, text);
        }
        let mut places: Vec<Place> =
            self.places(shapes).filter(|place| range.contains(place.timestamp)).collect();
        places.sort_by_key(|place| place.timestamp); // stable: equal ones stay as they arrived
        let mut timestamps: Vec<Timestamp> = places.iter().map(|p| p.timestamp).collect();
        timestamps.dedup();
        let columns = fields
            .iter()
            .map(|field| self.read_placed(*field, &places, timestamps.len(), shapes, text))
            .collect();
        Columns { timestamps, columns }
    }

    fn read_sorted(
        &self,
        fields: &[FieldId],
        range: TimeRange,
        shapes: &impl Shapes,
        text: &[u8],
    ) -> Columns {
        let width = self.width(&self.head, shapes);
        let rows = self.sorted_rows_in(range, shapes);
        let count = rows.len();
        let words = &self.head.rows[rows.start * width..rows.end * width];
        let column_words = |slot: usize| words.iter().skip(slot).step_by(width).copied();
        let shape = shapes.fields(self.head.shape);
        let columns = fields
            .iter()
            .map(|field| match shape.binary_search_by_key(field, |(id, _)| *id) {
                Ok(at) => Column {
                    field: *field,
                    values: values_of(shape[at].1, column_words(at + 1), text),
                    validity: None,
                },
                Err(_) => Column::missing(*field, count),
            })
            .collect();
        Columns { timestamps: column_words(0).map(|word| word as Timestamp).collect(), columns }
    }

    /// A column over sorted places, where several may stand for one row.
    fn read_placed(
        &self,
        field: FieldId,
        places: &[Place],
        rows: usize,
        shapes: &impl Shapes,
        text: &[u8],
    ) -> Column {
        let segments = 1 + self.more.as_ref().map_or(0, |more| more.segments.len());
        // Per segment: its words, their width and the field's slot.
        let sources: Vec<(&[u64], usize, Option<usize>)> = (0..segments as u32)
            .map(|number| {
                let segment = self.segment(number);
                let shape = shapes.fields(segment.shape);
                let slot = shape.binary_search_by_key(&field, |(id, _)| *id).ok();
                (&segment.rows[..], shape.len() + 1, slot.map(|at| at + 1))
            })
            .collect();
        let field_type = (0..segments as u32).find_map(|number| {
            let shape = shapes.fields(self.segment(number).shape);
            shape.iter().find(|(id, _)| *id == field).map(|(_, field_type)| *field_type)
        });
        let Some(field_type) = field_type else { return Column::missing(field, rows) };
        let mut words = Vec::with_capacity(rows);
        let mut validity = Bitmap::default();
        for same_time in places.chunk_by(|a, b| a.timestamp == b.timestamp) {
            let word = same_time.iter().rev().find_map(|place| {
                let (rows, width, slot) = sources[place.segment as usize];
                slot.map(|slot| rows[place.row as usize * width + slot])
            });
            validity.push(word.is_some());
            words.push(word.unwrap_or(0));
        }
        let is_full = validity.count() == rows;
        let values = values_of(field_type, words.into_iter(), text);
        Column { field, values, validity: (!is_full).then_some(validity) }
    }
}

/// Words of slots as values; the default word 0 is every type's default.
fn values_of(field_type: FieldType, words: impl Iterator<Item = u64>, text: &[u8]) -> Values {
    match field_type {
        FieldType::Float => Values::Float(words.map(f64::from_bits).collect()),
        FieldType::Integer => Values::Integer(words.map(|word| word as i64).collect()),
        FieldType::Unsigned => Values::Unsigned(words.collect()),
        FieldType::Boolean => Values::Boolean(words.map(|word| word != 0).collect()),
        FieldType::String => {
            let mut offsets = vec![0];
            let mut bytes = Vec::new();
            for word in words {
                bytes.extend_from_slice(&text[text_range(word)]);
                offsets.push(bytes.len() as u32);
            }
            Values::String { offsets, bytes }
        }
    }
}

#[cfg(test)]
mod tests;
