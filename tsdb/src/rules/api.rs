//! Adding, dropping and listing retention rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use croaring::Bitmap;

use super::AgeRule;
use crate::database::Database;
use crate::retention::rule::RULES_MAX;
use crate::retention::{RetentionRule, RuleKind, RuleScope};
use crate::{Error, Result};

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
        let mut made = None;
        self.change_settings(|settings| {
            let rules = &mut settings.rules;
            let same = |rule: &RetentionRule| rule.scope == scope && rule.kind.is_like(&kind);
            let rule = match rules.iter().position(same) {
                Some(at) => {
                    let rule = &mut rules[at];
                    if rule.kind != kind {
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
        self.refresh_expired();
        Ok(rule)
    }

    /// Removes a retention rule. What it hid and what is still there comes back.
    pub fn drop_retention_rule(&self, id: u64) -> Result<()> {
        let _registration = self.registration.lock(); // rules are made under it
        self.change_settings(|settings| {
            let found = settings.rules.iter().position(|rule| rule.id == id);
            settings.rules.remove(found.ok_or(Error::RuleNotFound { id })?);
            Ok(())
        })?;
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
        Ok(())
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
