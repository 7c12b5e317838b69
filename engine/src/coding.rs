//! Bytes in and out: little-endian integers, varints, checksums; bounds always checked.
//!
//! ```text
//! varint := 7 bits a byte, lowest first, top bit set while more follow; at most 10 bytes
//! slice  := length varint | bytes
//! ```
//!
//! Encoding appends to a `Vec<u8>` and cannot fail. Decoding goes through a [`Decoder`], which
//! answers a [`DecodeError`] where the bytes end early or make no sense; it never panics and never
//! allocates. Whoever knows the file turns that into [`crate::Error::Corrupt`] by
//! [`DecodeError::at`].
//!
//! Decoders run on bytes whose checksum was verified first; the bounds are checked all the same.

use std::path::Path;

/// Longest varint: ten times seven bits hold 64.
pub const VARINT_BYTES_MAX: usize = 10;

/// Bytes that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct DecodeError {
    /// Where in the decoded slice.
    pub offset: usize,
    /// What did not hold.
    pub reason: &'static str,
}

impl DecodeError {
    /// The error for a slice that lies at `base_bytes` of the file `path`.
    pub fn at(self, path: &Path, base_bytes: u64) -> crate::Error {
        crate::Error::corrupt(path, base_bytes + self.offset as u64, self.reason)
    }
}

/// Reads from the front of a slice.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Decoder { bytes, offset: 0 }
    }

    /// Bytes taken so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// An error at the current place, for what the caller finds wrong.
    pub fn error(&self, reason: &'static str) -> DecodeError {
        DecodeError { offset: self.offset, reason }
    }

    /// Takes `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        if count > self.remaining() {
            return Err(self.error("ends early"));
        }
        let taken = &self.bytes[self.offset..self.offset + count];
        self.offset += count;
        Ok(taken)
    }

    /// Takes everything left.
    pub fn rest(&mut self) -> &'a [u8] {
        let taken = &self.bytes[self.offset..];
        self.offset = self.bytes.len();
        taken
    }

    /// Takes `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let error = self.error("ends early");
        self.bytes(N)?.try_into().map_err(|_| error)
    }

    /// Takes a byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Takes two bytes.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Takes four bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Takes eight bytes.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Takes sixteen bytes.
    pub fn u128(&mut self) -> Result<u128, DecodeError> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// Takes a varint.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        varint_at(self.bytes, &mut self.offset).map_err(|reason| self.error(reason))
    }

    /// Takes a signed integer as [`put_signed`] wrote it.
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        Ok(unzigzag(self.varint()?))
    }

    /// Takes a varint that must fit 32 bits.
    pub fn varint_u32(&mut self) -> Result<u32, DecodeError> {
        let error = self.error("varint exceeds 32 bits");
        self.varint()?.try_into().map_err(|_| error)
    }

    /// Takes a varint that must fit `usize`: a length or a count.
    pub fn varint_usize(&mut self) -> Result<usize, DecodeError> {
        let error = self.error("varint exceeds the address space");
        self.varint()?.try_into().map_err(|_| error)
    }

    /// Takes a length and that many bytes.
    pub fn slice(&mut self) -> Result<&'a [u8], DecodeError> {
        let mut ahead = self.clone();
        let len = ahead.varint_usize()?;
        if len > ahead.remaining() {
            return Err(self.error("length exceeds what is left"));
        }
        let taken = ahead.bytes(len)?;
        *self = ahead;
        Ok(taken)
    }

    /// Takes a length and that many bytes of UTF-8.
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        let error = self.error("not UTF-8");
        std::str::from_utf8(self.slice()?).map_err(|_| error)
    }

    /// Says that nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(self.error("bytes left over")) }
    }
}

/// Appends two bytes.
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends four bytes.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends eight bytes.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends sixteen bytes.
pub fn put_u128(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The varint at `at`, which moves past it. Nearly all varints are one byte.
#[inline]
pub fn varint_at(bytes: &[u8], at: &mut usize) -> Result<u64, &'static str> {
    match bytes.get(*at) {
        Some(&byte) if byte < 0x80 => {
            *at += 1;
            Ok(byte.into())
        }
        Some(_) => long_varint_at(bytes, at),
        None => Err("ends early"),
    }
}

/// Of most that are longer all bytes lie in one word, whose groups of seven bits are moved together
/// in three steps: pairs, pairs of pairs, halves.
#[inline(always)] // the numbers of entries
fn long_varint_at(bytes: &[u8], at: &mut usize) -> Result<u64, &'static str> {
    const TOP_BITS: u64 = 0x8080_8080_8080_8080;
    if let Some(word) = bytes[*at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let last = !word & TOP_BITS; // the lowest set bit is the last one's
        if last != 0 {
            let value = word & (last ^ (last - 1)) & !TOP_BITS;
            let value = value & 0x007f_007f_007f_007f | (value & 0x7f00_7f00_7f00_7f00) >> 1;
            let value = value & 0x0000_3fff_0000_3fff | (value & 0x3fff_0000_3fff_0000) >> 2;
            *at += last.trailing_zeros() as usize / 8 + 1;
            return Ok(value & 0x0fff_ffff | (value & 0x0fff_ffff_0000_0000) >> 4);
        }
    }
    longest_varint_at(bytes, at)
}

/// As [`varint_at`], byte by byte.
#[inline(never)]
fn longest_varint_at(bytes: &[u8], at: &mut usize) -> Result<u64, &'static str> {
    let mut value = 0u64;
    for (index, byte) in bytes[*at..].iter().enumerate() {
        if index == VARINT_BYTES_MAX - 1 && *byte > 1 {
            return Err("varint exceeds 64 bits"); // bits past the 64th, or an eleventh byte
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            *at += index + 1;
            return Ok(value);
        }
    }
    Err("ends early")
}

/// Appends a signed integer: a varint of its [`zigzag`].
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Maps 0, -1, 1, -2 ... to 0, 1, 2, 3 ..., so that small absolute values are small numbers.
pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Undoes [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a length and `bytes`.
pub fn put_slice(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes that [`put_varint`] appends for `value`.
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// CRC-32 (IEEE) of `bytes`.
pub fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC-32 (IEEE) of the concatenation of `parts`.
pub fn crc_of_parts(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn varint_cases() {
        let cases: [(&str, &[u8], Result<u64, &str>); 8] = [
            ("zero", &[0], Ok(0)),
            ("one byte", &[127], Ok(127)),
            ("two bytes", &[0x80, 1], Ok(128)),
            ("largest", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Ok(u64::MAX)),
            ("nothing", &[], Err("ends early")),
            ("ends inside", &[0x80], Err("ends early")),
            (
                "65 bits",
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
                Err("varint exceeds 64 bits"),
            ),
            ("eleven bytes", &[0xff; 11], Err("varint exceeds 64 bits")),
        ];
        for (name, bytes, expected) in cases {
            let got = Decoder::new(bytes).varint().map_err(|e| e.reason);
            assert_eq!(got, expected, "{name}");
        }
    }

    #[test]
    fn a_length_past_the_end_takes_nothing() {
        let mut decoder = Decoder::new(&[5, 1, 2]);
        assert_eq!(decoder.slice(), Err(decoder.error("length exceeds what is left")));
        assert_eq!(decoder.offset(), 0);
        assert_eq!(decoder.u8(), Ok(5));
        assert_eq!(decoder.clone().finish().unwrap_err().offset, 1);
        assert_eq!(decoder.rest(), [1, 2]);
        assert_eq!(decoder.finish(), Ok(()));
    }

    proptest! {
        #[test]
        fn varints_of_every_length_are_taken_from_anywhere(
            value: u64, shift in 0..64u32, before in 0..3usize, behind in 0..12usize, fill: u8,
        ) {
            let value = value >> shift;
            let mut bytes = vec![fill; before];
            put_varint(&mut bytes, value);
            let end = bytes.len();
            bytes.resize(end + behind, fill);
            let mut at = before;
            prop_assert_eq!(varint_at(&bytes, &mut at), Ok(value));
            prop_assert_eq!(at, end);
            let mut at = before;
            prop_assert_eq!(longest_varint_at(&bytes, &mut at), Ok(value));
        }

        #[test]
        fn what_is_put_is_taken(a: u16, b: u32, c: u64, d: u128, e: u64, f: Vec<u8>, g: i64) {
            let mut out = Vec::new();
            put_signed(&mut out, g);
            put_u16(&mut out, a);
            put_u32(&mut out, b);
            put_u64(&mut out, c);
            put_u128(&mut out, d);
            let before = out.len();
            put_varint(&mut out, e);
            prop_assert_eq!(out.len() - before, varint_len(e));
            put_slice(&mut out, &f);
            let mut decoder = Decoder::new(&out);
            prop_assert_eq!(decoder.signed(), Ok(g));
            prop_assert_eq!(decoder.u16(), Ok(a));
            prop_assert_eq!(decoder.u32(), Ok(b));
            prop_assert_eq!(decoder.u64(), Ok(c));
            prop_assert_eq!(decoder.u128(), Ok(d));
            prop_assert_eq!(decoder.varint(), Ok(e));
            prop_assert_eq!(decoder.slice(), Ok(&f[..]));
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let mut decoder = Decoder::new(&bytes);
            while decoder.slice().is_ok() || decoder.varint().is_ok() || decoder.u8().is_ok() {}
            prop_assert!(decoder.is_empty());
        }

        #[test]
        fn checksum_of_parts_is_that_of_the_whole(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(crc_of_parts(&[&a, &b]), crc(&[a, b].concat()));
        }
    }
}
