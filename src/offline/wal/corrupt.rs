//! `firndb wal corrupt`: makes the damage that disks, crashes and people make, by seed, on a copy.
//!
//! What was changed goes to a record (JSON: file, offset, old and new bytes), from which `--undo`
//! puts the old bytes back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use firndb::engine::fs::real::RealFs;
use firndb::engine::fs::{Fs, copy, read_all, write_all_at};
use firndb::engine::inspect::log::{self, SegmentReport};
use firndb::engine::{Error, Result};
use serde::{Deserialize, Serialize};

use super::known;
use crate::cli::{Exit, complain, print_lines};
use crate::offline::{FolderArgs, refused};

/// Bytes of a segment's header.
const HEADER_BYTES: usize = 64;

/// Arguments of `firndb wal corrupt`.
#[derive(Debug, Args)]
pub struct CorruptArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// bit-flip[:N], truncate[:BYTES], torn-write, zero-tail, bad-length, duplicate, reorder,
    /// drop-segment, garbage-tail.
    #[arg(long, required_unless_present = "undo")]
    kind: Option<String>,
    /// Which segment with records: first, last, or its number.
    #[arg(long, default_value = "last")]
    at: String,
    /// The same seed does the same to the same log.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Copy the folder there first, and damage the copy.
    #[arg(long, value_name = "DIR", conflicts_with = "in_place")]
    to: Option<PathBuf>,
    /// Damage the folder itself; needs --yes.
    #[arg(long)]
    in_place: bool,
    /// The folder is expendable.
    #[arg(long)]
    yes: bool,
    /// Where to write what was changed (else corruption.json beside the damaged folder).
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Put back what this record says was changed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "to"])]
    undo: Option<PathBuf>,
}

/// What was changed: between `offset` and what the files share at their ends.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    kind: String,
    seed: u64,
    dir: PathBuf,
    file: String,
    offset: u64,
    /// Base64.
    old: String,
    /// Base64.
    new: String,
    /// The file is gone.
    removed: bool,
}

/// Runs the command.
pub fn run(args: &CorruptArgs) -> Exit {
    let is_allowed = args.to.is_some() || args.in_place && args.yes;
    if args.undo.is_none() && !is_allowed {
        complain(
            "refusing: this damages the folder\n  name a copy to be made with --to DIR, or add \
             --in-place --yes if it is expendable",
        );
        return Exit::Usage;
    }
    let folder = match args.folder.open() {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let done = match &args.undo {
        Some(record) => undo(&folder.fs, &folder.dir, record),
        None => corrupt(args, &folder),
    };
    match done {
        Ok(line) => {
            print_lines(&format!("{line}\n"));
            Exit::Done
        }
        Err(Refusal::Usage(reason)) => {
            complain(&reason);
            Exit::Usage
        }
        Err(Refusal::Failed(error)) => refused("cannot damage the log", &error),
    }
}

/// Why nothing was damaged.
enum Refusal {
    Usage(String),
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Failed(error)
    }
}

fn corrupt(args: &CorruptArgs, folder: &super::Folder) -> Result<String, Refusal> {
    let known = known(folder);
    let mut places = Vec::new();
    let report = log::report(&*folder.fs, &folder.dir, known.store_id, known.log, &mut |record| {
        places.push((record.segment, record.offset as usize, record.bytes as usize));
        Ok(())
    })?;
    let segment = chosen(&report.segments, known.log.from.0, &args.at)?;
    let records: Vec<_> = places
        .iter()
        .filter(|(number, ..)| *number == segment.number)
        .map(|(_, offset, bytes)| (*offset, *bytes))
        .collect();
    let file = format!("{:06}.log", segment.number.0);
    let path = folder.dir.join(&file);
    let old = read_all(&*folder.fs, &path).map_err(|e| Error::io(&path, "read", e))?;
    let kind = args.kind.as_deref().unwrap_or_default();
    let mut dice = Dice(args.seed);
    let new = damaged(kind, &old, &records, segment.end_bytes as usize, &mut dice)?;
    let dir = match &args.to {
        Some(to) => {
            copy_folder(&folder.fs, &folder.dir, to)?;
            to.clone()
        }
        None => folder.dir.clone(),
    };
    let record = Record::of(kind, args.seed, &dir, &file, &old, new.as_deref());
    let record_path = args.record.clone().unwrap_or_else(|| dir.with_extension("corruption.json"));
    let json = serde_json::to_vec_pretty(&record).expect("plain data becomes JSON");
    replace(&*folder.fs, &record_path, &json)?;
    let path = dir.join(&file);
    match &new {
        Some(new) => replace(&*folder.fs, &path, new)?,
        None => folder.fs.remove_file(&path).map_err(|e| Error::io(&path, "remove", e))?,
    }
    let undo =
        format!("undo: firndb wal corrupt {} --undo {}", dir.display(), record_path.display());
    Ok(match &new {
        None => format!("removed {}\n{undo}", path.display()),
        Some(_) => {
            let (offset, old, new) = (record.offset, record.old_bytes(), record.new_bytes());
            format!(
                "{kind}: {} at {offset}: {} bytes are now {} others\n{undo}",
                path.display(),
                old.len(),
                new.len()
            )
        }
    })
}

/// The segment that `at` means.
fn chosen<'a>(
    segments: &'a [SegmentReport],
    from: u64,
    at: &str,
) -> Result<&'a SegmentReport, Refusal> {
    let mut live = segments.iter().filter(|s| s.number.0 >= from && s.records > 0);
    let found = match at {
        "first" => live.next(),
        "last" => live.next_back(),
        number => {
            let number: u64 = number
                .parse()
                .map_err(|_| Refusal::Usage(format!("--at {number}: first, last or a number")))?;
            live.find(|segment| segment.number.0 == number)
        }
    };
    found.ok_or_else(|| Refusal::Usage(format!("--at {at}: no such segment holds records")))
}

/// The bytes of a segment once damaged; `None`: it is to be removed.
fn damaged(
    kind: &str,
    old: &[u8],
    records: &[(usize, usize)],
    end: usize,
    dice: &mut Dice,
) -> Result<Option<Vec<u8>>, Refusal> {
    let (name, count) = match kind.split_once(':') {
        None => (kind, None),
        Some((name, count)) => {
            let count: usize = count.parse().map_err(|_| unknown(kind))?;
            (name, Some(count))
        }
    };
    let few = || Refusal::Usage(format!("{kind}: the segment has too few records"));
    let (last_offset, last_bytes) = *records.last().ok_or_else(few)?;
    let mut new = old.to_vec();
    match name {
        "bit-flip" => {
            for _ in 0..count.unwrap_or(1) {
                new[dice.within(HEADER_BYTES, end)] ^= 1 << dice.below(8);
            }
        }
        "truncate" => {
            let lost = count.unwrap_or_else(|| 1 + dice.below(last_bytes - 1));
            new.truncate(end.saturating_sub(lost));
        }
        "torn-write" => {
            let from = last_offset + 8 + dice.below(last_bytes - 8);
            new[from..end].fill(0);
        }
        "zero-tail" => new[records[dice.below(records.len())].0..].fill(0),
        "bad-length" => {
            let at = records[dice.below(records.len())].0 + 4;
            let length = u32::from_le_bytes(old[at..at + 4].try_into().expect("4 bytes"));
            let other = length ^ (1 << dice.below(20));
            new[at..at + 4].copy_from_slice(&other.to_le_bytes());
        }
        "duplicate" => {
            let others = records.len().checked_sub(1).filter(|n| *n > 0).ok_or_else(few)?;
            let (offset, bytes) = records[dice.below(others)];
            new.resize(old.len().max(end + bytes), 0);
            new[end..end + bytes].copy_from_slice(&old[offset..offset + bytes]);
        }
        "reorder" => {
            let pairs = records.len().checked_sub(1).filter(|n| *n > 0).ok_or_else(few)?;
            let at = dice.below(pairs);
            let ((first, _), (second, bytes)) = (records[at], records[at + 1]);
            let swapped = [&old[second..second + bytes], &old[first..second]].concat();
            new[first..second + bytes].copy_from_slice(&swapped);
        }
        "drop-segment" => return Ok(None),
        "garbage-tail" => {
            let garbage: Vec<u8> = (0..1 + dice.below(4096)).map(|_| dice.byte()).collect();
            new.resize(old.len().max(end + garbage.len()), 0);
            new[end..end + garbage.len()].copy_from_slice(&garbage);
        }
        _ => return Err(unknown(kind)),
    }
    Ok(Some(new))
}

fn unknown(kind: &str) -> Refusal {
    Refusal::Usage(format!(
        "--kind {kind}: one of bit-flip[:N], truncate[:BYTES], torn-write, zero-tail, bad-length, \
         duplicate, reorder, drop-segment, garbage-tail"
    ))
}

impl Record {
    /// What differs between `old` and `new`.
    fn of(kind: &str, seed: u64, dir: &Path, file: &str, old: &[u8], new: Option<&[u8]>) -> Record {
        let removed = new.is_none();
        let new = new.unwrap_or_default();
        let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let (old, new) = (&old[start..], &new[start..]);
        let same = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        // Where the lengths differ the ends are not aligned in the file; then all of it is kept.
        let same = if old.len() == new.len() { same } else { 0 };
        Record {
            kind: kind.to_owned(),
            seed,
            dir: dir.to_owned(),
            file: file.to_owned(),
            offset: start as u64,
            old: BASE64.encode(&old[..old.len() - same]),
            new: BASE64.encode(&new[..new.len() - same]),
            removed,
        }
    }

    fn old_bytes(&self) -> Vec<u8> {
        BASE64.decode(&self.old).unwrap_or_default()
    }

    fn new_bytes(&self) -> Vec<u8> {
        BASE64.decode(&self.new).unwrap_or_default()
    }
}

fn undo(fs: &Arc<dyn Fs>, dir: &Path, record_path: &Path) -> Result<String, Refusal> {
    let text = read_all(&**fs, record_path).map_err(|e| Error::io(record_path, "read", e))?;
    let record: Record = serde_json::from_slice(&text)
        .map_err(|error| Refusal::Usage(format!("{}: {error}", record_path.display())))?;
    let path = dir.join(&record.file);
    let bytes = if record.removed {
        record.old_bytes()
    } else {
        let now = read_all(&**fs, &path).map_err(|e| Error::io(&path, "read", e))?;
        let (start, new) = (record.offset as usize, record.new_bytes());
        if now.get(start..start + new.len()) != Some(&new[..]) {
            let file = path.display();
            return Err(Refusal::Usage(format!("{file} has changed since; it is left as it is")));
        }
        [&now[..start], &record.old_bytes(), &now[start + new.len()..]].concat()
    };
    replace(&**fs, &path, &bytes)?;
    Ok(format!("{} is as it was", path.display()))
}

/// Puts `bytes` in the place of the file at `path`.
fn replace(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("being-written");
    let file = fs.create(&beside).map_err(|e| Error::io(&beside, "create", e))?;
    write_all_at(&*file, bytes, 0).map_err(|e| Error::io(&beside, "write", e))?;
    file.sync().map_err(|e| Error::io(&beside, "sync", e))?;
    fs.rename(&beside, path).map_err(|e| Error::io(path, "rename", e))
}

/// Copies the files of a store.
fn copy_folder(fs: &Arc<dyn Fs>, from: &Path, to: &Path) -> Result<(), Refusal> {
    if fs.exists(to).map_err(|e| Error::io(to, "look for", e))? {
        return Err(Refusal::Usage(format!("{} exists; name a new folder", to.display())));
    }
    fs.create_dir_all(to).map_err(|e| Error::io(to, "create", e))?;
    let names = fs.list(from).map_err(|e| Error::io(from, "list", e))?;
    for name in names.iter().filter(|name| from.join(name).is_file()) {
        copy::copy(&RealFs, &from.join(name), &to.join(name), &mut |_| Ok(()))?;
    }
    Ok(fs.sync_dir(to).map_err(|e| Error::io(to, "sync", e))?)
}

/// Numbers that a seed gives (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `count`, which is not 0.
    fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    fn within(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from)
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }
}
