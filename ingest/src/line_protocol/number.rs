//! Numbers: the value of a field that starts with a digit, `-`, `.` or `n`, and timestamps.
//!
//! Steps: up to 19 digits go into a u64 as they are met. `i` or `u` after them makes an integer.
//! A decimal whose digits make a number below 2^53, with at most 22 of them behind the point, is
//! that number divided by a power of ten: both are exact floats, so the one rounding of the
//! division gives the nearest float (Clinger 1990, "fast path"). Longer floats go to fast-float2.
//! Integers out of range or with leading zeros, and every error, are left to the slow path, which
//! looks at the whole token.

use firndb_tsdb::model::FieldValue;

use super::Reason;

/// Powers of ten that a float holds exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// Most digits of which every number fits a u64.
const DIGITS_MAX: usize = 19;
/// Digits of a number out of range that an error repeats.
const DIGITS_SHOWN: usize = 64;

/// The number that starts at `at`, and where its token (up to `,`, SP or the end) ends.
#[inline]
pub(super) fn parse(
    bytes: &[u8],
    at: usize,
) -> Result<(FieldValue<'static>, usize), (usize, Reason)> {
    match fast(bytes, at).or_else(|| long_float(bytes, at)) {
        Some(parsed) => Ok(parsed),
        None => {
            let end = token_end(bytes, at);
            let value = slow(&bytes[at..end]).map_err(|reason| (at, reason))?;
            Ok((value, end))
        }
    }
}

/// End of the token that starts at `at`.
pub(super) fn token_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr2(b',', b' ', &bytes[at..]).map_or(bytes.len(), |n| at + n)
}

#[inline]
fn fast(bytes: &[u8], start: usize) -> Option<(FieldValue<'static>, usize)> {
    let is_negative = bytes.get(start) == Some(&b'-');
    let first = start + usize::from(is_negative);
    let (number, at) = digits(bytes, first, 0);
    let count = at - first;
    if count > DIGITS_MAX {
        return None;
    }
    match bytes.get(at) {
        Some(b'i') if count > 0 && ends(bytes, at + 1) => {
            let value = if !is_negative {
                i64::try_from(number).ok()?
            } else if number <= 1 << 63 {
                (number as i64).wrapping_neg()
            } else {
                return None;
            };
            Some((FieldValue::Integer(value), at + 1))
        }
        Some(b'u') if count > 0 && !is_negative && ends(bytes, at + 1) => {
            Some((FieldValue::Unsigned(number), at + 1))
        }
        Some(b'.') => {
            let (number, end) = digits(bytes, at + 1, number);
            let places = end - at - 1;
            let count = count + places;
            if count == 0 || count > DIGITS_MAX || number >= 1 << 53 || !ends(bytes, end) {
                return None;
            }
            // At most 19 places: in the table.
            let value = number as f64 / POWERS_OF_TEN[places];
            Some((FieldValue::Float(if is_negative { -value } else { value }), end))
        }
        Some(b',' | b' ') | None if count > 0 && number < 1 << 53 => {
            let value = number as f64;
            Some((FieldValue::Float(if is_negative { -value } else { value }), at))
        }
        _ => None,
    }
}

/// A float of any length or with an exponent, if it is one in every respect.
fn long_float(bytes: &[u8], at: usize) -> Option<(FieldValue<'static>, usize)> {
    let first = at + usize::from(bytes.get(at) == Some(&b'-'));
    // The library also reads `inf` and `nan`, and a plus sign.
    bytes.get(first).filter(|byte| matches!(byte, b'0'..=b'9' | b'.'))?;
    let (value, length) = fast_float2::parse_partial::<f64, _>(&bytes[at..]).ok()?;
    let end = at + length;
    (value.is_finite() && ends(bytes, end)).then_some((FieldValue::Float(value), end))
}

/// Appends the digits from `at` on to `number`; returns it and where they end. The number is
/// meaningless after more than 19 digits: the caller counts.
#[inline]
fn digits(bytes: &[u8], mut at: usize, mut number: u64) -> (u64, usize) {
    while let Some(&byte) = bytes.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (number, at)
}

/// Whether a token may end at `at`.
#[inline]
fn ends(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at), None | Some(b',' | b' '))
}

/// A whole token, however long.
#[cold]
fn slow(token: &[u8]) -> Result<FieldValue<'static>, Reason> {
    let text = std::str::from_utf8(token).map_err(|_| Reason::InvalidNumber)?;
    let shown = || text[..text.len().min(DIGITS_SHOWN)].trim_end_matches(['i', 'u']).to_owned();
    match token.split_last() {
        Some((b'i', digits)) if is_integer(digits) => text[..text.len() - 1]
            .parse()
            .map(FieldValue::Integer)
            .map_err(|_| Reason::IntegerOutOfRange(shown())),
        Some((b'u', digits)) if is_integer(digits) && digits[0] != b'-' => text[..text.len() - 1]
            .parse()
            .map(FieldValue::Unsigned)
            .map_err(|_| Reason::UnsignedOutOfRange(shown())),
        // Had it been one, `long_float` would have read it.
        Some(_) if looks_like_float(token) => Err(Reason::InvalidFloat),
        _ => Err(Reason::InvalidNumber),
    }
}

fn is_integer(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// Whether the bytes are those of a float, if perhaps not in their order: this only chooses
/// between the two errors, as InfluxDB does.
fn looks_like_float(token: &[u8]) -> bool {
    let unsigned = token.strip_prefix(b"-").unwrap_or(token);
    let mut points = 0;
    let mut others = 0;
    let mut before = 0;
    for &byte in unsigned {
        match byte {
            b'0'..=b'9' => others += 1,
            b'e' | b'E' if before != 0 || unsigned.len() < token.len() => others += 1,
            b'+' | b'-' if matches!(before, b'e' | b'E') => {}
            b'.' => points += 1,
            _ => return false,
        }
        before = byte;
    }
    points <= 1 && others > 0
}

/// A timestamp as written, before scaling: `None` when it is no integer, `Some(None)` when it is
/// outside i64.
#[inline]
pub(super) fn timestamp(token: &[u8]) -> Option<Option<i64>> {
    let is_negative = token.first() == Some(&b'-');
    let first = usize::from(is_negative);
    let (number, end) = digits(token, first, 0);
    if end != token.len() || end == first {
        return None;
    }
    if end - first > DIGITS_MAX {
        return Some(std::str::from_utf8(token).ok()?.parse().ok());
    }
    // The lowest i64 is outside the range of timestamps in any case.
    Some(i64::try_from(number).ok().map(|n| if is_negative { -n } else { n }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard library rounds correctly: the oracle.
    #[test]
    fn decimals_are_rounded_as_by_the_standard_library() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..200_000 {
            let number = next() >> (next() % 64);
            let text = match round % 4 {
                0 => format!("{number}"),
                1 => format!("-{}.{}", number % 100_000, next() % 10u64.pow((next() % 16) as u32)),
                2 => format!("{}", f64::from_bits(next())),
                _ => {
                    format!("{}.{:0width$}", next() % 1000, number, width = (next() % 24) as usize)
                }
            };
            let Ok(expected) = text.parse::<f64>() else { continue };
            let got = parse(text.as_bytes(), 0);
            if text.starts_with(['N', 'i']) || text.starts_with("-i") || !expected.is_finite() {
                continue;
            }
            match got {
                Ok((FieldValue::Float(value), end)) => {
                    assert_eq!(value.to_bits(), expected.to_bits(), "{text}");
                    assert_eq!(end, text.len());
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn integers_at_their_limits() {
        let cases = [
            ("9223372036854775807i", Some(FieldValue::Integer(i64::MAX))),
            ("-9223372036854775808i", Some(FieldValue::Integer(i64::MIN))),
            ("-9223372036854775809i", None),
            ("9999999999999999999i", None),
            ("000000000000000000000000001i", Some(FieldValue::Integer(1))),
            ("18446744073709551615u", Some(FieldValue::Unsigned(u64::MAX))),
            ("18446744073709551616u", None),
            ("-0u", None),
            ("1i1", None),
            (".", None),
            ("-.", None),
            ("-e5", None),
            ("5.i", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes(), 0).ok().map(|(v, _)| v), expected, "{text}");
        }
    }
}
