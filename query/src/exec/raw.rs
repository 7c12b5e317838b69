//! One output series of a raw plan: the stored rows of its series, merged by time.
//!
//! ```text
//! what each series has next (heads only) -> a slice of time with about as many rows as wanted
//!   -> rows of each series in the slice, filtered -> merged -> expressions -> limit -> part
//! ```
//!
//! Slices go in the order of the plan. The first one is as small as the limit, later ones grow
//! fourfold up to [`SLICE_ROWS`]: the last row of a series costs one short read at its end, and
//! no answer is ever held whole. At one time rows of several series come in the order of their
//! tags (in the reverse order when the newest come first).

use std::sync::Arc;

use firndb_engine::budget::Reservation;
use firndb_tsdb::model::time::TIMESTAMP_MAX;
use firndb_tsdb::model::{Bitmap, Columns, TimeRange, Timestamp};
use rayon::prelude::*;

use super::Series;
use super::companions;
use super::expr;
use super::filter::SeriesFilter;
use super::fold::WORTH_THREADS;
use super::input::{Piece, rows_within};
use super::mask;
use super::resolve::Ref;
use super::shared::Shared;
use super::transform::Running;
use super::vector::{Data, TextBuilder, Vector};
use super::windowed;
use crate::error::Result;

/// Rows of a slice before filtering: with ten columns about 6 MiB, and enough work to share.
const SLICE_ROWS: usize = 64 * 1024;
/// Rows of the first slice at least: reading fewer costs the same, values are packed in runs.
const SLICE_ROWS_MIN: usize = 16;
/// A gap of so many rows that a filter dropped is not read: two packed runs.
const GAP_ROWS: usize = 512;

/// Rows of one output series yet to come.
pub struct RawRun {
    group: usize,
    cursors: Option<Vec<Cursor>>,
    slice_rows: usize,
    skip: u64,
    left: u64,
    transforms: Vec<Running>,
}

/// Where one series is.
struct Cursor {
    series: u32,
    /// What has not been read.
    rest: TimeRange,
    /// The next piece, cut to `rest`: its span and about how many rows.
    next: Option<(TimeRange, usize)>,
    /// That piece, when its rows were at hand: merged once, then used slice by slice.
    at_hand: Option<AtHand>,
}

struct AtHand {
    rows: Columns,
    _held: Reservation,
}

/// Rows of one series, ascending, with the fields that the plan refers to.
struct Block {
    series: u32,
    timestamps: Vec<Timestamp>,
    columns: Vec<Vector>,
}

impl RawRun {
    /// Output series `group`, nothing read yet.
    pub fn new(shared: &Shared, group: usize) -> RawRun {
        let plan = &shared.plan;
        let wanted = plan.limit.map_or(u64::MAX, |limit| limit.saturating_add(plan.offset));
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        RawRun {
            group,
            cursors: None,
            slice_rows: wanted.clamp(SLICE_ROWS_MIN, SLICE_ROWS),
            skip: plan.offset,
            left: plan.limit.unwrap_or(u64::MAX),
            transforms: shared
                .resolved
                .transforms
                .iter()
                .map(|s| Running::new(s.transform))
                .collect(),
        }
    }

    /// The next part with at least one row.
    pub fn next(&mut self, shared: &Shared) -> Result<Option<Series>> {
        loop {
            shared.means.check()?;
            let fields = fields(shared);
            if self.left == 0 || fields.is_empty() {
                return Ok(None);
            }
            let descending = shared.plan.descending;
            let mut cursors = match self.cursors.take() {
                Some(cursors) => cursors,
                None => open(shared, self.group)?,
            };
            cursors.retain(|cursor| cursor.next.is_some());
            let Some(slice) = next_slice(&cursors, self.slice_rows, descending) else {
                return Ok(None);
            };
            self.slice_rows = (self.slice_rows * 4).min(SLICE_ROWS);
            let mut blocks = read(shared, &mut cursors, slice, &fields)?;
            self.cursors = Some(cursors);
            blocks.retain(|block| !block.timestamps.is_empty());
            if let Some(part) = self.part(shared, blocks, &fields)? {
                return Ok(Some(part));
            }
        }
    }

    fn part(
        &mut self,
        shared: &Shared,
        blocks: Vec<Block>,
        fields: &[usize],
    ) -> Result<Option<Series>> {
        let rows: usize = blocks.iter().map(|block| block.timestamps.len()).sum();
        if rows == 0 {
            return Ok(None);
        }
        let bytes = rows * (fields.len() * 16 + 32);
        let _held = shared.reserve(bytes as u64)?;
        let order = merged(&blocks, shared.plan.descending);
        let counts_rows = self.transforms.is_empty();
        let (start, end) = if counts_rows { self.limit(rows) } else { (0, rows) };
        let order = Order { picks: order, start, end };
        let times = order.times(&blocks);
        let columns = self.columns(shared, &blocks, &order, fields, &times);
        let values = windowed::outputs(shared, columns, times.len());
        if counts_rows {
            return Ok((start < end).then(|| shared.part(self.group, times, values)));
        }
        // Functions of rows have no value in some rows: those are not rows of the answer.
        let some = mask::from_fn(times.len(), |row| values.iter().any(|v| v.is_valid(row)));
        let mut kept = mask::rows(&some);
        let (start, end) = self.limit(kept.len());
        kept = kept[start..end].to_vec();
        let times: Vec<Timestamp> = kept.iter().map(|row| times[*row as usize]).collect();
        let values = values.iter().map(|column| column.take(&kept)).collect();
        Ok((!times.is_empty()).then(|| shared.part(self.group, times, values)))
    }

    /// Which of the next `rows` rows are part of the answer.
    fn limit(&mut self, rows: usize) -> (usize, usize) {
        let skipped = self.skip.min(rows as u64);
        self.skip -= skipped;
        let end = (rows as u64).min(skipped.saturating_add(self.left));
        self.left -= end - skipped;
        (skipped as usize, end as usize)
    }

    fn columns(
        &mut self,
        shared: &Shared,
        blocks: &[Block],
        order: &Order,
        fields: &[usize],
        times: &[Timestamp],
    ) -> Vec<Vector> {
        let mut columns: Vec<Vector> = Vec::with_capacity(shared.resolved.refs.len());
        for to in &shared.resolved.refs {
            let column = match to {
                Ref::Field(field) => {
                    let at = fields.iter().position(|f| f == field).expect("its fields are read");
                    order.gather(&blocks.iter().map(|block| &block.columns[at]).collect::<Vec<_>>())
                }
                Ref::Tag(key) => {
                    let tag = &shared.tag_columns[key];
                    let codes: Vec<Option<u32>> =
                        blocks.iter().map(|block| tag.codes[block.series as usize]).collect();
                    order.tag(&tag.words, &codes)
                }
                Ref::Transform(at) => {
                    let slot = &shared.resolved.transforms[*at];
                    let input = expr::eval(&slot.input, &columns, times.len()).into_owned();
                    self.transforms[*at].apply(times, &input)
                }
                Ref::Call(_) => Vector::missing(times.len()),
            };
            columns.push(column);
        }
        columns
    }
}

/// Fields that the output refers to, as numbers of the input.
fn fields(shared: &Shared) -> Vec<usize> {
    let field = |r: &Ref| if let Ref::Field(field) = r { Some(*field) } else { None };
    shared.resolved.refs.iter().filter_map(field).collect()
}

/// Looks at the next piece of every series of the group.
fn open(shared: &Shared, group: usize) -> Result<Vec<Cursor>> {
    let open = |series: &u32| -> Result<Cursor> {
        shared.means.check()?;
        let rest = shared.plan.range;
        let mut cursor = Cursor { series: *series, rest, next: None, at_hand: None };
        if matches!(SeriesFilter::new(shared, *series), SeriesFilter::Nothing) {
            return Ok(cursor);
        }
        let mut pieces =
            shared.input.pieces(*series as usize, cursor.rest, shared.plan.descending)?;
        while let Some(piece) = pieces.next_piece()? {
            if cursor.look_ahead(shared, piece)? {
                break;
            }
        }
        drop(pieces);
        Ok(cursor)
    };
    shared.groups[group].series.iter().map(open).collect()
}

/// Span and about how many rows of the part of `piece` within `rest`.
fn ahead(piece: &Piece<'_>, rest: TimeRange) -> Option<(TimeRange, usize)> {
    let span = piece.time_range()?;
    let part = span.intersect(&rest);
    (!part.is_empty()).then(|| (part, rows_within(piece.rows(), span, part)))
}

/// The span at the head of what is left that has about `rows` rows, by the density of the pieces
/// that come next.
fn next_slice(cursors: &[Cursor], rows: usize, descending: bool) -> Option<TimeRange> {
    // Seen in the direction of the plan: (nearest, farthest), both growing away from the head.
    let oriented = |span: TimeRange| {
        if descending { (-span.end, -span.start) } else { (span.start, span.end) }
    };
    let mut pieces: Vec<(Timestamp, f64)> = cursors
        .iter()
        .filter_map(|cursor| cursor.next)
        .map(|(span, rows)| {
            let (near, far) = oriented(span);
            (near, rows.max(1) as f64 / (far as f64 - near as f64 + 1.0))
        })
        .collect();
    pieces.sort_by_key(|(near, _)| *near);
    let head = pieces.first()?.0;
    let (mut at, mut expected, mut density) = (head, 0.0, 0.0f64);
    for (near, more) in pieces {
        let gained = density * (near as f64 - at as f64);
        if expected + gained >= rows as f64 {
            break;
        }
        (expected, at) = (expected + gained, near);
        density += more;
    }
    let far = at as f64 + (rows as f64 - expected) / density;
    let far = (far.min(TIMESTAMP_MAX as f64) as Timestamp).clamp(head, TIMESTAMP_MAX);
    Some(if descending { TimeRange::new(-far, -head) } else { TimeRange::new(head, far) })
}

/// Rows of all series in `slice`, one after another; cursors move past it.
fn read(
    shared: &Shared,
    cursors: &mut [Cursor],
    slice: TimeRange,
    fields: &[usize],
) -> Result<Vec<Block>> {
    let expected: usize = cursors
        .iter()
        .filter_map(|cursor| cursor.next)
        .map(|(span, rows)| rows_within(rows, span, slice))
        .sum();
    let width = fields.len() + shared.resolved.filter.as_ref().map_or(0, |f| f.refs.len());
    let values = expected as u64 * width as u64;
    let _held = shared.reserve(values * 16)?;
    let one = |cursor: &mut Cursor| cursor.take(shared, slice, fields);
    let pool = shared.means.pool.as_ref();
    let blocks: Result<Vec<Vec<Block>>> = match pool.filter(|_| values >= WORTH_THREADS) {
        Some(pool) if cursors.len() > 1 => {
            pool.install(|| cursors.par_iter_mut().map(one).collect())
        }
        _ => cursors.iter_mut().map(one).collect(),
    };
    Ok(blocks?.into_iter().flatten().collect())
}

impl Cursor {
    /// Reads what lies in `slice`, which is at the head of what is left, and looks ahead.
    fn take(&mut self, shared: &Shared, slice: TimeRange, fields: &[usize]) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        let descending = shared.plan.descending;
        let rest = self.rest;
        self.rest = if descending {
            TimeRange::new(rest.start, slice.start.saturating_sub(1))
        } else {
            TimeRange::new(slice.end.saturating_add(1), rest.end)
        };
        if self.next.is_none_or(|(span, _)| !span.overlaps(&slice)) {
            return Ok(blocks);
        }
        self.next = None;
        let filter = SeriesFilter::new(shared, self.series);
        let mut unread = rest;
        if let Some(AtHand { rows: at_hand, .. }) = self.at_hand.take() {
            let piece = Piece::Rows(at_hand);
            if let Some(span) = piece.time_range() {
                let part = span.intersect(&slice).intersect(&rest);
                rows(shared, self.series, &piece, part, &filter, fields, &mut blocks)?;
                unread = match descending {
                    true => TimeRange::new(rest.start, span.start.saturating_sub(1)),
                    false => TimeRange::new(span.end.saturating_add(1), rest.end),
                };
            }
            if self.look_ahead(shared, piece)? {
                return Ok(blocks);
            }
        }
        let mut pieces = shared.input.pieces(self.series as usize, unread, descending)?;
        while let Some(piece) = pieces.next_piece()? {
            shared.means.check()?;
            let Some(span) = piece.time_range() else { continue };
            let part = span.intersect(&slice).intersect(&unread);
            if !part.is_empty() {
                rows(shared, self.series, &piece, part, &filter, fields, &mut blocks)?;
            }
            if self.look_ahead(shared, piece)? {
                break;
            }
        }
        if descending {
            blocks.sort_by_key(|block| block.timestamps.first().copied());
        }
        Ok(blocks)
    }
}

impl Cursor {
    /// Notes `piece` as the next one if some of it is left to read.
    fn look_ahead(&mut self, shared: &Shared, piece: Piece<'_>) -> Result<bool> {
        self.next = ahead(&piece, self.rest);
        if let (Piece::Rows(rows), Some(_)) = (piece, self.next) {
            let bytes = rows.timestamps.len() * (rows.columns.len() + 1) * 8;
            self.at_hand = Some(AtHand { rows, _held: shared.reserve(bytes as u64)? });
        }
        Ok(self.next.is_some())
    }
}

/// Rows of `piece` within `part` that the filter keeps and that have one of the fields.
fn rows(
    shared: &Shared,
    series: u32,
    piece: &Piece<'_>,
    part: TimeRange,
    filter: &SeriesFilter<'_>,
    fields: &[usize],
    blocks: &mut Vec<Block>,
) -> Result<()> {
    let mut load = |range: TimeRange, kept: Option<&Bitmap>| -> Result<()> {
        let loaded = piece.load(fields, range)?;
        shared.count_points(loaded.timestamps.len() as u64 * fields.len() as u64)?;
        let columns: Vec<Vector> = loaded.columns.into_iter().map(Vector::from).collect();
        let kept = mask::and(kept, some_value(&columns, loaded.timestamps.len()).as_ref());
        blocks.push(match kept {
            None => Block { series, timestamps: loaded.timestamps, columns },
            Some(kept) => {
                let rows = mask::rows(&kept);
                let timestamps = rows.iter().map(|r| loaded.timestamps[*r as usize]).collect();
                let columns = columns.iter().map(|column| column.take(&rows)).collect();
                Block { series, timestamps, columns }
            }
        });
        Ok(())
    };
    match filter {
        SeriesFilter::Nothing => Ok(()),
        SeriesFilter::All => load(part, None),
        SeriesFilter::Rows(filter) => {
            let Some(kept) = filter.keep(piece, part)? else { return Ok(()) };
            for (start, end) in mask::spans(&kept.rows, GAP_ROWS) {
                let range = TimeRange::new(kept.timestamps[start], kept.timestamps[end - 1]);
                load(range, Some(&mask::slice(&kept.rows, start, end)))?;
            }
            Ok(())
        }
    }
}

/// Rows in which some column has a value; `None`: all.
fn some_value(columns: &[Vector], rows: usize) -> Option<Bitmap> {
    let mut some = Bitmap::filled(rows, false);
    for column in columns {
        let mask = column.mask()?;
        some = mask::zip(&some, &mask, |a, b| a | b);
    }
    Some(some)
}

/// The rows of all blocks in order of time, as (block, row).
fn merged(blocks: &[Block], descending: bool) -> Option<Vec<(u32, u32)>> {
    if blocks.len() == 1 && !descending {
        return None;
    }
    let mut picks: Vec<(Timestamp, u32, u32)> = Vec::new();
    for (block, of) in blocks.iter().enumerate() {
        let times = of.timestamps.iter().enumerate();
        picks.extend(times.map(|(row, time)| (*time, block as u32, row as u32)));
    }
    if blocks.len() > 1 {
        // Stable, and fast on what it is given: runs that are sorted already.
        picks.sort_by_key(|(time, ..)| *time);
    }
    if descending {
        picks.reverse();
    }
    Some(picks.into_iter().map(|(_, block, row)| (block, row)).collect())
}

/// Which rows of which blocks the part has.
struct Order {
    /// `None`: the rows of the only block.
    picks: Option<Vec<(u32, u32)>>,
    start: usize,
    end: usize,
}

impl Order {
    fn rows(&self) -> &[(u32, u32)] {
        self.picks.as_ref().map_or(&[], |picks| &picks[self.start..self.end])
    }

    fn times(&self, blocks: &[Block]) -> Vec<Timestamp> {
        match self.picks {
            None => blocks[0].timestamps[self.start..self.end].to_vec(),
            Some(_) => {
                let time =
                    |(block, row): &(u32, u32)| blocks[*block as usize].timestamps[*row as usize];
                self.rows().iter().map(time).collect()
            }
        }
    }

    /// One field of the picked rows. Blocks without the field are missing throughout.
    fn gather(&self, blocks: &[&Vector]) -> Vector {
        if self.picks.is_none() {
            return blocks[0].slice(self.start, self.end);
        }
        let typed = blocks.iter().map(|v| &v.data).find(|data| !matches!(data, Data::Missing(_)));
        let data = match typed {
            None => return Vector::missing(self.rows().len()),
            Some(Data::Float(_)) => Data::Float(self.pick(blocks, |data| match data {
                Data::Float(v) => v,
                _ => &[],
            })),
            Some(Data::Integer(_)) => Data::Integer(self.pick(blocks, |data| match data {
                Data::Integer(v) => v,
                _ => &[],
            })),
            Some(Data::Unsigned(_)) => Data::Unsigned(self.pick(blocks, |data| match data {
                Data::Unsigned(v) => v,
                _ => &[],
            })),
            Some(Data::Boolean(_)) => Data::Boolean(self.pick(blocks, |data| match data {
                Data::Boolean(v) => v,
                _ => &[],
            })),
            Some(_) => self.text(blocks),
        };
        let is_full = |v: &&Vector| v.validity.is_none() && !matches!(v.data, Data::Missing(_));
        let validity = (!blocks.iter().all(is_full)).then(|| {
            let rows = self.rows();
            mask::from_fn(rows.len(), |i| blocks[rows[i].0 as usize].is_valid(rows[i].1 as usize))
        });
        Vector { data, validity }
    }

    fn pick<'a, T: Copy + Default + 'a>(
        &self,
        blocks: &[&'a Vector],
        values: impl Fn(&'a Data) -> &'a [T],
    ) -> Vec<T> {
        let slices: Vec<&[T]> = blocks.iter().map(|v| values(&v.data)).collect();
        let value = |(block, row): &(u32, u32)| {
            slices[*block as usize].get(*row as usize).copied().unwrap_or_default()
        };
        self.rows().iter().map(value).collect()
    }

    fn text(&self, blocks: &[&Vector]) -> Data {
        let mut out = TextBuilder::default();
        for (block, row) in self.rows() {
            let text: &[u8] = match &blocks[*block as usize].data {
                Data::String { offsets, bytes } => {
                    let row = *row as usize;
                    &bytes[offsets[row] as usize..offsets[row + 1] as usize]
                }
                _ => &[],
            };
            out.push(text);
        }
        out.finish()
    }

    fn tag(&self, words: &Arc<[String]>, codes: &[Option<u32>]) -> Vector {
        match self.picks {
            None => {
                let rows = self.end - self.start;
                companions::tag_column(words, std::iter::repeat_n(codes[0], rows))
            }
            Some(_) => {
                let code = |(block, _): &(u32, u32)| codes[*block as usize];
                companions::tag_column(words, self.rows().iter().map(code))
            }
        }
    }
}
