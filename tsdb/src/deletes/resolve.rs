//! What a request means, in series, spans and fields.
//!
//! A condition on values is evaluated row by row, policy by policy; rows that follow each other and
//! are meant become one span. Expiry is passed over: what has expired is taken too, should its
//! policy come to keep points for longer.
//!
//! A delete without a condition on time, values or policy leaves series without any point: these
//! are dropped by it, so that no list shows their tags, and a measurement goes with its last one.

use std::borrow::Cow;
use std::sync::Arc;

use croaring::Bitmap;

use super::{DeleteRequest, DeleteTarget};
use crate::database::Database;
use crate::erasure::Group;
use crate::model::time::TIMESTAMP_MIN;
use crate::model::{Column, Columns, FieldId, MeasurementId, RowPredicate, SeriesId, TimeRange};
use crate::scan::{Piece, ScanRequest};
use crate::schema::MeasurementInfo;
use crate::{Error, Result};

/// Most spans of one delete: about 20 MB of its record.
const SPANS_MAX: usize = 1 << 20;

/// What a request means.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub groups: Vec<Group>,
    pub series: Bitmap,
    /// Fields that are gone altogether.
    pub retired: Vec<(Arc<MeasurementInfo>, Vec<FieldId>)>,
    /// Series that are gone altogether, and measurements that lose their last series.
    pub dropped: Bitmap,
    pub emptied: Vec<MeasurementId>,
}

/// A target that exists.
pub(super) struct Found<'a> {
    pub info: Arc<MeasurementInfo>,
    pub series: Bitmap,
    /// Fields that go; `None`: all.
    pub fields: Option<Vec<FieldId>>,
    pub rows: Option<&'a dyn RowPredicate>,
}

impl Database {
    /// The target, unless there is nothing of it.
    pub(super) fn find_target<'a>(
        &self,
        target: &'a DeleteTarget,
        fields: Option<&[String]>,
    ) -> Result<Option<Found<'a>>> {
        let Some(info) = self.schema.by_name(&target.measurement) else { return Ok(None) };
        let series = self.index.matching(info.id, target.tags.as_ref())?;
        let fields = fields.map(|names| {
            let mut ids: Vec<FieldId> =
                names.iter().filter_map(|name| Some(info.field(name)?.id)).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        });
        if series.is_empty() || fields.as_ref().is_some_and(Vec::is_empty) {
            return Ok(None);
        }
        Ok(Some(Found { info, series, fields, rows: target.rows.as_deref() }))
    }

    /// Names of the policies that a request holds for.
    pub(super) fn delete_policies(&self, request: &DeleteRequest) -> Result<Vec<String>> {
        Ok(match &request.policy {
            Some(name) => vec![self.policy(Some(name))?.name],
            None => self.policies().into_iter().map(|policy| policy.name).collect(),
        })
    }

    /// What `request` means. No write is in flight.
    pub(super) fn resolve_delete(&self, request: &DeleteRequest) -> Result<Resolved> {
        let policies = self.delete_policies(request)?;
        let mut resolved = Resolved::default();
        let policy: Option<Arc<str>> = request.policy.as_deref().map(Arc::from);
        let ranges: Arc<[TimeRange]> = [request.range].into();
        if request.range.is_empty() {
            return Ok(resolved);
        }
        let is_for_ever = policy.is_none() && request.range.covers(&TimeRange::ALL);
        let mut whole = Bitmap::new();
        for target in &request.targets {
            let Some(found) = self.find_target(target, request.fields.as_deref())? else {
                continue;
            };
            if found.rows.is_some() {
                for policy in &policies {
                    self.resolve_rows(&found, policy, request.range, &mut resolved)?;
                }
                continue;
            }
            resolved.series.or_inplace(&found.series);
            let is_all_series = found.series == self.index.all(found.info.id)?;
            let Some(fields) = found.fields else {
                whole.or_inplace(&found.series);
                if is_for_ever && is_all_series {
                    resolved.emptied.push(found.info.id);
                }
                continue;
            };
            if is_for_ever && is_all_series {
                resolved.retired.push((found.info.clone(), fields.clone()));
            }
            resolved.groups.push(Group {
                policy: policy.clone(),
                series: Arc::new(found.series),
                ranges: ranges.clone(),
                fields: Some(fields.into()),
            });
        }
        if !whole.is_empty() {
            if is_for_ever {
                resolved.dropped = whole.clone();
            }
            let series = Arc::new(whole);
            resolved.groups.push(Group { policy, series, ranges, fields: None });
        }
        Ok(resolved)
    }

    /// Adds the spans in which rows of a policy meet a condition.
    fn resolve_rows(
        &self,
        found: &Found<'_>,
        policy: &str,
        range: TimeRange,
        resolved: &mut Resolved,
    ) -> Result<()> {
        let Some(predicate) = found.rows else { return Ok(()) };
        let asked = Asked::new(&found.info, predicate, self.left_out.has_fields());
        let series: Vec<SeriesId> = found.series.iter().map(SeriesId).collect();
        let scan = self.scan(&ScanRequest {
            policy: Some(policy),
            measurement: found.info.id,
            series: &series,
            fields: &asked.fields,
            range,
            descending: false,
            now: TIMESTAMP_MIN,
        })?;
        let mut total: usize = resolved.groups.iter().map(|group| group.ranges.len()).sum();
        for (index, id) in series.iter().enumerate() {
            let Some((_, tags)) = self.index.key(*id)? else { continue };
            let mut spans = Spans::default();
            let mut pieces = scan.series(index)?;
            while let Some(piece) = pieces.next_piece()? {
                let columns = asked.load(&piece)?;
                let holds = predicate.holds(&tags, &asked.arrange(&columns));
                for (row, timestamp) in columns.timestamps.iter().enumerate() {
                    spans.add(*timestamp, holds.get(row));
                }
            }
            total += spans.spans.len();
            if total > SPANS_MAX {
                let (got, limit) = (total as u64, SPANS_MAX as u64);
                return Err(Error::Limit { what: "separate spans of a delete", got, limit });
            }
            if !spans.spans.is_empty() {
                resolved.series.add(id.0);
                resolved.groups.push(Group {
                    policy: Some(policy.into()),
                    series: Arc::new(Bitmap::of(&[id.0])),
                    ranges: spans.spans.into(),
                    fields: found.fields.as_deref().map(Arc::from),
                });
            }
        }
        Ok(())
    }
}

/// Rows that are meant, as spans.
#[derive(Default)]
struct Spans {
    spans: Vec<TimeRange>,
    /// Whether the row before was meant.
    is_open: bool,
}

impl Spans {
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
