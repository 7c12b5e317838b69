//! The dry run: what a delete would take, counted. Chunks that lie whole in the span are counted
//! by their statistics.

use hashbrown::HashSet;

use super::DeleteRequest;
use super::resolve::Found;
use super::rows::Asked;
use crate::Result;
use crate::database::Database;
use crate::model::{Bitmap, Columns, FieldId, RowPredicate, SeriesId, TagSet, Timestamp};
use crate::scan::{Piece, Scan, ScanRequest};

/// What a delete would take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteCount {
    /// Rows that would lose something.
    pub points: u64,
    /// Values of fields that would go.
    pub values: u64,
    /// Series that have such rows.
    pub series: u64,
    /// Partitions that have such rows.
    pub partitions: u64,
}

/// A condition that every row meets.
#[derive(Debug)]
struct Every;

impl RowPredicate for Every {
    fn fields(&self) -> &[String] {
        &[]
    }

    fn holds(&self, _tags: &TagSet, columns: &Columns) -> Bitmap {
        Bitmap::filled(columns.rows(), true)
    }
}

impl Database {
    /// Counts what a delete would take of what is visible at `now`.
    pub fn count_matching(&self, request: &DeleteRequest, now: Timestamp) -> Result<DeleteCount> {
        let mut count = DeleteCount::default();
        if request.range.is_empty() {
            return Ok(count);
        }
        let mut series = croaring::Bitmap::new();
        for policy in self.delete_policies(request)? {
            let mut partitions = HashSet::new();
            for target in &request.targets {
                let Some(found) = self.find_target(target, request.fields.as_deref())? else {
                    continue;
                };
                let ids: Vec<SeriesId> = found.series.iter().map(SeriesId).collect();
                let counter = Counter::new(&found);
                let scan = self.scan(&ScanRequest {
                    policy: Some(&policy),
                    measurement: found.info.id,
                    series: &ids,
                    fields: &counter.asked.fields,
                    range: request.range,
                    descending: false,
                    now,
                })?;
                for (index, id) in ids.iter().enumerate() {
                    let Some((_, tags)) = self.index.key(*id)? else { continue };
                    self.check_stopped()?;
                    let before = count.points;
                    counter.count(&scan, index, &tags, &mut count, &mut partitions)?;
                    if count.points > before {
                        series.add(id.0);
                    }
                }
            }
            count.partitions += partitions.len() as u64;
        }
        count.series = series.cardinality();
        Ok(count)
    }
}

/// Counts rows of one target.
struct Counter<'a> {
    asked: Asked,
    /// Columns of fields that go.
    gone: Vec<usize>,
    rows: Option<&'a dyn RowPredicate>,
}

impl<'a> Counter<'a> {
    fn new(found: &Found<'a>) -> Counter<'a> {
        // All fields: what a row has says what goes with it.
        let asked = Asked::new(&found.info, found.rows.unwrap_or(&Every), true);
        let goes = |field: &FieldId| {
            found.fields.as_ref().is_none_or(|fields| fields.binary_search(field).is_ok())
        };
        let gone = (0..asked.fields.len()).filter(|at| goes(&asked.fields[*at])).collect();
        Counter { asked, gone, rows: found.rows }
    }

    /// Adds the rows of a series.
    fn count(
        &self,
        scan: &Scan,
        index: usize,
        tags: &TagSet,
        count: &mut DeleteCount,
        partitions: &mut HashSet<usize>,
    ) -> Result<()> {
        let ranges = scan.partitions();
        let mut pieces = scan.series(index)?;
        while let Some(piece) = pieces.next_piece()? {
            let (start, points, values) = match &piece {
                Piece::Chunk(chunk)
                    if self.rows.is_none() && scan.range().covers(&chunk.time_range()) =>
                {
                    let values = self.gone.iter().map(|at| chunk.count(*at)).sum::<usize>();
                    let all_go = self.gone.len() == self.asked.fields.len();
                    let points = match (all_go, &self.gone[..]) {
                        (true, _) => chunk.rows(),
                        (false, [one]) => chunk.count(*one),
                        _ => self.of_rows(&piece, tags)?.1,
                    };
                    (chunk.time_range().start, points, values)
                }
                piece => self.of_rows(piece, tags)?,
            };
            count.points += points as u64;
            count.values += values as u64;
            if points > 0 {
                partitions.insert(ranges.partition_point(|range| range.end < start));
            }
        }
        Ok(())
    }

    /// First timestamp, rows and values that go, counted one by one.
    fn of_rows(&self, piece: &Piece, tags: &TagSet) -> Result<(Timestamp, usize, usize)> {
        let columns = self.asked.load(piece)?;
        let holds = match self.rows {
            Some(rows) => rows.holds(tags, &self.asked.arrange(&columns)),
            None => Bitmap::filled(columns.rows(), true),
        };
        let (mut points, mut values) = (0, 0);
        for row in (0..columns.rows()).filter(|row| holds.get(*row)) {
            let valid = self.gone.iter().filter(|at| columns.columns[**at].is_valid(row)).count();
            points += usize::from(valid > 0);
            values += valid;
        }
        Ok((columns.timestamps.first().copied().unwrap_or(0), points, values))
    }
}
