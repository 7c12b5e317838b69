//! Numbers as Go writes them, which is what clients of InfluxDB were made against: floats in the
//! shortest form without `.0`, with an exponent only below 1e-6 and from 1e21.

/// Digits of the numbers below a thousand, with how many there are: most values of most answers.
const SMALL: [([u8; 3], u8); 1000] = {
    let mut small = [([b'0'; 3], 1); 1000];
    let mut number = 0;
    while number < small.len() {
        let (hundreds, tens, ones) = (number / 100, number / 10 % 10, number % 10);
        let (hundreds, tens, ones) = (hundreds as u8 + b'0', tens as u8 + b'0', ones as u8 + b'0');
        small[number] = match number {
            0..10 => ([ones, b' ', b' '], 1),
            10..100 => ([tens, ones, b' '], 2),
            _ => ([hundreds, tens, ones], 3),
        };
        number += 1;
    }
    small
};

/// Appends a whole number.
pub fn integer(number: impl itoa::Integer + TryInto<usize>, out: &mut Vec<u8>) {
    if let Some((digits, count)) = number.try_into().ok().and_then(|small| SMALL.get(small)) {
        // Three bytes at once and one step back cost less than a copy of unknown length.
        out.extend_from_slice(digits);
        out.truncate(out.len() - 3 + usize::from(*count));
        return;
    }
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a finite float as JSON has it; what is not finite is `null`.
pub fn json_float(number: f64, out: &mut Vec<u8>) {
    if !number.is_finite() {
        out.extend_from_slice(b"null");
    } else if !short(number, out) {
        let magnitude = number.abs();
        write(number, (1e-6..1e21).contains(&magnitude), out);
    }
}

/// Appends a float in plain digits, whatever its size.
pub fn plain_float(number: f64, out: &mut Vec<u8>) {
    if number.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if !short(number, out) {
        write(number, true, out);
    }
}

/// Whole numbers below 2^53 and common fractions take this way.
fn short(number: f64, out: &mut Vec<u8>) -> bool {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if number.abs() < EXACT_MAX && number == number.trunc() {
        if number == 0.0 && number.is_sign_negative() {
            out.push(b'-');
        }
        integer(number as i64, out);
        return true;
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(number).as_bytes();
    let scientific = text.contains(&b'e');
    if !scientific {
        out.extend_from_slice(text.strip_suffix(b".0").unwrap_or(text));
    }
    !scientific
}

/// Lays the shortest digits of a finite number out, `plain` or with an exponent.
fn write(number: f64, plain: bool, out: &mut Vec<u8>) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(number);
    let (text, negative) = match text.strip_prefix('-') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    // The number is 0.DIGITS times ten to the power of `point`.
    let digits: Vec<u8> = [whole, fraction].concat().into_bytes();
    let leading = digits.iter().take_while(|d| **d == b'0').count().min(digits.len() - 1);
    let digits = &digits[leading..];
    let point = whole.len() as i32 - leading as i32 + exponent;
    if negative {
        out.push(b'-');
    }
    if !plain {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        out.push(if point > 0 { b'+' } else { b'-' });
        integer((point - 1).unsigned_abs(), out);
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + point.unsigned_abs() as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let point = point as usize;
        out.extend_from_slice(&digits[..point.min(digits.len())]);
        if point >= digits.len() {
            out.resize(out.len() + point - digits.len(), b'0');
        } else {
            out.push(b'.');
            out.extend_from_slice(&digits[point..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_cases() {
        let cases = [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (-2.5, "-2.5", "-2.5"),
            (0.1, "0.1", "0.1"),
            (0.00001, "0.00001", "0.00001"),
            (0.000001, "0.000001", "0.000001"),
            (0.0000001, "1e-7", "0.0000001"),
            (1.25e-9, "1.25e-9", "0.00000000125"),
            (123456789.125, "123456789.125", "123456789.125"),
            (9_007_199_254_740_993.0, "9007199254740992", "9007199254740992"),
            (1.2345e17, "123450000000000000", "123450000000000000"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1e21, "1e+21", "1000000000000000000000"),
            (1.5e21, "1.5e+21", "1500000000000000000000"),
            (-1.5e300, "-1.5e+300", ""),
            (f64::MAX, "1.7976931348623157e+308", ""),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308", ""),
            (5e-324, "5e-324", ""),
            (f64::NAN, "null", "NaN"),
            (f64::INFINITY, "null", "+Inf"),
        ];
        for (number, json, plain) in cases {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            json_float(number, &mut a);
            plain_float(number, &mut b);
            assert_eq!(String::from_utf8(a).unwrap(), json, "{number:e}");
            if !plain.is_empty() {
                assert_eq!(String::from_utf8(b).unwrap(), plain, "{number:e}");
            }
        }
    }

    #[test]
    fn integers_are_their_digits() {
        let edges = [i64::MIN, i64::MAX, -1, -999, -1000];
        for number in (0..=1100).chain(edges) {
            let mut out = b"x".to_vec();
            integer(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{number}"));
        }
    }

    #[test]
    fn every_float_reads_back() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let number = f64::from_bits(state);
            if number.is_finite() {
                let (mut a, mut b) = (Vec::new(), Vec::new());
                json_float(number, &mut a);
                plain_float(number, &mut b);
                for text in [a, b] {
                    let text = String::from_utf8(text).unwrap();
                    let back: f64 = text.parse().unwrap();
                    assert_eq!(back.to_bits(), number.to_bits(), "{text}");
                }
            }
        }
    }
}
