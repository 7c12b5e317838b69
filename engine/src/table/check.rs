//! Verifies a table from its file, whatever the cache holds.
//!
//! Checked: footer, index, filter, properties; every data block; that entries strictly ascend; that
//! each block lies between its separators; that the filter lets every key through; that the counts
//! are those of the properties; and, when deep, every body.

use std::sync::Arc;

use super::TableProperties;
use super::block::{BlockCursor, BlockView};
use super::filter::{self, key_hash};
use super::footer::Handle;
use super::index;
use super::reader::{FooterInFile, Table};
use crate::Result;
use crate::cache::BlockBytes;
use crate::expiry::Expiries;
use crate::key::{Kind, internal_cmp};
use crate::scan::{Body, BodyFile, BodyHandle};

/// What a check of a table has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableReport {
    /// Entries read.
    pub entries: u64,
    /// Data blocks read.
    pub blocks: u64,
    /// Bodies verified.
    pub bodies: u64,
    /// Bytes read, bodies included.
    pub bytes: u64,
}

impl Table {
    /// Reads the file, not the cache, and verifies every block, the order and count of entries
    /// and, when `deep`, every body.
    pub fn check(self: &Arc<Self>, deep: bool) -> Result<TableReport> {
        let FooterInFile { footer, .. } = self.read_footer()?;
        let filter = match footer.filter {
            handle if handle == Handle::default() => None,
            handle => Some((handle, self.read_block(handle)?)),
        };
        let mut index = BlockCursor::empty();
        let in_index = |damage| self.damaged(footer.index, damage);
        let bytes = self.read_block(footer.index)?;
        BlockView::new(&bytes).and_then(|view| view.check_search()).map_err(in_index)?;
        index.set_block(Arc::new(BlockBytes::new(bytes))).map_err(in_index)?;
        let mut check = Check {
            table: self,
            filter,
            deep,
            last: None,
            seen: TableProperties::default(),
            expiries: Expiries::default(),
            report: TableReport::default(),
        };
        let mut before: Option<(Vec<u8>, u64)> = None;
        index.seek_first().map_err(in_index)?;
        while index.valid() {
            let handle = index::handle(index.value()).map_err(in_index)?;
            check.block(handle, before.as_ref())?;
            if let Some((key, seq)) = &check.last
                && internal_cmp((key, *seq), (index.key(), index.seq())).is_gt()
            {
                return Err(self.damaged(footer.index, "an entry lies past its separator"));
            }
            before = Some((index.key().to_vec(), index.seq()));
            index.next().map_err(in_index)?;
        }
        check.finish(footer.properties)
    }
}

#[cfg(test)]
impl Table {
    /// Where the data blocks lie.
    pub(super) fn data_handles(&self) -> Result<Vec<Handle>> {
        let (bytes, handle) = self.index()?;
        let mut index = BlockCursor::empty();
        let in_index = |damage| self.damaged(handle, damage);
        index.set_block(Arc::clone(&bytes)).map_err(in_index)?;
        index.seek_first().map_err(in_index)?;
        let mut handles = Vec::new();
        while index.valid() {
            handles.push(index::handle(index.value()).map_err(in_index)?);
            index.next().map_err(in_index)?;
        }
        Ok(handles)
    }
}

/// A check under way.
struct Check<'a> {
    table: &'a Arc<Table>,
    filter: Option<(Handle, Vec<u8>)>,
    deep: bool,
    /// The entry seen last.
    last: Option<(Vec<u8>, u64)>,
    seen: TableProperties,
    expiries: Expiries,
    report: TableReport,
}

impl Check<'_> {
    /// Verifies a data block; `separator` is that of the block before.
    fn block(&mut self, handle: Handle, separator: Option<&(Vec<u8>, u64)>) -> Result<()> {
        let in_block = |damage| self.table.damaged(handle, damage);
        let mut data = BlockCursor::empty();
        let bytes = self.table.read_block(handle)?;
        BlockView::new(&bytes).and_then(|view| view.check_search()).map_err(in_block)?;
        data.set_block(Arc::new(BlockBytes::new(bytes))).map_err(in_block)?;
        self.report.blocks += 1;
        self.report.bytes += u64::from(handle.len);
        data.seek_first().map_err(in_block)?;
        if let Some((key, seq)) = separator
            && data.valid()
            && internal_cmp((key, *seq), (data.key(), data.seq())).is_ge()
        {
            return Err(in_block("an entry lies before its separator"));
        }
        while data.valid() {
            self.entry(handle, &data)?;
            if self.deep
                && let Some(body) = data.body()
            {
                self.body(handle, body)?;
            }
            data.next().map_err(|damage| self.table.damaged(handle, damage))?;
        }
        Ok(())
    }

    fn entry(&mut self, handle: Handle, data: &BlockCursor) -> Result<()> {
        let (key, seq) = (data.key(), data.seq());
        match &mut self.last {
            Some((last_key, last_seq)) => {
                if internal_cmp((last_key, *last_seq), (key, seq)).is_ge() {
                    return Err(self.table.damaged(handle, "entries out of order"));
                }
                last_key.clear();
                last_key.extend_from_slice(key);
                *last_seq = seq;
            }
            None => {
                self.seen.smallest = key.to_vec();
                self.seen.min_seq = seq;
                self.last = Some((key.to_vec(), seq));
            }
        }
        if let Some((filter_handle, filter)) = &self.filter {
            let lets_through = filter::may_contain(filter, key_hash(key))
                .map_err(|damage| self.table.damaged(*filter_handle, damage))?;
            if !lets_through {
                return Err(self.table.damaged(*filter_handle, "the filter hides a key"));
            }
        }
        self.expiries.note(data.kind(), data.value());
        self.report.entries += 1;
        self.seen.deletes += u64::from(data.kind() == Kind::Delete);
        self.seen.merges += u64::from(data.kind() == Kind::Merge);
        self.seen.min_seq = self.seen.min_seq.min(seq);
        self.seen.max_seq = self.seen.max_seq.max(seq);
        self.seen.raw_bytes += (key.len() + data.value().len()) as u64;
        self.seen.bodies += u64::from(data.body().is_some());
        self.seen.body_bytes += data.body().map_or(0, |body| u64::from(body.len));
        Ok(())
    }

    fn body(&mut self, handle: Handle, body: BodyHandle) -> Result<()> {
        let end = body.offset.checked_add(body.len.into());
        if end.is_none_or(|end| end > handle.offset) {
            return Err(self.table.damaged(handle, "a body lies outside the data"));
        }
        let file: Arc<dyn BodyFile> = self.table.clone();
        Body::File(file, body).read_all()?;
        self.report.bodies += 1;
        self.report.bytes += u64::from(body.len);
        Ok(())
    }

    /// Compares what was seen with the properties.
    fn finish(self, properties: Handle) -> Result<TableReport> {
        let stated = self.table.properties()?;
        let seen = TableProperties {
            entries: self.report.entries,
            blocks: self.report.blocks,
            largest: self.last.map(|(key, _)| key).unwrap_or_default(),
            bytes: stated.bytes,
            index_bytes: stated.index_bytes,
            filter_bytes: stated.filter_bytes,
            expires_max_ms: self.expiries.all_by_ms(),
            ..self.seen
        };
        if seen != stated {
            return Err(self
                .table
                .damaged(properties, "the properties are not those of the entries"));
        }
        Ok(self.report)
    }
}
