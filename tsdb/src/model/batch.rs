//! The points of one request as a parser hands them over: borrowed from the request's text.
//!
//! One arena each for points, fields and tags, so that a batch of thousands of lines makes a
//! handful of allocations. A parser that meets the text of a known series (found by
//! `Database::known_series`) skips its tags altogether.

use std::borrow::Cow;
use std::ops::Range;

use super::series::SeriesRef;
use super::time::Timestamp;
use super::value::FieldValue;

/// The points of one request.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// Points in input order.
    pub points: Vec<Point<'a>>,
    /// Fields of all points, point after point.
    pub fields: Vec<Field<'a>>,
    /// Tags of the points of unknown series, point after point, in input order.
    pub tags: Vec<Tag<'a>>,
}

/// One point.
#[derive(Debug, Clone)]
pub struct Point<'a> {
    /// Its series.
    pub series: PointSeries<'a>,
    /// Its fields: a range of `Batch::fields`; never empty.
    pub fields: Range<u32>,
    /// Nanoseconds since the epoch.
    pub timestamp: Timestamp,
    /// Line of the request, from 1, for messages.
    pub line: u32,
}

/// The series of a point.
#[derive(Debug, Clone)]
pub enum PointSeries<'a> {
    /// Already known.
    Known(SeriesRef),
    /// Seen for the first time by the parser's look-up.
    New {
        /// Measurement and tags as written, escapes included: the key of the look-up cache.
        text: &'a [u8],
        /// Measurement, unescaped.
        measurement: Cow<'a, str>,
        /// Its tags: a range of `Batch::tags`. Keys distinct, values not empty, any order.
        tags: Range<u32>,
    },
}

/// A tag of a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag<'a> {
    /// Key, unescaped.
    pub key: Cow<'a, str>,
    /// Value, unescaped.
    pub value: Cow<'a, str>,
}

/// A field of a point. A key may repeat within a point: the last value wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Field<'a> {
    /// Key, unescaped.
    pub key: Cow<'a, str>,
    /// Value.
    pub value: FieldValue<'a>,
}

impl<'a> Batch<'a> {
    /// Fields of a point.
    pub fn fields_of(&self, point: &Point<'a>) -> &[Field<'a>] {
        &self.fields[point.fields.start as usize..point.fields.end as usize]
    }
}
