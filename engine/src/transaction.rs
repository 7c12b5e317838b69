//! Optimistic transactions: read at one moment, write at another, as if both were one.
//!
//! ```text
//! begin     a snapshot; from here on the store remembers which keys others write
//! read      own writes first, else the snapshot; what was read is noted
//! write     kept here, in order of keys; nobody else sees it
//! commit    under the lock that numbers batches: what was read is compared with what others wrote
//!           since. Nothing of it written: one batch. Else `Conflict`, and nothing is stored
//! drop      nothing is stored
//! ```
//!
//! No lock is held between the calls, and readers and writers without transactions are not held
//! up. Whoever commits first wins; the other runs again ([`crate::store::Store::transact`]).
//!
//! Invariants:
//! - transactions that commit with [`Isolation::Serializable`] have the same effect as if they had
//!   run one after the other, in the order of the sequence numbers of their batches; one that
//!   writes nothing stands where its snapshot stands;
//! - what a scan depends on is the range it has walked, keys that are not there included: no key
//!   may appear in it;
//! - a key whose value came from the transaction's own write is no read;
//! - what it notes of its reads is charged to the memory budget; where that refuses, notes become
//!   coarser, which errs towards a conflict;
//! - what it writes is charged as well ([`Share::Requests`]), until its commit is in the store;
//!   where that refuses, so is the write, and the transaction is as it was before.

mod iterator;
mod writes;

use std::sync::Arc;

use self::writes::{Change, Writes};
use crate::budget::{Reservation, Share};
use crate::conflicts::Reads;
use crate::kernel::{Commit, Kernel, OpenTransaction, ScanOptions};
use crate::key::{KeyspaceId, Kind, Op};
use crate::keyspace::KeyspaceState;
use crate::options::WriteOptions;
use crate::scan::Value;
use crate::snapshot::Snapshot;
use crate::sync::Mutex;
use crate::{Error, Result};

pub use iterator::TransactionIterator;

/// What a write takes in the transaction beside its key and value.
const WRITE_OVERHEAD_BYTES: u64 = 96;

/// Steps in which writes are charged: the budget is shared by all threads.
const CHARGE_BYTES: u64 = 16 << 10;

/// What a transaction must not have missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Nothing that it read was written by others: it is as if it had run alone.
    #[default]
    Serializable,
    /// Nothing that it writes, or read with [`Transaction::get_for_update`], was written by
    /// others. Cheaper for long reads; two transactions may each rest on what the other changes.
    Snapshot,
}

/// How a transaction is done.
#[derive(Debug, Clone, Copy, Default)]
pub struct TransactionOptions {
    /// What it must not have missed.
    pub isolation: Isolation,
}

/// Reads at one moment and writes of its own, committed as one; see the module.
///
/// Dropped without a commit it leaves nothing behind.
pub struct Transaction {
    kernel: Arc<Kernel>,
    snapshot: Snapshot,
    isolation: Isolation,
    writes: Writes,
    /// What of the memory budget stands for `writes`.
    charged: Reservation,
    reads: Mutex<Reads>,
    /// It read for update: its commit is compared even where it writes nothing.
    is_locking: bool,
    open: OpenTransaction,
}

impl Transaction {
    pub(crate) fn begin(kernel: &Arc<Kernel>, options: TransactionOptions) -> Result<Self> {
        let (open, snapshot) = kernel.begin_transaction()?;
        Ok(Transaction {
            kernel: kernel.clone(),
            snapshot,
            isolation: options.isolation,
            writes: Writes::default(),
            charged: kernel.options.budget.reserve_anyway(Share::Requests, 0),
            reads: Mutex::new(Reads::charged(&kernel.options.budget)),
            is_locking: false,
            open,
        })
    }

    /// The moment it reads at. Reads of the store at this snapshot see none of the transaction's
    /// writes, and nothing depends on them.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The value of `key`: as this transaction wrote it, else as it was when it began.
    pub fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        let change = self.writes.change(keyspace, key);
        if let Some(Change::Put(value)) = change {
            return Ok(Some(value.clone()));
        }
        if let Some(Change::Delete) = change {
            return Ok(None);
        }
        if self.isolation == Isolation::Serializable {
            self.reads.lock().add_key(keyspace, key);
        }
        let value = self.kernel.get(keyspace, key, Some(&self.snapshot))?;
        match change {
            Some(Change::Merge(operands)) => {
                let hooks = &*self.kernel.keyspace(keyspace)?.hooks;
                writes::fold(hooks, key, value.as_deref(), operands).map(Some)
            }
            _ => Ok(value),
        }
    }

    /// As [`Transaction::get`], and the commit is refused when `key` was written by others
    /// meanwhile, whatever the isolation, and even when this transaction writes nothing.
    pub fn get_for_update(&mut self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        self.is_locking = true;
        self.reads.get_mut().add_key(keyspace, key);
        self.get(keyspace, key)
    }

    /// Walks keys and values in order: as this transaction wrote them, else as they were when it
    /// began.
    ///
    /// # Errors
    /// `Invalid` when the options name a snapshot: a transaction has its own.
    pub fn scan(
        &self,
        keyspace: KeyspaceId,
        options: ScanOptions<'_>,
    ) -> Result<TransactionIterator<'_>> {
        if options.snapshot.is_some() {
            let reason = "a transaction scans at its own snapshot".to_owned();
            return Err(Error::Invalid { reason });
        }
        TransactionIterator::new(self, keyspace, options)
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` and `Limit` as [`crate::store::Store::write`] gives them; `Busy` when
    /// the memory budget has no room for what the transaction writes: what was written before
    /// stays, to be committed or dropped.
    pub fn put(&mut self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) -> Result<()> {
        let op = Op { kind: Kind::Put, key, value };
        self.check(keyspace, &op)?;
        self.writes.put(keyspace, key, value);
        Ok(())
    }

    /// Sets `key` to `value` until `expires_at_ms`, in milliseconds since the Unix epoch. The
    /// transaction itself sees the value until its end.
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn put_with_ttl(
        &mut self,
        keyspace: KeyspaceId,
        key: &[u8],
        value: &[u8],
        expires_at_ms: u64,
    ) -> Result<()> {
        let op = Op { kind: Kind::Put, key, value };
        self.check(keyspace, &op)?;
        self.writes.put_with_ttl(keyspace, key, value, expires_at_ms);
        Ok(())
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn delete(&mut self, keyspace: KeyspaceId, key: &[u8]) -> Result<()> {
        let op = Op { kind: Kind::Delete, key, value: b"" };
        self.check(keyspace, &op)?;
        self.writes.delete(keyspace, key);
        Ok(())
    }

    /// Removes the keys from `start` up to, not including, `end`, whatever their number.
    ///
    /// # Errors
    /// As [`Transaction::put`]; `Invalid` unless `start < end`.
    pub fn delete_range(&mut self, keyspace: KeyspaceId, start: &[u8], end: &[u8]) -> Result<()> {
        let op = Op { kind: Kind::DeleteRange, key: start, value: end };
        self.check(keyspace, &op)?;
        self.writes.delete_range(keyspace, start, end);
        Ok(())
    }

    /// Hands `operand` to the keyspace's merge operator. Where the value is not read as well, two
    /// transactions that merge into one key do not conflict.
    ///
    /// # Errors
    /// As [`Transaction::put`].
    pub fn merge(&mut self, keyspace: KeyspaceId, key: &[u8], operand: &[u8]) -> Result<()> {
        let op = Op { kind: Kind::Merge, key, value: operand };
        let state = self.check(keyspace, &op)?;
        self.writes.merge(keyspace, &*state.hooks, key, operand)
    }

    /// Whether it has written nothing so far.
    pub fn is_read_only(&self) -> bool {
        self.writes.is_empty()
    }

    /// Stores what it wrote, as one batch, and waits as the durability says.
    ///
    /// # Errors
    /// `Conflict` when others wrote what it depends on; those of [`crate::store::Store::write`].
    pub fn commit(self, options: WriteOptions) -> Result<Commit> {
        let kernel = self.kernel.clone();
        let commit = self.number(options)?;
        commit.wait()?;
        kernel.after_commit();
        Ok(commit)
    }

    /// As [`Transaction::commit`]; the caller waits with [`Commit::wait`].
    pub fn commit_no_wait(self, options: WriteOptions) -> Result<Commit> {
        let kernel = self.kernel.clone();
        let commit = self.number(options)?;
        kernel.after_commit();
        Ok(commit)
    }

    fn number(self, options: WriteOptions) -> Result<Commit> {
        let mut reads = self.reads.into_inner().settle();
        if self.writes.is_empty() && !self.is_locking {
            // What it saw was so at its snapshot: nobody can say that it came later.
            self.kernel.transaction_committed();
            return Ok(self.kernel.commit_of_nothing(self.snapshot.seq()));
        }
        if self.isolation == Isolation::Snapshot {
            self.writes.add_to(&mut reads);
        }
        let guard = self.kernel.guard(&self.open, &self.snapshot, &reads)?;
        let batch = self.writes.into_batch();
        let commit = self.kernel.commit_guarded(&batch, options.durability, Some(&guard))?;
        self.kernel.transaction_committed();
        Ok(commit)
    }

    /// Whether the operation may be kept; charges it if so.
    fn check(&mut self, keyspace: KeyspaceId, op: &Op<'_>) -> Result<Arc<KeyspaceState>> {
        let state = self.kernel.keyspace(keyspace)?;
        self.kernel.check_op(&state, op)?;
        let limit = self.kernel.options.batch_bytes_max as u64;
        let got = self.writes.bytes() + (op.key.len() + op.value.len()) as u64;
        if got > limit {
            return Err(Error::Limit { what: "bytes of a transaction", limit, got });
        }
        let held = got + (self.writes.count() + 1) * WRITE_OVERHEAD_BYTES;
        if held > self.charged.bytes() {
            let more = (held - self.charged.bytes()).next_multiple_of(CHARGE_BYTES);
            if !self.charged.try_grow(more) {
                let reason = "no memory is left for what a transaction writes";
                let retry_after_ms = self.kernel.runtime.stall_ms_max();
                return Err(Error::Busy { reason, retry_after_ms });
            }
        }
        Ok(state)
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction")
            .field("snapshot", &self.snapshot.seq())
            .field("isolation", &self.isolation)
            .field("bytes", &self.writes.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
