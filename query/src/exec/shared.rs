//! What all parts of one running query share: the bound plan, the input, the groups; and the
//! guards that every loop passes: deadline, cancellation, limits, memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firndb_engine::budget::Reservation;
use firndb_tsdb::model::{TagSet, TimeRange};

use super::context::Means;
use super::input::Input;
use super::resolve::{Ref, Resolved};
use super::window::Buckets;
use super::{SHARE, Series, SeriesHead, Vector};
use crate::error::{Error, Result};
use crate::plan::{GroupTags, Plan};

/// Series whose rows make up one output series.
#[derive(Debug, Clone)]
pub struct Group {
    /// Name, tags, columns.
    pub head: Arc<SeriesHead>,
    /// Indexes into the input, ascending in the order in which series are evaluated.
    pub series: Vec<u32>,
}

/// The values of one tag over all series of the input.
#[derive(Debug, Clone)]
pub struct TagColumn {
    /// The different values, sorted.
    pub words: Arc<[String]>,
    /// Per series the index of its value, `None` without the tag.
    pub codes: Vec<Option<u32>>,
}

/// One running query.
pub struct Shared {
    /// Threads, memory, time.
    pub means: Means,
    /// Where rows come from.
    pub input: Box<dyn Input>,
    /// The bound plan.
    pub resolved: Resolved,
    /// The plan itself, for its numbers.
    pub plan: Plan,
    /// Its buckets.
    pub buckets: Buckets,
    /// Output series to be, sorted by tags.
    pub groups: Vec<Group>,
    /// Tags of the input's series; empty when the plan names none.
    pub tags: Vec<TagSet>,
    /// Columns of tags that the plan refers to.
    pub tag_columns: HashMap<String, TagColumn>,
    /// Per field with calls: its number and its calls.
    pub field_calls: Vec<(usize, Vec<usize>)>,
    points: AtomicU64,
}

impl Shared {
    /// Prepares a query over the series of `input`, whose tags are `tags` (which may be empty
    /// when [`needs_tags`] says so) and are `count` in number.
    pub fn new(
        means: Means,
        plan: Plan,
        resolved: Resolved,
        input: Box<dyn Input>,
        tags: Vec<TagSet>,
        count: usize,
        keys: &[String],
    ) -> Shared {
        let groups = groups(&plan, &tags, count, keys);
        let mut field_calls: Vec<(usize, Vec<usize>)> = Vec::new();
        for (call, slot) in resolved.calls.iter().enumerate() {
            let Some(field) = slot.field else { continue };
            match field_calls.iter_mut().find(|(known, _)| *known == field) {
                Some((_, calls)) => calls.push(call),
                None => field_calls.push((field, vec![call])),
            }
        }
        let named = resolved.refs.iter().filter_map(|r| match r {
            Ref::Tag(key) => Some((key.clone(), tag_column(key, &tags))),
            _ => None,
        });
        Shared {
            tag_columns: named.collect(),
            buckets: Buckets::new(plan.window.clone()),
            points: AtomicU64::new(0),
            means,
            input,
            resolved,
            plan,
            groups,
            tags,
            field_calls,
        }
    }

    /// Whether the lower end of the range is open.
    pub fn is_open_start(&self) -> bool {
        self.plan.range.start <= TimeRange::ALL.start
    }

    /// Values read so far.
    pub fn points(&self) -> u64 {
        self.points.load(Ordering::Relaxed)
    }

    /// Counts values about to be read, against the limit.
    pub fn count_points(&self, points: u64) -> Result<()> {
        let limit = self.means.limits.points_max;
        let found = self.points.fetch_add(points, Ordering::Relaxed) + points;
        if limit > 0 && found > limit {
            return Err(Error::Limit { name: "max-select-point", found, limit });
        }
        Ok(())
    }

    /// A reservation of `bytes` of the queries' share.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation> {
        reserve(&self.means, bytes)
    }

    /// An output part of group `group`.
    pub fn part(&self, group: usize, times: Vec<i64>, values: Vec<Vector>) -> Series {
        Series { head: self.groups[group].head.clone(), times, values, partial: false }
    }
}

/// A reservation of `bytes` of the queries' share.
pub fn reserve(means: &Means, bytes: u64) -> Result<Reservation> {
    means.budget.try_reserve(SHARE, bytes).ok_or(Error::Memory { needed_bytes: bytes })
}

/// Lets `reservation` grow to `bytes`; it does not shrink.
pub fn grow(reservation: &mut Reservation, bytes: u64) -> Result<()> {
    let more = bytes.saturating_sub(reservation.bytes());
    if more > 0 && !reservation.try_grow(more) {
        return Err(Error::Memory { needed_bytes: more });
    }
    Ok(())
}

/// Whether the plan can be run only with the tags of each series at hand: to group, to show, to
/// compare, or to order rows of several series at one time.
pub fn needs_tags(plan: &Plan, resolved: &Resolved) -> bool {
    let is_tag = |r: &Ref| matches!(r, Ref::Tag(_));
    let by_function = resolved.calls.iter().any(|call| {
        use crate::plan::Function::{Bottom, Top};
        matches!(&call.function, Top { tags, .. } | Bottom { tags, .. } if !tags.is_empty())
    });
    resolved.is_raw()
        || plan.group != GroupTags::List(Vec::new())
        || resolved.refs.iter().any(is_tag)
        || resolved.filter.as_ref().is_some_and(|filter| filter.refs.iter().any(is_tag))
        || by_function
}

fn groups(plan: &Plan, tags: &[TagSet], count: usize, keys: &[String]) -> Vec<Group> {
    let mut by = match &plan.group {
        GroupTags::List(by) => by.clone(),
        GroupTags::All => keys.to_vec(),
    };
    by.sort();
    by.dedup();
    let mut sorted: Vec<u32> = (0..count as u32).collect();
    if tags.len() == count {
        sorted.sort_by(|a, b| tags[*a as usize].cmp(&tags[*b as usize]));
    }
    let mut found: HashMap<Vec<&str>, usize> = HashMap::new();
    let mut members: Vec<(Vec<&str>, Vec<u32>)> = Vec::new();
    for series in sorted {
        let value = |key: &String| tags[series as usize].get(key).unwrap_or_default();
        let values: Vec<&str> = by.iter().map(value).collect();
        let at = *found.entry(values).or_insert_with_key(|values| {
            members.push((values.clone(), Vec::new()));
            members.len() - 1
        });
        members[at].1.push(series);
    }
    members.sort_by(|a, b| a.0.cmp(&b.0));
    let columns: Vec<String> = plan.columns.iter().map(|column| column.name.clone()).collect();
    let group = |(values, series): (Vec<&str>, Vec<u32>)| Group {
        head: Arc::new(SeriesHead {
            name: plan.name.clone(),
            tags: by.iter().cloned().zip(values.into_iter().map(str::to_owned)).collect(),
            columns: columns.clone(),
        }),
        series,
    };
    members.into_iter().map(group).collect()
}

fn tag_column(key: &str, tags: &[TagSet]) -> TagColumn {
    let mut words: Vec<&str> = tags.iter().filter_map(|tags| tags.get(key)).collect();
    words.sort_unstable();
    words.dedup();
    let code = |tags: &TagSet| {
        tags.get(key).and_then(|value| words.binary_search(&value).ok()).map(|at| at as u32)
    };
    TagColumn {
        codes: tags.iter().map(code).collect(),
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    }
}
