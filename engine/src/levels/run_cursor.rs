//! Walks the disjoint tables of a run as one.

use std::sync::Arc;

use super::{Run, TableFile};
use crate::Result;
use crate::key::{Kind, Seq};
use crate::scan::stretch::Stretch;
use crate::scan::{Body, Cursor, Hidden, Value};
use crate::table::TableCursor;

/// Walks the disjoint tables of a run as one. One table is open at a time.
pub struct RunCursor {
    /// Its tables are disjoint and ascend.
    run: Arc<Run>,
    fill_cache: bool,
    /// The table under the cursor and its index.
    open: Option<(usize, TableCursor)>,
}

impl RunCursor {
    /// A cursor over the tables of `run`, which stay as long as it does.
    pub fn new(run: Arc<Run>, fill_cache: bool) -> Self {
        RunCursor { run, fill_cache, open: None }
    }

    fn open(&mut self, index: usize) -> Option<&mut TableCursor> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            let table = self.run.tables.get(index)?;
            self.open = Some((index, table.table.cursor(self.fill_cache)));
        }
        self.open.as_mut().map(|(_, cursor)| cursor)
    }

    /// Moves on to the next table while the open one has no entry at or after the cursor.
    #[inline]
    fn skip_forward(&mut self) -> Result<()> {
        if self.valid() { Ok(()) } else { self.next_table() }
    }

    fn next_table(&mut self) -> Result<()> {
        while let Some((index, cursor)) = &self.open
            && !cursor.valid()
        {
            let next = *index + 1;
            match self.open(next) {
                Some(cursor) => cursor.seek_first()?,
                None => self.open = None,
            }
        }
        Ok(())
    }

    fn skip_backward(&mut self) -> Result<()> {
        while let Some((index, cursor)) = &self.open
            && !cursor.valid()
        {
            match index.checked_sub(1).and_then(|before| self.open(before)) {
                Some(cursor) => cursor.seek_last()?,
                None => self.open = None,
            }
        }
        Ok(())
    }

    /// From the table `index`, in which hidden entries go on, to the first that may hold others
    /// when going up; then to the first entry that is not known to be hidden.
    fn skip_up(&mut self, mut index: usize, hidden: &Hidden<'_>) -> Result<()> {
        let is_older = |table: &TableFile| table.meta.max_seq < hidden.seq;
        let is_passed =
            |table: &&Arc<TableFile>| is_older(table) && *table.meta.largest < *hidden.end;
        while self.run.tables.get(index).filter(is_passed).is_some() {
            index += 1;
        }
        let is_part = self.run.tables.get(index).is_some_and(|table| is_older(table));
        match self.open(index) {
            Some(cursor) if is_part => cursor.seek(hidden.end)?,
            Some(cursor) => cursor.seek_first()?,
            None => self.open = None,
        }
        self.skip_forward()
    }

    /// As `skip_up`, going down.
    fn skip_down(&mut self, index: usize, hidden: &Hidden<'_>) -> Result<()> {
        let is_older = |table: &TableFile| table.meta.max_seq < hidden.seq;
        let is_passed =
            |table: &TableFile| is_older(table) && *table.meta.smallest >= *hidden.start;
        let left = (0..=index).rev().find(|index| !is_passed(&self.run.tables[*index]));
        let is_part = left.is_some_and(|index| is_older(&self.run.tables[index]));
        match left.and_then(|index| self.open(index)) {
            Some(cursor) if is_part => cursor.seek_before(hidden.start)?,
            Some(cursor) => cursor.seek_last()?,
            None => self.open = None,
        }
        self.skip_backward()
    }

    #[inline]
    fn cursor(&self) -> &TableCursor {
        &self.open.as_ref().expect("called only while valid").1
    }
}

impl Cursor for RunCursor {
    fn seek_first(&mut self) -> Result<()> {
        self.open = None;
        if let Some(cursor) = self.open(0) {
            cursor.seek_first()?;
        }
        self.skip_forward()
    }

    fn seek_last(&mut self) -> Result<()> {
        self.open = None;
        if let Some(cursor) = self.run.tables.len().checked_sub(1).and_then(|last| self.open(last))
        {
            cursor.seek_last()?;
        }
        self.skip_backward()
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let index = self.run.tables.partition_point(|table| *table.meta.largest < *key);
        match self.open(index) {
            Some(cursor) => cursor.seek(key)?,
            None => self.open = None,
        }
        self.skip_forward()
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        let count = self.run.tables.partition_point(|table| *table.meta.smallest < *key);
        match count.checked_sub(1).and_then(|last| self.open(last)) {
            Some(cursor) => cursor.seek_before(key)?,
            None => self.open = None,
        }
        self.skip_backward()
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        if let Some((_, cursor)) = &mut self.open {
            cursor.next()?;
        }
        self.skip_forward()
    }

    // The versions of a key lie in one table.
    #[inline]
    fn next_key(&mut self) -> Result<()> {
        if let Some((_, cursor)) = &mut self.open {
            cursor.next_key()?;
        }
        self.skip_forward()
    }

    fn next_stretch(&mut self, snapshot: Seq, until: Option<&[u8]>, out: &mut Stretch) -> bool {
        self.open.as_mut().is_some_and(|(_, cursor)| cursor.next_stretch(snapshot, until, out))
    }

    fn prev(&mut self) -> Result<()> {
        if let Some((_, cursor)) = &mut self.open {
            cursor.prev()?;
        }
        self.skip_backward()
    }

    #[inline]
    fn valid(&self) -> bool {
        self.open.as_ref().is_some_and(|(_, cursor)| cursor.valid())
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.cursor().key()
    }

    #[inline]
    fn seq(&self) -> Seq {
        self.cursor().seq()
    }

    #[inline]
    fn kind(&self) -> Kind {
        self.cursor().kind()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.cursor().value()
    }

    fn body(&self) -> Option<Body> {
        self.cursor().body()
    }

    fn pin(&self) -> Value {
        self.cursor().pin()
    }

    fn skip_hidden(&mut self, hidden: &Hidden<'_>) -> Result<bool> {
        let Some((index, cursor)) = &self.open else { return Ok(false) };
        let is_here = cursor.valid() && hidden.contains(cursor.key());
        if !is_here || self.run.tables[*index].meta.max_seq >= hidden.seq {
            return Ok(false);
        }
        let index = *index;
        if hidden.is_backward {
            self.skip_down(index, hidden)?;
        } else {
            self.skip_up(index, hidden)?;
        }
        Ok(true)
    }
}
