//! Buckets made by hand, value by value, in the place of points: every function that they tell
//! gives what the model gives for the points, however they are mixed.

use std::collections::BTreeMap;

use firndb_tsdb::model::{Bitmap, Column, Timestamp, Values};
use firndb_tsdb::rollup::column::Part;

use super::random::{random_plan, same};
use super::rows::{Made, Random, Row, cut, make};
use super::*;
use crate::exec::aggregate;
use crate::exec::rollup::{Layout, need};
use crate::exec::spans::{self, From, Level, Need, Span};

/// Points in some spans, buckets of levels in others.
struct Mixed {
    points: TestInput,
    made: Vec<Made>,
    levels: Vec<Level>,
    spans: Vec<Span>,
    layout: Layout,
    need: Need,
    /// Buckets of a piece.
    piece: usize,
}

struct MixedPieces<'a>(Vec<Piece<'a>>);

impl Pieces for MixedPieces<'_> {
    fn next_piece(&mut self) -> Result<Option<Piece<'_>>> {
        Ok(self.0.pop())
    }
}

impl Input for Mixed {
    fn pieces(
        &self,
        series: usize,
        range: TimeRange,
        descending: bool,
    ) -> Result<Box<dyn Pieces + '_>> {
        let mut pieces: Vec<Piece<'_>> = Vec::new();
        for span in &self.spans {
            let part = span.range.intersect(&range);
            match span.from {
                _ if part.is_empty() => {}
                From::Raw => {
                    let all: Vec<usize> = (0..self.points.fields.len()).collect();
                    let mut inner = self.points.pieces(series, part, false)?;
                    while let Some(piece) = inner.next_piece()? {
                        pieces.push(Piece::Rows(piece.load(&all, part)?));
                    }
                }
                From::Level { level, .. } => {
                    let rows = &self.made[series].rows;
                    let starts = starts(rows, self.levels[level].every_ns, part);
                    for starts in starts.chunks(self.piece) {
                        let stored =
                            stored(rows, starts, self.levels[level].every_ns, &self.layout);
                        pieces.push(match &self.need {
                            Need::Buckets(_) => Piece::Buckets(self.layout.buckets(stored)?),
                            Need::Rows => Piece::Rows(self.layout.points(stored)?),
                        });
                    }
                }
            }
        }
        if !descending {
            pieces.reverse(); // popped from the end
        }
        Ok(Box::new(MixedPieces(pieces)))
    }
}

/// Starts of the buckets with rows that begin within `part`.
fn starts(rows: &[Row], every: i64, part: TimeRange) -> Vec<Timestamp> {
    let mut starts: Vec<i64> = rows.iter().map(|r| r.time.div_euclid(every) * every).collect();
    starts.dedup();
    starts.retain(|start| part.contains(*start));
    starts
}

/// What a level stores of `rows`: a row per start, the columns of `layout`.
fn stored(rows: &[Row], starts: &[Timestamp], every: i64, layout: &Layout) -> Columns {
    let column = |id: &FieldId| {
        let (field, part) = (id.0 / 16, Part::ALL[(id.0 % 16) as usize]);
        let cells: Vec<Option<Stored>> = starts
            .iter()
            .map(|start| {
                let inside = |r: &&Row| (*start..start + every).contains(&r.time);
                part_of(rows.iter().filter(inside), field, part, *start)
            })
            .collect();
        let mut valid = Bitmap::filled(cells.len(), true);
        (0..cells.len()).for_each(|at| valid.set(at, cells[at].is_some()));
        let validity = (valid.count() < cells.len()).then_some(valid);
        Column { field: *id, values: values(&cells), validity }
    };
    Columns { timestamps: starts.to_vec(), columns: layout.ids.iter().map(column).collect() }
}

#[derive(Debug, Clone, PartialEq)]
enum Stored {
    F(f64),
    I(i64),
    U(u64),
    B(bool),
    S(String),
}

fn values(cells: &[Option<Stored>]) -> Values {
    macro_rules! of {
        ($kind:ident) => {
            cells
                .iter()
                .map(|cell| if let Some(Stored::$kind(v)) = cell { *v } else { Default::default() })
                .collect()
        };
    }
    match cells.iter().flatten().next() {
        None => Values::Missing(cells.len()),
        Some(Stored::F(_)) => Values::Float(of!(F)),
        Some(Stored::I(_)) => Values::Integer(of!(I)),
        Some(Stored::U(_)) => Values::Unsigned(of!(U)),
        Some(Stored::B(_)) => Values::Boolean(of!(B)),
        Some(Stored::S(_)) => {
            let (mut offsets, mut bytes) = (vec![0], Vec::new());
            for cell in cells {
                if let Some(Stored::S(text)) = cell {
                    bytes.extend_from_slice(text.as_bytes());
                }
                offsets.push(bytes.len() as u32);
            }
            Values::String { offsets, bytes }
        }
    }
}

fn part_of<'a>(
    rows: impl Iterator<Item = &'a Row>,
    field: u32,
    part: Part,
    start: Timestamp,
) -> Option<Stored> {
    let cell = |row: &Row| match field {
        0 => row.i.map(Stored::I),
        1 => row.f.map(Stored::F),
        2 => row.u.map(Stored::U),
        3 => row.b.map(Stored::B),
        _ => row.s.map(|s| Stored::S(s.to_owned())),
    };
    let found: Vec<(i64, Stored)> = rows.filter_map(|row| Some((row.time, cell(row)?))).collect();
    if found.is_empty() {
        // A bucket that lost its values keeps what it came to before; its count says so.
        let is_count = part == Part::Count && start.rem_euclid(3) == 0;
        return is_count.then_some(Stored::I(0));
    }
    let number = |v: &Stored| match v {
        Stored::F(v) => *v,
        Stored::I(v) => *v as f64,
        Stored::U(v) => *v as f64,
        Stored::B(_) | Stored::S(_) => 0.0,
    };
    let by = |a: &&(i64, Stored), b: &&(i64, Stored)| number(&a.1).total_cmp(&number(&b.1));
    let (first, last) = (&found[0], &found[found.len() - 1]);
    let sum: f64 = found.iter().map(|(_, v)| number(v)).sum();
    match part {
        Part::Count => Some(Stored::I(found.len() as i64)),
        Part::Sum => Some(match first.1 {
            Stored::F(_) => Stored::F(sum),
            Stored::U(_) => Stored::U(sum as u64),
            _ => Stored::I(sum as i64),
        }),
        Part::Min => found.iter().min_by(by).map(|(_, v)| v.clone()),
        Part::Max => found.iter().max_by(by).map(|(_, v)| v.clone()),
        Part::First => Some(first.1.clone()),
        Part::Last => Some(last.1.clone()),
        Part::FirstAt => Some(Stored::I(first.0 - start)),
        Part::LastAt => Some(Stored::I(last.0 - start)),
        Part::SumHigh => None,
    }
}

/// Random spans of whole buckets.
fn level(random: &mut Random, every_ns: i64) -> Level {
    let mut at = (random.below(1000) as i64 - 500).div_euclid(every_ns) * every_ns;
    let mut spans = Vec::new();
    while at < 3000 && spans.len() < 6 {
        let end = at + (1 + random.below(30) as i64) * every_ns;
        spans.push(TimeRange::new(at, end - 1));
        at = end + (1 + random.below(4) as i64) * every_ns;
    }
    Level { every_ns, spans }
}

/// Functions that buckets tell.
fn told(random: &mut Random) -> Vec<Expr> {
    use Function::*;
    let functions = [Count, Sum, Mean, Min, Max, First, Last];
    let column = |random: &mut Random| {
        let function = random.pick(&functions).clone();
        let (name, field_type) = *random.pick(&FIELDS);
        let fits = aggregate::check_type(&function, field_type).is_ok();
        call(function, if fits { name } else { "f" })
    };
    (0..1 + random.below(4)).map(|_| column(random)).collect()
}

#[test]
fn buckets_give_the_answers_of_points() {
    let mut by_source: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..120 {
        let mut random = Random::new(seed + 77_000);
        let made = make(&mut random);
        let mut plan = random_plan(&mut random);
        plan.filter = None;
        let columns = told(&mut random).into_iter().enumerate();
        plan.columns =
            columns.map(|(at, expr)| OutputColumn { name: format!("c{at}"), expr }).collect();
        if plan.window.is_some() {
            let every_ns = *random.pick(&[20, 60, 120, 240, 250, 7]);
            plan.window = Some(Window { every_ns, offset_ns: 0, zone: None });
        }
        let levels = vec![level(&mut random, 60), level(&mut random, 20)];
        let expected = model::answer(&plan, &made);
        for threads in [0, 2] {
            let series = cut(&made, &mut random, false);
            let piece = 1 + random.below(40) as usize;
            let parts = start_over(&means(threads), &plan, &series, |resolved, points| {
                let need = need(&plan, resolved);
                let range = crate::exec::windowed::ranges(&plan, resolved).0;
                let spans = spans::divide(range, i64::MIN + 2, &levels, &need);
                for span in &spans {
                    *by_source.entry(format!("{:?}", span.from)).or_default() += 1;
                }
                let layout = match need {
                    Need::Buckets(_) => Layout::of_calls(resolved),
                    Need::Rows => Layout::of_points(resolved),
                };
                let (made, levels) = (made.clone(), levels.clone());
                Box::new(Mixed { points, made, levels, spans, layout, need, piece })
            });
            let got = gathered(parts.unwrap()).unwrap();
            same(&got, &expected, &format!("seed {seed}, {threads} threads, {plan:?}"));
        }
    }
    assert_eq!(by_source.len(), 3, "points and both levels answer: {by_source:?}");
    assert!(by_source.values().all(|spans| *spans > 100), "{by_source:?}");
}

/// A layout of one call over a schema of [`FIELDS`].
fn layout_of(function: Function, field: &str) -> (Resolved, Layout) {
    let resolved = Resolved::new(&plan(vec![call(function, field)]), &schema()).unwrap();
    let layout = Layout::of_calls(&resolved);
    (resolved, layout)
}

fn integers(values: &[i64]) -> Values {
    Values::Integer(values.to_vec())
}

fn bits(of: &[bool]) -> Option<Bitmap> {
    let mut bits = Bitmap::filled(of.len(), false);
    of.iter().enumerate().for_each(|(at, set)| bits.set(at, *set));
    Some(bits)
}

#[test]
fn sums_have_their_high_halves() {
    type Case = (&'static str, Values, Values, Option<Bitmap>, [i128; 3]);
    let cases: [Case; 3] = [
        (
            "i",
            integers(&[-5, 7, i64::MIN]),
            integers(&[0, 3, 0]),
            bits(&[false, true, true]),
            [-5, (3 << 64) + 7, 1 << 63],
        ),
        (
            "u",
            Values::Unsigned(vec![5, u64::MAX, 1]),
            integers(&[9, 9, 2]),
            bits(&[false, false, true]),
            [5, u64::MAX as i128, (2 << 64) + 1],
        ),
        ("i", integers(&[-5, 7, 0]), Values::Missing(3), None, [-5, 7, 0]),
    ];
    for (name, low, high, validity, expected) in cases {
        let (_, layout) = layout_of(Function::Sum, name);
        let column = |field, values, validity| Column { field, values, validity };
        assert_eq!(layout.ids.len(), 3, "count, sum, high");
        let rows = Columns {
            timestamps: vec![0, 10, 20],
            columns: vec![
                column(layout.ids[0], integers(&[1, 2, 3]), None),
                column(layout.ids[1], low.clone(), None),
                column(layout.ids[2], high, validity),
            ],
        };
        let buckets = layout.buckets(rows).unwrap();
        let parts = &buckets.fields[0].parts;
        let sums = [0, 1, 2].map(|row| match &low {
            Values::Integer(low) => parts.sum(row, low[row]),
            Values::Unsigned(low) => parts.sum(row, low[row]),
            _ => unreachable!(),
        });
        assert_eq!(sums, expected, "{name}");
    }
}

#[test]
fn buckets_without_values_are_left_out() {
    let (_, layout) = layout_of(Function::Min, "f");
    let column = |field, values, validity| Column { field, values, validity };
    let rows = |counts: Values, valid: Option<Bitmap>, min: Values| Columns {
        timestamps: vec![0, 10, 20],
        columns: vec![column(layout.ids[0], counts, valid), column(layout.ids[1], min, None)],
    };
    let floats = || Values::Float(vec![1.0, 2.0, 3.0]);
    let some = rows(integers(&[1, 0, 4]), bits(&[false, true, true]), floats());
    let field = &layout.buckets(some).unwrap().fields[0];
    assert_eq!(
        (field.starts.as_deref(), field.counts.as_slice()),
        (Some([20].as_slice()), [4].as_slice())
    );
    assert_eq!(field.parts.get(Part::Min), &Values::Float(vec![3.0]));
    let all = rows(integers(&[1, 2, 4]), None, floats());
    assert!(layout.buckets(all).unwrap().fields[0].starts.is_none());
    let none = rows(Values::Missing(3), None, Values::Missing(3));
    assert!(layout.buckets(none).unwrap().fields[0].counts.is_empty());
    let broken = rows(integers(&[1, 2, 4]), None, Values::Missing(3));
    assert!(layout.buckets(broken).is_err(), "counted values without their minimum");
}

#[test]
fn rows_stand_for_buckets() {
    let made = Row { time: 0, i: None, f: None, u: None, b: None, s: None };
    let rows = [
        Row { time: 1, i: Some(-1), f: Some(1.0), u: Some(1), b: Some(true), s: Some("red") },
        Row { time: 4, i: Some(-4), f: Some(2.0), u: Some(2), b: Some(false), ..made.clone() },
        Row { time: 25, u: Some(9), s: Some("blue"), ..made.clone() },
    ];
    let columns = FIELDS.iter().map(|(name, _)| field(name)).collect();
    let resolved = Resolved::new(&plan(columns), &schema()).unwrap();
    let layout = Layout::of_points(&resolved);
    let points = layout.points(stored(&rows, &[0, 20], 10, &layout)).unwrap();
    assert_eq!(points.timestamps, [0, 20]);
    let vectors: Vec<crate::exec::Vector> = points.columns.into_iter().map(Into::into).collect();
    let cells = |row: usize| vectors.iter().map(|v| text(v.cell(row))).collect::<Vec<_>>();
    assert_eq!(cells(0), ["-2i", "1.5", "2u", "false", "red"], "means, rounded; the last ones");
    assert_eq!(cells(1), ["-", "-", "9u", "-", "blue"]);
}

#[test]
fn what_buckets_tell() {
    let is_told = |columns: Vec<Expr>, change: &dyn Fn(&mut Plan)| {
        let mut plan = plan(columns);
        change(&mut plan);
        need(&plan, &Resolved::new(&plan, &schema()).unwrap()) != Need::Rows
    };
    let windowed = |plan: &mut Plan| {
        plan.window = Some(Window { every_ns: 10, offset_ns: 0, zone: None });
    };
    let same = |_: &mut Plan| {};
    let one = |function, field: &str| vec![call(function, field)];
    let filtered = |name: Expr| {
        move |plan: &mut Plan| {
            let text = Expr::Literal(Literal::String("a".into()));
            plan.filter =
                Some(Expr::Binary(Operator::Equal, Box::new(name.clone()), Box::new(text)));
        }
    };
    use Function::*;
    let host = || Expr::Tag("host".into());
    assert!(is_told(one(Sum, "i"), &same));
    assert!(is_told(one(Last, "s"), &same));
    assert!(is_told(one(Max, "f"), &windowed));
    assert!(!is_told(one(Max, "f"), &same), "its own time is asked for");
    assert!(is_told(vec![call(Max, "f"), call(Min, "f")], &same), "of two no time is shown");
    assert!(!is_told(one(Max, "b"), &windowed), "truth values have no extremes in buckets");
    assert!(is_told(vec![call(Last, "f"), host()], &windowed));
    assert!(!is_told(vec![call(Max, "f"), host()], &windowed), "of which series, it does not say");
    assert!(!is_told(vec![call(Last, "f"), field("i")], &windowed), "another field of that row");
    assert!(!is_told(vec![call(Sum, "f"), call(Median, "f")], &windowed));
    assert!(!is_told(one(CountDistinct, "i"), &windowed));
    assert!(!is_told(one(Stddev, "i"), &windowed));
    assert!(!is_told(vec![field("i")], &same), "rows");
    assert!(is_told(one(Sum, "i"), &filtered(host())), "tags choose series");
    assert!(!is_told(one(Sum, "i"), &filtered(field("s"))), "fields choose rows");
    let transform = Transform::Difference { non_negative: false };
    let of = Expr::Transform(transform, Box::new(call(Mean, "f")));
    assert!(is_told(vec![of], &windowed), "functions of aggregates");
}
