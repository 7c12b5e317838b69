//! Conditions on tags and names, as queries state them.

use regex::Regex;

/// A condition on the tags of a series. A tag that the series does not have is `""`.
#[derive(Debug, Clone)]
pub enum TagPredicate {
    /// Every series.
    True,
    /// No series.
    False,
    /// The value of the key is this.
    Equal(String, String),
    /// The value of the key is another.
    NotEqual(String, String),
    /// The value of the key matches somewhere.
    Matches(String, Regex),
    /// The value of the key matches nowhere.
    NotMatches(String, Regex),
    /// All hold.
    And(Vec<TagPredicate>),
    /// One holds at least.
    Or(Vec<TagPredicate>),
}

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
