//! Looks into a table for people and tools: where its parts lie, what each block holds, and every
//! place that is damaged, not only the first.
//!
//! What `check` verifies and stops at, this shows and passes over: a block that fails its checksum
//! is reported with the keys that it must have held, and the walk goes on behind it. Nothing enters
//! the cache.

use std::sync::Arc;

use super::block::BlockCursor;
use super::footer::{self, FOOTER_BYTES, FRAME_BYTES, Handle};
use super::index;
use super::reader::Table;
use crate::cache::BlockBytes;
use crate::compress::TAG_PLAIN;
use crate::key::{Kind, Seq};
use crate::scan::{Body, BodyFile, BodyHandle};
use crate::{Error, Result};

/// Where the parts of a table lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLayout {
    /// Format version of the file.
    pub version: u32,
    /// Size of the file.
    pub file_bytes: u64,
    /// Filter, index, properties, footer: those that there are, in the order of the file.
    pub parts: Vec<TablePart>,
}

/// A part of a table beside its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePart {
    /// `filter`, `index`, `properties` or `footer`.
    pub name: &'static str,
    /// Where it starts.
    pub offset: u64,
    /// Its bytes, frame included.
    pub bytes: u64,
}

/// One version of a key in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry {
    /// User key.
    pub key: Vec<u8>,
    /// Sequence number.
    pub seq: Seq,
    /// Kind.
    pub kind: Kind,
    /// Value, or the head of a split value.
    pub value: Vec<u8>,
    /// Where the body of a split value lies.
    pub body: Option<BodyHandle>,
}

/// A data block, as the walk comes by it.
#[derive(Debug)]
pub struct TableBlock<'a> {
    /// Where it starts.
    pub offset: u64,
    /// Its bytes in the file, frame included.
    pub stored_bytes: u64,
    /// Bytes of it once decompressed; 0 when it is damaged.
    pub plain_bytes: u64,
    /// Whether it is stored compressed.
    pub is_compressed: bool,
    /// Separator of the block before: its keys are at or after this one.
    pub after: Option<&'a [u8]>,
    /// Its own separator: its keys are at or before this one.
    pub upto: &'a [u8],
    /// Its entries in order, or what is wrong with it.
    pub entries: Result<Vec<TableEntry>>,
}

/// A damaged place of a table.
#[derive(Debug, Clone)]
pub struct TableDamage {
    /// `footer`, `filter`, `index`, `properties`, `block`, `body`, or `table` for what does not fit
    /// together although every part is whole.
    pub part: &'static str,
    /// What is wrong, with file and offset.
    pub error: Error,
    /// The keys it can concern, where that is known: after the first, up to the second.
    pub keys: Option<(Vec<u8>, Vec<u8>)>,
}

impl Table {
    /// Where its parts lie.
    ///
    /// # Errors
    /// `Corrupt` when the footer is damaged, `Version` when it is of a later format.
    pub fn layout(&self) -> Result<TableLayout> {
        let at = self.read_footer()?;
        let mut tail = [0; 4];
        let footer_offset = at.file_bytes - FOOTER_BYTES as u64;
        // The last 16 bytes of a table are the same in every version: version, checksum, magic.
        self.read(&mut tail, at.file_bytes - 16)?;
        let named = [
            ("filter", at.footer.filter),
            ("index", at.footer.index),
            ("properties", at.footer.properties),
        ];
        let there = named.into_iter().filter(|(_, handle)| *handle != Handle::default());
        let mut parts: Vec<_> = there
            .map(|(name, handle)| TablePart {
                name,
                offset: handle.offset,
                bytes: u64::from(handle.len) + FRAME_BYTES as u64,
            })
            .collect();
        parts.push(TablePart { name: "footer", offset: footer_offset, bytes: FOOTER_BYTES as u64 });
        parts.sort_by_key(|part| part.offset);
        let version = u32::from_le_bytes(tail);
        Ok(TableLayout { version, file_bytes: at.file_bytes, parts })
    }

    /// Visits the data blocks in order, damaged ones too; with `key`, only those that can hold it.
    ///
    /// # Errors
    /// Where footer or index are damaged, for then no block is found, and what `visit` answers.
    pub fn blocks(
        self: &Arc<Self>,
        key: Option<&[u8]>,
        visit: &mut dyn FnMut(TableBlock<'_>) -> Result<()>,
    ) -> Result<()> {
        let footer = self.read_footer()?.footer;
        let in_index = |damage| self.damaged(footer.index, damage);
        let mut index = BlockCursor::empty();
        let bytes = self.read_block(footer.index)?;
        index.set_block(Arc::new(BlockBytes::new(bytes))).map_err(in_index)?;
        index.seek_first().map_err(in_index)?;
        let mut after: Option<Vec<u8>> = None;
        while index.valid() {
            let handle = index::handle(index.value()).map_err(in_index)?;
            let upto = index.key().to_vec();
            let may_hold =
                |key: &[u8]| *key <= *upto && after.as_ref().is_none_or(|after| *key >= **after);
            if key.is_none_or(may_hold) {
                visit(self.block_at(handle, after.as_deref(), &upto))?;
            }
            after = Some(upto);
            index.next().map_err(in_index)?;
        }
        Ok(())
    }

    fn block_at<'a>(
        &self,
        handle: Handle,
        after: Option<&'a [u8]>,
        upto: &'a [u8],
    ) -> TableBlock<'a> {
        let mut block = TableBlock {
            offset: handle.offset,
            stored_bytes: u64::from(handle.len) + FRAME_BYTES as u64,
            plain_bytes: 0,
            is_compressed: false,
            after,
            upto,
            entries: Ok(Vec::new()),
        };
        block.entries = self.entries_at(handle, &mut block);
        block
    }

    fn entries_at(&self, handle: Handle, block: &mut TableBlock<'_>) -> Result<Vec<TableEntry>> {
        let mut frame = vec![0; handle.len as usize + FRAME_BYTES];
        self.read(&mut frame, handle.offset)?;
        let is_compressed = frame[handle.len as usize] != TAG_PLAIN;
        let plain = footer::open_frame(frame, self.path(), self.written_as(), handle.offset)?;
        (block.plain_bytes, block.is_compressed) = (plain.len() as u64, is_compressed);
        let in_block = |damage| self.damaged(handle, damage);
        let mut data = BlockCursor::empty();
        data.set_block(Arc::new(BlockBytes::new(plain))).map_err(in_block)?;
        data.seek_first().map_err(in_block)?;
        let mut entries = Vec::new();
        while data.valid() {
            entries.push(TableEntry {
                key: data.key().to_vec(),
                seq: data.seq(),
                kind: data.kind(),
                value: data.value().to_vec(),
                body: data.body(),
            });
            data.next().map_err(in_block)?;
        }
        Ok(entries)
    }

    /// The body of a split value, verified.
    pub fn body(self: &Arc<Self>, handle: BodyHandle) -> Result<Vec<u8>> {
        let end = handle.offset.checked_add(handle.len.into());
        if end.is_none_or(|end| self.data_end().is_ok_and(|data_end| end > data_end)) {
            return Err(Error::corrupt(self.path(), handle.offset, "a body lies outside the data"));
        }
        let file: Arc<dyn BodyFile> = self.clone();
        Body::File(file, handle).read_all()
    }

    /// Every damaged place. Reads the whole file.
    pub fn damages(self: &Arc<Self>) -> Vec<TableDamage> {
        let plain = |part, error| TableDamage { part, error, keys: None };
        let footer = match self.read_footer() {
            Ok(at) => at.footer,
            Err(error) => return vec![plain("footer", error)],
        };
        let mut found = Vec::new();
        for (part, handle) in [("filter", footer.filter), ("properties", footer.properties)] {
            if handle != Handle::default()
                && let Err(error) = self.read_block(handle)
            {
                found.push(plain(part, error));
            }
        }
        let walked = self.blocks(None, &mut |block| {
            let keys = || Some((block.after.unwrap_or_default().to_vec(), block.upto.to_vec()));
            match block.entries {
                Err(error) => found.push(TableDamage { part: "block", error, keys: keys() }),
                Ok(entries) => {
                    for entry in entries {
                        if let Some(body) = entry.body
                            && let Err(error) = self.body(body)
                        {
                            let keys = Some((entry.key.clone(), entry.key));
                            found.push(TableDamage { part: "body", error, keys });
                        }
                    }
                }
            }
            Ok(())
        });
        if let Err(error) = walked {
            found.push(plain("index", error));
        }
        if found.is_empty()
            && let Err(error) = self.check(false)
        {
            found.push(plain("table", error));
        }
        found
    }
}
