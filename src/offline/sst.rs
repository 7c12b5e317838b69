//! `firndb sst`: what table files say of themselves, what they hold, whether they are whole, and
//! what they take.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use firndb::engine::Error;
use firndb::engine::fs::Fs;
use firndb::engine::fs::real::RealFs;
use firndb::engine::inspect;
use firndb::engine::table::{Table, TableBlock};

use super::find::{kind_name, value_text};
use super::refused;
use super::space::{self, SpaceArgs};
use crate::cli::{Exit, complain};
use crate::output::{Answer, Cell, OutputArgs, Rows, bytes_of};

/// Bytes of a value that are shown unless all are asked for.
const VALUE_BYTES_SHOWN: usize = 64;

/// What to do with table files.
#[derive(Debug, Subcommand)]
pub enum SstCommand {
    /// Print what tables say of themselves.
    ///
    /// Example: firndb sst info /var/lib/firndb/000012.tbl
    Info(FilesArgs),
    /// Print the entries of tables, or their blocks.
    ///
    /// Example: firndb sst dump --from user1 --to user2 /var/lib/firndb/000012.tbl
    Dump(DumpArgs),
    /// Read every byte of tables and say what is damaged.
    ///
    /// Example: firndb sst check /var/lib/firndb/*.tbl
    Check(FilesArgs),
    /// Print what the tables of a data directory take, for what, and how much of it is dead.
    ///
    /// Example: firndb sst space /var/lib/firndb --by keyspace
    Space(SpaceArgs),
}

/// Which files.
#[derive(Debug, Args)]
pub struct FilesArgs {
    /// Table files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments of `firndb sst dump`.
#[derive(Debug, Args)]
pub struct DumpArgs {
    #[command(flatten)]
    files: FilesArgs,
    /// Print blocks, not entries.
    #[arg(long)]
    blocks: bool,
    /// First key; other bytes as \n, \\, \xff.
    #[arg(long)]
    from: Option<String>,
    /// Key to stop before.
    #[arg(long)]
    to: Option<String>,
    /// Most entries to print; 0: all.
    #[arg(long, default_value_t = 0)]
    limit: usize,
    /// Whole values, however long.
    #[arg(long)]
    whole: bool,
}

/// Runs the command.
pub fn run(command: &SstCommand) -> Exit {
    match command {
        SstCommand::Info(args) => info(args),
        SstCommand::Dump(args) => dump(args),
        SstCommand::Check(args) => check(args),
        SstCommand::Space(args) => space::run(args).err().unwrap_or(Exit::Done),
    }
}

fn open(path: &Path) -> Result<Arc<Table>, Error> {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    inspect::table(&fs, path)
}

fn name_of(path: &Path) -> Cell {
    path.display().to_string().into()
}

fn info(args: &FilesArgs) -> Exit {
    let mut rows = Rows::new(&[
        "file",
        "written_as",
        "format_version",
        "file_bytes",
        "entries",
        "deletes",
        "merges",
        "first_key",
        "last_key",
        "first_seq",
        "last_seq",
        "blocks",
        "raw_bytes",
        "bodies",
        "body_bytes",
        "index_bytes",
        "filter_bytes",
        "filter_bits_per_key",
    ]);
    for path in &args.files {
        let read = open(path).and_then(|table| {
            let written_as = Table::number_in_footer(&RealFs, path)?;
            Ok((table.layout()?, table.properties()?, written_as))
        });
        let (layout, of, written_as) = match read {
            Ok(read) => read,
            Err(error) => return refused("cannot read the table", &error),
        };
        let bits = of.filter_bytes as f64 * 8.0 / of.entries.max(1) as f64;
        rows.push(vec![
            name_of(path),
            Cell::Number(written_as.0),
            Cell::Number(layout.version.into()),
            Cell::Bytes(layout.file_bytes),
            Cell::Count(of.entries),
            Cell::Count(of.deletes),
            Cell::Count(of.merges),
            of.smallest.as_slice().into(),
            of.largest.as_slice().into(),
            Cell::Number(of.min_seq),
            Cell::Number(of.max_seq),
            Cell::Count(of.blocks),
            Cell::Bytes(of.raw_bytes),
            Cell::Count(of.bodies),
            Cell::Bytes(of.body_bytes),
            Cell::Bytes(of.index_bytes),
            Cell::Bytes(of.filter_bytes),
            Cell::Ratio(bits),
        ]);
    }
    Answer::of("tables", rows).upright().print(&args.output);
    Exit::Done
}

/// The entries that are asked for.
struct Range {
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

impl Range {
    fn of(args: &DumpArgs) -> Result<Range, String> {
        let from = args.from.as_deref().map(bytes_of).transpose()?.unwrap_or_default();
        Ok(Range { from, to: args.to.as_deref().map(bytes_of).transpose()? })
    }

    fn holds(&self, key: &[u8]) -> bool {
        *key >= *self.from && self.to.as_ref().is_none_or(|to| *key < **to)
    }

    /// Whether a block can hold such a key.
    fn meets(&self, block: &TableBlock<'_>) -> bool {
        *block.upto >= *self.from
            && self.to.as_ref().is_none_or(|to| block.after.is_none_or(|after| *after < **to))
    }
}

fn dump(args: &DumpArgs) -> Exit {
    let range = match Range::of(args) {
        Ok(range) => range,
        Err(reason) => {
            complain(&format!("--from or --to: {reason}"));
            return Exit::Usage;
        }
    };
    let entry_columns = ["file", "block", "key", "seq", "kind", "value", "body_bytes"];
    let block_columns =
        ["file", "offset", "stored_bytes", "plain_bytes", "entries", "first_key", "last_key"];
    let mut rows = Rows::new(if args.blocks { &block_columns } else { &entry_columns });
    let mut damages = Rows::new(&["file", "what"]);
    for path in &args.files.files {
        let walked = open(path).and_then(|table| {
            table.blocks(None, &mut |block| {
                if !range.meets(&block) {
                    return Ok(());
                }
                match (&block.entries, args.blocks) {
                    (Err(error), _) => damages.push(vec![name_of(path), error.to_string().into()]),
                    (Ok(_), true) => rows.push(block_row(path, &block)),
                    (Ok(_), false) => push_entries(args, path, &range, &block, &mut rows),
                }
                Ok(())
            })
        });
        if let Err(error) = walked {
            return refused("cannot read the table", &error);
        }
    }
    let is_damaged = damages.len() > 0;
    let name = if args.blocks { "blocks" } else { "entries" };
    Answer::of(name, rows).list("damages", damages).print(&args.files.output);
    if is_damaged {
        complain("damaged blocks were passed over");
        return Exit::Found;
    }
    Exit::Done
}

fn block_row(path: &Path, block: &TableBlock<'_>) -> Vec<Cell> {
    let entries = block.entries.as_deref().unwrap_or_default();
    vec![
        name_of(path),
        Cell::Number(block.offset),
        Cell::Bytes(block.stored_bytes),
        Cell::Bytes(block.plain_bytes),
        Cell::Count(entries.len() as u64),
        entries.first().map(|entry| entry.key.as_slice()).into(),
        entries.last().map(|entry| entry.key.as_slice()).into(),
    ]
}

fn push_entries(
    args: &DumpArgs,
    path: &Path,
    range: &Range,
    block: &TableBlock<'_>,
    rows: &mut Rows,
) {
    for entry in block.entries.iter().flatten().filter(|entry| range.holds(&entry.key)) {
        if args.limit > 0 && rows.len() >= args.limit {
            return;
        }
        let max = (!args.whole).then_some(VALUE_BYTES_SHOWN);
        let value = value_text(entry.kind, &entry.value, max);
        rows.push(vec![
            name_of(path),
            Cell::Number(block.offset),
            entry.key.as_slice().into(),
            Cell::Number(entry.seq),
            kind_name(entry.kind).into(),
            value.into(),
            Cell::Bytes(entry.body.map_or(0, |body| body.len.into())),
        ]);
    }
}

fn check(args: &FilesArgs) -> Exit {
    let mut rows = Rows::new(&["file", "state", "part", "offset", "what", "after_key", "upto_key"]);
    let mut damaged = 0;
    for path in &args.files {
        let damages = match open(path) {
            Ok(table) => table.damages(),
            Err(error @ Error::Corrupt { .. }) => {
                vec![firndb::engine::table::TableDamage { part: "footer", error, keys: None }]
            }
            Err(error) => return refused("cannot read the table", &error),
        };
        if damages.is_empty() {
            let mut row = vec![name_of(path), "ok".into()];
            row.resize(7, Cell::Nothing);
            rows.push(row);
        }
        for damage in &damages {
            let (offset, what) = match &damage.error {
                Error::Corrupt { offset_bytes, reason, .. } => {
                    (Cell::Number(*offset_bytes), reason.clone())
                }
                error => (Cell::Nothing, error.to_string()),
            };
            let keys = damage.keys.as_ref();
            rows.push(vec![
                name_of(path),
                "FAIL".into(),
                damage.part.into(),
                offset,
                what.into(),
                keys.map(|keys| keys.0.as_slice()).into(),
                keys.map(|keys| keys.1.as_slice()).into(),
            ]);
        }
        damaged += u64::from(!damages.is_empty());
    }
    let status = if damaged == 0 { "pass" } else { "fail" };
    let (all, files) = (args.files.len(), if args.files.len() == 1 { "table" } else { "tables" });
    Answer::of("findings", rows)
        .fact("status", status)
        .note(format!("{damaged} of {all} {files} damaged"))
        .print(&args.output);
    if damaged == 0 { Exit::Done } else { Exit::Found }
}
