//! Tables that hold nothing that anybody can see: they go by an edit, unread.

use super::{InFlight, Plan, PlanReason};
use crate::key::{KeyspaceId, Seq};
use crate::levels::Version;
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
