//! What a request means, in series, spans and fields.
//!
//! Conditions on tags are asked of the index; what rows meet conditions on values was found before
//! (`rows`).
//!
//! A delete without a condition on time, values or policy leaves series without any point: these
//! are dropped by it, so that no list shows their tags, and a measurement goes with its last one.

use std::sync::Arc;

use croaring::Bitmap;

use super::rows::RowSpans;
use super::{DeleteRequest, DeleteTarget};
use crate::Result;
use crate::database::Database;
use crate::erasure::Group;
use crate::model::{FieldId, MeasurementId, RowPredicate, TimeRange};
use crate::schema::MeasurementInfo;

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

    /// What `request` means, with the rows that meet its conditions. No write is in flight.
    pub(super) fn resolve_delete(
        &self,
        request: &DeleteRequest,
        rows: &RowSpans,
    ) -> Result<Resolved> {
        let policies = self.delete_policies(request)?;
        let mut resolved = Resolved::default();
        let policy: Option<Arc<str>> = request.policy.as_deref().map(Arc::from);
        let ranges: Arc<[TimeRange]> = [request.range].into();
        if request.range.is_empty() {
            return Ok(resolved);
        }
        let is_for_ever = policy.is_none() && request.range.covers(&TimeRange::ALL);
        let mut whole = Bitmap::new();
        for (number, target) in request.targets.iter().enumerate() {
            let Some(found) = self.find_target(target, request.fields.as_deref())? else {
                continue;
            };
            if found.rows.is_some() {
                rows.add_to(&mut resolved, (&found, number), &policies);
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
}
