//! `firndb sst space`: what the tables of a folder take, by keyspace, level or table, and for what.
//!
//! Bytes of a table are its data blocks, the bodies of split values, its index and its filter; what
//! is left are properties, footer and checksums. How much of it is dead is an estimate from where
//! tables lie: of tables whose keys overlap the oldest is taken to be live and the younger ones to
//! be changes of it, so that they or what they replace is dead; of the others, the deletes.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use firndb::engine::Error;
use firndb::engine::inspect::{self, manifest};
use firndb::engine::manifest::{Place, TableMeta, table_path};

use super::{FolderArgs, refused};
use crate::cli::Exit;
use crate::output::{Answer, Cell, OutputArgs, Rows};

/// What a row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// A keyspace.
    Keyspace,
    /// A level of a keyspace.
    Level,
    /// A table.
    Table,
}

/// Arguments of `firndb sst space`.
#[derive(Debug, Args)]
pub struct SpaceArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// What a row stands for.
    #[arg(long, value_enum, default_value = "level")]
    by: By,
    /// Only this keyspace.
    #[arg(long)]
    keyspace: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Bytes by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Space {
    tables: u64,
    entries: u64,
    file_bytes: u64,
    body_bytes: u64,
    index_bytes: u64,
    filter_bytes: u64,
    /// Frames, properties, footers.
    other_bytes: u64,
    dead_bytes: u64,
}

/// Bytes beside those of parts that [`inspect`] names: the frame of a block.
const FRAME_BYTES: u64 = 5;

impl Space {
    fn data_bytes(&self) -> u64 {
        let other = self.body_bytes + self.index_bytes + self.filter_bytes + self.other_bytes;
        self.file_bytes.saturating_sub(other)
    }

    fn add(&mut self, other: &Space) {
        self.tables += other.tables;
        self.entries += other.entries;
        self.file_bytes += other.file_bytes;
        self.body_bytes += other.body_bytes;
        self.index_bytes += other.index_bytes;
        self.filter_bytes += other.filter_bytes;
        self.other_bytes += other.other_bytes;
        self.dead_bytes += other.dead_bytes;
    }

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::Count(self.tables),
            Cell::Count(self.entries),
            Cell::Bytes(self.file_bytes),
            Cell::Bytes(self.data_bytes()),
            Cell::Bytes(self.body_bytes),
            Cell::Bytes(self.index_bytes),
            Cell::Bytes(self.filter_bytes),
            Cell::Bytes(self.dead_bytes),
        ]
    }
}

const COLUMNS: [&str; 12] = [
    "keyspace",
    "level",
    "file",
    "first_key",
    "tables",
    "entries",
    "file_bytes",
    "data_bytes",
    "body_bytes",
    "index_bytes",
    "filter_bytes",
    "dead_bytes",
];

/// Runs the command.
pub fn run(args: &SpaceArgs) -> Result<(), Exit> {
    let folder = args.folder.open()?;
    let report = manifest::current(&*folder.fs, &folder.dir)
        .and_then(|number| manifest::read(&*folder.fs, &folder.dir, number, &mut |_| {}))
        .map_err(|error| refused("cannot read the manifest", &error))?;
    let (mut rows, mut whole) = (Rows::new(&COLUMNS), Space::default());
    for record in report.state.keyspaces.values() {
        if args.keyspace.as_ref().is_some_and(|name| **name != *record.name) {
            continue;
        }
        let mut tables: Vec<_> = record.tables.values().collect();
        tables.sort_by_key(|(place, table)| (place.level, place.age, table.smallest.clone()));
        let dead = dead_bytes(&tables);
        let mut sums: BTreeMap<Option<u8>, Space> = BTreeMap::new();
        for (place, table) in &tables {
            let mut space = space_of(&folder, table)
                .map_err(|error| refused(&format!("a table of {}", record.name), &error))?;
            space.dead_bytes = dead.get(&table.number.0).copied().unwrap_or_default();
            whole.add(&space);
            let level = (args.by == By::Level).then_some(place.level);
            sums.entry(level).or_default().add(&space);
            if args.by == By::Table {
                let named: [Cell; 4] = [
                    (&*record.name).into(),
                    Cell::Number(place.level.into()),
                    format!("{:06}.tbl", table.number.0).into(),
                    (&*table.smallest).into(),
                ];
                rows.push(named.into_iter().chain(space.cells()).collect());
            }
        }
        for (level, sum) in sums.iter().filter(|_| args.by != By::Table) {
            let level = level.map_or(Cell::Nothing, |level| Cell::Number(level.into()));
            let named: [Cell; 4] = [(&*record.name).into(), level, Cell::Nothing, Cell::Nothing];
            rows.push(named.into_iter().chain(sum.cells()).collect());
        }
    }
    let mut total = vec![Cell::from("total"), Cell::Nothing, Cell::Nothing, Cell::Nothing];
    total.extend(whole.cells());
    rows.push(total);
    Answer::of("space", rows).print(&args.output);
    Ok(())
}

fn space_of(folder: &super::Folder, table: &TableMeta) -> Result<Space, Error> {
    let file = inspect::table(&folder.fs, &table_path(&folder.dir, table.number))?;
    let (layout, properties) = (file.layout()?, file.properties()?);
    let part = |name: &str| {
        let parts = layout.parts.iter().filter(|part| part.name == name);
        parts.map(|part| part.bytes).sum::<u64>()
    };
    Ok(Space {
        tables: 1,
        entries: properties.entries,
        file_bytes: layout.file_bytes,
        body_bytes: properties.body_bytes,
        index_bytes: part("index"),
        filter_bytes: part("filter"),
        other_bytes: part("properties") + part("footer") + properties.blocks * FRAME_BYTES,
        dead_bytes: 0,
    })
}

/// An estimate of the dead bytes of each table, by number: all of those that lie over an older one,
/// and of the others the part of their entries that are deletes.
fn dead_bytes(tables: &[&(Place, TableMeta)]) -> BTreeMap<u64, u64> {
    // Oldest first: deep levels, then level 0 by age.
    let mut oldest: Vec<_> = tables.to_vec();
    oldest.sort_by_key(|(place, _)| (std::cmp::Reverse(place.level), place.age));
    let mut live: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    let mut dead = BTreeMap::new();
    for (_, table) in oldest {
        let (smallest, largest): (&[u8], &[u8]) = (&table.smallest, &table.largest);
        let before = live.range(..=largest).next_back();
        let bytes = if before.is_none_or(|(_, end)| *end < smallest) {
            live.insert(smallest, largest);
            let part = table.deletes as f64 / table.entries.max(1) as f64;
            (table.bytes as f64 * part) as u64
        } else {
            table.bytes
        };
        dead.insert(table.number.0, bytes);
    }
    dead
}
