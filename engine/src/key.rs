//! Words of the engine: sequence numbers, kinds of operation, keyspace ids, internal order.
//!
//! Internal order: user key ascending (bytewise), then sequence number descending, so that the
//! newest version of a key comes first.

use std::cmp::Ordering;

/// Position of an operation in the order of all writes; starts at 1. Every operation of a batch
/// has the sequence number of the batch; the order inside a batch is the order of application.
pub type Seq = u64;

/// The sequence number that sees everything.
pub const SEQ_MAX: Seq = u64::MAX >> 8;

/// Number of a keyspace; never reused in the life of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub u32);

/// Number of a file (table, log, manifest); never reused in the life of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u64);

/// What an entry says about its key. The numbers are on disk: do not change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The key has this value.
    Put = 1,
    /// The key has no value.
    Delete = 2,
    /// An operand for the keyspace's merge operator.
    Merge = 3,
    /// A payload only the keyspace's own memtable understands; never in a table.
    Append = 4,
    /// The keys from this one up to, not including, that in the value are gone. In batches and in
    /// the log only: see [`crate::range_delete`].
    DeleteRange = 5,
    /// The key has this value until a moment that stands before it: see [`crate::expiry`].
    PutUntil = 6,
}

impl Kind {
    /// The kind stored as `byte`.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        match byte {
            1 => Some(Kind::Put),
            2 => Some(Kind::Delete),
            3 => Some(Kind::Merge),
            4 => Some(Kind::Append),
            5 => Some(Kind::DeleteRange),
            6 => Some(Kind::PutUntil),
            _ => None,
        }
    }

    /// The two bits that an entry of a table has for its kind; `None` for what is in no table.
    pub fn table_bits(self) -> Option<u8> {
        match self {
            Kind::Put => Some(0),
            Kind::Delete => Some(1),
            Kind::Merge => Some(2),
            Kind::PutUntil => Some(3),
            Kind::Append | Kind::DeleteRange => None,
        }
    }

    /// The kind of an entry with these two bits.
    #[inline]
    pub fn of_table_bits(bits: u8) -> Kind {
        const KINDS: [Kind; 4] = [Kind::Put, Kind::Delete, Kind::Merge, Kind::PutUntil];
        KINDS[usize::from(bits & 3)]
    }
}

/// One operation of a batch, borrowed from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op<'a> {
    /// What it does.
    pub kind: Kind,
    /// User key, or the first key of a range; empty for `Append`.
    pub key: &'a [u8],
    /// Value, operand, payload or the end of a range; empty for `Delete`.
    pub value: &'a [u8],
}

/// Orders two versions: key ascending, sequence number descending.
#[inline]
pub fn internal_cmp(a: (&[u8], Seq), b: (&[u8], Seq)) -> Ordering {
    key_cmp(a.0, b.0).then(b.1.cmp(&a.1))
}

/// Orders keys as slices are ordered. Most keys are short: a few numbers compared cost less than a
/// call.
#[inline]
pub fn key_cmp(a: &[u8], b: &[u8]) -> Ordering {
    const INLINE_BYTES_MAX: usize = 32;
    let len = a.len().min(b.len());
    if !(8..=INLINE_BYTES_MAX).contains(&len) {
        return a.cmp(b);
    }
    let (a_heads, _) = a[..len].as_chunks::<8>();
    let (b_heads, _) = b[..len].as_chunks::<8>();
    for (a_head, b_head) in a_heads.iter().zip(b_heads) {
        if a_head != b_head {
            return u64::from_be_bytes(*a_head).cmp(&u64::from_be_bytes(*b_head));
        }
    }
    // What is left overlaps what is known to be equal.
    head(&a[len - 8..len]).cmp(&head(&b[len - 8..len])).then(a.len().cmp(&b.len()))
}

/// Whether two keys are equal. Neighbours in order differ at the end, if they do.
#[inline]
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.last() == b.last() && a == b
}

/// The first eight bytes of a key as a number that compares as they do; missing bytes count as 0,
/// so where two are equal the keys may still differ. Heads are in tables: this must not change.
#[inline]
pub fn head(key: &[u8]) -> u64 {
    if let Some(bytes) = key.first_chunk::<8>() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_ordered_as_slices(
            common in proptest::collection::vec(0..3u8, 0..40),
            left in proptest::collection::vec(any::<u8>(), 0..12),
            right in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let (a, b) = ([common.clone(), left].concat(), [common, right].concat());
            prop_assert_eq!(key_cmp(&a, &b), a.cmp(&b));
            prop_assert_eq!(key_cmp(&a, &a), Ordering::Equal);
        }
    }
}
