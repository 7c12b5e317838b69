//! Columns of a part of a series, ready to be written cell by cell.

use std::sync::Arc;

use firndb_tsdb::model::Bitmap;

use super::number;
use crate::exec::{Data, Series, Vector};

/// How a language of answers writes what is not a number.
pub trait Notation {
    /// A missing value.
    const MISSING: &'static [u8];
    /// Appends a float.
    fn float(number: f64, out: &mut Vec<u8>);
    /// Appends text.
    fn text(text: &str, out: &mut Vec<u8>);
}

/// Tag values that are written already: one text stands in many rows and many parts.
#[derive(Debug, Default)]
pub struct Words {
    of: Option<Arc<[String]>>,
    written: Vec<Box<[u8]>>,
}

impl Words {
    /// The words as notation `N` writes them. Parts of an answer share their words.
    fn written<N: Notation>(&mut self, words: &Arc<[String]>) {
        if self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, words)) {
            return;
        }
        self.of = Some(words.clone());
        self.written = words
            .iter()
            .map(|word| {
                let mut out = Vec::with_capacity(word.len() + 2);
                N::text(word, &mut out);
                out.into_boxed_slice()
            })
            .collect();
    }
}

/// One column.
pub struct Cells<'a> {
    data: Typed<'a>,
    validity: Option<&'a Bitmap>,
}

enum Typed<'a> {
    Float(&'a [f64]),
    Integer(&'a [i64]),
    Unsigned(&'a [u64]),
    Boolean(&'a [bool]),
    String { offsets: &'a [u32], bytes: &'a [u8] },
    Tag { codes: &'a [u32], words: &'a [Box<[u8]>] },
    Missing,
}

/// The columns of a part. `words` has an element per column and is kept between parts.
pub fn cells<'a, N: Notation>(series: &'a Series, words: &'a mut Vec<Words>) -> Vec<Cells<'a>> {
    words.resize_with(series.values.len(), Words::default);
    series.values.iter().zip(words).map(|(vector, words)| Cells::of::<N>(vector, words)).collect()
}

/// Number of rows of a part; tables have no times.
pub fn rows(series: &Series) -> usize {
    series.values.first().map_or(series.times.len(), Vector::len)
}

impl<'a> Cells<'a> {
    fn of<N: Notation>(vector: &'a Vector, words: &'a mut Words) -> Cells<'a> {
        let data = match &vector.data {
            Data::Float(values) => Typed::Float(values),
            Data::Integer(values) => Typed::Integer(values),
            Data::Unsigned(values) => Typed::Unsigned(values),
            Data::Boolean(values) => Typed::Boolean(values),
            Data::String { offsets, bytes } => Typed::String { offsets, bytes },
            Data::Tag { codes, words: of } => {
                words.written::<N>(of);
                Typed::Tag { codes, words: &words.written }
            }
            Data::Missing(_) => Typed::Missing,
        };
        Cells { data, validity: vector.validity.as_ref() }
    }

    /// Appends the value of a row.
    #[inline]
    pub fn write<N: Notation>(&self, row: usize, out: &mut Vec<u8>) {
        if self.validity.is_some_and(|validity| !validity.get(row)) {
            out.extend_from_slice(N::MISSING);
            return;
        }
        match &self.data {
            Typed::Float(values) => N::float(values[row], out),
            Typed::Integer(values) => number::integer(values[row], out),
            Typed::Unsigned(values) => number::integer(values[row], out),
            Typed::Boolean(values) => {
                out.extend_from_slice(if values[row] { b"true" } else { b"false" });
            }
            Typed::String { offsets, bytes } => {
                let text = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
                N::text(&String::from_utf8_lossy(text), out);
            }
            Typed::Tag { codes, words } => out.extend_from_slice(&words[codes[row] as usize]),
            Typed::Missing => out.extend_from_slice(N::MISSING),
        }
    }
}
