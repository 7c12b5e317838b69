//! Slower and smaller encodings of integers and floats, for the cold class.
//!
//! ```text
//! pco    := meta len varint | page len varint x pages | meta | page x pages
//! varint := length of varints, varint | zstd frame of (signed varints of the differences)
//! ```
//!
//! `meta` is pco's file header and chunk metadata; a page is 1024 values, the last one may have
//! fewer. A page decodes alone, given the metadata.
//!
//! Why 1024: on walks of 8192 integers that costs 0.10 bits of 2.35 a value against one page
//! (2048: 0.03, 512: 0.21), and an hour of a day of rows decodes an eighth of them.
//! Why varints under zstd: whole bytes repeat where packed bits do not.

use std::cell::RefCell;
use std::ops::Range;

use firndb_engine::coding::{DecodeError, Decoder, put_signed, put_varint};
use firndb_engine::compress;
use pco::data_types::Number;
use pco::metadata::DeltaEncoding;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, PagingSpec};

use super::ROWS_MAX;

const PAGE: usize = 1024;
/// pco's own default; 12 gains nothing worth the time.
const PCO_LEVEL: usize = 8;
const ZSTD_LEVEL: i32 = 3;
/// The variant of pco's modes that carries a table of its own size; we never write it.
const PCO_MODE_DICTIONARY: u8 = 4;
/// A window above any chunk's rows: pco would allocate it before reading a value.
const PCO_WINDOW_LOG_MAX: u32 = 14;

/// Packs with pco; `None` where pco refuses the values.
pub fn encode_pco<T: Number>(values: &[T]) -> Option<Vec<u8>> {
    let pages = values.chunks(PAGE).map(<[T]>::len).collect();
    let config = ChunkConfig::default()
        .with_compression_level(PCO_LEVEL)
        .with_paging_spec(PagingSpec::Exact(pages));
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(values, &config).ok()?;
    let mut meta = Vec::new();
    file.write_header(&mut meta).ok()?;
    chunk.write_meta(&mut meta).ok()?;
    let (mut lens, mut pages) = (Vec::new(), Vec::new());
    for page in 0..chunk.n_per_page().len() {
        let start = pages.len();
        chunk.write_page(page, &mut pages).ok()?;
        put_varint(&mut lens, (pages.len() - start) as u64);
    }
    let mut out = Vec::with_capacity(lens.len() + meta.len() + pages.len() + 2);
    put_varint(&mut out, meta.len() as u64);
    out.extend_from_slice(&lens);
    out.extend_from_slice(&meta);
    out.extend_from_slice(&pages);
    Some(out)
}

/// Decodes `rows` of the `len` values that [`encode_pco`] packed, a page or a part of one at a
/// time.
///
/// # Errors
/// When `bytes` are something else.
pub fn decode_pco<T: Number + Default>(
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    visit: &mut impl FnMut(&[T]),
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(bytes);
    if len > ROWS_MAX {
        return Err(decoder.error("number of values"));
    }
    let meta_len = decoder.varint_usize()?;
    let mut lens = [0; ROWS_MAX / PAGE];
    let lens = &mut lens[..len.div_ceil(PAGE)];
    for len in &mut *lens {
        *len = decoder.varint_usize()?;
    }
    let meta = decoder.bytes(meta_len)?;
    let broken = decoder.error("pco");
    let (file, meta) = FileDecompressor::new(meta).map_err(|_| broken)?;
    if meta.first().is_none_or(|byte| byte & 0xf == PCO_MODE_DICTIONARY) {
        return Err(broken);
    }
    let (mut chunk, _) = file.chunk_decompressor::<T, _>(meta).map_err(|_| broken)?;
    if let DeltaEncoding::Lookback { config, .. } = &chunk.meta().delta_encoding
        && config.window_n_log > PCO_WINDOW_LOG_MAX
    {
        return Err(broken);
    }
    let mut values = [T::default(); PAGE];
    for (page, &page_len) in lens.iter().enumerate() {
        let start = page * PAGE;
        let end = (start + PAGE).min(len);
        let bytes = decoder.bytes(page_len)?;
        let wanted = start.max(rows.start)..end.min(rows.end);
        if wanted.is_empty() {
            continue;
        }
        let values = &mut values[..end - start];
        let mut page = chunk.page_decompressor(bytes, end - start).map_err(|_| broken)?;
        let progress = page.read(values).map_err(|_| broken)?;
        if progress.n_processed != end - start || !progress.finished {
            return Err(broken);
        }
        visit(&values[wanted.start - start..wanted.end - start]);
    }
    decoder.finish()
}

/// Packs the differences of neighbours as varints under zstd.
pub fn encode_varints(values: &[i64]) -> Vec<u8> {
    let mut varints = Vec::with_capacity(values.len() * 2);
    let mut last = 0i64;
    for &value in values {
        put_signed(&mut varints, value.wrapping_sub(last));
        last = value;
    }
    let mut out = Vec::new();
    put_varint(&mut out, varints.len() as u64);
    out.extend_from_slice(&compress(&varints, ZSTD_LEVEL));
    out
}

/// Decodes `rows` of the `len` values that [`encode_varints`] packed.
///
/// # Errors
/// When `bytes` are something else.
pub fn decode_varints(
    bytes: &[u8],
    len: usize,
    rows: Range<usize>,
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let varints_len = decoder.varint_usize()?;
    if varints_len > len.saturating_mul(10) {
        return Err(decoder.error("length of varints"));
    }
    let varints = decompress(decoder.rest(), varints_len)?;
    let mut varints = Decoder::new(&varints);
    let mut value = 0i64;
    for row in 0..rows.end {
        value = value.wrapping_add(varints.signed()?);
        if row >= rows.start {
            out.push(value);
        }
    }
    Ok(())
}

thread_local! {
    /// The contexts of this thread, by level. One costs more to make than a column to compress.
    static COMPRESSORS: RefCell<Vec<(i32, zstd::bulk::Compressor<'static>)>> =
        const { RefCell::new(Vec::new()) };
}

const NO_MEMORY: &str = "zstd to memory fails only for want of memory";

/// A zstd frame of `bytes`.
pub fn compress(bytes: &[u8], level: i32) -> Vec<u8> {
    COMPRESSORS.with_borrow_mut(|compressors| {
        let at = match compressors.iter().position(|(of, _)| *of == level) {
            Some(at) => at,
            None => {
                compressors.push((level, zstd::bulk::Compressor::new(level).expect(NO_MEMORY)));
                compressors.len() - 1
            }
        };
        compressors[at].1.compress(bytes).expect(NO_MEMORY)
    })
}

/// The `len` bytes that a zstd frame holds.
pub fn decompress(frame: &[u8], len: usize) -> Result<Vec<u8>, DecodeError> {
    let broken = Decoder::new(frame).error("zstd frame");
    // zstd shrinks no text by more than this; a wrong length does not allocate more.
    const RATIO_MAX: usize = 1 << 15;
    if len > frame.len().saturating_mul(RATIO_MAX) {
        return Err(broken);
    }
    compress::decompress_zstd(frame, len).map_err(|_| broken)
}
