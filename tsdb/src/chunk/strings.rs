//! Values of string columns.
//!
//! ```text
//! dictionary: entries varint | len varint | text of the entries | numbers packed
//! text:       lengths len varint | lengths packed | size varint | [size of frame | zstd] bytes
//! ```
//!
//! `text` ends in the bytes of all strings, one after another: `size` of them as they are when
//! what follows is that long, else a zstd frame of them. A dictionary holds each string once, in
//! the order of appearance; a string's number packs as well as the strings repeat.

use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder, put_varint};
use hashbrown::HashMap;

use super::integers::is_worth_it;
use super::{Class, Encoding, ROWS_MAX, TEXT_BYTES_MAX, cold, intpack};

/// Text of a row as the offsets of a column tell it.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// One more than there are rows.
    pub offsets: &'a [u32],
    /// All rows, one after another.
    pub bytes: &'a [u8],
}

impl<'a> Texts<'a> {
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Text of row `row`.
    pub fn get(&self, row: usize) -> &'a [u8] {
        &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.len()).map(move |row| self.get(row))
    }
}

/// Appends `texts`, at least one, in the encoding it returns.
pub fn encode(texts: Texts<'_>, class: Class, out: &mut Vec<u8>) -> Encoding {
    let size = texts.offsets[texts.len()] - texts.offsets[0];
    assert!(size as usize <= TEXT_BYTES_MAX, "a column of {size} bytes of text");
    if let Some((entries, numbers)) = index(texts) {
        let (mut offsets, mut bytes) = (vec![0], Vec::new());
        for entry in &entries {
            bytes.extend_from_slice(entry);
            offsets.push(bytes.len() as u32);
        }
        let mut text = Vec::new();
        encode_text(Texts { offsets: &offsets, bytes: &bytes }, class, &mut text);
        put_varint(out, entries.len() as u64);
        put_varint(out, text.len() as u64);
        out.extend_from_slice(&text);
        intpack::encode(&numbers, out);
        Encoding::Dictionary
    } else {
        encode_text(texts, class, out);
        Encoding::Text
    }
}

/// Distinct strings and the number of each row's; `None` when a quarter or more are distinct.
fn index<'a>(texts: Texts<'a>) -> Option<(Vec<&'a [u8]>, Vec<i64>)> {
    let limit = texts.len().div_ceil(4);
    let (mut entries, mut numbers) = (Vec::new(), Vec::with_capacity(texts.len()));
    let mut known: HashMap<&[u8], i64> = HashMap::new();
    for text in texts.iter() {
        let number = *known.entry(text).or_insert(entries.len() as i64);
        if number == entries.len() as i64 {
            entries.push(text);
        }
        if entries.len() > limit {
            return None;
        }
        numbers.push(number);
    }
    Some((entries, numbers))
}

fn encode_text(texts: Texts<'_>, class: Class, out: &mut Vec<u8>) {
    let lengths: Vec<i64> = texts.iter().map(|text| text.len() as i64).collect();
    let mut packed = Vec::new();
    intpack::encode(&lengths, &mut packed);
    put_varint(out, packed.len() as u64);
    out.extend_from_slice(&packed);
    let first = texts.offsets[0] as usize;
    let bytes = &texts.bytes[first..texts.offsets[texts.len()] as usize];
    put_varint(out, bytes.len() as u64);
    // Level 1 on the path of writes; 3 once for ever.
    let frame = cold::compress(bytes, if class == Class::Hot { 1 } else { 3 });
    out.extend_from_slice(if is_worth_it(&frame, bytes) { &frame } else { bytes });
}

/// Appends `rows` of `len` strings: `offsets` has an entry already, the end of what `bytes` hold.
///
/// # Errors
/// When `stored` is not what [`encode`] wrote, or a string is not UTF-8.
pub fn decode(
    encoding: Encoding,
    stored: &[u8],
    len: usize,
    rows: Range<usize>,
    offsets: &mut Vec<u32>,
    bytes: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(stored);
    match encoding {
        Encoding::Text => decode_text(stored, len)?.push_to(rows, offsets, bytes),
        Encoding::Dictionary => {
            let count = decoder.varint_usize()?;
            if count > len {
                return Err(decoder.error("number of entries"));
            }
            let entries = decode_text(decoder.slice()?, count)?;
            let mut numbers = Vec::new();
            intpack::decode_to(decoder.rest(), len, rows, &mut numbers)?;
            for number in numbers {
                let number = usize::try_from(number).ok().filter(|&number| number < count);
                let number = number.ok_or(decoder.error("number of an entry"))?;
                entries.push_to(number..number + 1, offsets, bytes)?;
            }
            Ok(())
        }
        _ => Err(decoder.error("encoding of strings")),
    }
}

/// Decoded text, every string of it checked.
struct Decoded {
    offsets: Vec<usize>,
    bytes: Vec<u8>,
}

impl Decoded {
    fn push_to(
        &self,
        rows: Range<usize>,
        offsets: &mut Vec<u32>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let cuts = &self.offsets[rows.start..=rows.end];
        let start = bytes.len();
        let text = &self.bytes[cuts[0]..cuts[cuts.len() - 1]];
        if start + text.len() > TEXT_BYTES_MAX {
            // A few bytes of numbers can repeat one long entry many times.
            return Err(Decoder::new(&[]).error("more text than a column holds"));
        }
        bytes.extend_from_slice(text);
        offsets.extend(cuts[1..].iter().map(|cut| (start + cut - cuts[0]) as u32));
        Ok(())
    }
}

fn decode_text(stored: &[u8], count: usize) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::new(stored);
    if count > ROWS_MAX {
        return Err(decoder.error("number of strings"));
    }
    let mut lengths = Vec::new();
    intpack::decode_to(decoder.slice()?, count, 0..count, &mut lengths)?;
    let size = decoder.varint_usize()?;
    if size > TEXT_BYTES_MAX {
        return Err(decoder.error("more text than a column holds"));
    }
    let stored = decoder.rest();
    let bytes =
        if stored.len() == size { stored.to_vec() } else { cold::decompress(stored, size)? };
    let mut offsets = vec![0];
    let mut end = 0usize;
    for length in lengths {
        let length = usize::try_from(length).ok().filter(|&length| length <= size - end);
        end += length.ok_or(decoder.error("length of a string"))?;
        offsets.push(end);
    }
    let text = std::str::from_utf8(&bytes).ok().filter(|_| end == size);
    let text = text.ok_or(decoder.error("text of strings"))?;
    if offsets.iter().all(|&offset| text.is_char_boundary(offset)) {
        Ok(Decoded { offsets, bytes })
    } else {
        Err(decoder.error("a string cut inside a character"))
    }
}
