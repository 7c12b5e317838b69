//! Several cursors as one.
//!
//! The inputs stand in a binary heap whose top is the current entry: the least when walking
//! forward, the greatest when walking backward. Entries are in one total order: key, then sequence
//! number descending, then position of the input; so walking back gives exactly what walking
//! forward gave, reversed, also where two inputs hold the same version.
//!
//! Beside the top the heap's runner-up is known: one input often gives many entries in a row, and
//! each costs one comparison then. Where the runner-up's key is another than the current one, no
//! input but the top has versions of that. An input that has given a few entries in a row is
//! asked for a stretch of those before the runner-up.
//!
//! When the direction turns, every other input is sought anew to the far side of the current entry.
//!
//! Sought forward while walking forward, an input that already stands at or behind the key stays
//! where it is: it has nothing in between.

use std::cmp::Ordering;

use super::{Body, Cursor, Hidden, Stretch, Value};
use crate::Result;
use crate::key::{Kind, Seq, internal_cmp, is_same, key_cmp};

/// Moves in a row after which an input may well have more entries before the runner-up. Of three
/// that alternate at random one in eighty comes so far.
const LEAD_MIN: u32 = if cfg!(test) { 1 } else { 4 };

/// Walks several cursors as one, in internal order. Of entries with equal key and sequence
/// number, that of the earlier input comes first.
pub struct MergingCursor<C: Cursor = Box<dyn Cursor>> {
    inputs: Vec<C>,
    /// Positions of the inputs that stand at an entry, as a heap.
    heap: Vec<usize>,
    /// Where in the heap the runner-up stands, which is below the top; 0: there is none.
    rival: usize,
    /// Whether the runner-up is known to have another key than the top.
    is_rival_apart: bool,
    /// How many times in a row the top has moved and stayed what it is.
    lead: u32,
    is_backward: bool,
    /// The current key, while inputs leave it.
    left_key: Vec<u8>,
}

impl<C: Cursor> MergingCursor<C> {
    /// A cursor over `inputs`, newest first.
    pub fn new(inputs: Vec<C>) -> Self {
        let heap = Vec::with_capacity(inputs.len());
        MergingCursor {
            inputs,
            heap,
            rival: 0,
            is_rival_apart: false,
            lead: 0,
            is_backward: false,
            left_key: Vec::new(),
        }
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
        self.find_rival();
    }

    /// Finds the runner-up of a heap in order.
    fn find_rival(&mut self) {
        (self.is_rival_apart, self.lead) = (false, 0);
        self.rival = match self.heap.len() {
            0 | 1 => 0,
            2 => 1,
            _ if self.precedes(self.heap[1], self.heap[2]) => 1,
            _ => 2,
        };
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
        if self.is_backward { self.move_top(C::prev) } else { self.move_top(C::next) }
    }

    /// Moves the current input on, then finds the current one.
    #[inline(always)]
    fn move_top(&mut self, step: impl FnOnce(&mut C) -> Result<()>) -> Result<()> {
        let top = &mut self.inputs[self.heap[0]];
        if let Err(error) = step(top) {
            self.heap.clear();
            return Err(error);
        }
        if !top.valid() {
            self.heap.swap_remove(0);
            self.sift_down(0);
            self.find_rival();
        } else if self.rival != 0 {
            self.challenge();
        }
        Ok(())
    }

    /// Puts the runner-up on top where it precedes the top, which has moved.
    #[inline(never)]
    fn challenge(&mut self) {
        let (a, b) = (self.heap[0], self.heap[self.rival]);
        let (top, rival) = (&self.inputs[a], &self.inputs[b]);
        let keys = key_cmp(top.key(), rival.key());
        self.is_rival_apart = keys.is_ne();
        let order = keys.then_with(|| rival.seq().cmp(&top.seq())).then(a.cmp(&b));
        let is_ahead = if self.is_backward { order.is_gt() } else { order.is_lt() };
        self.lead = if is_ahead { self.lead.saturating_add(1) } else { 0 };
        if !is_ahead {
            self.heap.swap(0, self.rival);
            if self.heap.len() > 2 {
                self.sift_down(self.rival);
                self.find_rival();
            }
        }
    }

    fn keep_key(&mut self) {
        self.left_key.clear();
        self.left_key.extend_from_slice(self.inputs[self.heap[0]].key());
    }

    /// Moves on until the key is another, whichever inputs have versions of it.
    fn leave_key(&mut self) -> Result<()> {
        self.keep_key();
        while self.valid() && is_same(self.key(), &self.left_key) {
            self.advance()?;
        }
        Ok(())
    }

    /// Whether no input but the current one has versions of the current key.
    #[inline]
    fn is_alone(&mut self) -> bool {
        self.rival == 0 || self.is_rival_apart || self.part_rival()
    }

    /// Compares the keys of the top and its runner-up.
    fn part_rival(&mut self) -> bool {
        let rival = &self.inputs[self.heap[self.rival]];
        self.is_rival_apart = !is_same(rival.key(), self.top().key());
        self.is_rival_apart
    }

    /// Seeks every input but the current one to the side of the current entry that will be walked.
    fn turn(&mut self) -> Result<()> {
        let top = self.heap[0];
        let seq = self.inputs[top].seq();
        self.keep_key();
        self.heap.clear(); // at no entry, should a seek fail
        self.is_backward = !self.is_backward;
        for (index, input) in self.inputs.iter_mut().enumerate() {
            if index == top {
                continue;
            }
            input.seek(&self.left_key)?;
            while input.valid()
                && internal_cmp((input.key(), input.seq()), (&self.left_key, seq))
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

    #[inline]
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

    fn next_key(&mut self) -> Result<()> {
        if self.heap.is_empty() {
            return Ok(());
        }
        if self.is_backward {
            self.turn()?;
        }
        if !self.is_alone() {
            return self.leave_key();
        }
        self.move_top(C::next_key)
    }

    #[inline]
    fn next_stretch(&mut self, snapshot: Seq, until: Option<&[u8]>, out: &mut Stretch) -> bool {
        if self.rival != 0 && self.lead < LEAD_MIN {
            return false;
        }
        if self.heap.is_empty() || self.is_backward {
            return false;
        }
        if self.rival == 0 {
            return self.inputs[self.heap[0]].next_stretch(snapshot, until, out);
        }
        let [top, rival] = self
            .inputs
            .get_disjoint_mut([self.heap[0], self.heap[self.rival]])
            .expect("each input is in the heap once");
        let rival = rival.key();
        let until = until.map_or(rival, |until| until.min(rival));
        let moved = top.next_stretch(snapshot, Some(until), out);
        self.is_rival_apart |= moved;
        moved
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

    #[inline]
    fn valid(&self) -> bool {
        !self.heap.is_empty()
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.top().key()
    }

    #[inline]
    fn seq(&self) -> Seq {
        self.top().seq()
    }

    #[inline]
    fn kind(&self) -> Kind {
        self.top().kind()
    }

    #[inline]
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
