//! Conditions of a request: `If-Match` and `If-None-Match` over entity tags.
//!
//! The tag of a value is the sequence number of the batch that wrote it, in quotes: it is another
//! one after every write, also of the same bytes, and never comes back.
//!
//! ```text
//! If-Match: "12"        only while the value is that of batch 12
//! If-Match: *           only while there is a value
//! If-None-Match: *      only while there is none
//! If-None-Match: "12"   of a GET: an empty 304 while the value is that of batch 12
//! ```

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use firndb::engine;
use firndb::engine::key::{KeyspaceId, Seq};
use firndb::engine::scan::Value;
use firndb::engine::scan::bounds::Bounds;
use firndb::engine::snapshot::Snapshot;
use firndb::engine::store::{ScanOptions, Store};
use firndb::ingest::http::error::ErrorAnswer;

use super::bad;

/// A value and the batch that wrote it.
#[derive(Debug)]
pub struct Version {
    /// The value.
    pub value: Value,
    /// `None` where it was merged from several writes: such a value has no tag.
    pub seq: Option<Seq>,
}

/// What `key` is at `snapshot`, or now.
pub fn version_at(
    store: &Store,
    keyspace: KeyspaceId,
    key: &[u8],
    snapshot: Option<&Snapshot>,
) -> engine::Result<Option<Version>> {
    let upper = [key, &[0]].concat(); // the next key there can be
    let bounds = Bounds { lower: Some(key.to_vec()), upper: Some(upper) };
    let mut scan =
        store.scan(keyspace, ScanOptions { bounds, snapshot, ..ScanOptions::default() })?;
    let is_there = scan.advance()?;
    Ok(is_there.then(|| Version { value: scan.pin(), seq: scan.seq() }))
}

/// What is there: nothing, or a value with the batch that wrote it, if it was one.
pub type Now = Option<Option<Seq>>;

/// The entity tag of the batch `seq`.
pub fn tag(seq: Seq) -> String {
    format!("\"{seq}\"")
}

/// The header that carries it.
pub fn tag_header(seq: Seq) -> (HeaderName, HeaderValue) {
    let value = HeaderValue::try_from(tag(seq)).expect("digits in quotes");
    (header::ETAG, value)
}

/// The tags of one header.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// `*`: whatever there is.
    Any,
    /// One of these.
    These(Vec<Seq>),
}

impl Tags {
    fn meet(&self, now: Now) -> bool {
        match (self, now) {
            (_, None) => false,
            (Tags::Any, Some(_)) => true,
            (Tags::These(tags), Some(seq)) => seq.is_some_and(|seq| tags.contains(&seq)),
        }
    }
}

/// What must hold of a value for a request to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    matches: Option<Tags>,
    matches_none: Option<Tags>,
}

impl Condition {
    /// The condition of these headers.
    pub fn of(headers: &HeaderMap) -> Result<Condition, ErrorAnswer> {
        let tags = |name: HeaderName| -> Result<Option<Tags>, ErrorAnswer> {
            let mut found: Option<Tags> = None;
            for value in headers.get_all(&name) {
                let text = value.to_str().map_err(|_| bad(format!("{name} is not text")))?;
                let more = tags_of(text).ok_or_else(|| {
                    bad(format!("{name} is * or a list of tags in quotes, as ETag gives them"))
                })?;
                found = Some(match (found, more) {
                    (Some(Tags::These(mut all)), Tags::These(more)) => {
                        all.extend(more);
                        Tags::These(all)
                    }
                    (_, more) => more,
                });
            }
            Ok(found)
        };
        let (matches, matches_none) = (tags(header::IF_MATCH)?, tags(header::IF_NONE_MATCH)?);
        Ok(Condition { matches, matches_none })
    }

    /// The condition of an operation of a batch.
    pub fn of_operation(
        if_match: Option<&str>,
        if_none_match: Option<&str>,
    ) -> Result<Condition, ErrorAnswer> {
        let tags = |name: &str, text: Option<&str>| match text {
            None => Ok(None),
            Some(text) => {
                let wrong = || bad(format!("{name} is \"*\" or a tag as ETag gives it"));
                tags_of(text).ok_or_else(wrong).map(Some)
            }
        };
        Ok(Condition {
            matches: tags("if_match", if_match)?,
            matches_none: tags("if_none_match", if_none_match)?,
        })
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Condition::default()
    }

    /// Whether it holds of what is there now.
    pub fn holds(&self, now: Now) -> bool {
        self.matches.as_ref().is_none_or(|tags| tags.meet(now))
            && self.matches_none.as_ref().is_none_or(|tags| !tags.meet(now))
    }

    /// Whether a reader has what is there now already.
    pub fn is_known(&self, now: Option<Seq>) -> bool {
        self.matches_none.as_ref().is_some_and(|tags| tags.meet(Some(now)))
    }

    /// Whether a reader wants another value than what is there now.
    pub fn is_other(&self, now: Option<Seq>) -> bool {
        self.matches.as_ref().is_some_and(|tags| !tags.meet(Some(now)))
    }
}

/// The tags of a header's text. A weak tag, or one that is not ours, is a tag that nothing has.
fn tags_of(text: &str) -> Option<Tags> {
    if text.trim() == "*" {
        return Some(Tags::Any);
    }
    let mut tags = Vec::new();
    for tag in text.split(',').map(str::trim) {
        let opaque = tag.strip_prefix("W/").unwrap_or(tag);
        let digits = opaque.strip_prefix('"')?.strip_suffix('"')?;
        if opaque == tag
            && let Ok(seq) = digits.parse::<Seq>()
            && digits == seq.to_string()
        {
            tags.push(seq);
        }
    }
    Some(Tags::These(tags))
}

/// The answer where a condition does not hold.
pub fn failed_condition(what: impl Into<String>) -> ErrorAnswer {
    ErrorAnswer::new(StatusCode::PRECONDITION_FAILED, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_of_what_they_name() {
        let headers = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            headers
        };
        let (nothing, merged, twelve) = (None, Some(None), Some(Some(12)));
        type Case<'a> = (&'static str, &'a str, [bool; 3]);
        let cases: [Case<'_>; 9] = [
            ("if-match", "*", [false, true, true]),
            ("if-match", "\"12\"", [false, false, true]),
            ("if-match", "\"11\", \"12\"", [false, false, true]),
            ("if-match", "\"11\"", [false, false, false]),
            ("if-match", "W/\"12\"", [false, false, false]),
            ("if-match", "\"012\"", [false, false, false]),
            ("if-none-match", "*", [true, false, false]),
            ("if-none-match", "\"12\"", [true, true, false]),
            ("if-none-match", "\"foreign\"", [true, true, true]),
        ];
        for (name, value, expected) in cases {
            let condition = Condition::of(&headers(name, value)).unwrap();
            let found = [nothing, merged, twelve].map(|now| condition.holds(now));
            assert_eq!(found, expected, "{name}: {value}");
        }
        for wrong in ["12", "\"12", "", "\"1\",,", "*, \"1\""] {
            assert!(Condition::of(&headers("if-match", wrong)).is_err(), "{wrong}");
        }
        let none = Condition::of(&HeaderMap::new()).unwrap();
        assert!(none.is_none() && none.holds(nothing) && none.holds(twelve));
    }
}
