//! What a reader at a snapshot sees of all the versions.
//!
//! Of each key the newest version at or below the snapshot counts: a put is the value, a delete
//! hides the key, a merge operand is folded with those below it onto the next put (or onto
//! nothing).
//!
//! Walking forward, a put is shown where it lies and nothing is copied; what is seen as it is comes
//! in stretches ([`super::stretch`]). A folded value, and every
//! value when walking backward (versions then come oldest first), is kept beside the cursor,
//! which has gone on to the next key by then; a value in a block is kept by keeping the block.
//!
//! A version that a range delete hides is as if it were not there; see [`super::hidden`]. A put
//! that has expired is a delete; see [`crate::expiry`].

use std::sync::Arc;

use super::bounds::Bounds;
use super::hidden::HiddenKeys;
use super::{Cursor, Stretch, Value};
use crate::expiry::{EXPIRY_BYTES, Now, is_expired};
use crate::hooks::Hooks;
use crate::key::{Kind, Seq, is_same};
use crate::{Error, Result};

/// Walks the keys that exist at a snapshot, each with its value, both ways, within bounds.
pub struct VisibleCursor<C: Cursor = Box<dyn Cursor>> {
    inner: C,
    hooks: Arc<dyn Hooks>,
    snapshot: Seq,
    bounds: Bounds,
    /// What range deletes hide, where there are any.
    hidden: Option<Box<HiddenKeys>>,
    /// Puts that expire by then have expired.
    now_ms: u64,
    /// Bytes before the value of the put at which the inner cursor stands.
    front: usize,
    place: Place,
    stretch: Stretch,
    /// The current key when `place` is `Kept`; scratch otherwise.
    key: Vec<u8>,
    value: Value,
}

/// Where the current key is, and where the inner cursor is then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// There is none.
    Nowhere,
    /// At the inner cursor, which stands at the visible put.
    Inner,
    /// In the stretch; the inner cursor stands at the last entry of that.
    Stretch,
    /// In `key` and `value`; the inner cursor is past them, going forward.
    KeptForward,
    /// In `key` and `value`; the inner cursor is before the first version of the key.
    KeptBackward,
}

impl<C: Cursor> VisibleCursor<C> {
    /// The keys of `inner` that a reader at `snapshot` sees within `bounds`. Stands before the
    /// first key; seek first.
    pub fn new(inner: C, hooks: Arc<dyn Hooks>, snapshot: Seq, bounds: Bounds) -> Self {
        let (key, value) = (Vec::new(), Value::default());
        let (hidden, place) = (None, Place::Nowhere);
        let (now_ms, front, stretch) = (0, 0, Stretch::default());
        VisibleCursor {
            inner,
            hooks,
            snapshot,
            bounds,
            hidden,
            now_ms,
            front,
            place,
            stretch,
            key,
            value,
        }
    }

    /// Leaves out what has expired at `now_ms`, in milliseconds since the Unix epoch.
    pub fn at_ms(mut self, now_ms: u64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// Leaves out what range deletes hide at the cursor's snapshot.
    pub fn without(mut self, hidden: Option<HiddenKeys>) -> Self {
        self.hidden = hidden.map(Box::new);
        self
    }

    /// Moves to the first key inside the bounds.
    pub fn seek_first(&mut self) -> Result<()> {
        self.leave();
        match &self.bounds.lower {
            Some(lower) => self.inner.seek(lower)?,
            None => self.inner.seek_first()?,
        }
        self.find_forward()
    }

    /// Moves to the last key inside the bounds.
    pub fn seek_last(&mut self) -> Result<()> {
        self.leave();
        match &self.bounds.upper {
            Some(upper) => self.inner.seek_before(upper)?,
            None => self.inner.seek_last()?,
        }
        self.find_backward()
    }

    /// Moves to the first key at or after `key`, inside the bounds.
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        if self.bounds.is_below(key) {
            return self.seek_first();
        }
        if self.place == Place::Stretch && self.stretch.seek(key) {
            return Ok(());
        }
        self.leave();
        self.inner.seek(key)?;
        self.find_forward()
    }

    /// Moves to the last key before `key`, inside the bounds.
    pub fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        if self.bounds.is_above(key) {
            return self.seek_last();
        }
        self.leave();
        self.inner.seek_before(key)?;
        self.find_backward()
    }

    /// Moves to the next key.
    #[expect(clippy::should_implement_trait, reason = "a cursor, not an iterator: it may fail")]
    #[inline]
    pub fn next(&mut self) -> Result<()> {
        if self.next_at_hand() { Ok(()) } else { self.next_not_at_hand() }
    }

    /// Moves to the next key where that is in the stretch, which cannot fail.
    #[inline(always)] // it costs less than a call
    pub fn next_at_hand(&mut self) -> bool {
        self.place == Place::Stretch && self.stretch.advance()
    }

    /// As `next`, where a stretch ends, versions are passed over or the direction turns.
    #[inline(never)]
    fn next_not_at_hand(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Nowhere => return Ok(()),
            Place::Inner | Place::Stretch => {
                let until = self.bounds.upper.as_deref();
                if self.hidden.is_none()
                    && self.inner.next_stretch(self.snapshot, until, &mut self.stretch)
                {
                    self.place = Place::Stretch;
                    return Ok(());
                }
                self.inner.next_key()?;
                if self.is_plain() {
                    (self.place, self.front) = (Place::Inner, 0);
                    return Ok(());
                }
            }
            Place::KeptForward => self.skip_key()?,
            Place::KeptBackward => {
                self.inner.seek(&self.key)?;
                self.skip_key()?;
            }
        }
        self.find_forward()
    }

    /// Moves to the previous key.
    pub fn prev(&mut self) -> Result<()> {
        match self.place {
            Place::Nowhere => return Ok(()),
            Place::Inner => self.keep_key(),
            Place::Stretch => {
                self.key.clear();
                self.key.extend_from_slice(self.stretch.key());
            }
            Place::KeptForward | Place::KeptBackward => {}
        }
        if std::mem::replace(&mut self.place, Place::Nowhere) != Place::KeptBackward {
            self.inner.seek_before(&self.key)?;
        }
        self.find_backward()
    }

    /// Whether the cursor is at a key.
    #[inline]
    pub fn valid(&self) -> bool {
        self.place != Place::Nowhere
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match self.place {
            Place::Stretch => self.stretch.key(),
            Place::Inner => self.inner.key(),
            _ => &self.key,
        }
    }

    /// Its value.
    #[inline]
    pub fn value(&self) -> &[u8] {
        match self.place {
            Place::Stretch => self.stretch.value(),
            Place::Inner => &self.inner.value()[self.front..],
            _ => &self.value,
        }
    }

    /// The sequence number that the value was put with; `None` where it was merged, or on the way
    /// back.
    pub fn seq(&self) -> Option<Seq> {
        match self.place {
            Place::Stretch => Some(self.stretch.seq()),
            Place::Inner => Some(self.inner.seq()),
            _ => None,
        }
    }

    /// Its value, kept alive; without a copy where it lies in a block.
    pub fn pin(&self) -> Value {
        match self.place {
            Place::Stretch => self.stretch.pin(),
            Place::Inner if self.front == 0 => self.inner.pin(),
            Place::Inner => self.inner.pin().without_front(self.front),
            _ => self.value.clone(),
        }
    }

    /// To be at no key, should a move fail; what is met next begins short stretches.
    fn leave(&mut self) {
        self.place = Place::Nowhere;
        self.stretch.restart();
    }

    fn keep_key(&mut self) {
        self.key.clear();
        self.key.extend_from_slice(self.inner.key());
    }

    /// Moves the inner cursor past the versions of the kept key.
    fn skip_key(&mut self) -> Result<()> {
        while self.inner.valid() && is_same(self.inner.key(), &self.key) {
            self.inner.next()?;
        }
        Ok(())
    }

    /// Whether the inner cursor stands at a put that is shown as it is, as nearly all are.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.inner.valid()
            && self.inner.kind() == Kind::Put
            && self.inner.seq() <= self.snapshot
            && self.hidden.is_none()
            && !self.bounds.is_above(self.inner.key())
    }

    /// Whether a range delete hides the version under the inner cursor.
    #[inline]
    fn is_hidden(&mut self) -> bool {
        is_hidden(&mut self.hidden, &self.inner)
    }

    /// Whether the inner cursor stands at a put that has expired.
    fn has_expired(&self) -> bool {
        is_expired(self.inner.kind(), self.inner.value(), self.now_ms)
    }

    /// Moves the inner cursor on from a hidden version.
    fn pass_hidden(&mut self, is_backward: bool) -> Result<()> {
        let hidden = self.hidden.as_mut().expect("it hid a version");
        hidden.pass(&mut self.inner, is_backward)
    }

    /// From a version that may be too new, to the first key that is visible.
    #[inline(never)]
    fn find_forward(&mut self) -> Result<()> {
        while self.inner.valid() && !self.bounds.is_above(self.inner.key()) {
            if self.inner.seq() > self.snapshot {
                self.inner.next()?;
                continue;
            }
            if self.is_hidden() {
                self.pass_hidden(false)?;
                continue;
            }
            match self.inner.kind() {
                Kind::Put => {
                    (self.place, self.front) = (Place::Inner, 0);
                    return Ok(());
                }
                Kind::PutUntil if !self.has_expired() => {
                    (self.place, self.front) = (Place::Inner, EXPIRY_BYTES);
                    return Ok(());
                }
                Kind::Merge => {
                    self.keep_key();
                    if let Some(value) = self.fold_forward()? {
                        (self.value, self.place) = (value, Place::KeptForward);
                        return Ok(());
                    }
                    // They were of the batch of a put that has expired.
                    self.skip_key()?;
                }
                Kind::Delete | Kind::PutUntil | Kind::Append | Kind::DeleteRange => {
                    self.inner.next_key()?;
                }
            }
        }
        Ok(())
    }

    /// Folds the operands of the kept key; the inner cursor stands at the newest.
    fn fold_forward(&mut self) -> Result<Option<Value>> {
        let mut lookup = Lookup::new(&self.key, 0, Now::At(self.now_ms));
        while self.inner.valid() && is_same(self.inner.key(), &self.key) {
            if is_hidden(&mut self.hidden, &self.inner) {
                break;
            }
            let inner = &self.inner;
            if !lookup.add(inner.seq(), inner.kind(), || inner.pin()) {
                break;
            }
            self.inner.next()?;
        }
        lookup.finish(&*self.hooks)
    }

    /// From the newest-but-last version of a key (the oldest is met first) to the first key,
    /// going down, that is visible.
    fn find_backward(&mut self) -> Result<()> {
        while self.inner.valid() && !self.bounds.is_below(self.inner.key()) {
            // Of a key the hidden versions are the oldest, which come first.
            if self.is_hidden() {
                self.pass_hidden(true)?;
                continue;
            }
            self.keep_key();
            let mut base = None;
            let mut operands = Vec::new();
            let mut expired = None;
            while self.inner.valid() && is_same(self.inner.key(), &self.key) {
                if self.inner.seq() <= self.snapshot {
                    match self.inner.kind() {
                        // Of the batch of a put that has expired.
                        Kind::Merge if expired == Some(self.inner.seq()) => {}
                        Kind::Merge => operands.push(self.inner.pin()),
                        kind => {
                            operands.clear();
                            expired = self.has_expired().then(|| self.inner.seq());
                            base = match kind {
                                Kind::Put => Some(self.inner.pin()),
                                Kind::PutUntil if expired.is_none() => {
                                    Some(self.inner.pin().without_front(EXPIRY_BYTES))
                                }
                                _ => None,
                            };
                        }
                    }
                }
                self.inner.prev()?;
            }
            if let Some(value) = fold(&*self.hooks, &self.key, base, &operands)? {
                self.value = value;
                self.place = Place::KeptBackward;
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether a range delete hides the version under `inner`.
fn is_hidden<C: Cursor>(hidden: &mut Option<Box<HiddenKeys>>, inner: &C) -> bool {
    hidden.as_mut().is_some_and(|hidden| hidden.hides(inner.key(), inner.seq()))
}

impl<C: Cursor> std::fmt::Debug for VisibleCursor<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VisibleCursor")
            .field("snapshot", &self.snapshot)
            .field("bounds", &self.bounds)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Collects what a point read meets, newest first, until the value is known.
#[derive(Debug)]
pub struct Lookup<'a> {
    key: &'a [u8],
    hidden_below: Seq,
    now: Now<'a>,
    base: Option<Value>,
    /// Newest first.
    operands: Vec<Value>,
    /// Of the operands.
    seqs: Vec<Seq>,
}

impl<'a> Lookup<'a> {
    /// A point read of `key`, whose versions below the number `hidden_below` a range delete hides.
    pub fn new(key: &'a [u8], hidden_below: Seq, now: Now<'a>) -> Self {
        let (operands, seqs) = (Vec::new(), Vec::new());
        Lookup { key, hidden_below, now, base: None, operands, seqs }
    }

    /// Whether no range delete hides the version `seq`.
    pub fn sees(&self, seq: Seq) -> bool {
        seq >= self.hidden_below
    }

    /// Whether nothing that matters was met so far.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.operands.is_empty()
    }

    /// Takes the next older version; `pin` is called when its value matters. `false`: enough.
    pub fn add(&mut self, seq: Seq, kind: Kind, pin: impl FnOnce() -> Value) -> bool {
        if !self.sees(seq) {
            return false; // and nothing that is older
        }
        match kind {
            Kind::Put => self.base = Some(pin()),
            Kind::PutUntil => self.add_expiring(seq, pin()),
            Kind::Merge => {
                self.operands.push(pin());
                self.seqs.push(seq);
            }
            Kind::Delete | Kind::Append | Kind::DeleteRange => {}
        }
        kind == Kind::Merge
    }

    fn add_expiring(&mut self, seq: Seq, value: Value) {
        if !is_expired(Kind::PutUntil, &value, self.now.ms()) {
            self.base = Some(value.without_front(EXPIRY_BYTES));
            return;
        }
        // The operands of its batch go with it.
        let left = self.seqs.partition_point(|operand| *operand > seq);
        self.operands.truncate(left);
    }

    /// The value, merge operands folded.
    pub fn finish(mut self, hooks: &dyn Hooks) -> Result<Option<Value>> {
        self.operands.reverse();
        fold(hooks, self.key, self.base, &self.operands)
    }
}

/// The value of a key: `operands`, oldest first, on `base`. None when there is neither.
fn fold(
    hooks: &dyn Hooks,
    key: &[u8],
    base: Option<Value>,
    operands: &[Value],
) -> Result<Option<Value>> {
    if operands.is_empty() {
        return Ok(base);
    }
    let operands: Vec<&[u8]> = operands.iter().map(|operand| &**operand).collect();
    match hooks.merge_operands(key, base.as_deref(), &operands) {
        Some(value) => Ok(Some(value.into())),
        None => Err(Error::Invalid { reason: "a merge operand without an operator".to_owned() }),
    }
}
