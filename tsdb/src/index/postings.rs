//! Posting lists: sets of series numbers, kept as values that are united by the engine.
//!
//! ```text
//! list   := kind u8 | ids u32 x n                           kind 1: few, added
//!         | kind u8 | bitmap                                kind 2: added
//!         | kind u8 | added_len u32 | bitmap | bitmap       kind 3: added, removed
//! ```
//!
//! The same form serves as value and as merge operand. A list means `(what is below - removed) +
//! added`, which makes folding associative: a later list's removals are taken out of an earlier
//! one's additions. At the bottom there is nothing below, and only the additions count. Bitmaps
//! are in the portable roaring format.
//!
//! Bytes that are no list fold to one byte that is no list either, so that damage reaches the
//! reader as an error and never as a shorter answer.

use croaring::{Bitmap, Portable};
use firndb_engine::coding::{DecodeError, Decoder, put_u32};

const FEW: u8 = 1;
const ADDED: u8 = 2;
const CHANGED: u8 = 3;
const DAMAGED: u8 = 0xff;

/// Most ids written one by one: as large as the smallest bitmap.
const FEW_MAX: usize = 4;

/// A list: what it adds to and removes from what lies below.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Postings {
    added: Bitmap,
    removed: Bitmap,
}

impl Postings {
    /// Adds `ids`.
    pub fn adding(ids: &[u32]) -> Self {
        Postings { added: Bitmap::of(ids), removed: Bitmap::new() }
    }

    /// Removes `ids`.
    pub fn removing(ids: Bitmap) -> Self {
        Postings { added: Bitmap::new(), removed: ids }
    }

    /// The list as bytes.
    pub fn encode(&self) -> Vec<u8> {
        if !self.removed.is_empty() {
            let added = self.added.serialize::<Portable>();
            let mut out = vec![CHANGED];
            put_u32(&mut out, added.len() as u32);
            out.extend_from_slice(&added);
            out.extend_from_slice(&self.removed.serialize::<Portable>());
            return out;
        }
        if self.added.cardinality() <= FEW_MAX as u64 {
            return encode_few(&self.added.to_vec());
        }
        let mut out = vec![ADDED];
        let mut added = self.added.clone();
        added.run_optimize();
        out.extend_from_slice(&added.serialize::<Portable>());
        out
    }

    /// Folds `bytes`, a newer list, into this one.
    fn fold(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut decoder = Decoder::new(bytes);
        match decoder.u8()? {
            FEW => {
                while !decoder.is_empty() {
                    self.add(decoder.u32()?);
                }
            }
            ADDED => self.added.or_inplace(&bitmap(&mut decoder)?),
            CHANGED => {
                let len = decoder.u32()? as usize;
                let added = bitmap(&mut Decoder::new(decoder.bytes(len)?))?;
                let removed = bitmap(&mut decoder)?;
                self.added.andnot_inplace(&removed);
                self.added.or_inplace(&added);
                self.removed.or_inplace(&removed);
            }
            _ => return Err(decoder.error("no posting list")),
        }
        Ok(())
    }

    fn add(&mut self, id: u32) {
        self.added.add(id);
    }
}

/// A list that adds `ids`, ascending, as bytes.
pub fn encode_adding(ids: &[u32]) -> Vec<u8> {
    if ids.len() <= FEW_MAX { encode_few(ids) } else { Postings::adding(ids).encode() }
}

fn encode_few(ids: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + 4 * ids.len());
    out.push(FEW);
    for id in ids {
        put_u32(&mut out, *id);
    }
    out
}

fn bitmap(decoder: &mut Decoder<'_>) -> Result<Bitmap, DecodeError> {
    let error = decoder.error("no bitmap");
    let bitmap = Bitmap::try_deserialize::<Portable>(decoder.rest()).ok_or(error)?;
    // Deserialising only keeps within the bytes; this makes sure of the inside.
    bitmap.internal_validate().map_err(|_| error)?;
    Ok(bitmap)
}

/// The ids of a stored list.
pub fn decode(bytes: &[u8]) -> Result<Bitmap, DecodeError> {
    let mut list = Postings::default();
    list.fold(bytes)?;
    Ok(list.added)
}

/// The merge operator of the index keyspace.
pub fn merge(_key: &[u8], base: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8> {
    let mut list = Postings::default();
    for bytes in base.iter().chain(operands) {
        if list.fold(bytes).is_err() {
            return vec![DAMAGED];
        }
    }
    list.encode()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn operand(adds: bool, ids: &BTreeSet<u32>) -> Vec<u8> {
        let ids: Vec<u32> = ids.iter().copied().collect();
        if adds { encode_adding(&ids) } else { Postings::removing(Bitmap::of(&ids)).encode() }
    }

    proptest! {
        #[test]
        fn folding_in_any_grouping_gives_the_set(
            steps in proptest::collection::vec(
                (any::<bool>(), proptest::collection::btree_set(0u32..40, 0..12)), 1..8),
            cut in 0usize..8,
        ) {
            let operands: Vec<Vec<u8>> = steps.iter().map(|(a, ids)| operand(*a, ids)).collect();
            let slices: Vec<&[u8]> = operands.iter().map(|o| &o[..]).collect();
            let mut model = BTreeSet::new();
            for (adds, ids) in &steps {
                for id in ids {
                    if *adds { model.insert(*id); } else { model.remove(id); }
                }
            }
            let model: Vec<u32> = model.into_iter().collect();
            prop_assert_eq!(&decode(&merge(b"", None, &slices)).unwrap().to_vec(), &model);
            let (older, newer) = slices.split_at(cut.min(slices.len()));
            let folded = merge(b"", None, newer);
            let base = merge(b"", None, older);
            let whole = merge(b"", Some(&base), &[&folded]);
            prop_assert_eq!(decode(&whole).unwrap().to_vec(), model);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn damage_stays_damage() {
        let folded = merge(b"", Some(&[9, 9]), &[&encode_adding(&[1])]);
        assert!(decode(&folded).is_err());
        assert!(decode(&merge(b"", Some(&folded), &[&encode_adding(&[2])])).is_err());
        assert!(decode(&[]).is_err());
    }
}
