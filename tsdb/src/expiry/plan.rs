//! What goes when, for people: the same decisions as maintenance makes, without making them.

use super::Reason;
use super::due::{Known, goes};
use crate::Result;
use crate::database::Database;
use crate::model::Timestamp;
use crate::retention::{RetentionRule, RuleKind};

/// What will go of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPlan {
    /// Partitions by policy and time.
    pub partitions: Vec<PlannedPartition>,
    /// Rules in the order of their numbers.
    pub rules: Vec<PlannedRule>,
}

/// When a partition goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPartition {
    /// Its policy, or level of a rollup.
    pub policy: String,
    /// First timestamp of its window.
    pub start: Timestamp,
    /// Last timestamp of its window.
    pub end: Timestamp,
    /// Bytes of its tables.
    pub bytes: u64,
    /// The first maintenance at this time or later drops it; `None`: it stays.
    pub goes_at: Option<Timestamp>,
    /// Why; `None` where it stays.
    pub reason: Option<Reason>,
    /// A rollup still has to build from it, and holds it back until then.
    pub is_held: bool,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRule {
    /// The rule.
    pub rule: RetentionRule,
    /// Series that it means.
    pub series: u64,
    /// About how many bytes of tables it means.
    pub bytes: u64,
    /// About how many of these have expired and are still there.
    pub bytes_expired: u64,
}

impl Database {
    /// What maintenance will drop and when, as things stand at `now`. Reads no table.
    pub fn retention_plan(&self, now: Timestamp) -> Result<RetentionPlan> {
        let known = self.known_partitions()?;
        let mut partitions = Vec::with_capacity(known.len());
        let dropped = self.index.dropped().get();
        for (policy, partition, facts) in &known {
            let rules = self.rules.of_policy(&policy.name);
            let goes = goes(policy, &rules, facts, &dropped);
            let range = partition.range;
            let is_held = range.end >= self.points_needed(&policy.name, Timestamp::MAX);
            let (goes_at, reason) = match goes {
                _ if facts.series.is_none() => (Some(now), Some(Reason::Empty)),
                Some(goes) => {
                    let end = self.needs_end(&policy.name, range.end);
                    (Some(end.saturating_add(goes.age_ns)), Some(goes.reason))
                }
                None => (None, None),
            };
            partitions.push(PlannedPartition {
                policy: policy.name.clone(),
                start: range.start,
                end: range.end,
                bytes: facts.bytes,
                goes_at,
                reason,
                is_held,
            });
        }
        self.plan_by_size(&known, now, &mut partitions);
        let rules = self.retention_rules().into_iter();
        let rules = rules.map(|rule| self.planned_rule(rule, &known, now)).collect();
        Ok(RetentionPlan { partitions, rules })
    }

    /// Notes what a limit of bytes takes at once.
    fn plan_by_size(&self, known: &[Known], now: Timestamp, planned: &mut [PlannedPartition]) {
        let stays = |at: &usize| planned[*at].goes_at.is_none_or(|goes_at| goes_at > now);
        let rest: Vec<usize> = (0..known.len()).filter(stays).collect();
        let left: Vec<_> = rest.iter().map(|at| &known[*at]).map(|(p, q, f)| (p, q, f)).collect();
        for due in self.due_by_size(&left) {
            let is_it = |at: &&usize| known[**at].1.keyspace == due.partition.keyspace;
            if let Some(at) = rest.iter().find(is_it) {
                (planned[*at].goes_at, planned[*at].reason) = (Some(now), Some(due.reason));
            }
        }
    }

    fn planned_rule(&self, rule: RetentionRule, known: &[Known], now: Timestamp) -> PlannedRule {
        let dropped = self.index.dropped().get();
        let age = self.rules.get(rule.id);
        let mut planned = PlannedRule { rule, series: 0, bytes: 0, bytes_expired: 0 };
        let rule = &planned.rule;
        planned.series = match &age {
            Some(age) if !rule.scope.is_whole() => age.series.andnot_cardinality(&dropped),
            _ => self.series_count(),
        };
        let is_of_it = |policy: &str| match (&rule.kind, &rule.scope.policy) {
            (RuleKind::DiskBytes(_), None) => true, // levels of rollups count
            _ => rule.scope.has_policy(policy),
        };
        for (_, partition, facts) in known.iter().filter(|(policy, ..)| is_of_it(&policy.name)) {
            let bytes = match &age {
                Some(age) if !rule.scope.is_whole() => facts.bytes_of(&age.series, &dropped),
                _ => facts.bytes,
            };
            planned.bytes += bytes;
            if age.as_ref().is_some_and(|age| partition.range.end < age.alive_from(now)) {
                planned.bytes_expired += bytes;
            }
        }
        if let RuleKind::DiskBytes(limit) = planned.rule.kind {
            planned.bytes_expired = planned.bytes.saturating_sub(limit);
        }
        planned
    }
}
