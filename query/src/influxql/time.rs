//! Times in: `'2023-11-14T22:13:20Z'`, `'2023-11-14 22:13:20.5'`, `'2023-11-14'`.

use chrono::{NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

/// What a text in quotes is, where a time is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// Nanoseconds since the epoch.
    Time(i64),
    /// A time that 64 bits do not hold; whether it is too early (else too late).
    OutOfRange(bool),
    /// Not a time.
    Other,
}

/// Reads a time. Text without a zone is in `zone`, or in UTC.
pub fn parse(text: &str, zone: Option<Tz>) -> Parsed {
    let Some((local, offset_s)) = split(text) else { return Parsed::Other };
    let utc = match (offset_s, zone) {
        (Some(offset_s), _) => local - chrono::TimeDelta::seconds(offset_s),
        (None, None) => local,
        // Where clocks go back the earlier of two is meant; where they jump, none is: take UTC.
        (None, Some(zone)) => match zone.from_local_datetime(&local).earliest() {
            Some(time) => time.naive_utc(),
            None => local,
        },
    };
    match utc.and_utc().timestamp_nanos_opt() {
        Some(ns) => Parsed::Time(ns),
        None => Parsed::OutOfRange(utc.and_utc().timestamp() < 0),
    }
}

/// Date and time of day, and the offset from UTC in seconds if one is given.
fn split(text: &str) -> Option<(NaiveDateTime, Option<i64>)> {
    let date = text.get(..10)?;
    let mut parts = date.split('-');
    let mut part = |length: usize| {
        let part = parts.next()?;
        (part.len() == length && part.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
        part.parse::<u32>().ok()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
    let rest = &text[10..];
    if rest.is_empty() {
        return Some((date.and_hms_opt(0, 0, 0)?, None));
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let clock = rest.get(..8)?;
    let two = |at: usize| {
        let digits = clock.get(at..at + 2).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse::<u32>().ok()
    };
    if clock.as_bytes()[2] != b':' || clock.as_bytes()[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (two(0)?, two(3)?, two(6)?);
    let (nanosecond, zone) = fraction(&rest[8..])?;
    Some((date.and_hms_nano_opt(hour, minute, second, nanosecond)?, offset(zone)?))
}

/// Nanoseconds of `.5` and the like at the beginning, and what follows.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let number: u32 = rest[..digits].parse().ok()?;
    Some((number * 10u32.pow(9 - digits as u32), &rest[digits..]))
}

/// Seconds of `Z`, `+01:00` and the like; `None` inside when there is no zone.
fn offset(text: &str) -> Option<Option<i64>> {
    match text.as_bytes() {
        [] => Some(None),
        [b'Z' | b'z'] => Some(Some(0)),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let hours: i64 = text.get(1..3)?.parse().ok()?;
            let minutes: i64 = text.get(4..6)?.parse().ok()?;
            let seconds = hours * 3600 + minutes * 60;
            Some(Some(if *sign == b'-' { -seconds } else { seconds }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_cases() {
        const BASE: i64 = 1_700_000_000_000_000_000;
        let tokyo = Some(chrono_tz::Asia::Tokyo);
        let cases = [
            ("2023-11-14T22:13:20Z", None, Parsed::Time(BASE)),
            ("2023-11-14T22:13:20Z", tokyo, Parsed::Time(BASE)),
            ("2023-11-14 22:13:20", None, Parsed::Time(BASE)),
            ("2023-11-15 07:13:20", tokyo, Parsed::Time(BASE)),
            ("2023-11-14T23:13:20+01:00", None, Parsed::Time(BASE)),
            ("2023-11-14T22:13:20.5Z", None, Parsed::Time(BASE + 500_000_000)),
            ("2023-11-14 22:13:20.000000001", None, Parsed::Time(BASE + 1)),
            ("1970-01-02", None, Parsed::Time(86_400_000_000_000)),
            ("1969-12-31T23:59:59Z", None, Parsed::Time(-1_000_000_000)),
            ("1500-01-01", None, Parsed::OutOfRange(true)),
            ("2500-01-01", None, Parsed::OutOfRange(false)),
            ("2023-13-14", None, Parsed::Other),
            ("2023-11-14T22:13", None, Parsed::Other),
            ("2023-11-14T22:13:20.", None, Parsed::Other),
            ("2023-11-14T22:13:20X", None, Parsed::Other),
            ("+023-11-14", None, Parsed::Other),
            ("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", None, Parsed::Other),
            ("x", None, Parsed::Other),
            ("", None, Parsed::Other),
        ];
        for (text, zone, expected) in cases {
            assert_eq!(parse(text, zone), expected, "{text}");
        }
    }
}
