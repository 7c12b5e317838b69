//! Adding, dropping and listing retention rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use croaring::Bitmap;

use super::{AgeRule, Expired};
use crate::database::Database;
use crate::model::Timestamp;
use crate::retention::rule::RULES_MAX;
use crate::retention::{RetentionRule, RuleKind, RuleScope, Trim};
use crate::{Error, Result};

/// Notes what a rule may have taken by then. What is about all series needs no note: it takes whole
/// partitions, and rollups know from when on they have points.
fn note_trim(trims: &mut Vec<Trim>, rule: &RetentionRule, noted_at: Option<Timestamp>) {
    let (Some(age_ns), Some(noted_at)) = (rule.age_ns(), noted_at) else { return };
    if rule.scope.is_whole() {
        return;
    }
    let before = noted_at.saturating_sub(age_ns);
    match trims.iter_mut().find(|trim| trim.scope == rule.scope) {
        Some(trim) => trim.before = trim.before.max(before),
        None => trims.push(Trim { scope: rule.scope.clone(), before }),
    }
}

impl Database {
    /// Adds a retention rule, or changes the one about the same points; it holds for what is
    /// stored already. Rows that it hides are gone from answers at once and from the disk later.
    ///
    /// # Errors
    /// No such policy, or a rule that makes no sense.
    pub fn add_retention_rule(&self, scope: RuleScope, kind: RuleKind) -> Result<RetentionRule> {
        kind.check(&scope)?;
        if scope.policy.is_some() {
            self.policy(scope.policy.as_deref())?;
        }
        // No series comes between the search for the rule's series and the rule.
        let _registration = self.registration.lock();
        let series = self.series_of(&scope)?;
        let noted_at = self.latest_merge();
        let mut made = None;
        self.change_settings(|settings| {
            let rules = &mut settings.rules;
            let same = |rule: &RetentionRule| rule.scope == scope && rule.kind.is_like(&kind);
            let rule = match rules.iter().position(same) {
                Some(at) => {
                    let rule = &mut rules[at];
                    if rule.kind != kind {
                        note_trim(&mut settings.trims, rule, noted_at);
                        // What was left out before may not be all that the new age hides.
                        (rule.kind, rule.trimmed_before) = (kind, BTreeMap::new());
                    }
                    rule.clone()
                }
                None if rules.len() >= RULES_MAX => {
                    let (what, limit) = ("retention rules of a database", RULES_MAX as u64);
                    return Err(Error::Limit { what, got: limit + 1, limit });
                }
                None => {
                    settings.rules_made += 1;
                    let (id, trimmed_before) = (settings.rules_made, BTreeMap::new());
                    rules.push(RetentionRule { id, scope, kind, trimmed_before });
                    rules[rules.len() - 1].clone()
                }
            };
            made = Some(rule);
            Ok(())
        })?;
        let rule = made.expect("the change was made");
        self.put_rule(&rule, series);
        self.load_trims()?;
        self.refresh_expired();
        Ok(rule)
    }

    /// Removes a retention rule. What it hid and what is still there comes back.
    pub fn drop_retention_rule(&self, id: u64) -> Result<()> {
        let _registration = self.registration.lock(); // rules are made under it
        let noted_at = self.latest_merge();
        self.change_settings(|settings| {
            let found = settings.rules.iter().position(|rule| rule.id == id);
            let rule = settings.rules.remove(found.ok_or(Error::RuleNotFound { id })?);
            note_trim(&mut settings.trims, &rule, noted_at);
            Ok(())
        })?;
        self.load_trims()?;
        self.rules.remove(id);
        self.refresh_expired();
        Ok(())
    }

    /// Retention rules in the order of their numbers.
    pub fn retention_rules(&self) -> Vec<RetentionRule> {
        self.settings.read().rules.clone()
    }

    /// Finds the series of the stored rules, at open.
    pub(crate) fn load_rules(&self) -> Result<()> {
        for rule in self.retention_rules() {
            let series = self.series_of(&rule.scope)?;
            self.put_rule(&rule, series);
        }
        self.load_trims()
    }

    /// Finds the series of what rules took that are no more.
    fn load_trims(&self) -> Result<()> {
        let stored = self.settings.read().trims.clone();
        let mut trims = Vec::with_capacity(stored.len());
        for Trim { scope, before } in stored {
            let series = Arc::new(self.series_of(&scope)?);
            trims.push((scope, Expired { series, before }));
        }
        self.rules.set_trims(trims);
        Ok(())
    }

    /// Merges may have left out what had expired by then; `None` where no rollup tells of it.
    fn latest_merge(&self) -> Option<Timestamp> {
        let running = self.running.read();
        let latest = running
            .iter()
            .filter_map(|running| Some(running.progress.read().durable.as_ref()?.latest));
        Some(latest.max()?.max(self.rules.maintained_at.load(Ordering::Relaxed)))
    }

    fn put_rule(&self, rule: &RetentionRule, series: Bitmap) {
        if let Some(age_ns) = rule.age_ns() {
            let (scope, series) = (rule.scope.clone(), Arc::new(series));
            self.rules.put(AgeRule { id: rule.id, scope, age_ns, series });
        }
    }

    /// The live series that a rule means; empty for a rule about all.
    fn series_of(&self, scope: &RuleScope) -> Result<Bitmap> {
        let mut series = Bitmap::new();
        if scope.is_whole() {
            return Ok(series);
        }
        let infos = match &scope.measurement {
            Some(name) => self.schema.by_name(name).into_iter().collect(),
            None => self.schema.all(),
        };
        for info in infos {
            series.or_inplace(&self.index.matching(info.id, scope.tags.as_ref())?);
        }
        Ok(series)
    }
}
