//! Appends edits to the manifest, rolls it over, reads it back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::edit::{CommittedEdit, Edit};
use super::state::ManifestState;
use crate::clock::Clock;
use crate::coding::{Decoder, crc, crc_of_parts, put_u32, put_u64, put_u128};
use crate::fs::{File, Fs, read_all, write_all_at};
use crate::key::FileNumber;
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"firnmani";
/// Newest format this build reads and the one it writes.
pub const VERSION: u32 = 2;
pub(super) const HEADER_BYTES: usize = 40;
pub(super) const RECORD_HEADER_BYTES: usize = 12;
/// Below this many bytes of edits a manifest is not rolled: a snapshot costs four syncs.
const ROLL_BYTES_MIN: u64 = 1 << 20;
/// Reason of the empty edit behind the last one. Every other edit is as long at least.
const VOUCHER: &str = "end";
/// Name of the marker that names the manifest in use.
pub const CURRENT: &str = "CURRENT";
/// The marker while it is written.
pub const CURRENT_NEW: &str = "CURRENT.new";

/// Name of the manifest `number`.
pub fn manifest_name(number: FileNumber) -> String {
    format!("MANIFEST-{:06}", number.0)
}

/// Gives out the numbers of files, each once.
#[derive(Debug)]
pub struct FileNumbers(AtomicU64);

impl FileNumbers {
    /// Numbers from `next` on.
    pub fn from(next: FileNumber) -> Self {
        FileNumbers(AtomicU64::new(next.0))
    }

    /// The next number.
    pub fn take(&self) -> FileNumber {
        FileNumber(self.0.fetch_add(1, Ordering::Relaxed))
    }

    /// The number that `take` would give.
    pub fn peek(&self) -> FileNumber {
        FileNumber(self.0.load(Ordering::Relaxed))
    }
}

/// What was read back.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Identity of the store.
    pub store_id: u128,
    /// Number of the manifest.
    pub number: FileNumber,
    /// The picture.
    pub state: ManifestState,
    /// Where the tail that a crash left behind starts.
    pub torn_at_bytes: Option<u64>,
    /// Bytes read.
    pub bytes: u64,
}

/// The number of the manifest that CURRENT names; `None` when there is no CURRENT.
pub(super) fn current_number(fs: &dyn Fs, dir: &Path) -> Result<Option<FileNumber>> {
    let current = dir.join(CURRENT);
    if !fs.exists(&current).map_err(|e| Error::io(&current, "look for", e))? {
        return Ok(None);
    }
    let text = read_all(fs, &current).map_err(|e| Error::io(&current, "read", e))?;
    let number = parse_current(&text);
    number.ok_or_else(|| Error::corrupt(&current, 0, "not the name of a manifest")).map(Some)
}

/// Reads the manifest that CURRENT names; `None` when there is no CURRENT. `visit` sees each edit.
pub fn load(fs: &dyn Fs, dir: &Path, visit: &mut dyn FnMut(&Edit)) -> Result<Option<Loaded>> {
    let Some(number) = current_number(fs, dir)? else { return Ok(None) };
    let path = dir.join(manifest_name(number));
    let bytes = match read_all(fs, &path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::corrupt(&path, 0, "CURRENT names it, but it is missing"));
        }
        Err(e) => return Err(Error::io(&path, "read", e)),
    };
    decode(&path, number, &bytes, visit).map(Some)
}

fn parse_current(text: &[u8]) -> Option<FileNumber> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix("MANIFEST-")?.strip_suffix('\n')?;
    let number = FileNumber(digits.parse().ok()?);
    (text == format!("{}\n", manifest_name(number))).then_some(number)
}

fn encode_header(store_id: u128, number: FileNumber) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put_u32(&mut out, VERSION);
    put_u128(&mut out, store_id);
    put_u64(&mut out, number.0);
    let sum = crc(&out);
    put_u32(&mut out, sum);
    out
}

/// Format version and store of the manifest in `bytes`.
pub(super) fn decode_header(path: &Path, number: FileNumber, bytes: &[u8]) -> Result<(u32, u128)> {
    let mut decoder = Decoder::new(bytes);
    let mut fields = || {
        let magic = decoder.array::<8>()?;
        let (version, store_id) = (decoder.u32()?, decoder.u128()?);
        Ok((magic, version, store_id, decoder.u64()?, decoder.u32()?))
    };
    let (magic, version, store_id, found, sum) =
        fields().map_err(|e: crate::coding::DecodeError| e.at(path, 0))?;
    if magic != *MAGIC {
        return Err(Error::corrupt(path, 0, "not a manifest"));
    }
    if sum != crc(&bytes[..HEADER_BYTES - 4]) {
        return Err(Error::corrupt(path, 0, "header checksum"));
    }
    if version > VERSION {
        return Err(Error::Version { path: path.to_owned(), found: version, supported: VERSION });
    }
    if found != number.0 {
        return Err(Error::corrupt(path, 0, "the manifest has another number"));
    }
    Ok((version, store_id))
}

/// What makes the bytes of another manifest, or of another place in this one, no record here.
fn record_crc(store_id: u128, number: FileNumber, body: &[&[u8]]) -> u32 {
    let mut parts = [&[][..]; 4];
    let (store_id, number) = (store_id.to_le_bytes(), number.0.to_le_bytes());
    parts[0] = &store_id;
    parts[1] = &number;
    parts[2..2 + body.len()].copy_from_slice(body);
    crc_of_parts(&parts[..2 + body.len()])
}

fn decode(
    path: &Path,
    number: FileNumber,
    bytes: &[u8],
    visit: &mut dyn FnMut(&Edit),
) -> Result<Loaded> {
    let (_, store_id) = decode_header(path, number, bytes)?;
    let mut state = ManifestState::default();
    let (mut offset, mut serial) = (HEADER_BYTES, 0u32);
    let mut torn_at_bytes = None;
    while offset < bytes.len() {
        let Some(body) = record_at(&bytes[offset..], store_id, number, serial) else {
            if serial == 0 || good_record_follows(&bytes[offset..], store_id, number, serial) {
                return Err(Error::corrupt(path, offset as u64, "damaged edit"));
            }
            torn_at_bytes = Some(offset as u64);
            break;
        };
        let at = (offset + RECORD_HEADER_BYTES) as u64;
        let edit = Edit::decode(body).map_err(|e| e.at(path, at))?;
        state.apply(&edit).map_err(|reason| Error::corrupt(path, at, reason))?;
        visit(&edit);
        offset += RECORD_HEADER_BYTES + body.len();
        serial += 1;
    }
    if serial == 0 {
        return Err(Error::corrupt(path, HEADER_BYTES as u64, "no snapshot"));
    }
    Ok(Loaded { store_id, number, state, torn_at_bytes, bytes: bytes.len() as u64 })
}

/// The edit of the record at the front of `bytes`, when it is whole and has this serial number.
pub(super) fn record_at(
    bytes: &[u8],
    store_id: u128,
    number: FileNumber,
    serial: u32,
) -> Option<&[u8]> {
    let header = bytes.get(..RECORD_HEADER_BYTES)?;
    let field = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    let body = bytes[RECORD_HEADER_BYTES..].get(..field(4) as usize)?;
    let is_good =
        field(8) == serial && field(0) == record_crc(store_id, number, &[&header[4..], body]);
    is_good.then_some(body)
}

/// Whether a later record lies somewhere in `bytes`: then what is damaged at their front had been
/// synced.
fn good_record_follows(bytes: &[u8], store_id: u128, number: FileNumber, serial: u32) -> bool {
    let serial_at = |at: usize| {
        let field = bytes.get(at + 8..at + 12)?;
        Some(u32::from_le_bytes(field.try_into().expect("4 bytes")))
    };
    (1..bytes.len()).any(|at| {
        serial_at(at).is_some_and(|found| {
            // Every record has 12 bytes at least, so that few numbers can be meant.
            found > serial
                && u64::from(found - serial) <= bytes.len() as u64 / RECORD_HEADER_BYTES as u64
                && record_at(&bytes[at..], store_id, number, found).is_some()
        })
    })
}

/// The manifest, open for edits.
#[derive(Debug)]
pub struct Manifest {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    store_id: u128,
    state: ManifestState,
    numbers: Arc<FileNumbers>,
    /// The file being written; none before the first edit.
    open: Option<OpenFile>,
    /// The file to remove once a newer one counts.
    previous: Option<FileNumber>,
    failed: Option<Arc<Error>>,
}

#[derive(Debug)]
struct OpenFile {
    file: Box<dyn File>,
    path: PathBuf,
    number: FileNumber,
    len: u64,
    serial: u32,
    snapshot_bytes: u64,
}

impl Manifest {
    /// Goes on from a picture that was read, or from that of a new store. Nothing is written
    /// before the first edit.
    pub fn new(
        fs: Arc<dyn Fs>,
        dir: &Path,
        clock: Arc<dyn Clock>,
        numbers: Arc<FileNumbers>,
        store_id: u128,
        loaded: Option<Loaded>,
    ) -> Self {
        let previous = loaded.as_ref().map(|loaded| loaded.number);
        let state = loaded.map(|loaded| loaded.state).unwrap_or_default();
        let dir = dir.to_owned();
        Manifest { fs, dir, clock, store_id, state, numbers, open: None, previous, failed: None }
    }

    /// Writes the first manifest of a folder that has none, with a picture made elsewhere: what it
    /// names is there already. Behind it the folder is a store.
    pub fn write_first(
        fs: Arc<dyn Fs>,
        dir: &Path,
        clock: Arc<dyn Clock>,
        store_id: u128,
        state: ManifestState,
    ) -> Result<()> {
        let numbers = Arc::new(FileNumbers::from(state.next_file));
        let mut manifest = Manifest::new(fs, dir, clock, numbers, store_id, None);
        manifest.state = state;
        manifest.begin()?;
        manifest.close()
    }

    /// Identity of the store.
    pub fn store_id(&self) -> u128 {
        self.store_id
    }

    /// The picture.
    pub fn state(&self) -> &ManifestState {
        &self.state
    }

    /// Number of the file being written.
    pub fn number(&self) -> Option<FileNumber> {
        self.open.as_ref().map(|open| open.number)
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.len)
    }

    /// Makes `edit` durable. After an error the manifest takes no more edits: what failed may be
    /// on disk or not.
    ///
    /// # Errors
    /// `ReadOnly` with the cause.
    pub fn commit(&mut self, mut edit: Edit) -> Result<CommittedEdit> {
        self.check_failed()?;
        edit.next_file(self.numbers.peek());
        let outcome = self.roll_if_due().and_then(|()| self.append(&edit));
        let outcome = outcome.and_then(|()| self.vouch());
        if let Err(error) = outcome {
            let cause = Arc::new(error);
            self.failed = Some(cause.clone());
            return Err(Error::ReadOnly { cause });
        }
        if let Err(reason) = self.state.apply(&edit) {
            // The edit is a job's mistake, and it is on disk: the next open will say the same.
            let cause = Arc::new(Error::Invalid { reason });
            self.failed = Some(cause.clone());
            return Err(Error::ReadOnly { cause });
        }
        Ok(CommittedEdit(()))
    }

    /// Writes a file with a snapshot, unless one was begun since the open: file numbers seen at
    /// the open are then durable.
    pub fn begin(&mut self) -> Result<()> {
        self.check_failed()?;
        if self.open.is_none() {
            self.roll()?;
        }
        Ok(())
    }

    /// Ends the file, so that damage is told from a torn tail.
    pub fn close(&mut self) -> Result<()> {
        if self.failed.is_some() || self.open.is_none() {
            return Ok(());
        }
        self.append(&Edit::new(self.clock.unix_ns(), "close"))
    }

    fn check_failed(&self) -> Result<()> {
        match &self.failed {
            Some(cause) => Err(Error::ReadOnly { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    fn append(&mut self, edit: &Edit) -> Result<()> {
        let (store_id, open) = (self.store_id, self.open.as_mut().expect("rolled before"));
        let record = encode_record(store_id, open.number, open.serial, edit);
        write_all_at(&*open.file, &record, open.len)
            .map_err(|e| Error::io(&open.path, "write", e))?;
        open.file.sync().map_err(|e| Error::io(&open.path, "sync", e))?;
        open.len += record.len() as u64;
        open.serial += 1;
        Ok(())
    }

    /// Says behind the last edit, which is on disk, that it is: damage in it is then told from a
    /// torn tail. The next edit is written over this, and no sync waits for it: a crash may take
    /// it.
    fn vouch(&mut self) -> Result<()> {
        let empty = Edit::new(self.clock.unix_ns(), VOUCHER);
        let (store_id, open) = (self.store_id, self.open.as_ref().expect("an edit was appended"));
        let record = encode_record(store_id, open.number, open.serial, &empty);
        write_all_at(&*open.file, &record, open.len).map_err(|e| Error::io(&open.path, "write", e))
    }

    fn roll_if_due(&mut self) -> Result<()> {
        match &self.open {
            None => self.roll(),
            Some(open) => {
                let edits = open.len - open.snapshot_bytes;
                if edits <= (2 * open.snapshot_bytes).max(ROLL_BYTES_MIN) {
                    return Ok(());
                }
                self.roll()
            }
        }
    }

    /// Writes a new file with a snapshot and moves CURRENT to it.
    fn roll(&mut self) -> Result<()> {
        let number = self.numbers.take();
        let path = self.dir.join(manifest_name(number));
        self.state.next_file = self.state.next_file.max(self.numbers.peek());
        let snapshot = self.state.snapshot(self.clock.unix_ns());
        let mut bytes = encode_header(self.store_id, number);
        bytes.extend(encode_record(self.store_id, number, 0, &snapshot));
        let file = self.write_new(&path, &bytes)?;
        self.sync_dir()?;
        let (current, current_new) = (self.dir.join(CURRENT), self.dir.join(CURRENT_NEW));
        match self.fs.remove_file(&current_new) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&current_new, "remove", e));
            }
            _ => {}
        }
        self.write_new(&current_new, format!("{}\n", manifest_name(number)).as_bytes())?;
        self.fs.rename(&current_new, &current).map_err(|e| Error::io(&current, "rename", e))?;
        self.sync_dir()?;
        let len = bytes.len() as u64;
        let open = OpenFile { file, path, number, len, serial: 1, snapshot_bytes: len };
        let old = self.open.replace(open).map(|open| open.number).or(self.previous.take());
        if let Some(old) = old {
            // Left behind, it is an orphan for the next open.
            let _ = self.fs.remove_file(&self.dir.join(manifest_name(old)));
        }
        Ok(())
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> Result<Box<dyn File>> {
        let file = self.fs.create(path).map_err(|e| Error::io(path, "create", e))?;
        write_all_at(&*file, bytes, 0).map_err(|e| Error::io(path, "write", e))?;
        file.sync().map_err(|e| Error::io(path, "sync", e))?;
        Ok(file)
    }

    fn sync_dir(&self) -> Result<()> {
        self.fs.sync_dir(&self.dir).map_err(|e| Error::io(&self.dir, "sync", e))
    }
}

fn encode_record(store_id: u128, number: FileNumber, serial: u32, edit: &Edit) -> Vec<u8> {
    let mut body = Vec::new();
    edit.encode(&mut body);
    let len = u32::try_from(body.len()).expect("an edit below 4 GiB");
    let (len, serial) = (len.to_le_bytes(), serial.to_le_bytes());
    let header: [u8; 8] = [len, serial].concat().try_into().expect("8 bytes");
    let mut out = record_crc(store_id, number, &[&header, &body]).to_le_bytes().to_vec();
    out.extend_from_slice(&header);
    out.extend_from_slice(&body);
    out
}

#[cfg(test)]
mod tests;
