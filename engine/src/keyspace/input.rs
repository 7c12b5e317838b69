//! What a walk merges: memtables and runs of tables.
//!
//! A walk asks its inputs several things for every entry. Runs, which give most of them, are told
//! apart from memtables here, so that the compiler sees what it calls.

use crate::Result;
use crate::key::{Kind, Seq};
use crate::levels::RunCursor;
use crate::scan::stretch::Stretch;
use crate::scan::{Body, Cursor, Hidden, Value};

/// One input of a walk.
#[expect(clippy::large_enum_variant, reason = "few at a time; a box each would cost a walk more")]
pub enum Input {
    /// Entries in memory, of whatever memtable the keyspace has.
    Memtable(Box<dyn Cursor>),
    /// A run of tables.
    Run(RunCursor),
}

/// Calls the same of whichever cursor it is.
macro_rules! of_either {
    ($input:expr, $cursor:ident => $call:expr) => {
        match $input {
            Input::Memtable($cursor) => $call,
            Input::Run($cursor) => $call,
        }
    };
}

impl Cursor for Input {
    fn seek_first(&mut self) -> Result<()> {
        of_either!(self, cursor => cursor.seek_first())
    }
    fn seek_last(&mut self) -> Result<()> {
        of_either!(self, cursor => cursor.seek_last())
    }
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        of_either!(self, cursor => cursor.seek(key))
    }
    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        of_either!(self, cursor => cursor.seek_before(key))
    }
    #[inline]
    fn next(&mut self) -> Result<()> {
        of_either!(self, cursor => cursor.next())
    }
    #[inline]
    fn next_key(&mut self) -> Result<()> {
        of_either!(self, cursor => cursor.next_key())
    }
    fn next_stretch(&mut self, snapshot: Seq, until: Option<&[u8]>, out: &mut Stretch) -> bool {
        of_either!(self, cursor => cursor.next_stretch(snapshot, until, out))
    }
    fn prev(&mut self) -> Result<()> {
        of_either!(self, cursor => cursor.prev())
    }
    #[inline]
    fn valid(&self) -> bool {
        of_either!(self, cursor => cursor.valid())
    }
    #[inline]
    fn key(&self) -> &[u8] {
        of_either!(self, cursor => cursor.key())
    }
    #[inline]
    fn seq(&self) -> Seq {
        of_either!(self, cursor => cursor.seq())
    }
    #[inline]
    fn kind(&self) -> Kind {
        of_either!(self, cursor => cursor.kind())
    }
    #[inline]
    fn value(&self) -> &[u8] {
        of_either!(self, cursor => cursor.value())
    }
    fn body(&self) -> Option<Body> {
        of_either!(self, cursor => cursor.body())
    }
    fn pin(&self) -> Value {
        of_either!(self, cursor => cursor.pin())
    }
    fn skip_hidden(&mut self, hidden: &Hidden<'_>) -> Result<bool> {
        of_either!(self, cursor => cursor.skip_hidden(hidden))
    }
}
