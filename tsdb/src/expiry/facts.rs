//! What is known of a partition without reading it: bytes of its tables, series it may hold.

use std::ops::RangeInclusive;

use croaring::Bitmap;
use firndb_engine as engine;
use firndb_engine::keyspace::{TableSummary, View};
use firndb_engine::memtable::Memtable;

use crate::Result;
use crate::database::Database;
use crate::keys;
use crate::memtable::PointsMemtable;
use crate::partition::Partition;

/// What a partition holds, as far as its tables' keys tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Bytes of its tables.
    pub(crate) bytes: u64,
    /// From the first to the last series it may hold; `None`: it holds nothing.
    pub(crate) series: Option<RangeInclusive<u32>>,
    tables: Vec<TableSummary>,
}

impl Facts {
    fn of(view: &View) -> Facts {
        let mut facts = Facts { tables: view.tables(), ..Facts::default() };
        facts.bytes = facts.tables.iter().map(|table| table.bytes).sum();
        let in_tables = facts.tables.iter().filter_map(series_of);
        let in_memory = view.memtables.iter().filter_map(|memtable| {
            let memtable: &dyn Memtable = &**memtable;
            let points = memtable.as_any().downcast_ref::<PointsMemtable>()?;
            points.series_span().map(|(first, last)| first.0..=last.0)
        });
        facts.series = in_tables.chain(in_memory).reduce(|a, b| {
            let (start, end) = (*a.start().min(b.start()), *a.end().max(b.end()));
            start..=end
        });
        facts
    }

    /// About how many of the bytes are of `series`: by their part of the numbers between the first
    /// and the last of each table that are not `dropped`.
    pub(crate) fn bytes_of(&self, series: &Bitmap, dropped: &Bitmap) -> u64 {
        let bytes = self.tables.iter().map(|table| {
            let Some(span) = series_of(table) else { return 0 };
            let all = u64::from(span.end() - span.start()) + 1;
            let live = all.saturating_sub(dropped.range_cardinality(span.clone())).max(1);
            let meant = series.range_cardinality(span.clone())
                - series.and(dropped).range_cardinality(span);
            (u128::from(table.bytes) * u128::from(meant.min(live)) / u128::from(live)) as u64
        });
        bytes.sum()
    }
}

/// From the first to the last series of a table.
fn series_of(table: &TableSummary) -> Option<RangeInclusive<u32>> {
    let (first, last) = (&table.smallest, &table.largest);
    Some(keys::parse_chunk_key(first)?.0.0..=keys::parse_chunk_key(last)?.0.0)
}

impl Database {
    /// What is known of a partition; of one dropped meanwhile, that it is empty.
    pub(crate) fn facts(&self, partition: &Partition) -> Result<Facts> {
        match self.store.view(partition.keyspace) {
            Ok(view) => Ok(Facts::of(&view)),
            Err(engine::Error::NotFound { .. }) => Ok(Facts::default()),
            Err(error) => Err(error.into()),
        }
    }
}
