//! What a transaction wrote and nobody else sees yet: the last word on each key.
//!
//! Invariants: a merge into a key that the transaction itself set or removed is folded at once, so
//! that operands are kept only for keys whose value lies in the store; the batch made of it has
//! every key once, but for operands, and its range deletes before all else.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::batch::WriteBatch;
use crate::conflicts::{KeyRanges, Reads};
use crate::hooks::Hooks;
use crate::key::KeyspaceId;
use crate::scan::Value;
use crate::scan::bounds::Bounds;
use crate::{Error, Result};

/// What becomes of a key.
#[derive(Debug)]
pub(super) enum Change {
    Put(Value),
    Delete,
    /// Operands, oldest first, onto what the store holds.
    Merge(Vec<Value>),
}

/// Keys of one keyspace.
pub(super) type Changes = BTreeMap<Box<[u8]>, Change>;

/// What was written to one keyspace.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub changes: Changes,
    /// When puts among them expire, in milliseconds since the Unix epoch.
    expiries: BTreeMap<Box<[u8]>, u64>,
    /// Keys that were deleted by the range, and since then are gone unless changed.
    pub deleted: KeyRanges,
}

/// What a transaction wrote.
#[derive(Debug, Default)]
pub(super) struct Writes {
    keyspaces: BTreeMap<KeyspaceId, Own>,
    bytes: u64,
    count: u64,
}

impl Writes {
    pub fn is_empty(&self) -> bool {
        self.keyspaces.is_empty()
    }

    /// Bytes of keys, values and operands written; what was overwritten is counted too.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes; those that were overwritten are counted too.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn own(&self, keyspace: KeyspaceId) -> Option<&Own> {
        self.keyspaces.get(&keyspace)
    }

    pub fn change(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<&Change> {
        let own = self.own(keyspace)?;
        let deleted = || own.deleted.contains(key).then_some(&Change::Delete);
        own.changes.get(key).or_else(deleted)
    }

    pub fn put(&mut self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) {
        self.set(keyspace, key, Change::Put(Value::copy(value)), value.len());
    }

    /// Operands merged onto it later in the transaction expire with it, as in a batch.
    pub fn put_with_ttl(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: &[u8],
        expires_at_ms: u64,
    ) {
        self.put(keyspace, key, value);
        let own = self.keyspaces.entry(keyspace).or_default();
        own.expiries.insert(key.into(), expires_at_ms);
    }

    pub fn delete(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        self.set(keyspace, key, Change::Delete, 0);
    }

    fn set(&mut self, keyspace: KeyspaceId, key: &[u8], change: Change, value_bytes: usize) {
        self.note(key.len() + value_bytes);
        let own = self.keyspaces.entry(keyspace).or_default();
        own.changes.insert(key.into(), change);
        own.expiries.remove(key);
    }

    pub fn delete_range(&mut self, keyspace: KeyspaceId, start: &[u8], end: &[u8]) {
        self.note(start.len() + end.len());
        let own = self.keyspaces.entry(keyspace).or_default();
        let inside = (Bound::Included(start), Bound::Excluded(end));
        let gone = own.changes.range::<[u8], _>(inside).map(|(key, _)| key.clone());
        for key in gone.collect::<Vec<_>>() {
            own.changes.remove(&key);
            own.expiries.remove(&key);
        }
        own.deleted.insert(Bounds { lower: Some(start.to_vec()), upper: Some(end.to_vec()) });
    }

    pub fn merge(
        &mut self,
        keyspace: KeyspaceId,
        hooks: &dyn Hooks,
        key: &[u8],
        operand: &[u8],
    ) -> Result<()> {
        self.note(key.len() + operand.len());
        let Own { changes, deleted, .. } = self.keyspaces.entry(keyspace).or_default();
        let operand = Value::copy(operand);
        match changes.get_mut(key) {
            Some(Change::Merge(operands)) => operands.push(operand),
            Some(Change::Put(value)) => *value = fold(hooks, key, Some(&**value), &[operand])?,
            Some(deleted @ Change::Delete) => {
                *deleted = Change::Put(fold(hooks, key, None, &[operand])?);
            }
            None if deleted.contains(key) => {
                let value = fold(hooks, key, None, &[operand])?;
                changes.insert(key.into(), Change::Put(value));
            }
            None => _ = changes.insert(key.into(), Change::Merge(vec![operand])),
        }
        Ok(())
    }

    /// Makes all that it writes something that it depends on.
    pub fn add_to(&self, reads: &mut Reads) {
        for (keyspace, own) in &self.keyspaces {
            own.changes.keys().for_each(|key| reads.add_key(*keyspace, key));
            for (start, end) in own.deleted.iter() {
                let (lower, upper) = (Some(start.to_vec()), end.map(<[u8]>::to_vec));
                reads.add_range(*keyspace, Bounds { lower, upper });
            }
        }
    }

    /// Counts a write of so many bytes.
    fn note(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.count += 1;
    }

    /// All of it as one batch.
    pub fn into_batch(self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for (keyspace, own) in self.keyspaces {
            for (start, end) in own.deleted.iter() {
                batch.delete_range(keyspace, start, end.expect("deleted up to a key"));
            }
            for (key, change) in own.changes {
                match change {
                    Change::Put(value) => match own.expiries.get(&key) {
                        Some(moment) => batch.put_with_ttl(keyspace, &key, &value, *moment),
                        None => batch.put(keyspace, &key, &value),
                    },
                    Change::Delete => batch.delete(keyspace, &key),
                    Change::Merge(operands) => {
                        operands.iter().for_each(|operand| batch.merge(keyspace, &key, operand));
                    }
                }
            }
        }
        batch
    }
}

/// The value of `key` with `operands`, oldest first, on `base`.
pub(super) fn fold(
    hooks: &dyn Hooks,
    key: &[u8],
    base: Option<&[u8]>,
    operands: &[Value],
) -> Result<Value> {
    let operands: Vec<&[u8]> = operands.iter().map(|operand| &**operand).collect();
    let no_operator = || Error::Invalid { reason: "the keyspace has no merge operator".to_owned() };
    hooks.merge_operands(key, base, &operands).map(Value::from).ok_or_else(no_operator)
}
