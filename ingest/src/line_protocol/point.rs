//! One line to one point.
//!
//! The line comes without leading blanks, CR and LF. Order of the checks (the first that fails is
//! reported): series text, fields from left to right, timestamp, end of line.

use std::borrow::Cow;

use firndb_tsdb::model::{Batch, Field, FieldValue, Point, PointSeries, SeriesRef, Tag, Timestamp};
use memchr::memchr;

use super::{Fault, KEY_BYTES_MAX, Reason, escape, lines, number};
use crate::precision::Precision;

/// How timestamps are read.
pub(super) struct Times {
    /// Unit of those written.
    pub(super) precision: Precision,
    /// For points without one.
    pub(super) default: Timestamp,
}

/// Appends the point of `line` to `batch`, or leaves `batch` as it was.
#[inline]
pub(super) fn parse<'a>(
    line: &'a str,
    number: u32,
    times: &Times,
    known: &impl Fn(&[u8]) -> Option<SeriesRef>,
    batch: &mut Batch<'a>,
) -> Result<(), Fault> {
    let (tags, fields) = (batch.tags.len(), batch.fields.len());
    let outcome = parse_onto(line, number, times, known, batch);
    if outcome.is_err() {
        batch.tags.truncate(tags);
        batch.fields.truncate(fields);
    }
    outcome
}

#[inline]
fn parse_onto<'a>(
    line: &'a str,
    number: u32,
    times: &Times,
    known: &impl Fn(&[u8]) -> Option<SeriesRef>,
    batch: &mut Batch<'a>,
) -> Result<(), Fault> {
    let bytes = line.as_bytes();
    let series_end = series_end(bytes);
    let series = match known(&bytes[..series_end]) {
        Some(series) => PointSeries::Known(series),
        None => parse_series(&line[..series_end], batch)?,
    };
    if series_end == bytes.len() {
        return Err(Fault::new(series_end, Reason::MissingFields));
    }
    let first_field = batch.fields.len() as u32;
    let fields_end = parse_fields(line, series_end, &mut batch.fields)?;
    let timestamp = parse_timestamp(bytes, fields_end, times)?;
    let fields = first_field..batch.fields.len() as u32;
    batch.points.push(Point { series, fields, timestamp, line: number });
    Ok(())
}

/// The first SP without a backslash before it, or the end.
#[inline]
fn series_end(bytes: &[u8]) -> usize {
    let mut from = 0;
    while let Some(more) = memchr(b' ', &bytes[from..]) {
        let at = from + more;
        if at == 0 || bytes[at - 1] != b'\\' {
            return at;
        }
        from = at + 1;
    }
    bytes.len()
}

/// Measurement and tags of a series that is not known yet.
fn parse_series<'a>(text: &'a str, batch: &mut Batch<'a>) -> Result<PointSeries<'a>, Fault> {
    let bytes = text.as_bytes();
    let measurement_end = find(bytes, 0, b',').unwrap_or(bytes.len());
    match bytes.first() {
        None | Some(b',') => return Err(Fault::new(0, Reason::MissingMeasurement)),
        Some(0) => return Err(Fault::new(0, Reason::InvalidMeasurement)),
        Some(_) => {}
    }
    let first_tag = batch.tags.len();
    let mut at = measurement_end;
    while at < bytes.len() {
        let (tag, end) = parse_tag(text, at + 1)?;
        batch.tags.push(tag);
        at = end;
    }
    if bytes.len() > KEY_BYTES_MAX {
        return Err(Fault::new(0, Reason::KeyTooLong(bytes.len())));
    }
    if has_duplicate_key(&batch.tags[first_tag..]) {
        return Err(Fault::new(measurement_end, Reason::DuplicateTags));
    }
    Ok(PointSeries::New {
        text: bytes,
        measurement: escape::unescape_name(&text[..measurement_end]),
        tags: first_tag as u32..batch.tags.len() as u32,
    })
}

/// The tag that starts at `start`, and where it ends: at a comma or the end of the series text.
fn parse_tag(text: &str, start: usize) -> Result<(Tag<'_>, usize), Fault> {
    let bytes = text.as_bytes();
    if matches!(bytes.get(start), None | Some(b',' | b'=')) {
        return Err(Fault::new(start, Reason::MissingTagKey));
    }
    let end = find(bytes, start, b',').unwrap_or(bytes.len());
    let Some(equals) = find(&bytes[..end], start, b'=') else {
        return Err(Fault::new(end, Reason::MissingTagValue));
    };
    let value = equals + 1;
    if value == end {
        return Err(Fault::new(value, Reason::MissingTagValue));
    }
    if let Some(second) = find(&bytes[..end], value, b'=') {
        return Err(Fault::new(second, Reason::InvalidTagFormat));
    }
    if bytes[end - 1] == b'\\' {
        // Only at the end of the text: a backslash before a comma would have escaped it.
        return Err(Fault::new(end - 1, Reason::InvalidTagFormat));
    }
    let tag = Tag {
        key: escape::unescape_name(&text[start..equals]),
        value: escape::unescape_name(&text[value..end]),
    };
    Ok((tag, end))
}

/// The first `wanted` from `from` on that has no backslash before it.
#[inline]
fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr(wanted, &bytes[at..])?;
        if at == from || bytes[at - 1] != b'\\' {
            return Some(at);
        }
        at += 1;
    }
}

fn has_duplicate_key(tags: &[Tag<'_>]) -> bool {
    if tags.is_sorted_by(|a, b| a.key < b.key) {
        return false; // what clients are told to send, and mostly do
    }
    let mut keys: Vec<&str> = tags.iter().map(|tag| tag.key.as_ref()).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Appends the fields that start behind the blanks at `at`; returns where they end: at a SP or
/// the end of the line.
#[inline]
fn parse_fields<'a>(
    line: &'a str,
    mut at: usize,
    fields: &mut Vec<Field<'a>>,
) -> Result<usize, Fault> {
    let bytes = line.as_bytes();
    let series_bytes = at;
    at = skip_spaces(bytes, at);
    loop {
        let equals = key_end(bytes, at)?;
        if series_bytes + 4 + (equals - at) > KEY_BYTES_MAX {
            let key_bytes = series_bytes + 4 + (equals - at);
            return Err(Fault::new(at, Reason::KeyTooLong(key_bytes)));
        }
        let key = escape::unescape_name(&line[at..equals]);
        let (value, end) = parse_value(line, equals + 1)?;
        fields.push(Field { key, value });
        match bytes.get(end) {
            Some(b',') => at = end + 1,
            _ => return Ok(end),
        }
    }
}

/// The `=` that ends the field key starting at `start`.
#[inline]
fn key_end(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    loop {
        match bytes.get(at) {
            Some(b'=') if at == start => return Err(Fault::new(at, Reason::MissingFieldKey)),
            Some(b'=') => return Ok(at),
            Some(b',' | b' ') | None => return Err(Fault::new(at, Reason::InvalidFieldFormat)),
            // The byte after the last backslash of a row of them is part of the name.
            Some(b'\\') if matches!(bytes.get(at + 1), Some(b'=' | b',' | b' ')) => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The value that starts at `start`, and where it ends: at a `,`, a SP or the end of the line.
#[inline]
fn parse_value(line: &str, start: usize) -> Result<(FieldValue<'_>, usize), Fault> {
    let bytes = line.as_bytes();
    match bytes.get(start) {
        Some(b'0'..=b'9' | b'-' | b'.' | b'n' | b'N') => {
            number::parse(bytes, start).map_err(|(at, reason)| Fault::new(at, reason))
        }
        Some(b'"') => parse_string(line, start + 1),
        Some(b',' | b' ') | None => Err(Fault::new(start, Reason::MissingFieldValue)),
        Some(_) => parse_boolean(bytes, start),
    }
}

fn parse_string(line: &str, start: usize) -> Result<(FieldValue<'_>, usize), Fault> {
    let bytes = line.as_bytes();
    let Some(end) = lines::string_end(bytes, start) else {
        return Err(Fault::new(start - 1, Reason::UnbalancedQuotes));
    };
    if !matches!(bytes.get(end), None | Some(b',' | b' ')) {
        return Err(Fault::new(end, Reason::InvalidFieldFormat));
    }
    let text: Cow<'_, str> = escape::unescape_string(&line[start..end - 1]);
    Ok((FieldValue::String(text), end))
}

fn parse_boolean(bytes: &[u8], start: usize) -> Result<(FieldValue<'static>, usize), Fault> {
    let end = number::token_end(bytes, start);
    let value = match &bytes[start..end] {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => true,
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => false,
        _ => return Err(Fault::new(start, Reason::InvalidBoolean)),
    };
    Ok((FieldValue::Boolean(value), end))
}

/// The timestamp behind the blanks at `at`, to the end of the line.
#[inline]
fn parse_timestamp(bytes: &[u8], at: usize, times: &Times) -> Result<Timestamp, Fault> {
    let start = skip_spaces(bytes, at);
    if start == bytes.len() {
        return Ok(times.default);
    }
    let end = memchr(b' ', &bytes[start..]).map_or(bytes.len(), |n| start + n);
    let Some(written) = number::timestamp(&bytes[start..end]) else {
        return Err(Fault::new(start, Reason::BadTimestamp));
    };
    let Some(timestamp) = written.and_then(|n| times.precision.scale(n)) else {
        return Err(Fault::new(start, Reason::TimeOutsideRange));
    };
    let rest = skip_spaces(bytes, end);
    if rest < bytes.len() {
        return Err(Fault::new(rest, Reason::PointIsInvalid));
    }
    Ok(timestamp)
}

#[inline]
fn skip_spaces(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at) == Some(&b' ') {
        at += 1;
    }
    at
}
