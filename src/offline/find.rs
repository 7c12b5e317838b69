//! `firndb find`: every version of a key, wherever in the folder it lies.

use clap::Args;
use firndb::engine::expiry::{EXPIRY_BYTES, expires_at_ms};
use firndb::engine::inspect::{self, Place};
use firndb::engine::key::Kind;

use super::{FolderArgs, refused};
use crate::cli::{Exit, complain};
use crate::output::{Answer, Cell, OutputArgs, Rows, bytes_of, hex_of, shown, shown_cut};
use crate::status::time_of;

/// Bytes of a value that are shown in a table unless all are asked for.
const VALUE_BYTES_SHOWN: usize = 64;

/// Arguments of `firndb find`.
#[derive(Debug, Args)]
pub struct FindArgs {
    /// The key; other bytes as \n, \\, \xff.
    key: String,
    #[command(flatten)]
    folder: FolderArgs,
    /// The key is hexadecimal.
    #[arg(long)]
    hex: bool,
    /// Only in this keyspace (kv/box; a key of `/kv/box/..` over HTTP lies in kv/box).
    #[arg(long)]
    keyspace: Option<String>,
    /// Whole values, however long.
    #[arg(long)]
    whole: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub fn run(args: &FindArgs) -> Exit {
    let key = if args.hex { hex_of(&args.key) } else { bytes_of(&args.key) };
    let key = match key {
        Ok(key) => key,
        Err(reason) => {
            complain(&format!("key {:?}: {reason}", args.key));
            return Exit::Usage;
        }
    };
    let folder = match args.folder.open() {
        Ok(folder) => folder,
        Err(exit) => return exit,
    };
    let report = match inspect::find(&folder.fs, &folder.dir, &key, args.keyspace.as_deref()) {
        Ok(report) => report,
        Err(error) => return refused("cannot search", &error),
    };
    let columns = ["seq", "keyspace", "kind", "where", "file", "offset", "value", "body_bytes"];
    let mut rows = Rows::new(&columns);
    for found in &report.versions {
        let place = match found.place {
            Place::Log { is_flushed: true } => "log (flushed)".to_owned(),
            Place::Log { is_flushed: false } => "log".to_owned(),
            Place::Manifest => "manifest".to_owned(),
            Place::Table { level } => format!("L{level}"),
        };
        let max = (!args.whole).then_some(VALUE_BYTES_SHOWN);
        let value = value_text(found.kind, &found.value, max);
        rows.push(vec![
            Cell::Number(found.seq),
            Cell::Text(found.keyspace_name.to_string()),
            kind_name(found.kind).into(),
            place.into(),
            found.file.clone().into(),
            Cell::Number(found.offset),
            value.into(),
            Cell::Bytes(found.body_bytes),
        ]);
    }
    let count = report.versions.len();
    let mut damages = Rows::new(&["file", "what"]);
    for (file, what) in &report.damages {
        damages.push(vec![file.clone().into(), what.clone().into()]);
    }
    let is_damaged = !report.damages.is_empty();
    Answer::of("versions", rows)
        .list("damages", damages)
        .fact("files", report.files)
        .note(format!("{count} versions in {} files", report.files))
        .print(&args.output);
    if is_damaged {
        complain("damaged places were passed over; a version of the key may lie there");
        return Exit::Found;
    }
    if count == 0 { Exit::Failed } else { Exit::Done }
}

/// A value as it is shown: the moment at which it expires stands in front of it.
pub fn value_text(kind: Kind, value: &[u8], max: Option<usize>) -> String {
    let cut = |value: &[u8]| max.map_or_else(|| shown(value), |max| shown_cut(value, max));
    match kind {
        Kind::PutUntil if value.len() >= EXPIRY_BYTES => {
            let moment = i64::try_from(expires_at_ms(value)).unwrap_or(i64::MAX);
            let until = time_of(moment.saturating_mul(1_000_000));
            format!("until {until}: {}", cut(&value[EXPIRY_BYTES..]))
        }
        _ => cut(value),
    }
}

/// A kind of entry in lower case.
pub fn kind_name(kind: Kind) -> String {
    let mut out = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
