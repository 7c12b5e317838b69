//! Conditions on tags and names, as queries state them.

use regex::Regex;

pub use crate::model::TagPredicate;

/// A condition on a name.
#[derive(Debug, Clone)]
pub enum NameFilter {
    /// The name is this.
    Equal(String),
    /// The name is another.
    NotEqual(String),
    /// The name matches somewhere.
    Matches(Regex),
    /// The name matches nowhere.
    NotMatches(Regex),
}

impl NameFilter {
    /// Whether `name` passes.
    pub fn accepts(&self, name: &str) -> bool {
        match self {
            NameFilter::Equal(other) => name == other,
            NameFilter::NotEqual(other) => name != other,
            NameFilter::Matches(regex) => regex.is_match(name),
            NameFilter::NotMatches(regex) => !regex.is_match(name),
        }
    }
}

/// Which measurements to list.
#[derive(Debug, Clone, Default)]
pub struct MeasurementFilter {
    /// Condition on the name.
    pub name: Option<NameFilter>,
    /// At least one series of the measurement meets this.
    pub tags: Option<TagPredicate>,
}
