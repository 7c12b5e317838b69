//! Line protocol once more, slow and obvious: what the parser is compared with.
//!
//! Written from the rules, byte by byte into owned values; shares no code with the parser except
//! the standard library's number parsing, which both must agree with.

use std::collections::BTreeMap;

use firndb_tsdb::model::FieldValue;

use crate::line_protocol::{Flat, value_text};

/// Points, and line number and reason of each bad line.
pub fn parse(text: &[u8], now: i64) -> (Vec<Flat>, Vec<(u32, String)>) {
    let (mut points, mut errors) = (Vec::new(), Vec::new());
    let (mut at, mut number) = (0, 1);
    while at < text.len() {
        let mut start = at;
        while start < text.len() && (text[start] == b' ' || text[start] == b'\t') {
            start += 1;
        }
        let end = line_end(text, start);
        let mut line = &text[start..end];
        if line.last() == Some(&b'\r') {
            line = &line[..line.len() - 1];
        }
        if !line.is_empty() && line[0] != b'#' {
            match point(line, now) {
                Ok(point) => points.push(point),
                Err(reason) => errors.push((number, reason)),
            }
        }
        number += 1 + line.iter().filter(|b| **b == b'\n').count() as u32;
        at = end + 1;
    }
    (points, errors)
}

fn line_end(text: &[u8], start: usize) -> usize {
    let (mut in_fields, mut quoted) = (false, false);
    let mut is_comment = None;
    let mut i = start;
    while i < text.len() {
        let byte = text[i];
        let after_backslash = i > start && text[i - 1] == b'\\';
        let comment = *is_comment.get_or_insert(byte == b'#');
        if comment {
            if byte == b'\n' {
                return i;
            }
            i += 1;
            continue;
        }
        if quoted {
            match byte {
                b'\\' => i += 1,
                b'"' => quoted = false,
                _ => {}
            }
        } else if byte == b'\n' {
            return i;
        } else if byte == b'\\' && matches!(text.get(i + 1), Some(b'\n' | b'\\')) {
            i += 1;
        } else if byte == b' ' && !after_backslash {
            in_fields = true;
        } else if byte == b'=' && in_fields && !after_backslash && text.get(i + 1) == Some(&b'"') {
            quoted = true;
            i += 1;
        }
        i += 1;
    }
    text.len()
}

/// Splits at every `separator` that has no backslash before it.
fn split(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut start = 0;
    for i in 0..text.len() {
        if text[i] == separator && (i == 0 || text[i - 1] != b'\\') {
            parts.push(&text[start..i]);
            start = i + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

fn name(text: &[u8]) -> String {
    let mut out = Vec::new();
    let mut i = 0;
    while i < text.len() {
        if text[i] == b'\\' && i + 1 < text.len() && b",= ".contains(&text[i + 1]) {
            i += 1;
        }
        out.push(text[i]);
        i += 1;
    }
    String::from_utf8(out).unwrap()
}

fn point(line: &[u8], now: i64) -> Result<Flat, String> {
    if std::str::from_utf8(line).is_err() {
        return Err("invalid UTF-8".into());
    }
    let series = split(line, b' ')[0];
    let (measurement, tags) = series_of(series)?;
    if series.len() == line.len() {
        return Err("missing fields".into());
    }
    let mut rest = &line[series.len()..];
    while let Some(more) = rest.strip_prefix(b" ") {
        rest = more;
    }
    let (fields, rest) = fields(rest)?;
    let rest = String::from_utf8(rest.to_vec()).unwrap();
    let rest = rest.trim_matches(' ');
    let (timestamp, more) = rest.split_once(' ').unwrap_or((rest, ""));
    let digits = timestamp.strip_prefix('-').unwrap_or(timestamp);
    if timestamp.is_empty() {
        return Ok(Flat { measurement, tags, fields, timestamp: now });
    }
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("bad timestamp".into());
    }
    let timestamp = match timestamp.parse::<i64>() {
        Ok(t) if t > i64::MIN + 1 && t < i64::MAX => t,
        _ => return Err(format!("time outside range -{0} - {0}", i64::MAX - 1)),
    };
    if !more.is_empty() {
        return Err("point is invalid".into());
    }
    Ok(Flat { measurement, tags, fields, timestamp })
}

fn series_of(series: &[u8]) -> Result<(String, BTreeMap<String, String>), String> {
    let parts = split(series, b',');
    if parts[0].is_empty() {
        return Err("missing measurement".into());
    }
    if parts[0][0] == 0 {
        return Err("invalid measurement".into());
    }
    let mut tags = BTreeMap::new();
    let mut duplicate = false;
    for part in &parts[1..] {
        let pair = split(part, b'=');
        if pair[0].is_empty() {
            return Err("missing tag key".into());
        }
        if pair.len() == 1 || (pair.len() == 2 && pair[1].is_empty()) {
            return Err("missing tag value".into());
        }
        if pair.len() > 2 || pair[1].ends_with(b"\\") {
            return Err("invalid tag format".into());
        }
        duplicate |= tags.insert(name(pair[0]), name(pair[1])).is_some();
    }
    if duplicate {
        return Err("duplicate tags".into());
    }
    Ok((name(parts[0]), tags))
}

type Fields = Vec<(String, String)>;

fn fields(mut rest: &[u8]) -> Result<(Fields, &[u8]), String> {
    let mut fields = Vec::new();
    loop {
        let stop = (0..rest.len())
            .find(|&i| matches!(rest[i], b'=' | b',' | b' ') && (i == 0 || rest[i - 1] != b'\\'));
        let Some(stop) = stop.filter(|&i| rest[i] == b'=') else {
            return Err("invalid field format".into());
        };
        if stop == 0 {
            return Err("missing field key".into());
        }
        let key = name(&rest[..stop]);
        rest = &rest[stop + 1..];
        let value;
        (value, rest) = field_value(rest)?;
        fields.push((key, value));
        match rest.strip_prefix(b",") {
            Some(more) => rest = more,
            None => return Ok((fields, rest)),
        }
    }
}

fn field_value(rest: &[u8]) -> Result<(String, &[u8]), String> {
    if rest.first() == Some(&b'"') {
        let mut out = Vec::new();
        let mut i = 1;
        while i < rest.len() && rest[i] != b'"' {
            if rest[i] == b'\\' && i + 1 < rest.len() {
                if !b"\"\\".contains(&rest[i + 1]) {
                    out.push(rest[i]);
                }
                i += 1;
            }
            out.push(rest[i]);
            i += 1;
        }
        let Some(after) = rest.get(i + 1..) else { return Err("unbalanced quotes".into()) };
        if !after.is_empty() && !b", ".contains(&after[0]) {
            return Err("invalid field format".into());
        }
        return Ok((format!("str {}", String::from_utf8(out).unwrap()), after));
    }
    let end = rest.iter().position(|b| b", ".contains(b)).unwrap_or(rest.len());
    let (token, after) = rest.split_at(end);
    let token = std::str::from_utf8(token).unwrap();
    let value = match token.bytes().next() {
        None => return Err("missing field value".into()),
        Some(b'0'..=b'9' | b'.' | b'-' | b'n' | b'N') => number(token)?,
        _ => match token {
            "t" | "T" | "true" | "True" | "TRUE" => FieldValue::Boolean(true),
            "f" | "F" | "false" | "False" | "FALSE" => FieldValue::Boolean(false),
            _ => return Err("invalid boolean".into()),
        },
    };
    Ok((value_text(&value), after))
}

fn number(token: &str) -> Result<FieldValue<'static>, String> {
    let is_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if let Some(number) = token.strip_suffix('i')
        && is_digits(number.strip_prefix('-').unwrap_or(number))
    {
        return number
            .parse()
            .map(FieldValue::Integer)
            .map_err(|_| format!("unable to parse integer {number}: value out of range"));
    }
    if let Some(number) = token.strip_suffix('u')
        && is_digits(number)
    {
        return number
            .parse()
            .map(FieldValue::Unsigned)
            .map_err(|_| format!("unable to parse unsigned {number}: value out of range"));
    }
    let bytes: Vec<char> = token.chars().collect();
    let mut points = 0;
    let mut others = 0;
    for (i, c) in bytes.iter().enumerate() {
        let before = if i == 0 { ' ' } else { bytes[i - 1] };
        match c {
            '0'..='9' => others += 1,
            '-' if i == 0 => {}
            '+' | '-' if before == 'e' || before == 'E' => {}
            'e' | 'E' if i > 0 => others += 1,
            '.' => points += 1,
            _ => return Err("invalid number".into()),
        }
    }
    if points > 1 || others == 0 {
        return Err("invalid number".into());
    }
    match token.parse::<f64>() {
        Ok(v) if v.is_finite() => Ok(FieldValue::Float(v)),
        _ => Err("invalid float".into()),
    }
}
