//! Walks what a transaction sees: the store at its snapshot, under its own writes.
//!
//! Two walks in step: of the store, and of the transaction's own changes. Whichever stands at the
//! nearer key is next; where both stand at one key the own change decides, with the store's value
//! below its merge operands.
//!
//! What was walked is noted as read when the iterator is dropped; while it lives all of its bounds
//! are, so that one that is never dropped depends on too much and not on too little.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use super::writes::{Change, Own, fold};
use super::{Isolation, Transaction};
use crate::Result;
use crate::hooks::Hooks;
use crate::kernel::ScanOptions;
use crate::key::KeyspaceId;
use crate::keyspace::KvIterator;
use crate::scan::Value;
use crate::scan::bounds::Bounds;

/// Which of the two walks stand at the current key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Neither has begun.
    Start,
    Store,
    Own,
    Both,
    End,
}

/// Keys and values in order, as a transaction sees them.
pub struct TransactionIterator<'a> {
    transaction: &'a Transaction,
    keyspace: KeyspaceId,
    hooks: Arc<dyn Hooks>,
    bounds: Bounds,
    is_reverse: bool,
    store: KvIterator,
    is_store_valid: bool,
    writes: Option<&'a Own>,
    own: Option<(&'a [u8], &'a Change)>,
    at: At,
    /// The value where own operands were folded.
    folded: Option<Value>,
    /// An error left it between two keys.
    is_broken: bool,
}

impl<'a> TransactionIterator<'a> {
    pub(super) fn new(
        transaction: &'a Transaction,
        keyspace: KeyspaceId,
        options: ScanOptions<'_>,
    ) -> Result<Self> {
        let (bounds, is_reverse) = (options.bounds.clone(), options.reverse);
        let hooks = transaction.kernel.keyspace(keyspace)?.hooks.clone();
        let options = ScanOptions { snapshot: Some(&transaction.snapshot), ..options };
        let store = transaction.kernel.scan(keyspace, options)?;
        if transaction.isolation == Isolation::Serializable {
            transaction.reads.lock().begin_scan(keyspace, &bounds);
        }
        Ok(TransactionIterator {
            transaction,
            keyspace,
            hooks,
            bounds,
            is_reverse,
            store,
            is_store_valid: false,
            writes: transaction.writes.own(keyspace),
            own: None,
            at: At::Start,
            folded: None,
            is_broken: false,
        })
    }

    /// Moves to the next pair; `false` at the end. Starts before the first.
    pub fn advance(&mut self) -> Result<bool> {
        let outcome = self.step();
        self.is_broken |= outcome.is_err();
        outcome
    }

    fn step(&mut self) -> Result<bool> {
        self.folded = None;
        loop {
            if matches!(self.at, At::Start | At::Store | At::Both) {
                self.is_store_valid = self.store.advance()?;
                self.pass_deleted()?;
            }
            if matches!(self.at, At::Start | At::Own | At::Both) {
                self.own = self.next_own();
            }
            self.at = self.nearer();
            match (self.at, self.own) {
                (At::End, _) => return Ok(false),
                (At::Own | At::Both, Some((_, Change::Delete))) => {}
                (At::Own | At::Both, Some((key, Change::Merge(operands)))) => {
                    let base = (self.at == At::Both).then(|| self.store.value());
                    self.folded = Some(fold(&*self.hooks, key, base, operands)?);
                    return Ok(true);
                }
                _ => return Ok(true),
            }
        }
    }

    /// Moves the walk of the store out of what was deleted by the range.
    fn pass_deleted(&mut self) -> Result<()> {
        let Some(deleted) = self.writes.map(|own| &own.deleted) else { return Ok(()) };
        while self.is_store_valid
            && let Some((start, end)) = deleted.around(self.store.key())
        {
            self.is_store_valid = match end {
                _ if self.is_reverse => self.store.seek_before(start)?,
                Some(end) => self.store.seek(end)?,
                None => false,
            };
        }
        Ok(())
    }

    /// The own change behind the current one, in the direction of the walk.
    fn next_own(&self) -> Option<(&'a [u8], &'a Change)> {
        let after = self.own.map(|(key, _)| Bound::Excluded(key));
        let lower = self.bounds.lower.as_deref().map_or(Bound::Unbounded, Bound::Included);
        let upper = self.bounds.upper.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let changes = &self.writes?.changes;
        let next = if self.is_reverse {
            let range = (lower, after.unwrap_or(upper));
            is_range(range).then(|| changes.range::<[u8], _>(range).next_back())
        } else {
            let range = (after.unwrap_or(lower), upper);
            is_range(range).then(|| changes.range::<[u8], _>(range).next())
        };
        next.flatten().map(|(key, change)| (&**key, change))
    }

    fn nearer(&self) -> At {
        match (self.is_store_valid, self.own) {
            (false, None) => At::End,
            (true, None) => At::Store,
            (false, Some(_)) => At::Own,
            (true, Some((own, _))) => {
                let order = self.store.key().cmp(own);
                match if self.is_reverse { order.reverse() } else { order } {
                    Ordering::Less => At::Store,
                    Ordering::Equal => At::Both,
                    Ordering::Greater => At::Own,
                }
            }
        }
    }

    /// The key. Only after `advance` said `true`.
    pub fn key(&self) -> &[u8] {
        match self.own {
            Some((key, _)) if self.at != At::Store => key,
            _ => self.store.key(),
        }
    }

    /// The value. Only after `advance` said `true`.
    pub fn value(&self) -> &[u8] {
        match (&self.folded, self.own) {
            (Some(value), _) => value,
            (None, Some((_, Change::Put(value)))) if self.at != At::Store => value,
            _ => self.store.value(),
        }
    }

    /// The value, kept alive past the next move; without a copy where it lies in a block.
    pub fn pin(&self) -> Value {
        match (&self.folded, self.own) {
            (Some(value), _) => value.clone(),
            (None, Some((_, Change::Put(value)))) if self.at != At::Store => value.clone(),
            _ => self.store.pin(),
        }
    }

    /// What was walked so far.
    fn walked(&self) -> Option<Bounds> {
        let mut walked = self.bounds.clone();
        match self.at {
            _ if self.is_broken => {}
            At::Start => return None,
            At::End => {}
            _ if self.is_reverse => walked.lower = Some(self.key().to_vec()),
            _ => walked.upper = Some([self.key(), &[0]].concat()),
        }
        Some(walked)
    }
}

/// Whether a map may be asked for the range: it panics at one that ends before it begins.
fn is_range((lower, upper): (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match (lower, upper) {
        (Bound::Included(lower) | Bound::Excluded(lower), Bound::Excluded(upper)) => lower < upper,
        _ => true,
    }
}

impl Drop for TransactionIterator<'_> {
    fn drop(&mut self) {
        if self.transaction.isolation == Isolation::Serializable {
            let walked = self.walked();
            self.transaction.reads.lock().end_scan(self.keyspace, &self.bounds, walked);
        }
    }
}

impl Iterator for TransactionIterator<'_> {
    type Item = Result<(Vec<u8>, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == At::End || self.is_broken {
            return None;
        }
        match self.advance() {
            Ok(false) => None,
            Ok(true) => Some(Ok((self.key().to_vec(), self.pin()))),
            Err(error) => Some(Err(error)),
        }
    }
}

impl std::fmt::Debug for TransactionIterator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionIterator")
            .field("bounds", &self.bounds)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}
