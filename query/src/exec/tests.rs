//! The executor over rows made by hand, against a plain evaluation of the same rows one by one.

mod history;
mod model;
mod random;
mod rollup;
mod rows;
mod semantics;
mod store;

use std::sync::Arc;

use firndb_engine::budget::Budget;
use firndb_engine::clock::ManualClock;
use firndb_tsdb::chunk::{self, Class, Stats};
use firndb_tsdb::model::{Columns, FieldId, FieldType, TagSet, TimeRange};

use super::context::Means;
use super::input::{Chunk, Input, Piece, Pieces};
use super::resolve::{Resolved, Schema, SourceField};
use super::shared::Shared;
use super::{Cancel, Cell, Limits, Series, SeriesStream, Warnings};
use crate::error::Result;
use crate::plan::*;

/// Fields of the test measurement, in order.
const FIELDS: [(&str, FieldType); 5] = [
    ("i", FieldType::Integer),
    ("f", FieldType::Float),
    ("u", FieldType::Unsigned),
    ("b", FieldType::Boolean),
    ("s", FieldType::String),
];

/// A series whose rows come in these pieces; `true`: as a chunk with statistics.
#[derive(Debug, Clone, Default)]
struct TestSeries {
    tags: Vec<(&'static str, &'static str)>,
    pieces: Vec<(bool, Columns)>,
}

/// Series of [`FIELDS`], of which the plan reads some.
struct TestInput {
    series: Vec<TestSeries>,
    fields: Vec<usize>,
}

struct TestPieces<'a> {
    input: &'a TestInput,
    pieces: Vec<&'a (bool, Columns)>,
    range: TimeRange,
}

struct TestChunk {
    rows: Columns,
    head: chunk::Head,
    ids: Vec<FieldId>,
}

impl Input for TestInput {
    fn pieces(
        &self,
        series: usize,
        range: TimeRange,
        descending: bool,
    ) -> Result<Box<dyn Pieces + '_>> {
        let overlaps = |piece: &&(bool, Columns)| {
            let times = &piece.1.timestamps;
            TimeRange::new(times[0], times[times.len() - 1]).overlaps(&range)
        };
        let mut pieces: Vec<_> = self.series[series].pieces.iter().filter(overlaps).collect();
        if !descending {
            pieces.reverse(); // popped from the end
        }
        Ok(Box::new(TestPieces { input: self, pieces, range }))
    }
}

impl Pieces for TestPieces<'_> {
    fn next_piece(&mut self) -> Result<Option<Piece<'_>>> {
        let Some((is_chunk, rows)) = self.pieces.pop() else { return Ok(None) };
        let fields = &self.input.fields;
        let picked = Columns {
            timestamps: rows.timestamps.clone(),
            columns: fields.iter().map(|field| rows.columns[*field].clone()).collect(),
        };
        if *is_chunk {
            let head = chunk::encode(rows, Class::Hot).head;
            let head = chunk::Head::decode(&head).unwrap();
            let ids = fields.iter().map(|field| FieldId(*field as u32)).collect();
            return Ok(Some(Piece::Chunk(Box::new(TestChunk { rows: picked, head, ids }))));
        }
        let all: Vec<usize> = (0..fields.len()).collect();
        Ok(Some(Piece::Rows(Piece::Rows(picked).load(&all, self.range)?)))
    }
}

impl Chunk for TestChunk {
    fn time_range(&self) -> TimeRange {
        TimeRange::new(self.rows.timestamps[0], self.rows.timestamps[self.rows() - 1])
    }
    fn rows(&self) -> usize {
        self.rows.timestamps.len()
    }
    fn count(&self, field: usize) -> usize {
        self.head.column(self.ids[field]).map_or(0, |column| column.count)
    }
    fn stats(&self, field: usize) -> Option<&Stats> {
        self.head.column(self.ids[field])?.stats.as_ref()
    }
    fn load(&self, fields: &[usize], range: TimeRange) -> Result<Columns> {
        Piece::Rows(self.rows.clone()).load(fields, range)
    }
}

fn means(threads: usize) -> Means {
    let pool = || rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    Means {
        pool: (threads > 0).then(|| Arc::new(pool())),
        budget: Budget::unlimited(),
        clock: Arc::new(ManualClock::at(0)),
        deadline_ns: None,
        cancel: Cancel::default(),
        limits: Limits::default(),
    }
}

fn schema() -> Schema {
    let field = |(id, (name, field_type)): (usize, &(&str, FieldType))| SourceField {
        name: (*name).to_owned(),
        id: FieldId(id as u32),
        field_type: *field_type,
    };
    Schema {
        fields: FIELDS.iter().enumerate().map(field).collect(),
        tags: vec!["host".into(), "zone".into()],
    }
}

/// Starts `plan` over `series`.
fn start(means: &Means, plan: &Plan, series: &[TestSeries]) -> Result<SeriesStream> {
    start_over(means, plan, series, |_, input| Box::new(input))
}

/// Starts `plan` over what `input` makes of the input of `series`.
fn start_over(
    means: &Means,
    plan: &Plan,
    series: &[TestSeries],
    input: impl FnOnce(&Resolved, TestInput) -> Box<dyn Input>,
) -> Result<SeriesStream> {
    let schema = schema();
    let resolved = Resolved::new(plan, &schema)?;
    let number = |f: &SourceField| FIELDS.iter().position(|(name, _)| *name == f.name).unwrap();
    let fields = resolved.fields.iter().map(number).collect();
    let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    let tags: Vec<TagSet> =
        series.iter().map(|s| TagSet::new(s.tags.iter().map(owned).collect())).collect();
    let input = input(&resolved, TestInput { series: series.to_vec(), fields });
    let (means, plan, count) = (means.clone(), plan.clone(), series.len());
    let shared = Shared::new(means, plan, resolved, input, tags, count, &schema.tags);
    Ok(SeriesStream::new(shared, Warnings::default()))
}

/// The whole answer: per output series its tags and rows, cells as text.
type Answer = Vec<(String, Vec<(i64, Vec<String>)>)>;

fn answer(means: &Means, plan: &Plan, series: &[TestSeries]) -> Result<Answer> {
    gathered(start(means, plan, series)?)
}

fn gathered(parts: SeriesStream) -> Result<Answer> {
    let mut answer: Answer = Vec::new();
    let mut goes_on = false;
    for part in parts {
        let part = part?;
        assert!(!part.times.is_empty(), "no empty parts");
        let tags: Vec<String> = part.head.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
        if !goes_on {
            answer.push((tags.join(","), Vec::new()));
        }
        assert_eq!(answer.last().unwrap().0, tags.join(","));
        answer.last_mut().unwrap().1.extend(rows_of(&part));
        goes_on = part.partial;
    }
    assert!(!goes_on, "the last part is the end of its series");
    Ok(answer)
}

fn rows_of(part: &Series) -> Vec<(i64, Vec<String>)> {
    assert!(part.values.iter().all(|column| column.len() == part.times.len()));
    let row = |(row, time): (usize, &i64)| {
        (*time, part.values.iter().map(|column| text(column.cell(row))).collect())
    };
    part.times.iter().enumerate().map(row).collect()
}

fn text(cell: Cell<'_>) -> String {
    match cell {
        Cell::Missing => "-".into(),
        Cell::Float(v) => format!("{v:?}"),
        Cell::Integer(v) => format!("{v}i"),
        Cell::Unsigned(v) => format!("{v}u"),
        Cell::Boolean(v) => format!("{v}"),
        Cell::String(v) => v.into(),
    }
}

/// A plan over everything.
fn plan(columns: Vec<Expr>) -> Plan {
    let column = |(at, expr)| OutputColumn { name: format!("c{at}"), expr };
    Plan {
        source: Source::Measurement { database: "d".into(), policy: None, measurement: "m".into() },
        name: "m".into(),
        tags: firndb_tsdb::TagPredicate::True,
        filter: None,
        range: TimeRange::ALL,
        columns: columns.into_iter().enumerate().map(column).collect(),
        group: GroupTags::List(Vec::new()),
        window: None,
        fill: Fill::Null,
        descending: false,
        limit: None,
        offset: 0,
        series_limit: None,
        series_offset: 0,
        now: 1_000_000,
    }
}

fn call(function: Function, field: &str) -> Expr {
    Expr::Call(Call { function, field: field.into() })
}

fn field(name: &str) -> Expr {
    Expr::Field(name.into())
}
