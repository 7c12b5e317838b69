//! Retention rules as the plain maps know them.

use firndb_engine::fs::sim::Rng;
use firndb_tsdb::model::Timestamp;
use firndb_tsdb::{RuleKind, RuleScope, TagPredicate};

use crate::truth::SeriesName;

const HOUR_NS: i64 = 3_600_000_000_000;

/// A rule of age.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruled {
    pub id: u64,
    pub policy: Option<String>,
    pub measurement: Option<String>,
    /// The tag `host` is this, or is not.
    pub host: Option<(String, bool)>,
    pub age_ns: i64,
}

impl Ruled {
    /// A rule of any kind that lets points of the last hour alone.
    pub fn random(rng: &mut Rng) -> Ruled {
        Ruled {
            id: 0,
            policy: rng.one_in(3).then(|| "short".to_owned()),
            measurement: rng
                .one_in(2)
                .then(|| ["cpu", "disk io", "m\u{e9}t"][rng.below(3) as usize].to_owned()),
            host: (!rng.one_in(3)).then(|| (format!("h{}", rng.below(4)), !rng.one_in(4))),
            age_ns: HOUR_NS + rng.below(6 * HOUR_NS as u64) as i64,
        }
    }

    pub fn scope(&self) -> RuleScope {
        let tags = self.host.clone().map(|(host, is_it)| match is_it {
            true => TagPredicate::Equal("host".into(), host),
            false => TagPredicate::NotEqual("host".into(), host),
        });
        RuleScope { policy: self.policy.clone(), measurement: self.measurement.clone(), tags }
    }

    pub fn kind(&self) -> RuleKind {
        RuleKind::Age(self.age_ns)
    }

    pub fn is_same_scope(&self, other: &Ruled) -> bool {
        let scope = |rule: &Ruled| Ruled { id: 0, age_ns: 0, ..rule.clone() };
        scope(self) == scope(other)
    }

    fn is_of(&self, policy: &str, (measurement, tags): &SeriesName) -> bool {
        let host = tags.iter().find(|(key, _)| key == "host").map_or("", |(_, value)| value);
        self.policy.as_ref().is_none_or(|own| own == policy)
            && self.measurement.as_ref().is_none_or(|own| own == measurement)
            && self.host.as_ref().is_none_or(|(wanted, is_it)| (wanted == host) == *is_it)
    }
}

/// What is older in a series has expired by a rule.
pub fn alive_from(rules: &[Ruled], policy: &str, series: &SeriesName, now: Timestamp) -> Timestamp {
    let meant = rules.iter().filter(|rule| rule.is_of(policy, series));
    meant.map(|rule| now.saturating_sub(rule.age_ns)).max().unwrap_or(Timestamp::MIN)
}
