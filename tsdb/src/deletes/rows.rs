//! Conditions on values: the spans of each series in which rows meet them.
//!
//! Rows are looked at one by one, policy by policy; those that follow each other and are meant
//! become one span. That takes a scan of everything in question, and writes do not wait for it:
//!
//! 1. With a [`Watch`] begun, all is scanned, while writes go on.
//! 2. What was written meanwhile is scanned again, and what was written during that; each time
//!    there is less of it, since rows are scanned faster than written.
//! 3. When few are left, or after [`ROUNDS_MAX`] times, the delete takes the gate and scans what is
//!    left with no write in flight.
//!
//! Invariant: once step 3 is done the spans hold every row that meets the condition at that moment,
//! and none that does not. Where rows changed, spans are cut out and found anew; elsewhere what was
//! found still holds.
//!
//! Expiry is passed over: what has expired is taken too, should its policy come to keep points for
//! longer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use croaring::Bitmap;
use firndb_engine::budget::{Budget, Reservation, Share};

use super::DeleteRequest;
use super::memory::{self, SPAN_BYTES};
use super::resolve::{Found, Resolved};
use super::watch::{Touched, Watch};
use crate::database::Database;
use crate::erasure::Group;
use crate::model::time::TIMESTAMP_MIN;
use crate::model::{Column, Columns, FieldId, RowPredicate, SeriesId, TimeRange};
use crate::scan::{Piece, ScanRequest};
use crate::schema::MeasurementInfo;
use crate::{Error, Result};

/// Most spans of one delete: about 20 MB of its record.
const SPANS_MAX: usize = 1 << 20;

/// Most times that what was written meanwhile is scanned with writes going on.
const ROUNDS_MAX: usize = 8;

/// Rows that writes may wait for: about a millisecond of scanning memtables.
const ROWS_FEW: u64 = 10_000;

/// A series that has spans, beside these: key and vector, twice as nodes of trees are half full.
const ENTRY_BYTES: u64 = 2 * (size_of::<Key>() + size_of::<Vec<TimeRange>>()) as u64;

/// What was found with writes going on, and who tells what changed since.
#[derive(Debug)]
pub(super) struct FoundAhead<'d> {
    watch: Watch<'d>,
    pub spans: RowSpans,
}

/// A series that has spans: number of the target, policy, number of the series.
type Key = (usize, Arc<str>, u32);

/// Spans of rows that meet the conditions of a request.
#[derive(Debug)]
pub(super) struct RowSpans {
    /// Ascending and apart; none is empty.
    by_series: BTreeMap<Key, Vec<TimeRange>>,
    count: usize,
    memory: Reservation,
}

impl Database {
    /// Steps 1 and 2; `None`: the request has no condition on values.
    pub(super) fn find_rows(&self, request: &DeleteRequest) -> Result<Option<FoundAhead<'_>>> {
        if request.range.is_empty() || request.targets.iter().all(|target| target.rows.is_none()) {
            return Ok(None);
        }
        let watch = {
            let _gate = self.gate.write();
            self.watches.begin(&self.budget)
        };
        let mut ahead = FoundAhead { watch, spans: RowSpans::new(&self.budget) };
        self.scan_rows(request, None, &mut ahead.spans)?;
        for _ in 0..ROUNDS_MAX {
            let taken = ahead.watch.take()?;
            self.scan_rows(request, Some(&taken.touched), &mut ahead.spans)?;
            if taken.rows <= ROWS_FEW {
                break;
            }
        }
        Ok(Some(ahead))
    }

    /// Step 3. The caller holds the gate.
    pub(super) fn catch_up(
        &self,
        request: &DeleteRequest,
        ahead: Option<FoundAhead<'_>>,
    ) -> Result<RowSpans> {
        let Some(FoundAhead { watch, mut spans }) = ahead else {
            return Ok(RowSpans::new(&self.budget));
        };
        self.scan_rows(request, Some(&watch.take()?.touched), &mut spans)?;
        Ok(spans)
    }

    /// Scans all that a request may mean, or what of it was touched.
    fn scan_rows(
        &self,
        request: &DeleteRequest,
        touched: Option<&[Touched]>,
        spans: &mut RowSpans,
    ) -> Result<()> {
        if touched.is_some_and(<[Touched]>::is_empty) {
            return Ok(());
        }
        for policy in self.delete_policies(request)? {
            for (number, target) in request.targets.iter().enumerate() {
                let found = match &target.rows {
                    Some(_) => self.find_target(target, request.fields.as_deref())?,
                    None => None,
                };
                let Some(found) = found else { continue };
                let mut scan = |series: &Bitmap, range: TimeRange| {
                    let done = self.scan_target((&found, number), &policy, (series, range), spans);
                    match done {
                        // Dropped meanwhile.
                        Err(Error::PolicyNotFound { .. }) if request.policy.is_none() => Ok(()),
                        done => done,
                    }
                };
                let Some(touched) = touched else {
                    scan(&found.series, request.range)?;
                    continue;
                };
                let is_here =
                    |touched: &&Touched| touched.policy.as_deref().is_none_or(|own| own == policy);
                for touched in touched.iter().filter(is_here) {
                    let range = touched.range.intersect(&request.range);
                    scan(&touched.series.and(&found.series), range)?;
                }
            }
        }
        Ok(())
    }

    /// Finds anew what is meant in `range` of these series.
    fn scan_target(
        &self,
        (found, number): (&Found<'_>, usize),
        policy: &str,
        (series, range): (&Bitmap, TimeRange),
        spans: &mut RowSpans,
    ) -> Result<()> {
        let Some(predicate) = found.rows else { return Ok(()) };
        if range.is_empty() || series.is_empty() {
            return Ok(());
        }
        let asked = Asked::new(&found.info, predicate, self.left_out.has_fields());
        let policy: Arc<str> = policy.into();
        let series: Vec<SeriesId> = series.iter().map(SeriesId).collect();
        let scan = self.scan(&ScanRequest {
            policy: Some(&policy),
            measurement: found.info.id,
            series: &series,
            fields: &asked.fields,
            range,
            descending: false,
            now: TIMESTAMP_MIN,
        })?;
        for (index, id) in series.iter().enumerate() {
            let Some((_, tags)) = self.index.key(*id)? else { continue };
            let mut rows = Rows::default();
            let mut pieces = scan.series(index)?;
            while let Some(piece) = pieces.next_piece()? {
                self.check_stopped()?;
                let columns = asked.load(&piece)?;
                let holds = predicate.holds(&tags, &asked.arrange(&columns));
                for (row, timestamp) in columns.timestamps.iter().enumerate() {
                    rows.add(*timestamp, holds.get(row));
                }
            }
            spans.replace((number, policy.clone(), id.0), range, &rows.spans)?;
        }
        Ok(())
    }
}

impl RowSpans {
    fn new(budget: &Budget) -> RowSpans {
        let memory = budget.reserve_anyway(Share::Deletes, 0);
        RowSpans { by_series: BTreeMap::new(), count: 0, memory }
    }

    /// Puts `new` in the place of what was found in `range`.
    fn replace(&mut self, key: Key, range: TimeRange, new: &[TimeRange]) -> Result<()> {
        let old = self.by_series.remove(&key).unwrap_or_default();
        self.count -= old.len();
        let spans = replaced(old, range, new);
        self.count += spans.len();
        if self.count > SPANS_MAX {
            let (got, limit) = (self.count as u64, SPANS_MAX as u64);
            return Err(Error::Limit { what: "separate spans of a delete", got, limit });
        }
        if !spans.is_empty() {
            self.by_series.insert(key, spans);
        }
        let needed = self.by_series.len() as u64 * ENTRY_BYTES + self.count as u64 * SPAN_BYTES;
        match self.memory.try_grow(needed.saturating_sub(self.memory.bytes())) {
            true => Ok(()),
            false => Err(memory::refusal()),
        }
    }

    /// Adds what was found of target `number` to what the delete means.
    pub(super) fn add_to(
        &self,
        resolved: &mut Resolved,
        (found, number): (&Found<'_>, usize),
        policies: &[String],
    ) {
        for policy in policies {
            let policy: Arc<str> = policy.as_str().into();
            let from = (number, policy.clone(), 0)..=(number, policy.clone(), u32::MAX);
            let of_policy = self.by_series.range(from);
            // Of a series that was dropped meanwhile nothing is left.
            for ((_, _, id), spans) in
                of_policy.filter(|((_, _, id), _)| found.series.contains(*id))
            {
                resolved.series.add(*id);
                resolved.groups.push(Group {
                    policy: Some(policy.clone()),
                    series: Arc::new(Bitmap::of(&[*id])),
                    ranges: spans.as_slice().into(),
                    fields: found.fields.as_deref().map(Arc::from),
                });
            }
        }
    }
}

/// `old` with what lies in `range` replaced by `new`. Spans that come to touch become one: between
/// them is no moment for a row that is not meant.
fn replaced(old: Vec<TimeRange>, range: TimeRange, new: &[TimeRange]) -> Vec<TimeRange> {
    if old.is_empty() {
        return new.to_vec();
    }
    let before = old.iter().filter(|span| span.start < range.start);
    let before = before.map(|span| TimeRange::new(span.start, span.end.min(range.start - 1)));
    let after = old.iter().filter(|span| span.end > range.end);
    let after = after.map(|span| TimeRange::new(span.start.max(range.end + 1), span.end));
    let mut all: Vec<TimeRange> = Vec::with_capacity(old.len() + new.len() + 1);
    for span in before.chain(new.iter().copied()).chain(after) {
        match all.last_mut() {
            Some(last) if last.end + 1 == span.start => last.end = span.end,
            _ => all.push(span),
        }
    }
    all
}

/// Rows that are meant, as spans.
#[derive(Default)]
struct Rows {
    spans: Vec<TimeRange>,
    /// Whether the row before was meant.
    is_open: bool,
}

impl Rows {
    fn add(&mut self, timestamp: i64, is_meant: bool) {
        match self.spans.last_mut() {
            Some(span) if is_meant && self.is_open => span.end = timestamp,
            _ if is_meant => self.spans.push(TimeRange::new(timestamp, timestamp)),
            _ => {}
        }
        self.is_open = is_meant;
    }
}

/// The fields that a scan for a condition asks for.
pub(super) struct Asked {
    pub fields: Vec<FieldId>,
    /// For each field of the condition: where its column stands.
    places: Vec<Option<usize>>,
}

impl Asked {
    /// Fields of `predicate`; all of them where that is needed to see every row.
    pub fn new(info: &MeasurementInfo, predicate: &dyn RowPredicate, all: bool) -> Asked {
        let ids: Vec<Option<FieldId>> =
            predicate.fields().iter().map(|name| Some(info.field(name)?.id)).collect();
        let mut fields: Vec<FieldId> = ids.iter().flatten().copied().collect();
        if all || fields.is_empty() {
            fields = info.fields.iter().map(|field| field.id).collect();
        }
        fields.sort_unstable();
        fields.dedup();
        let place = |id: &Option<FieldId>| id.and_then(|id| fields.binary_search(&id).ok());
        let places = ids.iter().map(place).collect();
        Asked { fields, places }
    }

    /// The rows of a piece, with a column for each of [`Self::fields`].
    pub fn load<'p>(&self, piece: &'p Piece) -> Result<Cow<'p, Columns>> {
        let all: Vec<usize> = (0..self.fields.len()).collect();
        Ok(match piece {
            Piece::Rows(columns) => Cow::Borrowed(columns),
            Piece::Chunk(chunk) => Cow::Owned(chunk.load(&all, TimeRange::ALL)?),
        })
    }

    /// The columns of the condition.
    pub fn arrange(&self, columns: &Columns) -> Columns {
        let column = |place: &Option<usize>| match place {
            Some(at) => columns.columns[*at].clone(),
            None => Column::missing(FieldId(0), columns.rows()),
        };
        Columns {
            timestamps: columns.timestamps.clone(),
            columns: self.places.iter().map(column).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
