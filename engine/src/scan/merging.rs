//! Several cursors as one.
//!
//! The inputs stand in a binary heap whose top is the current entry: the least when walking
//! forward, the greatest when walking backward. Entries are in one total order: key, then sequence
//! number descending, then position of the input; so walking back gives exactly what walking
//! forward gave, reversed, also where two inputs hold the same version.
//!
//! When the direction turns, every other input is sought anew to the far side of the current entry.
//!
//! Sought forward while walking forward, an input that already stands at or behind the key stays
//! where it is: it has nothing in between.

use std::cmp::Ordering;

use super::{Body, Cursor, Hidden, Value};
use crate::Result;
use crate::key::{Kind, Seq, internal_cmp};

/// Walks several cursors as one, in internal order. Of entries with equal key and sequence
/// number, that of the earlier input comes first.
pub struct MergingCursor<C: Cursor = Box<dyn Cursor>> {
    inputs: Vec<C>,
    /// Positions of the inputs that stand at an entry, as a heap.
    heap: Vec<usize>,
    is_backward: bool,
    /// The current key, while the direction turns.
    turn_key: Vec<u8>,
}

impl<C: Cursor> MergingCursor<C> {
    /// A cursor over `inputs`, newest first.
    pub fn new(inputs: Vec<C>) -> Self {
        let heap = Vec::with_capacity(inputs.len());
        MergingCursor { inputs, heap, is_backward: false, turn_key: Vec::new() }
    }

    /// How the entries of two inputs compare.
    fn cmp(&self, a: usize, b: usize) -> Ordering {
        let (left, right) = (&self.inputs[a], &self.inputs[b]);
        internal_cmp((left.key(), left.seq()), (right.key(), right.seq())).then(a.cmp(&b))
    }

    /// Whether the entry of input `a` is walked before that of input `b`.
    fn precedes(&self, a: usize, b: usize) -> bool {
        let order = self.cmp(a, b);
        if self.is_backward { order.is_gt() } else { order.is_lt() }
    }

    /// Moves every input, then finds the current one. After an error there is none.
    fn seek_each(
        &mut self,
        is_backward: bool,
        mut seek: impl FnMut(&mut C) -> Result<()>,
    ) -> Result<()> {
        self.heap.clear();
        for input in &mut self.inputs {
            seek(input)?;
        }
        self.is_backward = is_backward;
        self.build_heap();
        Ok(())
    }

    fn build_heap(&mut self) {
        let inputs = &self.inputs;
        self.heap.clear();
        self.heap.extend((0..inputs.len()).filter(|index| inputs[*index].valid()));
        for index in (0..self.heap.len() / 2).rev() {
            self.sift_down(index);
        }
    }

    fn sift_down(&mut self, mut index: usize) {
        loop {
            let mut child = 2 * index + 1;
            if child >= self.heap.len() {
                return;
            }
            let other = child + 1;
            if other < self.heap.len() && self.precedes(self.heap[other], self.heap[child]) {
                child = other;
            }
            if !self.precedes(self.heap[child], self.heap[index]) {
                return;
            }
            self.heap.swap(index, child);
            index = child;
        }
    }

    /// Moves the current input on in the current direction.
    fn advance(&mut self) -> Result<()> {
        let top = &mut self.inputs[self.heap[0]];
        let moved = if self.is_backward { top.prev() } else { top.next() };
        if let Err(error) = moved {
            self.heap.clear();
            return Err(error);
        }
        if !top.valid() {
            self.heap.swap_remove(0);
        }
        self.sift_down(0);
        Ok(())
    }

    /// Seeks every input but the current one to the side of the current entry that will be walked.
    fn turn(&mut self) -> Result<()> {
        let top = self.heap[0];
        let seq = self.inputs[top].seq();
        self.turn_key.clear();
        self.turn_key.extend_from_slice(self.inputs[top].key());
        self.heap.clear(); // at no entry, should a seek fail
        self.is_backward = !self.is_backward;
        for (index, input) in self.inputs.iter_mut().enumerate() {
            if index == top {
                continue;
            }
            input.seek(&self.turn_key)?;
            while input.valid()
                && internal_cmp((input.key(), input.seq()), (&self.turn_key, seq))
                    .then(index.cmp(&top))
                    .is_lt()
            {
                input.next()?;
            }
            if self.is_backward {
                if input.valid() { input.prev()? } else { input.seek_last()? }
            }
        }
        self.build_heap();
        Ok(())
    }

    /// Whether it walks forward and is before `key`.
    fn is_before(&self, key: &[u8]) -> bool {
        !self.is_backward && self.valid() && self.top().key() < key
    }

    /// Seeks forward the inputs that stand before `key`. Those at no entry have none behind it.
    fn seek_on(&mut self, key: &[u8]) -> Result<()> {
        self.heap.clear(); // at no entry, should a seek fail
        for input in self.inputs.iter_mut().filter(|input| input.valid()) {
            if input.key() < key {
                input.seek(key)?;
            }
        }
        self.build_heap();
        Ok(())
    }

    fn top(&self) -> &C {
        &self.inputs[self.heap[0]]
    }
}

impl<C: Cursor> Cursor for MergingCursor<C> {
    fn seek_first(&mut self) -> Result<()> {
        self.seek_each(false, |input| input.seek_first())
    }

    fn seek_last(&mut self) -> Result<()> {
        self.seek_each(true, |input| input.seek_last())
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        if self.is_before(key) {
            return self.seek_on(key);
        }
        self.seek_each(false, |input| input.seek(key))
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.seek_each(true, |input| input.seek_before(key))
    }

    fn next(&mut self) -> Result<()> {
        if self.heap.is_empty() {
            return Ok(());
        }
        if self.is_backward {
            self.turn()?;
        }
        self.advance()
    }

    fn prev(&mut self) -> Result<()> {
        if self.heap.is_empty() {
            return Ok(());
        }
        if !self.is_backward {
            self.turn()?;
        }
        self.advance()
    }

    fn valid(&self) -> bool {
        !self.heap.is_empty()
    }

    fn key(&self) -> &[u8] {
        self.top().key()
    }

    fn seq(&self) -> Seq {
        self.top().seq()
    }

    fn kind(&self) -> Kind {
        self.top().kind()
    }

    fn value(&self) -> &[u8] {
        self.top().value()
    }

    fn body(&self) -> Option<Body> {
        self.top().body()
    }

    fn pin(&self) -> Value {
        self.top().pin()
    }

    fn skip_hidden(&mut self, hidden: &Hidden<'_>) -> Result<bool> {
        if self.heap.is_empty() || self.is_backward != hidden.is_backward {
            return Ok(false);
        }
        let mut moved = false;
        for at in 0..self.heap.len() {
            let skipped = self.inputs[self.heap[at]].skip_hidden(hidden);
            moved |= skipped.inspect_err(|_| self.heap.clear())?;
        }
        if moved {
            self.build_heap();
        }
        Ok(moved)
    }
}

impl<C: Cursor> std::fmt::Debug for MergingCursor<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MergingCursor")
            .field("inputs", &self.inputs.len())
            .field("valid", &self.heap.len())
            .finish_non_exhaustive()
    }
}
