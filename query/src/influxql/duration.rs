//! Durations: `1h30m` in, `168h0m0s` out. Nanoseconds inside.

use std::fmt::Write;

/// Nanoseconds of `text`: whole numbers with units, one after another, as in `1h30m`.
///
/// `None` when it is not that, or more than `i64` holds (292 years).
pub fn parse(text: &str) -> Option<i64> {
    parse_units(text, unit_ns)
}

/// As [`parse`], and `y` is a year of 365 days: for how long things are kept.
pub fn parse_long(text: &str) -> Option<i64> {
    parse_units(text, |unit| if unit == "y" { Some(365 * DAY_NS) } else { unit_ns(unit) })
}

fn parse_units(text: &str, unit_ns: impl Fn(&str) -> Option<i64>) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(|b| !b.is_ascii_digit()).count();
        total = total.checked_add(number.checked_mul(unit_ns(&rest[..letters])?)?)?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total)
}

const DAY_NS: i64 = 86_400_000_000_000;

fn unit_ns(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        "u" | "us" | "\u{b5}" | "\u{b5}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => DAY_NS,
        "w" => 604_800_000_000_000,
        _ => return None,
    })
}

/// As InfluxQL writes it: the largest unit that divides it (`10s`, `1d`, `2w`); `0s` for zero.
pub fn literal(ns: i64) -> String {
    const UNITS: [&str; 8] = ["w", "d", "h", "m", "s", "ms", "u", "ns"];
    if ns == 0 {
        return "0s".into();
    }
    let unit = UNITS.iter().find(|u| unit_ns(u).is_some_and(|size| ns % size == 0));
    let unit = unit.unwrap_or(&"ns");
    format!("{}{unit}", ns / unit_ns(unit).unwrap_or(1))
}

/// As retention policies are shown: hours, minutes and seconds (`168h0m0s`, `1m30s`, `0s`).
pub fn hours(ns: i64) -> String {
    let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let mut text = String::new();
    if seconds >= 3600 {
        let _ = write!(text, "{}h", seconds / 3600);
    }
    if seconds >= 60 {
        let _ = write!(text, "{}m", seconds / 60 % 60);
    }
    let _ = write!(text, "{}", seconds % 60);
    if rest > 0 {
        let fraction = format!(".{rest:09}");
        text.push_str(fraction.trim_end_matches('0'));
    }
    text + "s"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_cases() {
        let cases = [
            ("1ns", Some(1)),
            ("2u", Some(2_000)),
            ("2us", Some(2_000)),
            ("2\u{b5}", Some(2_000)),
            ("3ms", Some(3_000_000)),
            ("4s", Some(4_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("1d", Some(86_400_000_000_000)),
            ("1w", Some(604_800_000_000_000)),
            ("", None),
            ("1", None),
            ("m", None),
            ("1x", None),
            ("1h30", None),
            ("9223372036854775807ns", Some(i64::MAX)),
            ("9223372036854775808ns", None),
            ("15251w", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn long_durations_have_years() {
        assert_eq!(parse_long("1y"), parse("365d"));
        assert_eq!(parse_long("1y2w"), parse("379d"));
        for text in ["y", "293y", "1yy", ""] {
            assert_eq!(parse_long(text), None, "{text}");
        }
        assert_eq!(parse("1y"), None, "years are not durations of InfluxQL");
    }

    #[test]
    fn written_forms() {
        let cases = [
            (0, "0s", "0s"),
            (1, "1ns", "0.000000001s"),
            (1_500_000_000, "1500ms", "1.5s"),
            (90_000_000_000, "90s", "1m30s"),
            (3_600_000_000_000, "1h", "1h0m0s"),
            (604_800_000_000_000, "1w", "168h0m0s"),
        ];
        for (ns, short, long) in cases {
            assert_eq!((literal(ns).as_str(), hours(ns).as_str()), (short, long));
        }
    }
}
