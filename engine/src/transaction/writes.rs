//! What a transaction wrote and nobody else sees yet: the last word on each key.
//!
//! Invariants: a merge into a key that the transaction itself set or removed is folded at once, so
//! that operands are kept only for keys whose value lies in the store; the batch made of it has
//! every key once, but for operands.

use std::collections::BTreeMap;

use crate::batch::WriteBatch;
use crate::hooks::Hooks;
use crate::key::KeyspaceId;
use crate::scan::Value;
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

/// What a transaction wrote.
#[derive(Debug, Default)]
pub(super) struct Writes {
    keyspaces: BTreeMap<KeyspaceId, Changes>,
    bytes: u64,
}

impl Writes {
    pub fn is_empty(&self) -> bool {
        self.keyspaces.is_empty()
    }

    /// Bytes of keys, values and operands written; what was overwritten is counted too.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn changes(&self, keyspace: KeyspaceId) -> Option<&Changes> {
        self.keyspaces.get(&keyspace)
    }

    pub fn change(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<&Change> {
        self.changes(keyspace)?.get(key)
    }

    pub fn put(&mut self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) {
        self.set(keyspace, key, Change::Put(Value::copy(value)), value.len());
    }

    pub fn delete(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        self.set(keyspace, key, Change::Delete, 0);
    }

    fn set(&mut self, keyspace: KeyspaceId, key: &[u8], change: Change, value_bytes: usize) {
        self.bytes += (key.len() + value_bytes) as u64;
        self.keyspaces.entry(keyspace).or_default().insert(key.into(), change);
    }

    pub fn merge(
        &mut self,
        keyspace: KeyspaceId,
        hooks: &dyn Hooks,
        key: &[u8],
        operand: &[u8],
    ) -> Result<()> {
        self.bytes += (key.len() + operand.len()) as u64;
        let changes = self.keyspaces.entry(keyspace).or_default();
        let operand = Value::copy(operand);
        match changes.get_mut(key) {
            Some(Change::Merge(operands)) => operands.push(operand),
            Some(Change::Put(value)) => *value = fold(hooks, key, Some(&**value), &[operand])?,
            Some(deleted @ Change::Delete) => {
                *deleted = Change::Put(fold(hooks, key, None, &[operand])?);
            }
            None => _ = changes.insert(key.into(), Change::Merge(vec![operand])),
        }
        Ok(())
    }

    pub fn for_each_key(&self, visit: &mut dyn FnMut(KeyspaceId, &[u8])) {
        for (keyspace, changes) in &self.keyspaces {
            changes.keys().for_each(|key| visit(*keyspace, key));
        }
    }

    /// All of it as one batch.
    pub fn into_batch(self) -> WriteBatch {
        let mut batch = WriteBatch::new();
        for (keyspace, changes) in self.keyspaces {
            for (key, change) in changes {
                match change {
                    Change::Put(value) => batch.put(keyspace, &key, &value),
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
