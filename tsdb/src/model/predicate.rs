//! Which series a question is about: a condition on tags. And which of their rows.
//!
//! A series without a tag has the empty value for it, so `host = ''` asks for series without a
//! host, and `host != 'a'` takes them in.
//!
//! A condition has two written forms: JSON, in which it is stored (patterns as their text), and
//! that of InfluxQL, in which people read it.

use std::fmt::{self, Display, Formatter};

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::column::{Bitmap, Columns};
use super::series::TagSet;

/// A condition on the rows of a series: which of them a delete means. Languages implement it, so
/// that a delete takes the rows that a query with the same condition shows.
pub trait RowPredicate: fmt::Debug + Send + Sync {
    /// Keys of the fields that it asks for.
    fn fields(&self) -> &[String];

    /// A bit per row: whether the row is meant. `columns` has a column for each of
    /// [`Self::fields`], a missing one where there is no such field.
    fn holds(&self, tags: &TagSet, columns: &Columns) -> Bitmap;
}

/// A condition on the tags of a series.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    Matches(String, #[serde(with = "pattern")] Regex),
    /// The value does not match.
    NotMatches(String, #[serde(with = "pattern")] Regex),
    /// All of these hold.
    And(Vec<TagPredicate>),
    /// At least one of these holds.
    Or(Vec<TagPredicate>),
}

impl TagPredicate {
    /// Whether a series with these tags is meant.
    pub fn holds(&self, tags: &TagSet) -> bool {
        self.holds_for(&|key| tags.get(key))
    }

    /// Whether a series is meant whose tags `tag` finds.
    pub fn holds_for<'t>(&self, tag: &impl Fn(&str) -> Option<&'t str>) -> bool {
        let value = |key: &str| tag(key).unwrap_or_default();
        match self {
            TagPredicate::True => true,
            TagPredicate::False => false,
            TagPredicate::Equal(key, wanted) => value(key) == wanted,
            TagPredicate::NotEqual(key, unwanted) => value(key) != unwanted,
            TagPredicate::Matches(key, regex) => regex.is_match(value(key)),
            TagPredicate::NotMatches(key, regex) => !regex.is_match(value(key)),
            TagPredicate::And(all) => all.iter().all(|p| p.holds_for(tag)),
            TagPredicate::Or(any) => any.iter().any(|p| p.holds_for(tag)),
        }
    }
}

/// Two conditions are the same when they read the same.
impl PartialEq for TagPredicate {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for TagPredicate {}

/// A pattern is stored as its text.
mod pattern {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Regex;

    pub fn serialize<S: Serializer>(regex: &Regex, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(regex.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Regex, D::Error> {
        let text = String::deserialize(from)?;
        Regex::new(&text).map_err(serde::de::Error::custom)
    }
}

impl Display for TagPredicate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            TagPredicate::True => f.write_str("true"),
            TagPredicate::False => f.write_str("false"),
            TagPredicate::Equal(key, value) => compared(f, key, "=", value),
            TagPredicate::NotEqual(key, value) => compared(f, key, "!=", value),
            TagPredicate::Matches(key, regex) => matched(f, key, "=~", regex),
            TagPredicate::NotMatches(key, regex) => matched(f, key, "!~", regex),
            TagPredicate::And(all) => joined(f, all, " AND ", "true"),
            TagPredicate::Or(any) => joined(f, any, " OR ", "false"),
        }
    }
}

fn compared(f: &mut Formatter<'_>, key: &str, sign: &str, value: &str) -> fmt::Result {
    write!(f, "{} {sign} {}", Quoted('"', key), Quoted('\'', value))
}

fn matched(f: &mut Formatter<'_>, key: &str, sign: &str, regex: &Regex) -> fmt::Result {
    let pattern = regex.as_str().replace('/', "\\/");
    write!(f, "{} {sign} /{pattern}/", Quoted('"', key))
}

/// Parts that are lists themselves stand in parentheses; no part at all is `none`.
fn joined(f: &mut Formatter<'_>, parts: &[TagPredicate], by: &str, none: &str) -> fmt::Result {
    if parts.is_empty() {
        return f.write_str(none);
    }
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(by)?;
        }
        match part {
            TagPredicate::And(_) | TagPredicate::Or(_) if parts.len() > 1 => write!(f, "({part})")?,
            _ => write!(f, "{part}")?,
        }
    }
    Ok(())
}

/// Text in quotes, with what would end it escaped.
struct Quoted<'a>(char, &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        f.write_char(self.0)?;
        for c in self.1.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                c if c == '\\' || c == self.0 => write!(f, "\\{c}")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_written_and_stored() {
        let equal = |key: &str, value: &str| TagPredicate::Equal(key.into(), value.into());
        let regex = |text: &str| Regex::new(text).unwrap();
        use TagPredicate::{And, Matches, NotEqual, NotMatches, Or, True};
        let cases = [
            (True, "true"),
            (equal("env", "it's"), r#""env" = 'it\'s'"#),
            (NotEqual("a \"b".into(), "c".into()), r#""a \"b" != 'c'"#),
            (Matches("h".into(), regex("^a/b$")), r#""h" =~ /^a\/b$/"#),
            (And(vec![]), "true"),
            (Or(vec![equal("a", "1")]), r#""a" = '1'"#),
            (
                And(vec![
                    Or(vec![equal("a", "1"), equal("a", "2")]),
                    NotMatches("b".into(), regex("x")),
                ]),
                r#"("a" = '1' OR "a" = '2') AND "b" !~ /x/"#,
            ),
        ];
        for (predicate, expected) in cases {
            assert_eq!(predicate.to_string(), expected);
            let stored = serde_json::to_string(&predicate).unwrap();
            let read: TagPredicate = serde_json::from_str(&stored).unwrap();
            assert_eq!(read, predicate, "{stored}");
        }
        assert!(serde_json::from_str::<TagPredicate>(r#"{"matches":["a","("]}"#).is_err());
    }
}
