//! Operations on [`Bitmap`]s that are masks over rows: slicing, and, or, runs.

use firndb_tsdb::model::Bitmap;

/// Bits `start..end` of `bits`.
pub fn slice(bits: &Bitmap, start: usize, end: usize) -> Bitmap {
    let len = end - start;
    let (words, shift) = (bits.words(), start % 64);
    let word = |i: usize| words.get(i).copied().unwrap_or(0);
    let out = (0..len.div_ceil(64)).map(|i| {
        let at = start / 64 + i;
        if shift == 0 { word(at) } else { word(at) >> shift | word(at + 1) << (64 - shift) }
    });
    Bitmap::from_words(out.collect(), len)
}

/// Rows set in both; a missing mask has every row.
pub fn and(a: Option<&Bitmap>, b: Option<&Bitmap>) -> Option<Bitmap> {
    match (a, b) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (Some(a), Some(b)) => Some(zip(a, b, |x, y| x & y)),
    }
}

/// Word by word.
pub fn zip(a: &Bitmap, b: &Bitmap, op: impl Fn(u64, u64) -> u64) -> Bitmap {
    assert_eq!(a.len(), b.len(), "masks of one length");
    let words = a.words().iter().zip(b.words()).map(|(x, y)| op(*x, *y)).collect();
    Bitmap::from_words(words, a.len())
}

/// A mask of `len` rows by a function of the row, 64 rows to a word.
pub fn from_fn(len: usize, set: impl Fn(usize) -> bool) -> Bitmap {
    let words = (0..len.div_ceil(64)).map(|w| {
        let rows = w * 64..len.min(w * 64 + 64);
        rows.rev().fold(0, |word, row| word << 1 | u64::from(set(row)))
    });
    Bitmap::from_words(words.collect(), len)
}

/// A mask of `values.len()` rows by a predicate of the value; the compiler vectorises the inner
/// loop for simple predicates.
pub fn from_values<T: Copy>(values: &[T], set: impl Fn(T) -> bool) -> Bitmap {
    let words = values.chunks(64).map(|chunk| {
        let mut flags = [0u8; 64];
        for (flag, value) in flags.iter_mut().zip(chunk) {
            *flag = u8::from(set(*value));
        }
        flags.chunks_exact(8).enumerate().fold(0u64, |word, (i, bytes)| {
            // Eight bytes of 0 or 1 to eight bits: the product moves byte i to bit 56 + i.
            let eight = u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
            word | (eight.wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i)
        })
    });
    Bitmap::from_words(words.collect(), values.len())
}

/// Calls `visit` with each set row, ascending.
pub fn for_each(bits: &Bitmap, mut visit: impl FnMut(usize)) {
    for (w, word) in bits.words().iter().enumerate() {
        let mut word = *word;
        while word != 0 {
            visit(w * 64 + word.trailing_zeros() as usize);
            word &= word - 1;
        }
    }
}

/// Numbers of the set rows.
pub fn rows(bits: &Bitmap) -> Vec<u32> {
    let mut rows = Vec::with_capacity(bits.count());
    for_each(bits, |row| rows.push(row as u32));
    rows
}

/// Spans `(first, last + 1)` that hold all set rows; spans are parted where at least `gap` rows
/// in a row are clear.
pub fn spans(bits: &Bitmap, gap: usize) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for_each(bits, |row| match spans.last_mut() {
        Some(last) if row - last.1 < gap => last.1 = row + 1,
        _ => spans.push((row, row + 1)),
    });
    spans
}
