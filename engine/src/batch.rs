//! An atomic group of operations over keyspaces. Its bytes are the payload of its log record.
//!
//! ```text
//! +-----------+----------+----------------------+------+-----+------+
//! | count u32 | flags u8 | id 16 (when flags&1) | op 0 | ... | op n |
//! +-----------+----------+----------------------+------+-----+------+
//! flags  := 1 has an id | 2 has range deletes
//! op     := keyspace varint | kind u8 | what
//! Put    := key_len varint | key | value_len varint | value
//! Merge  := key_len varint | key | operand_len varint | operand
//! PutUntil := key_len varint | key | len varint | expires_at_ms u64 | value    len: of both
//! Delete := key_len varint | key
//! Append := payload_len u32 | payload
//! DeleteRange := start_len varint | start | end_len varint | end
//! ```
//!
//! Integers are little-endian. The id names the batch for senders that may send it twice.
//!
//! Invariants: `count` is the number of operations; nothing follows the last. The bytes are
//! checked in full when they are decoded, whoever wrote them.
//!
//! Operations of a batch count in their order: a range delete covers earlier operations of its
//! batch, not later ones. All of them share a sequence number, so the earlier ones are not applied
//! at all; the flag says that there is something to look for.
//!
//! Why `Append` has a length of fixed width: its payload is encoded in place, and the length is
//! written once it is known.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Included, Unbounded};

use crate::coding::{DecodeError, Decoder, put_slice, put_varint};
use crate::expiry::EXPIRY_BYTES;
use crate::key::{KeyspaceId, Kind, Op};
use crate::{Error, Result};

const HEADER_BYTES: usize = 5;
const ID_BYTES: usize = 16;
const FLAG_ID: u8 = 1;
const FLAG_RANGE_DELETES: u8 = 2;

/// An atomic group of operations over keyspaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    count: u32,
}

impl Default for WriteBatch {
    fn default() -> Self {
        WriteBatch::new()
    }
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        WriteBatch { bytes: vec![0; HEADER_BYTES], count: 0 }
    }

    /// An empty batch with memory for `bytes` of operations: keys, values, and at most 16 bytes
    /// for each operation. It grows where they are more.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut batch = Vec::with_capacity(HEADER_BYTES + bytes);
        batch.resize(HEADER_BYTES, 0);
        WriteBatch { bytes: batch, count: 0 }
    }

    /// A batch from bytes that [`WriteBatch::bytes`] gave, checked in full.
    ///
    /// # Errors
    /// `Invalid` when the bytes are not those of a batch.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self> {
        let ops = BatchOps::new(&bytes).map_err(invalid)?;
        let count = ops.left;
        for op in ops {
            op.map_err(invalid)?;
        }
        Ok(WriteBatch { bytes, count })
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) {
        self.begin(keyspace, Kind::Put);
        put_slice(&mut self.bytes, key);
        put_slice(&mut self.bytes, value);
    }

    /// Sets `key` to `value` until `expires_at_ms`, in milliseconds since the Unix epoch: from then
    /// on it is as if the key were deleted.
    pub fn put_with_ttl(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: &[u8],
        expires_at_ms: u64,
    ) {
        self.begin(keyspace, Kind::PutUntil);
        put_slice(&mut self.bytes, key);
        put_varint(&mut self.bytes, (EXPIRY_BYTES + value.len()) as u64);
        self.bytes.extend_from_slice(&expires_at_ms.to_le_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// The same batch, in which every put that does not say when it expires does so at the moment
    /// that `expires_at_ms` gives for its keyspace, if any.
    pub(crate) fn expiring(
        &self,
        expires_at_ms: &dyn Fn(KeyspaceId) -> Option<u64>,
    ) -> Result<WriteBatch> {
        let mut batch = WriteBatch::new();
        if let Some(id) = self.id() {
            batch.set_id(id);
        }
        for op in self.iter() {
            let (keyspace, op) = op?;
            match op.kind {
                Kind::Put => match expires_at_ms(keyspace) {
                    Some(moment) => batch.put_with_ttl(keyspace, op.key, op.value, moment),
                    None => batch.put(keyspace, op.key, op.value),
                },
                Kind::PutUntil => {
                    let moment = crate::expiry::expires_at_ms(op.value);
                    batch.put_with_ttl(keyspace, op.key, &op.value[EXPIRY_BYTES..], moment);
                }
                Kind::Delete => batch.delete(keyspace, op.key),
                Kind::Merge => batch.merge(keyspace, op.key, op.value),
                Kind::DeleteRange => batch.delete_range(keyspace, op.key, op.value),
                Kind::Append => batch.append(keyspace, op.value),
            }
        }
        Ok(batch)
    }

    /// Removes `key`.
    pub fn delete(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        self.begin(keyspace, Kind::Delete);
        put_slice(&mut self.bytes, key);
    }

    /// Removes the keys from `start` up to, not including, `end`, whatever their number: one
    /// operation, whose cost does not depend on what it removes. Later operations of the batch are
    /// not touched by it.
    ///
    /// The store refuses the batch with `Invalid` unless `start < end`.
    pub fn delete_range(&mut self, keyspace: KeyspaceId, start: &[u8], end: &[u8]) {
        self.begin(keyspace, Kind::DeleteRange);
        self.bytes[4] |= FLAG_RANGE_DELETES;
        put_slice(&mut self.bytes, start);
        put_slice(&mut self.bytes, end);
    }

    /// Hands `operand` to the keyspace's merge operator.
    pub fn merge(&mut self, keyspace: KeyspaceId, key: &[u8], operand: &[u8]) {
        self.begin(keyspace, Kind::Merge);
        put_slice(&mut self.bytes, key);
        put_slice(&mut self.bytes, operand);
    }

    /// Hands `payload` to the keyspace's own memtable.
    pub fn append(&mut self, keyspace: KeyspaceId, payload: &[u8]) {
        self.append_with(keyspace, |out| out.extend_from_slice(payload));
    }

    /// As [`WriteBatch::append`], with a payload that `encode` writes straight into the batch.
    /// `encode` may only append.
    ///
    /// # Panics
    /// When `encode` shortens the buffer or appends 4 GiB.
    pub fn append_with(&mut self, keyspace: KeyspaceId, encode: impl FnOnce(&mut Vec<u8>)) {
        self.begin(keyspace, Kind::Append);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        encode(&mut self.bytes);
        let len = self.bytes.len().checked_sub(at + 4).expect("encode only appends");
        let len = u32::try_from(len).expect("a payload below 4 GiB");
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Names the batch, replacing an earlier name.
    pub fn set_id(&mut self, id: [u8; 16]) {
        if self.bytes[4] & FLAG_ID == 0 {
            self.bytes[4] |= FLAG_ID;
            self.bytes.splice(HEADER_BYTES..HEADER_BYTES, id);
        } else {
            self.bytes[HEADER_BYTES..HEADER_BYTES + ID_BYTES].copy_from_slice(&id);
        }
    }

    /// The name of the batch, if it has one.
    pub fn id(&self) -> Option<[u8; 16]> {
        let id = self.bytes.get(HEADER_BYTES..HEADER_BYTES + ID_BYTES)?;
        (self.bytes[4] & FLAG_ID != 0).then(|| id.try_into().expect("16 bytes"))
    }

    /// Operations.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are no operations.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The payload of the log record.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the operations and the name, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(HEADER_BYTES);
        self.bytes.fill(0);
        self.count = 0;
    }

    /// Whether there are range deletes.
    pub fn has_range_deletes(&self) -> bool {
        self.bytes[4] & FLAG_RANGE_DELETES != 0
    }

    /// See [`superseded`].
    pub(crate) fn superseded(&self) -> Result<Vec<bool>> {
        superseded(&BatchOps::new(&self.bytes).map_err(invalid)?).map_err(invalid)
    }

    /// The operations in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<(KeyspaceId, Op<'_>)>> {
        let ops = BatchOps::new(&self.bytes).expect("a batch writes its own header");
        ops.map(|op| op.map_err(invalid))
    }

    fn begin(&mut self, keyspace: KeyspaceId, kind: Kind) {
        self.count = self.count.checked_add(1).expect("fewer than 2^32 operations");
        self.bytes[..4].copy_from_slice(&self.count.to_le_bytes());
        put_varint(&mut self.bytes, keyspace.0.into());
        self.bytes.push(kind as u8);
    }
}

fn invalid(error: DecodeError) -> Error {
    Error::Invalid { reason: format!("batch byte {}: {}", error.offset, error.reason) }
}

/// The operations of a batch, decoded from its bytes. After an error there is no next one.
#[derive(Debug, Clone)]
pub struct BatchOps<'a> {
    decoder: Decoder<'a>,
    left: u32,
    has_range_deletes: bool,
}

impl<'a> BatchOps<'a> {
    /// The operations in `bytes`.
    ///
    /// # Errors
    /// Where the header is damaged.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let left = decoder.u32()?;
        let flags = decoder.u8()?;
        if flags & !(FLAG_ID | FLAG_RANGE_DELETES) != 0 {
            return Err(decoder.error("unknown batch flags"));
        }
        if flags & FLAG_ID != 0 {
            decoder.bytes(ID_BYTES)?;
        }
        let has_range_deletes = flags & FLAG_RANGE_DELETES != 0;
        if left == 0 && !decoder.is_empty() {
            return Err(decoder.error("bytes after the last operation"));
        }
        Ok(BatchOps { decoder, left, has_range_deletes })
    }

    fn op(&mut self) -> Result<(KeyspaceId, Op<'a>), DecodeError> {
        let decoder = &mut self.decoder;
        let keyspace = KeyspaceId(decoder.varint_u32()?);
        let Some(kind) = Kind::from_byte(decoder.u8()?) else {
            return Err(decoder.error("unknown kind of operation"));
        };
        let (key, value) = match kind {
            Kind::Put | Kind::Merge => (decoder.slice()?, decoder.slice()?),
            Kind::PutUntil => {
                let (key, value) = (decoder.slice()?, decoder.slice()?);
                if value.len() < EXPIRY_BYTES {
                    return Err(decoder.error("an expiring value without its moment"));
                }
                (key, value)
            }
            Kind::DeleteRange if self.has_range_deletes => (decoder.slice()?, decoder.slice()?),
            Kind::DeleteRange => return Err(decoder.error("a range delete without its flag")),
            Kind::Delete => (decoder.slice()?, &[][..]),
            Kind::Append => {
                let len = decoder.u32()? as usize;
                (&[][..], decoder.bytes(len)?)
            }
        };
        if self.left == 1 && !decoder.is_empty() {
            return Err(decoder.error("bytes after the last operation"));
        }
        Ok((keyspace, Op { kind, key, value }))
    }
}

impl<'a> Iterator for BatchOps<'a> {
    type Item = Result<(KeyspaceId, Op<'a>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let op = self.op();
        self.left = if op.is_ok() { self.left - 1 } else { 0 };
        Some(op)
    }
}

/// Which operations, by position, a later range delete of the same batch covers: they are not
/// applied. Empty where the batch has no range deletes.
pub(crate) fn superseded(ops: &BatchOps<'_>) -> Result<Vec<bool>, DecodeError> {
    if !ops.has_range_deletes {
        return Ok(Vec::new());
    }
    let ops = ops.clone().collect::<Result<Vec<_>, _>>()?;
    // From the last operation on: what later ranges cover, as disjoint ranges by first key.
    let mut covered: HashMap<KeyspaceId, BTreeMap<&[u8], &[u8]>> = HashMap::new();
    let mut superseded = vec![false; ops.len()];
    for (index, (keyspace, op)) in ops.iter().enumerate().rev() {
        if op.kind == Kind::DeleteRange {
            cover(covered.entry(*keyspace).or_default(), op.key, op.value);
        } else if op.kind != Kind::Append {
            let ranges = covered.get(keyspace);
            let range = ranges.and_then(|r| range_before(r, op.key));
            superseded[index] = range.is_some_and(|(_, end)| op.key < end);
        }
    }
    Ok(superseded)
}

/// The last range that begins at or before `key`.
fn range_before<'a>(
    ranges: &BTreeMap<&'a [u8], &'a [u8]>,
    key: &[u8],
) -> Option<(&'a [u8], &'a [u8])> {
    let before = ranges.range::<[u8], _>((Unbounded, Included(key))).next_back();
    before.map(|(start, end)| (*start, *end))
}

/// Adds `start..end` to disjoint ranges, and joins what it touches.
fn cover<'a>(ranges: &mut BTreeMap<&'a [u8], &'a [u8]>, mut start: &'a [u8], mut end: &'a [u8]) {
    while let Some((other, other_end)) = range_before(ranges, end).filter(|(_, e)| *e >= start) {
        ranges.remove(other);
        start = start.min(other);
        end = end.max(other_end);
    }
    ranges.insert(start, end);
}

#[cfg(test)]
mod tests;
