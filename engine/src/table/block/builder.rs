//! Assembles a block: sorted entries, and what searches rely on.
//!
//! ```text
//! +---------+-----+-----------+---------------+------------------+---------------------+
//! | entry 0 | ... | entry n-1 | heads r x u64 | restarts r x u32 | prefix (prefix_len) |
//! +---------+-----+-----------+---------------+------------------+---------------------+
//! | prefix_len u32 | restart_count r u32 |
//! +----------------+---------------------+
//! entry := shared varint | unshared varint | value_len varint | tag varint
//!        | key suffix (unshared) | value (value_len) | [ body ]
//! tag   := seq << 3 | has_body << 2 | kind       0 put, 1 delete, 2 merge, 3 put until
//! body  := offset varint | len varint | crc u32        where the body lies in the file
//! ```
//!
//! The key of an entry is the first `shared` bytes of the key before it and the suffix. `restarts`
//! are the offsets of the entries that store their key whole; the first entry is one. `prefix` is
//! what all keys of the block have in common at the front, and a head is the eight bytes after that
//! of the key at a restart, as a number: the first byte weighs most, missing bytes are 0.
//!
//! Invariants, kept when building, checked when reading:
//! - entries strictly ascend in internal order (key ascending, sequence number descending);
//! - `shared` is 0 at a restart, everywhere else all that the key has in common with the one before
//!   (readers tell two keys apart by it);
//! - heads and prefix are those of the keys.

use std::ops::Range;

use super::{RESTART_BYTES, TAIL_BYTES, common_prefix_len};
use crate::coding::{put_u32, put_u64, put_varint};
use crate::key::{Kind, Seq, head};
use crate::scan::BodyHandle;

/// Assembles a block.
#[derive(Debug)]
pub(in crate::table) struct BlockBuilder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    /// For each restart where its key lies in `bytes`.
    restart_keys: Vec<Range<usize>>,
    restart_interval: usize,
    entries: usize,
    last_key: Vec<u8>,
}

impl BlockBuilder {
    pub(in crate::table) fn new(restart_interval: usize) -> Self {
        BlockBuilder {
            bytes: Vec::new(),
            restarts: Vec::new(),
            restart_keys: Vec::new(),
            restart_interval: restart_interval.max(1),
            entries: 0,
            last_key: Vec::new(),
        }
    }

    pub(in crate::table) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Size of the block if it were finished now.
    pub(in crate::table) fn len(&self) -> usize {
        self.bytes.len() + RESTART_BYTES * self.restarts.len() + TAIL_BYTES
    }

    /// Appends an entry; the caller keeps the order.
    pub(in crate::table) fn add(
        &mut self,
        key: &[u8],
        seq: Seq,
        kind: Kind,
        value: &[u8],
        body: Option<BodyHandle>,
    ) {
        let is_restart = self.entries.is_multiple_of(self.restart_interval);
        let shared = if is_restart { 0 } else { common_prefix_len(&self.last_key, key) };
        if is_restart {
            self.restarts.push(self.bytes.len() as u32);
        }
        let out = &mut self.bytes;
        put_varint(out, shared as u64);
        put_varint(out, (key.len() - shared) as u64);
        put_varint(out, value.len() as u64);
        let bits = kind.table_bits().expect("the builder admits what may be in a table");
        put_varint(out, seq << 3 | u64::from(body.is_some()) << 2 | u64::from(bits));
        if is_restart {
            self.restart_keys.push(out.len()..out.len() + key.len());
        }
        out.extend_from_slice(&key[shared..]);
        out.extend_from_slice(value);
        if let Some(body) = body {
            put_varint(out, body.offset);
            put_varint(out, body.len.into());
            put_u32(out, body.crc);
        }
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&key[shared..]);
        self.entries += 1;
    }

    /// The finished bytes; `reset` starts the next block.
    pub(in crate::table) fn finish(&mut self) -> &[u8] {
        let first_key = self.restart_keys.first().cloned().unwrap_or_default();
        let prefix_len = common_prefix_len(&self.bytes[first_key.clone()], &self.last_key);
        for key in &self.restart_keys {
            let head = head(&self.bytes[key.start + prefix_len..key.end]);
            put_u64(&mut self.bytes, head);
        }
        for restart in &self.restarts {
            put_u32(&mut self.bytes, *restart);
        }
        self.bytes.extend_from_within(first_key.start..first_key.start + prefix_len);
        put_u32(&mut self.bytes, prefix_len as u32);
        put_u32(&mut self.bytes, self.restarts.len() as u32);
        &self.bytes
    }

    pub(in crate::table) fn reset(&mut self) {
        self.bytes.clear();
        self.restarts.clear();
        self.restart_keys.clear();
        self.entries = 0;
        self.last_key.clear();
    }
}
