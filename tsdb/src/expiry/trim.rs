//! Rewriting closed partitions without what rules hide: a partition a call.
//!
//! Compactions leave out what has expired as they come along; a closed partition has none to come.
//! So when its whole window is past the age of a rule, and a worthwhile part of it is hidden, it is
//! rewritten, once per rule: how far is noted with the rule. Less than that part stays, hidden,
//! until the partition goes or another rule adds to it.

use croaring::Bitmap;

use crate::Result;
use crate::database::Database;
use crate::model::{TimeRange, Timestamp};
use crate::partition::Partition;
use crate::rules::AgeRule;

/// A partition is rewritten when at least this part of it has expired: a fourth. Who rewrites for
/// less writes more than it frees, and waits for few bytes.
const WORTHWHILE_PART: u64 = 4;

/// What a step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trimmed {
    /// Partitions rewritten: none or one.
    pub(crate) partitions: u64,
    /// By how many bytes it shrank.
    pub(crate) bytes: u64,
}

impl Database {
    /// Rewrites the next partition that is worth it.
    pub(crate) fn trim(&self, now: Timestamp) -> Result<Trimmed> {
        for policy in self.policies() {
            let mut rules = self.rules.of_policy(&policy.name);
            rules.retain(|rule| !rule.series.is_empty());
            if rules.is_empty() {
                continue;
            }
            for partition in self.partitions.overlapping(&policy.name, TimeRange::ALL) {
                if self.is_stopped() {
                    return Ok(Trimmed::default());
                }
                let passed = self.passed(&policy.name, &rules, &partition, now);
                if passed.is_empty() {
                    break; // nor have those after it
                }
                if partition.is_closed()
                    && self.is_untrimmed(&policy.name, &passed, &partition)
                    && self.is_worthwhile(&passed, &partition)?
                    && let Some(bytes) = self.rewrite_without_expired(&partition)?
                {
                    self.note_trimmed(&policy.name, &passed, &partition)?;
                    return Ok(Trimmed { partitions: 1, bytes });
                }
            }
        }
        Ok(Trimmed::default())
    }

    /// The rules whose age the whole partition is past, and that may take their rows off the disk.
    fn passed<'r>(
        &self,
        policy: &str,
        rules: &'r [AgeRule],
        partition: &Partition,
        now: Timestamp,
    ) -> Vec<&'r AgeRule> {
        let is_past = |rule: &&AgeRule| {
            partition.range.end < self.points_needed(policy, rule.alive_from(now))
        };
        rules.iter().filter(is_past).collect()
    }

    /// Whether a rule among `passed` has not had the partition rewritten.
    fn is_untrimmed(&self, policy: &str, passed: &[&AgeRule], partition: &Partition) -> bool {
        let settings = self.settings.read();
        settings.rules.iter().any(|rule| {
            let is_done =
                rule.trimmed_before.get(policy).is_some_and(|end| partition.range.end < *end);
            !is_done && passed.iter().any(|passed| passed.id == rule.id)
        })
    }

    fn is_worthwhile(&self, passed: &[&AgeRule], partition: &Partition) -> Result<bool> {
        let facts = self.facts(partition)?;
        let mut expired = Bitmap::new();
        passed.iter().for_each(|rule| expired.or_inplace(&rule.series));
        let bytes = facts.bytes_of(&expired, &self.index.dropped().get());
        Ok(bytes > 0 && bytes.saturating_mul(WORTHWHILE_PART) >= facts.bytes)
    }

    /// Passes the partition through its merge once more; by how many bytes it shrank, or `None`
    /// where that came to nothing.
    fn rewrite_without_expired(&self, partition: &Partition) -> Result<Option<u64>> {
        let before = self.facts(partition)?.bytes;
        if !self.rewrite_partition(partition, true)? {
            return Ok(None);
        }
        Ok(Some(before.saturating_sub(self.facts(partition)?.bytes)))
    }

    fn note_trimmed(&self, policy: &str, passed: &[&AgeRule], partition: &Partition) -> Result<()> {
        let end = partition.range.end.saturating_add(1);
        self.change_settings(|settings| {
            // A rule that was changed meanwhile has another age, and begins anew.
            let is_passed = |id: u64, age: Option<i64>| {
                passed.iter().any(|rule| rule.id == id && Some(rule.age_ns) == age)
            };
            for rule in &mut settings.rules {
                if is_passed(rule.id, rule.age_ns()) {
                    let before = rule.trimmed_before.entry(policy.to_owned()).or_insert(end);
                    *before = end.max(*before);
                }
            }
            Ok(())
        })
    }
}
