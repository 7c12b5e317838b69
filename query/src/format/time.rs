//! Times out: whole numbers since the epoch, or RFC 3339 with trailing zeros cut.

use chrono::{Offset, TimeZone};
use chrono_tz::Tz;

use super::number::integer;

const SECOND_NS: i64 = 1_000_000_000;

/// Unit of times that are numbers; division truncates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    unit_ns: i64,
}

impl Epoch {
    /// Nanoseconds.
    pub const NANOSECONDS: Epoch = Epoch { unit_ns: 1 };

    /// The unit that a request names; what is unknown means nanoseconds.
    pub fn named(name: &str) -> Epoch {
        let unit_ns = match name {
            "u" | "us" | "\u{b5}" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND_NS,
            "m" => 60 * SECOND_NS,
            "h" => 3600 * SECOND_NS,
            _ => 1,
        };
        Epoch { unit_ns }
    }
}

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeFormat {
    /// As numbers.
    Epoch(Epoch),
    /// As text, in a zone or in UTC.
    Rfc3339(Option<Tz>),
}

impl TimeFormat {
    /// Whether times are text, which JSON puts in quotes.
    pub fn is_text(self) -> bool {
        matches!(self, TimeFormat::Rfc3339(_))
    }

    /// Appends a time.
    pub fn write(self, ns: i64, out: &mut Vec<u8>) {
        match self {
            TimeFormat::Epoch(epoch) => integer(ns / epoch.unit_ns, out),
            TimeFormat::Rfc3339(None) => rfc3339(ns, 0, out),
            TimeFormat::Rfc3339(Some(zone)) => {
                let utc = chrono::DateTime::from_timestamp_nanos(ns).naive_utc();
                rfc3339(ns, zone.offset_from_utc_datetime(&utc).fix().local_minus_utc(), out);
            }
        }
    }
}

fn rfc3339(ns: i64, offset_s: i32, out: &mut Vec<u8>) {
    let seconds = ns.div_euclid(SECOND_NS) + i64::from(offset_s);
    let fraction = ns.rem_euclid(SECOND_NS) as u32;
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400) as u32;
    let mut text = *b"0000-00-00T00:00:00";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], second / 3600);
    digits(&mut text[14..16], second / 60 % 60);
    digits(&mut text[17..19], second % 60);
    out.extend_from_slice(&text);
    if fraction > 0 {
        let mut text = *b".000000000";
        digits(&mut text[1..], fraction);
        let zeros = text.iter().rev().take_while(|b| **b == b'0').count();
        out.extend_from_slice(&text[..text.len() - zeros]);
    }
    if offset_s == 0 {
        out.push(b'Z');
        return;
    }
    let mut text = *b"+00:00";
    text[0] = if offset_s < 0 { b'-' } else { b'+' };
    digits(&mut text[1..3], offset_s.unsigned_abs() / 3600);
    digits(&mut text[4..6], offset_s.unsigned_abs() / 60 % 60);
    out.extend_from_slice(&text);
}

/// Fills `text` with the last decimal digits of `number`.
fn digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar. 64-bit nanoseconds
/// reach from 1677 to 2262.
///
/// Years are counted from March, so that the day that is sometimes missing comes last; 400 years
/// have 146,097 days.
fn civil(day: i64) -> (u32, u32, u32) {
    let day = day + 719_468; // days from 0000-03-01 to 1970-01-01
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as u32, month as u32, day_of_month as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: TimeFormat, ns: i64) -> String {
        let mut out = Vec::new();
        format.write(ns, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_cases() {
        const BASE: i64 = 1_700_000_000_123_456_789;
        let utc = TimeFormat::Rfc3339(None);
        let tokyo = TimeFormat::Rfc3339(Some(chrono_tz::Asia::Tokyo));
        let new_york = TimeFormat::Rfc3339(Some(chrono_tz::America::New_York));
        let epoch = |name| TimeFormat::Epoch(Epoch::named(name));
        let cases = [
            (utc, BASE, "2023-11-14T22:13:20.123456789Z"),
            (utc, BASE / SECOND_NS * SECOND_NS, "2023-11-14T22:13:20Z"),
            (utc, 1, "1970-01-01T00:00:00.000000001Z"),
            (utc, -1, "1969-12-31T23:59:59.999999999Z"),
            (utc, i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (utc, i64::MIN, "1677-09-21T00:12:43.145224192Z"),
            (utc, 951_782_400 * SECOND_NS, "2000-02-29T00:00:00Z"),
            (tokyo, BASE, "2023-11-15T07:13:20.123456789+09:00"),
            (new_york, 0, "1969-12-31T19:00:00-05:00"),
            (epoch("ns"), BASE, "1700000000123456789"),
            (epoch("n"), BASE, "1700000000123456789"),
            (epoch("bad"), BASE, "1700000000123456789"),
            (epoch("u"), BASE, "1700000000123456"),
            (epoch("ms"), BASE, "1700000000123"),
            (epoch("s"), BASE, "1700000000"),
            (epoch("m"), BASE, "28333333"),
            (epoch("h"), BASE, "472222"),
            (epoch("s"), -1, "0"),
        ];
        for (format, ns, expected) in cases {
            assert_eq!(written(format, ns), expected, "{ns} as {format:?}");
        }
    }

    #[test]
    fn every_day_agrees_with_chrono() {
        for day in (-106_000..106_000).step_by(13) {
            let ns = day * 86_400 * SECOND_NS;
            let expected = chrono::DateTime::from_timestamp_nanos(ns).format("%Y-%m-%dT00:00:00Z");
            assert_eq!(written(TimeFormat::Rfc3339(None), ns), expected.to_string());
        }
    }
}
