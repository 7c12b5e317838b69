//! When a partition goes, and which go now.

use std::collections::HashSet;
use std::sync::Arc;

use croaring::Bitmap;

use super::facts::Facts;
use crate::Result;
use crate::database::Database;
use crate::model::{TimeRange, Timestamp};
use crate::partition::Partition;
use crate::retention::{RetentionPolicy, RuleKind};
use crate::rules::AgeRule;

/// Why a partition goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The policy's duration is over, or the age that a rollup gives its points.
    Policy,
    /// The ages of these rules are over.
    Rules(Vec<u64>),
    /// The limit of bytes of this rule.
    Bytes(u64),
    /// Nothing is left in it.
    Empty,
}

/// When and why a partition goes by age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goes {
    /// How long its last point may live.
    pub(crate) age_ns: i64,
    /// Why.
    pub(crate) reason: Reason,
}

/// A partition that goes now.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) policy: String,
    pub(crate) partition: Arc<Partition>,
    pub(crate) bytes: u64,
    pub(crate) reason: Reason,
}

/// A partition with what is known of it.
pub(crate) type Known = (RetentionPolicy, Arc<Partition>, Facts);

/// How long points of a partition live at most, and why: the policy's duration or the shortest age
/// at which `rules`, shortest first, mean all the series that it may hold.
pub(crate) fn goes(
    policy: &RetentionPolicy,
    rules: &[AgeRule],
    facts: &Facts,
    dropped: &Bitmap,
) -> Option<Goes> {
    let by_policy = policy.duration_ns.map(|age_ns| Goes { age_ns, reason: Reason::Policy });
    let Some(span) = &facts.series else { return by_policy };
    let mut meant = dropped.clone();
    let mut ids = Vec::new();
    for rule in rules.iter().filter(|rule| policy.duration_ns.is_none_or(|ns| rule.age_ns < ns)) {
        let is_here = rule.scope.is_whole() || rule.series.range_cardinality(span.clone()) > 0;
        if !is_here {
            continue;
        }
        ids.push(rule.id);
        meant.or_inplace(&rule.series);
        if rule.scope.is_whole() || meant.contains_range(span.clone()) {
            // Who is about everything needs no others.
            let ids = if rule.scope.is_whole() { vec![rule.id] } else { ids };
            return Some(Goes { age_ns: rule.age_ns, reason: Reason::Rules(ids) });
        }
    }
    by_policy
}

impl Database {
    /// The partitions of users and rollups by policy and time, with what is known of them.
    pub(crate) fn known_partitions(&self) -> Result<Vec<Known>> {
        let mut known = Vec::new();
        for policy in self.classes().into_iter().map(|policy| self.aged(policy)) {
            for partition in self.partitions.overlapping(&policy.name, TimeRange::ALL) {
                let facts = self.facts(&partition)?;
                known.push((policy.clone(), partition, facts));
            }
        }
        Ok(known)
    }

    /// The partitions that go at `now`. Only who holds the gate may act on it: a write makes its
    /// partition before that has rows.
    pub(crate) fn due_partitions(&self, now: Timestamp) -> Result<Vec<Due>> {
        let known = self.known_partitions()?;
        let dropped = self.index.dropped().get();
        let mut due: Vec<Due> = Vec::new();
        let mut rest = Vec::new();
        let mut rules = (String::new(), Vec::new());
        for (policy, partition, facts) in &known {
            if rules.0 != policy.name {
                rules = (policy.name.clone(), self.rules.of_policy(&policy.name));
            }
            let is_over = |goes: &Goes| {
                let alive_from = now.saturating_sub(goes.age_ns);
                partition.range.end < self.points_needed(&policy.name, alive_from)
            };
            let goes = goes(policy, &rules.1, facts, &dropped).filter(is_over);
            let reason = match goes {
                Some(goes) => goes.reason,
                None if facts.series.is_none() => Reason::Empty,
                None => {
                    rest.push((policy, partition, facts));
                    continue;
                }
            };
            due.push(Due::new(policy, partition, facts, reason));
        }
        due.extend(self.due_by_size(&rest));
        Ok(due)
    }

    /// The oldest of `known` that do not fit the limits of bytes.
    pub(crate) fn due_by_size(
        &self,
        known: &[(&RetentionPolicy, &Arc<Partition>, &Facts)],
    ) -> Vec<Due> {
        let mut due = Vec::new();
        let mut taken = HashSet::new();
        for rule in self.retention_rules() {
            let RuleKind::DiskBytes(limit) = rule.kind else { continue };
            let is_of_it = |policy: &str| match &rule.scope.policy {
                Some(own) => own == policy,
                None => true,
            };
            let mut all: Vec<_> = known
                .iter()
                .filter(|(policy, partition, _)| {
                    is_of_it(&policy.name) && !taken.contains(&partition.keyspace)
                })
                .collect();
            let mut bytes: u64 = all.iter().map(|(_, _, facts)| facts.bytes).sum();
            all.sort_by_key(|(_, partition, _)| (partition.range.end, partition.keyspace.0));
            for (policy, partition, facts) in all {
                if bytes <= limit {
                    break;
                }
                let is_newest =
                    self.partitions.last_start(&policy.name) == Some(partition.window.start_s);
                let is_needed = || {
                    let needed = self.points_needed(&policy.name, Timestamp::MAX);
                    partition.range.end >= needed
                };
                if rule.scope.has_policy(&policy.name) && !is_newest && !is_needed() {
                    bytes -= facts.bytes;
                    taken.insert(partition.keyspace);
                    due.push(Due::new(policy, partition, facts, Reason::Bytes(rule.id)));
                }
            }
        }
        due
    }
}

impl Due {
    fn new(
        policy: &RetentionPolicy,
        partition: &Arc<Partition>,
        facts: &Facts,
        reason: Reason,
    ) -> Due {
        let (policy, partition) = (policy.name.clone(), partition.clone());
        Due { policy, partition, bytes: facts.bytes, reason }
    }
}
