//! Which series a question is about: a condition on tags.
//!
//! A series without a tag has the empty value for it, so `host = ''` asks for series without a
//! host, and `host != 'a'` takes them in.

use regex::Regex;

use super::series::TagSet;

/// A condition on the tags of a series.
#[derive(Debug, Clone)]
pub enum TagPredicate {
    /// Every series.
    True,
    /// No series.
    False,
    /// The tag has this value.
    Equal(String, String),
    /// The tag has another value, or is missing and this one is not empty.
    NotEqual(String, String),
    /// The value matches; unanchored.
    Matches(String, Regex),
    /// The value does not match.
    NotMatches(String, Regex),
    /// All of these hold.
    And(Vec<TagPredicate>),
    /// At least one of these holds.
    Or(Vec<TagPredicate>),
}

impl TagPredicate {
    /// Whether a series with these tags is meant.
    pub fn holds(&self, tags: &TagSet) -> bool {
        let value = |key: &str| tags.get(key).unwrap_or_default();
        match self {
            TagPredicate::True => true,
            TagPredicate::False => false,
            TagPredicate::Equal(key, wanted) => value(key) == wanted,
            TagPredicate::NotEqual(key, unwanted) => value(key) != unwanted,
            TagPredicate::Matches(key, regex) => regex.is_match(value(key)),
            TagPredicate::NotMatches(key, regex) => !regex.is_match(value(key)),
            TagPredicate::And(all) => all.iter().all(|p| p.holds(tags)),
            TagPredicate::Or(any) => any.iter().any(|p| p.holds(tags)),
        }
    }
}
