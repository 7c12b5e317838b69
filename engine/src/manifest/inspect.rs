//! Looks into a manifest for people and tools: every edit with its place, and what the edits add up
//! to, damaged ones passed over.
//!
//! Steps: the header gives the store; records are taken in order; where one is damaged the next
//! whole one is searched, byte by byte, and the picture goes on from there with what still fits.

use std::collections::BTreeSet;
use std::path::Path;

use super::edit::{Change, Edit};
use super::log::{
    HEADER_BYTES, RECORD_HEADER_BYTES, current_number, decode_header, manifest_name, record_at,
};
use super::state::ManifestState;
use crate::fs::{Fs, read_all};
use crate::key::{FileNumber, KeyspaceId};
use crate::{Error, Result};

/// An edit as it lies in its file.
#[derive(Debug, Clone, Copy)]
pub struct EditView<'a> {
    /// Where its record starts.
    pub offset: u64,
    /// Its bytes, header included.
    pub bytes: u64,
    /// Its place in the order of edits, from 0.
    pub serial: u32,
    /// The edit.
    pub edit: &'a Edit,
}

/// A damaged place of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditDamage {
    /// Where it starts.
    pub offset: u64,
    /// How many bytes are no edit.
    pub bytes: u64,
    /// Whether whole edits follow, so that it is no tail that a crash left.
    pub is_inside: bool,
    /// What is wrong.
    pub reason: String,
}

/// What a manifest holds.
#[derive(Debug, Clone)]
pub struct ManifestReport {
    /// Its number.
    pub number: FileNumber,
    /// Format version.
    pub version: u32,
    /// Identity of the store.
    pub store_id: u128,
    /// Size of the file.
    pub bytes: u64,
    /// Whole edits.
    pub edits: u64,
    /// What they add up to. With damage: what of it still fits.
    pub state: ManifestState,
    /// Whether the snapshot that begins the file is whole: without it little is known.
    pub has_snapshot: bool,
    /// Damaged places; the last may be the torn tail of a crash.
    pub damages: Vec<EditDamage>,
    /// Changes that did not fit the picture, because of what is lost before them.
    pub misfits: Vec<String>,
    /// Keyspaces from this one on were made by later edits than the snapshot.
    pub made_from: KeyspaceId,
    /// Keyspaces that edits dropped.
    pub dropped: BTreeSet<KeyspaceId>,
}

impl ManifestReport {
    /// Puts a keyspace into the picture whose edit is lost, and with it its name.
    pub fn recover_keyspace(&mut self, id: KeyspaceId) {
        let mut edit = Edit::new(0, "");
        edit.add_keyspace(id, format!("recovered/{}", id.0).into(), None, None);
        // One that is there already is what was wanted.
        if !self.state.keyspaces.contains_key(&id) {
            let _ = self.state.apply(&edit);
        }
    }

    /// Applies a change of an edit; where it speaks of a keyspace whose own edit is lost, the
    /// keyspace is made first.
    fn change(&mut self, serial: u32, change: &Change) {
        if let Change::DropKeyspace(id) = change {
            self.dropped.insert(*id);
        }
        let Err(reason) = self.state.change(change) else { return };
        self.misfits.push(format!("edit {serial}: {reason}"));
        if let Change::AddTable(id, ..) | Change::Flushed(id, _) = change
            && !self.state.keyspaces.contains_key(id)
        {
            self.recover_keyspace(*id);
            let _ = self.state.change(change);
        }
    }
}

/// The number of the manifest that CURRENT names.
///
/// # Errors
/// `Corrupt` when CURRENT is missing or names none.
pub fn current(fs: &dyn Fs, dir: &Path) -> Result<FileNumber> {
    current_number(fs, dir)?
        .ok_or_else(|| Error::corrupt(&dir.join(super::log::CURRENT), 0, "is missing"))
}

/// Reads the manifest `number` in `dir`; `visit` sees each whole edit.
///
/// # Errors
/// `Corrupt` when its header is damaged, `Version` when it is of a later format, I/O.
pub fn read(
    fs: &dyn Fs,
    dir: &Path,
    number: FileNumber,
    visit: &mut dyn FnMut(EditView<'_>),
) -> Result<ManifestReport> {
    let path = dir.join(manifest_name(number));
    let bytes = read_all(fs, &path).map_err(|e| Error::io(&path, "read", e))?;
    let (version, store_id) = decode_header(&path, number, &bytes)?;
    let mut report = ManifestReport {
        number,
        version,
        store_id,
        bytes: bytes.len() as u64,
        edits: 0,
        state: ManifestState::default(),
        has_snapshot: false,
        damages: Vec::new(),
        misfits: Vec::new(),
        made_from: KeyspaceId(0),
        dropped: BTreeSet::new(),
    };
    let (mut offset, mut serial) = (HEADER_BYTES, 0);
    while offset < bytes.len() {
        let whole = record_at(&bytes[offset..], store_id, number, serial)
            .and_then(|body| Some((Edit::decode(body).ok()?, body.len())));
        let Some((edit, len)) = whole else {
            let next = next_record(&bytes, offset, store_id, number, serial);
            let end = next.map_or(bytes.len(), |(at, _)| at);
            report.damages.push(EditDamage {
                offset: offset as u64,
                bytes: (end - offset) as u64,
                is_inside: next.is_some() || serial == 0,
                reason: "damaged edit".to_owned(),
            });
            let Some((at, found)) = next else { break };
            (offset, serial) = (at, found);
            continue;
        };
        let length = RECORD_HEADER_BYTES + len;
        visit(EditView { offset: offset as u64, bytes: length as u64, serial, edit: &edit });
        report.has_snapshot |= serial == 0;
        report.edits += 1;
        edit.changes().iter().for_each(|change| report.change(serial, change));
        if serial == 0 {
            report.made_from = report.state.next_keyspace;
        }
        offset += length;
        serial += 1;
    }
    Ok(report)
}

/// Place and serial number of the next whole record behind `offset`.
fn next_record(
    bytes: &[u8],
    offset: usize,
    store_id: u128,
    number: FileNumber,
    serial: u32,
) -> Option<(usize, u32)> {
    let most = (bytes.len() - offset) / RECORD_HEADER_BYTES;
    (offset + 1..bytes.len().saturating_sub(RECORD_HEADER_BYTES)).find_map(|at| {
        let field = bytes[at + 8..at + 12].try_into().expect("4 bytes");
        let found = u32::from_le_bytes(field);
        let may_be = found > serial && (found - serial) as usize <= most;
        let record = may_be.then(|| record_at(&bytes[at..], store_id, number, found)).flatten()?;
        Edit::decode(record).ok().map(|_| (at, found))
    })
}
