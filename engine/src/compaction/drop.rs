//! Tables that hold nothing that anybody can see: they go by an edit, unread.

use std::sync::Arc;

use super::{InFlight, Plan, PlanReason};
use crate::key::{KeyspaceId, Seq};
use crate::levels::{Run, Version};
use crate::manifest::TableMeta;

/// The tables of `version` that range deletes hide as a whole, unless a job holds them. `snapshots`
/// are live, ascending.
pub fn pick_hidden(
    keyspace: KeyspaceId,
    version: &Version,
    snapshots: &[Seq],
    in_flight: &InFlight,
) -> Option<Plan> {
    let deletes = &version.range_deletes;
    if deletes.is_empty() {
        return None;
    }
    let is_hidden = |table: &&TableMeta| {
        let keys = (&*table.smallest, &*table.largest);
        deletes.hide_all(keys, (table.min_seq, table.max_seq), snapshots)
    };
    pick(keyspace, version, in_flight, &is_hidden)
}

/// The tables of `version` all of whose entries have expired at `now_ms`, unless a job holds them.
/// An expired entry is a delete, so only where nothing older lies below.
pub fn pick_expired(
    keyspace: KeyspaceId,
    version: &Version,
    now_ms: u64,
    in_flight: &InFlight,
) -> Option<Plan> {
    if version.expires_first_ms > now_ms {
        return None;
    }
    let runs: Vec<_> = version.runs().collect();
    let hides_nothing = |table: &TableMeta| {
        let is_in = |run: &&&Arc<Run>| run.tables.iter().any(|t| t.meta.number == table.number);
        let older = runs.iter().rev().take_while(|run| !is_in(run));
        let mut below = older.flat_map(|run| &run.tables);
        !below.any(|other| other.meta.overlaps(&table.smallest, &table.largest))
    };
    let has_expired = |table: &&TableMeta| {
        table.expires_max_ms.is_some_and(|moment| moment <= now_ms) && hides_nothing(table)
    };
    pick(keyspace, version, in_flight, &has_expired)
}

/// A plan that drops the tables that are meant and free.
fn pick(
    keyspace: KeyspaceId,
    version: &Version,
    in_flight: &InFlight,
    is_meant: &dyn Fn(&&TableMeta) -> bool,
) -> Option<Plan> {
    let summary = version.summary();
    let is_free = |table: &&TableMeta| !in_flight.holds(table.number);
    let inputs: Vec<_> = summary
        .runs()
        .map(|run| {
            let free = run.tables.iter().copied().filter(is_free);
            (run.place, free.filter(is_meant).collect::<Vec<_>>())
        })
        .filter(|(_, tables)| !tables.is_empty())
        .collect();
    let output = inputs.first()?.0;
    let plan = Plan::merge(inputs, output, PlanReason::Drop)?;
    in_flight.allows(keyspace, &plan).then_some(plan)
}
