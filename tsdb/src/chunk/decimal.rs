//! Floats that are decimals: `integer / 10^exponent`, exactly.
//!
//! ```text
//! decimal := exponent u8 | exceptions varint
//!          | [positions len varint | positions packed | bits len varint | bits packed]
//!          | integers                  (packed, varints or pco, as the encoding says)
//! ```
//!
//! Every value is checked: the division must give the same 64 bits back. A value where it does
//! not (NaN, infinity, -0.0, too many digits) is an exception, stored as its bits; the integer in
//! its place repeats the one before.
//!
//! Why division: it is correctly rounded, so that every decimal of up to 15 digits survives; a
//! product with 0.01 is not. Why below 2^51: adding 1.5 * 2^52 then leaves the rounded integer in
//! the low bits of the float, which vector registers can do both ways.

use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder, put_varint};

use super::{Encoding, cold, integers, intpack};

/// 10^0 to 10^15: more digits than 15 do not survive.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
/// 1.5 * 2^52.
const MAGIC: f64 = 6_755_399_441_055_744.0;
const INTEGER_MAX: f64 = (1u64 << 51) as f64;
/// Values of a chunk that choose the exponent.
const SAMPLE: usize = 64;

/// Values scaled to integers.
pub struct Scaled {
    exponent: usize,
    integers: Vec<i64>,
    positions: Vec<i64>,
    exceptions: Vec<i64>,
}

/// Scales `values`; `None` when more than an eighth of them would be exceptions.
pub fn scale(values: &[f64]) -> Option<Scaled> {
    let mut exponent = choose_exponent(values)?;
    loop {
        if let Some(scaled) = scale_with(values, exponent) {
            // One exception costs about 9 bytes, one more digit 3.3 bits a value.
            let is_cheap = scaled.positions.len() * 22 <= values.len();
            if is_cheap || exponent + 1 == POWERS.len() {
                return Some(scaled);
            }
            let more = scale_with(values, exponent + 1);
            match more {
                Some(more) if more.positions.len() * 2 < scaled.positions.len() => {
                    return Some(more);
                }
                _ => return Some(scaled),
            }
        }
        exponent += 1;
        if exponent == POWERS.len() {
            return None;
        }
    }
}

/// `value` as an integer at that scale, if that is exact.
fn to_integer(value: f64, power: f64) -> Option<i64> {
    let (integer, is_exact) = round(value, power);
    is_exact.then_some(integer)
}

/// The integer next to `value * power`, and whether dividing gives `value` back.
fn round(value: f64, power: f64) -> (i64, bool) {
    let scaled = value * power + MAGIC;
    let rounded = scaled - MAGIC;
    let is_exact = (rounded / power).to_bits() == value.to_bits() && rounded.abs() < INTEGER_MAX;
    (scaled.to_bits().wrapping_sub(MAGIC.to_bits()) as i64, is_exact)
}

/// The exponent that makes the fewest bits of a sample; `None` when most of it is no decimal.
fn choose_exponent(values: &[f64]) -> Option<usize> {
    // Scattered by a multiplicative hash: an even stride may hit a period of the data.
    let count = values.len().min(SAMPLE);
    let sample = (0..count).map(|index| {
        let scattered = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        values[if values.len() <= SAMPLE { index } else { scattered as usize % values.len() }]
    });
    let mut digits = [0usize; POWERS.len()];
    let mut last = 0;
    for value in sample {
        let fits = |exponent: &usize| to_integer(value, POWERS[*exponent]).is_some();
        // Mostly all values have as many digits as the one before, or fewer.
        let exponent = if fits(&last) && last > 0 && !fits(&(last - 1)) {
            Some(last)
        } else {
            (0..POWERS.len()).find(fits)
        };
        if let Some(exponent) = exponent {
            digits[exponent] += 1;
            last = exponent;
        }
    }
    let decimals: usize = digits.iter().sum();
    if decimals * 8 < count * 7 {
        return None;
    }
    // As in `scale`: 22 values pay for an exception among them with one digit more.
    let mut above = 0;
    for exponent in (0..POWERS.len()).rev() {
        above += digits[exponent];
        if above * 22 > count {
            return Some(exponent);
        }
    }
    Some(0)
}

fn scale_with(values: &[f64], exponent: usize) -> Option<Scaled> {
    let power = POWERS[exponent];
    let mut integers = Vec::with_capacity(values.len());
    let (mut positions, mut exceptions) = (Vec::new(), Vec::new());
    for block in values.chunks(64) {
        let mut all_exact = true;
        let start = integers.len();
        integers.extend(block.iter().map(|&value| {
            let (integer, is_exact) = round(value, power);
            all_exact &= is_exact;
            integer
        }));
        if all_exact {
            continue;
        }
        for (index, &value) in block.iter().enumerate() {
            if to_integer(value, power).is_none() {
                let at = start + index;
                positions.push(at as i64);
                exceptions.push(value.to_bits() as i64);
                integers[at] = if at == 0 { 0 } else { integers[at - 1] };
            }
        }
        if positions.len() * 8 > values.len() {
            return None;
        }
    }
    Some(Scaled { exponent, integers, positions, exceptions })
}

/// Packed integers: the hot variant.
pub fn encode_packed(scaled: &Scaled) -> Vec<u8> {
    let mut out = encode_exceptions(scaled);
    intpack::encode(&scaled.integers, &mut out);
    out
}

/// Varints under zstd.
pub fn encode_varints(scaled: &Scaled) -> Option<Vec<u8>> {
    let mut out = encode_exceptions(scaled);
    out.extend_from_slice(&cold::encode_varints(&scaled.integers));
    Some(out)
}

/// Integers by pco.
pub fn encode_pco(scaled: &Scaled) -> Option<Vec<u8>> {
    let mut out = encode_exceptions(scaled);
    out.extend_from_slice(&cold::encode_pco(&scaled.integers)?);
    Some(out)
}

fn encode_exceptions(scaled: &Scaled) -> Vec<u8> {
    let mut out = vec![scaled.exponent as u8];
    put_varint(&mut out, scaled.positions.len() as u64);
    if scaled.positions.is_empty() {
        return out;
    }
    for values in [&scaled.positions, &scaled.exceptions] {
        let mut packed = Vec::new();
        intpack::encode(values, &mut packed);
        put_varint(&mut out, packed.len() as u64);
        out.extend_from_slice(&packed);
    }
    out
}

/// Appends `rows` of `len` values to `out`.
///
/// # Errors
/// When `bytes` are not what the encoders wrote.
pub fn decode(
    encoding: Encoding,
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    out: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let exponent = usize::from(decoder.u8()?);
    if exponent >= POWERS.len() {
        return Err(decoder.error("decimal exponent"));
    }
    let count = decoder.varint_usize()?;
    if count > len {
        return Err(decoder.error("number of exceptions"));
    }
    let (mut positions, mut exceptions) = (Vec::new(), Vec::new());
    if count > 0 {
        intpack::decode_to(decoder.slice()?, count, 0..count, &mut positions)?;
        intpack::decode_to(decoder.slice()?, count, 0..count, &mut exceptions)?;
    }
    let integers_encoding = match encoding {
        Encoding::DecimalVarints => Encoding::Varints,
        Encoding::DecimalPco => Encoding::Pco,
        _ => Encoding::Packed,
    };
    let start = out.len();
    integers::decode(integers_encoding, decoder.rest(), len, rows.clone(), &mut |integers| {
        divide(integers, exponent, out);
    })?;
    for (position, bits) in positions.into_iter().zip(exceptions) {
        let position = usize::try_from(position).ok().filter(|&position| position < len);
        let position = position.ok_or(Decoder::new(bytes).error("position of an exception"))?;
        if rows.contains(&position) {
            let slot = out.get_mut(start + position - rows.start);
            *slot.ok_or(decoder.error("number of values"))? = f64::from_bits(bits as u64);
        }
    }
    Ok(())
}

/// Appends the quotients `integer / 10^exponent`, correctly rounded.
///
/// Small ones come from two products, which take a third of the time of a division: `inverse` is
/// split to 26 bits and the rest, so that the product of an integer below 2^26 with the first
/// part is exact, and the sum is off by less than 2^-25 units in the last place before it is
/// rounded. A quotient that is no float lies further than 2^-22 units from the middle of two
/// floats, as `integer * 2^k - 10^exponent * middle` is a whole number but zero; so rounding
/// gives what division gives. Holds for 10^exponent up to 2^20.
fn divide(integers: &[i64], exponent: usize, out: &mut Vec<f64>) {
    const LIMIT: i64 = 1 << 26;
    const EXPONENT_MAX: usize = 6;
    let to_float =
        |integer: i64| f64::from_bits(MAGIC.to_bits().wrapping_add(integer as u64)) - MAGIC;
    let power = POWERS[exponent];
    let outside = integers
        .iter()
        .fold(0, |outside, &integer| outside | integer.wrapping_add(LIMIT) as u64 >> 27);
    if outside == 0 && exponent <= EXPONENT_MAX {
        let (high, low) = split_inverse(power);
        out.extend(integers.iter().map(|&integer| {
            let integer = to_float(integer);
            integer * high + integer * low
        }));
    } else {
        out.extend(integers.iter().map(|&integer| to_float(integer) / power));
    }
}

/// `1 / power` as its first 26 bits and the rest.
fn split_inverse(power: f64) -> (f64, f64) {
    let high = f64::from_bits((1.0 / power).to_bits() & !0 << 27);
    // 1 - power * high is exact: at most 26 + 20 bits. One rounding, of the quotient.
    (high, (1.0 - power * high) / power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_equal_quotients() {
        for (exponent, power) in POWERS.into_iter().enumerate() {
            // Every 97th of the range, more densely at its ends.
            let spread = (-(1i64 << 26)..1 << 26).step_by(97);
            let ends = [0, 1 << 26].into_iter().flat_map(|at: i64| at - 5000..at + 5000);
            let integers: Vec<i64> = spread.chain(ends).collect();
            let mut quotients = Vec::new();
            for run in integers.chunks(256) {
                divide(run, exponent, &mut quotients);
            }
            for (&integer, quotient) in integers.iter().zip(quotients) {
                let expected = integer as f64 / power;
                assert_eq!(quotient.to_bits(), expected.to_bits(), "{integer} / 10^{exponent}");
            }
        }
    }
}
