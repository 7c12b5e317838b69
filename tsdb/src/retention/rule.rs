//! Retention rules: what leaves earlier than its policy says.
//!
//! A rule names points (of a policy, of a measurement, of series whose tags meet a condition) and
//! says how long they live, or names a policy or the whole database and says how many bytes its
//! tables may take. Rules only shorten: of the policy and all rules that a point falls under the
//! shortest counts. A rule that names no policy holds for every policy of users, not for the levels
//! of rollups, which are kept as long as they say themselves.
//!
//! Rules are stored in the catalog as JSON, conditions with their patterns as text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::HOUR_NS;
use crate::model::{TagPredicate, Timestamp};
use crate::rollup::is_internal_policy;
use crate::{Error, Result};

/// Most rules of a database: each is asked about every old point and every scan.
pub const RULES_MAX: usize = 1000;

/// A retention rule of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionRule {
    /// Its number within the database, never used again.
    pub id: u64,
    /// What it is about.
    #[serde(flatten)]
    pub scope: RuleScope,
    /// What it asks for.
    pub kind: RuleKind,
    /// By policy: partitions that end before have been rewritten without what the rule hides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) trimmed_before: BTreeMap<String, Timestamp>,
}

/// Points that a rule may have taken off the disk before it was dropped or changed. Buckets of
/// rollups tell of them still, and can't be built again from what is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// What the rule was about.
    #[serde(flatten)]
    pub scope: RuleScope,
    /// Points before may be gone.
    pub before: Timestamp,
}

/// Which points a rule is about; what is `None` does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleScope {
    /// A policy; `None`: every policy that is not the level of a rollup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// A measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measurement: Option<String>,
    /// A condition on tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<TagPredicate>,
}

/// What a rule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// Points live this many nanoseconds.
    Age(i64),
    /// Tables take at most this many bytes: the oldest partitions go first, the newest stays.
    DiskBytes(u64),
}

impl RuleScope {
    /// Whether the rule is about all points of its policies.
    pub fn is_whole(&self) -> bool {
        self.measurement.is_none() && self.tags.is_none()
    }

    /// Whether points of the policy may be meant.
    pub fn has_policy(&self, policy: &str) -> bool {
        match &self.policy {
            Some(own) => own == policy,
            None => !is_internal_policy(policy),
        }
    }

    /// Whether a series of this measurement and these tags is meant.
    pub fn has_series<'t>(
        &self,
        measurement: &str,
        tag: &impl Fn(&str) -> Option<&'t str>,
    ) -> bool {
        self.measurement.as_ref().is_none_or(|own| own == measurement)
            && self.tags.as_ref().is_none_or(|tags| tags.holds_for(tag))
    }
}

impl RuleKind {
    /// Refuses what no rule can ask for.
    pub(crate) fn check(&self, scope: &RuleScope) -> Result<()> {
        let refuse = |reason: &str| Err(Error::Invalid { reason: reason.to_owned() });
        match self {
            RuleKind::Age(ns) if *ns < HOUR_NS => {
                refuse("a retention rule must keep points for at least 1h0m0s")
            }
            RuleKind::DiskBytes(0) => refuse("a retention rule must leave room for a byte"),
            RuleKind::DiskBytes(_) if !scope.is_whole() => {
                refuse("a limit of bytes is for a database or a policy, without FROM and WHERE")
            }
            _ => Ok(()),
        }
    }

    /// Whether both are ages, or both limits of bytes.
    pub(crate) fn is_like(&self, other: &RuleKind) -> bool {
        matches!(self, RuleKind::Age(_)) == matches!(other, RuleKind::Age(_))
    }
}

impl RetentionRule {
    /// How long points live, if it is a rule of age.
    pub fn age_ns(&self) -> Option<i64> {
        match self.kind {
            RuleKind::Age(ns) => Some(ns),
            RuleKind::DiskBytes(_) => None,
        }
    }
}
