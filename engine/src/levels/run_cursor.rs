//! Walks the disjoint tables of a run as one.

use std::sync::Arc;

use super::TableFile;
use crate::Result;
use crate::key::{Kind, Seq};
use crate::scan::{Body, Cursor, Value};

/// Walks the disjoint tables of a run as one. One table is open at a time.
pub struct RunCursor {
    tables: Vec<Arc<TableFile>>,
    fill_cache: bool,
    /// The table under the cursor and its index.
    open: Option<(usize, Box<dyn Cursor>)>,
}

impl RunCursor {
    /// A cursor over `tables`, which are disjoint and ascend.
    pub fn new(tables: Vec<Arc<TableFile>>, fill_cache: bool) -> Self {
        RunCursor { tables, fill_cache, open: None }
    }

    fn open(&mut self, index: usize) -> Option<&mut Box<dyn Cursor>> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            let table = self.tables.get(index)?;
            self.open = Some((index, table.table.cursor(self.fill_cache)));
        }
        self.open.as_mut().map(|(_, cursor)| cursor)
    }

    /// Moves on to the next table while the open one has no entry at or after the cursor.
    fn skip_forward(&mut self) -> Result<()> {
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

    fn cursor(&self) -> &dyn Cursor {
        &*self.open.as_ref().expect("called only while valid").1
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
        if let Some(cursor) = self.tables.len().checked_sub(1).and_then(|last| self.open(last)) {
            cursor.seek_last()?;
        }
        self.skip_backward()
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let index = self.tables.partition_point(|table| *table.meta.largest < *key);
        match self.open(index) {
            Some(cursor) => cursor.seek(key)?,
            None => self.open = None,
        }
        self.skip_forward()
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        let count = self.tables.partition_point(|table| *table.meta.smallest < *key);
        match count.checked_sub(1).and_then(|last| self.open(last)) {
            Some(cursor) => cursor.seek_before(key)?,
            None => self.open = None,
        }
        self.skip_backward()
    }

    fn next(&mut self) -> Result<()> {
        if let Some((_, cursor)) = &mut self.open {
            cursor.next()?;
        }
        self.skip_forward()
    }

    fn prev(&mut self) -> Result<()> {
        if let Some((_, cursor)) = &mut self.open {
            cursor.prev()?;
        }
        self.skip_backward()
    }

    fn valid(&self) -> bool {
        self.open.as_ref().is_some_and(|(_, cursor)| cursor.valid())
    }

    fn key(&self) -> &[u8] {
        self.cursor().key()
    }

    fn seq(&self) -> Seq {
        self.cursor().seq()
    }

    fn kind(&self) -> Kind {
        self.cursor().kind()
    }

    fn value(&self) -> &[u8] {
        self.cursor().value()
    }

    fn body(&self) -> Option<Body> {
        self.cursor().body()
    }

    fn pin(&self) -> Value {
        self.cursor().pin()
    }
}
