//! Parquet: default encodings (dictionary, else plain), zstd, statistics per row group and page;
//! nothing that some reader does not know.

use std::io::Write;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use firndb_engine::budget::Share;
use firndb_tsdb::model::Timestamp;

use super::{Shape, Summary};
use crate::arrow::{Batches, Kind, TIME_UNIT_KEY, Unit};
use crate::error::{Error, Result};
use crate::exec::{Context, Series, Vector};

/// Most rows of a row group: what readers split a file by, and skip by its statistics.
pub const ROW_GROUP_ROWS: usize = 1_000_000;
/// Bytes of a row group in memory at which it is closed.
pub const ROW_GROUP_BYTES: usize = 64 << 20;
/// Rows that are gathered before they are encoded: series of few rows do not make a batch each.
const BATCH_ROWS: usize = 8 * 1024;

/// Properties of every file we write.
pub fn properties(unit: Unit) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(3).map_err(fault)?;
    let mut notes = vec![KeyValue::new("firndb.sorted_by".to_owned(), "tags, time".to_owned())];
    if unit == Unit::Nanosecond {
        notes.push(KeyValue::new(TIME_UNIT_KEY.to_owned(), "ns".to_owned()));
    }
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_key_value_metadata(Some(notes))
        .set_created_by(concat!("firndb ", env!("CARGO_PKG_VERSION")).to_owned())
        .build())
}

/// Writes the rows of `parts`, whose columns are those of `shape`.
pub fn write(
    context: &Context,
    shape: &Shape,
    unit: Unit,
    parts: impl Iterator<Item = Result<Series>>,
    out: impl Write + Send,
) -> Result<Summary> {
    let kinds = shape.tags.iter().map(|_| Kind::Tag);
    let kinds = kinds.chain(shape.fields.iter().map(|(_, field_type)| Kind::Field(*field_type)));
    let columns: Vec<(String, Kind)> = shape.names.iter().cloned().zip(kinds).collect();
    let mut file = File::new(context, &columns, unit, out)?;
    for part in parts {
        let part = part?;
        file.push(part.times, part.values)?;
    }
    file.finish()
}

/// A Parquet file being written.
pub struct File<W: Write + Send> {
    batches: Batches,
    writer: ArrowWriter<W>,
    gathered: Option<(Vec<Timestamp>, Vec<Vector>)>,
    summary: Summary,
    _held: firndb_engine::budget::Reservation,
}

impl<W: Write + Send> File<W> {
    /// A file of `time` and these columns. Holds the memory of a row group.
    pub fn new(context: &Context, columns: &[(String, Kind)], unit: Unit, out: W) -> Result<Self> {
        let bytes = (ROW_GROUP_BYTES + ROW_GROUP_BYTES / 4) as u64;
        let held = context.budget.try_reserve(Share::Queries, bytes);
        let batches = Batches::new(columns, unit);
        let writer = ArrowWriter::try_new(out, batches.schema(), Some(properties(unit)?));
        Ok(File {
            writer: writer.map_err(fault)?,
            batches,
            gathered: None,
            summary: Summary::default(),
            _held: held.ok_or(Error::Memory { needed_bytes: bytes })?,
        })
    }

    /// Adds rows.
    pub fn push(&mut self, times: Vec<Timestamp>, values: Vec<Vector>) -> Result<()> {
        self.summary.rows += times.len() as u64;
        match &mut self.gathered {
            Some((all_times, columns)) => {
                all_times.extend_from_slice(&times);
                columns.iter_mut().zip(&values).for_each(|(column, more)| column.append(more));
            }
            None => self.gathered = Some((times, values)),
        }
        let rows = self.gathered.as_ref().map_or(0, |(times, _)| times.len());
        if rows >= BATCH_ROWS { self.encode() } else { Ok(()) }
    }

    /// Adds rows whose tags have words of their own: they are a batch by themselves.
    pub fn push_alone(&mut self, times: Vec<Timestamp>, values: Vec<Vector>) -> Result<()> {
        self.encode()?;
        self.push(times, values)?;
        self.encode()
    }

    fn encode(&mut self) -> Result<()> {
        let Some((times, values)) = self.gathered.take() else { return Ok(()) };
        let batch = self.batches.batch(&times, &values)?;
        self.writer.write(&batch).map_err(fault)?;
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.writer.flush().map_err(fault)?;
        }
        Ok(())
    }

    /// Ends the file.
    pub fn finish(mut self) -> Result<Summary> {
        self.encode()?;
        self.writer.close().map_err(fault)?;
        Ok(self.summary)
    }
}

fn fault(error: ::parquet::errors::ParquetError) -> Error {
    Error::Output(std::io::Error::other(error))
}
