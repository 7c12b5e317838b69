//! Deletes by value against writes that come while rows are looked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use firndb_engine::fs::sim::{Rng, SimFs};
use parking_lot::Mutex;

use super::*;
use crate::deletes::tests::{NOW, compact, open, open_within, purge};
use crate::deletes::{DeleteReport, DeleteTarget};
use crate::index::TagPredicate;
use crate::model::{
    Batch, Bitmap as Bits, Field, FieldValue, Point, PointSeries, Tag, TagSet, Values,
};

const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;

/// Rows of measurement `m`: value of `f` by host and offset from now.
type Model = BTreeMap<(String, i64), i64>;

fn write(database: &Database, rows: &[(String, i64, i64)]) {
    let texts: Vec<String> = rows.iter().map(|(host, ..)| format!("m,h={host}")).collect();
    let mut batch = Batch::default();
    for (at, ((host, offset, value), text)) in (0u32..).zip(rows.iter().zip(&texts)) {
        batch.tags.push(Tag { key: "h".into(), value: host.as_str().into() });
        batch.fields.push(Field { key: "f".into(), value: FieldValue::Integer(*value) });
        batch.points.push(Point {
            series: PointSeries::New {
                text: text.as_bytes(),
                measurement: "m".into(),
                tags: at..at + 1,
            },
            fields: at..at + 1,
            timestamp: NOW + offset,
            line: at,
        });
    }
    let summary = database.write(None, &batch, NOW).unwrap();
    assert_eq!(summary.written, rows.len() as u64);
}

fn read(database: &Database) -> Model {
    let mut model = Model::new();
    let Some(info) = database.measurement("m") else { return model };
    let series = database.series(Some("m"), None).unwrap();
    let request = ScanRequest {
        policy: None,
        measurement: info.id,
        series: &series,
        fields: &[info.field("f").unwrap().id],
        range: TimeRange::ALL,
        descending: false,
        now: NOW,
    };
    let scan = database.scan(&request).unwrap();
    for (index, id) in series.iter().enumerate() {
        let (_, tags) = database.series_key(*id).unwrap().unwrap();
        let host = tags.iter().next().unwrap().1.to_owned();
        let mut pieces = scan.series(index).unwrap();
        while let Some(piece) = pieces.next_piece().unwrap() {
            let columns = match piece {
                Piece::Rows(columns) => columns,
                Piece::Chunk(chunk) => chunk.load(&[0], TimeRange::ALL).unwrap(),
            };
            let Values::Integer(values) = &columns.columns[0].values else { panic!("integers") };
            for (timestamp, value) in columns.timestamps.iter().zip(values) {
                model.insert((host.clone(), timestamp - NOW), *value);
            }
        }
    }
    model
}

fn request(rows: Arc<dyn RowPredicate>, host: Option<&str>, range: TimeRange) -> DeleteRequest {
    let tags = host.map(|host| TagPredicate::Equal("h".to_owned(), host.to_owned()));
    let target = DeleteTarget { measurement: "m".to_owned(), tags, rows: Some(rows) };
    let statement = "odd ones".to_owned();
    DeleteRequest { policy: None, targets: vec![target], range, fields: None, statement }
}

/// Rows with an odd value. Each time it is asked it does something first.
struct Odd<F>(F, [String; 1]);

impl<F> std::fmt::Debug for Odd<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Odd")
    }
}

impl<F: Fn() + Send + Sync> RowPredicate for Odd<F> {
    fn fields(&self) -> &[String] {
        &self.1
    }

    fn holds(&self, _tags: &TagSet, columns: &Columns) -> Bits {
        (self.0)();
        let mut holds = Bits::default();
        for row in 0..columns.rows() {
            let Values::Integer(values) = &columns.columns[0].values else { panic!("integers") };
            holds.push(columns.columns[0].is_valid(row) && values[row] % 2 != 0);
        }
        holds
    }
}

fn odd(first: impl Fn() + Send + Sync + 'static) -> Arc<dyn RowPredicate> {
    Arc::new(Odd(first, ["f".to_owned()]))
}

#[test]
fn writes_go_on_while_rows_are_looked_for_and_are_covered() {
    let (_tsdb, database) = open(&SimFs::new(1));
    let row = |host: &str, offset, value| (host.to_owned(), offset, value);
    write(&database, &[row("a", 1, 1), row("a", 2, 3), row("a", 3, 5), row("b", 1, 2)]);
    let (writer, asked) = (database.clone(), AtomicU64::new(0));
    let condition = odd(move || {
        if asked.fetch_add(1, Ordering::Relaxed) == 0 {
            // A write would wait for the gate, and this test for ever.
            assert!(writer.gate.try_read().is_some(), "the scan holds writes up");
            let rows = [row("a", 2, 4), row("b", 1, 7), row("b", 2, 9), row("c", 5, 11)];
            write(&writer, &rows);
            write(&writer, &[row("c", 6, 6)]);
        }
    });
    let report = database.delete(&request(condition, None, TimeRange::ALL), NOW).unwrap();
    assert_eq!(report, DeleteReport { id: Some(1), series: 3, partitions: 1 });
    let left = Model::from([(("a".into(), 2), 4), (("c".into(), 6), 6)]);
    assert_eq!(read(&database), left);
    write(&database, &[row("a", 1, 1)]);
    assert_eq!(read(&database).len(), 3, "what is written afterwards stays");
    assert!(database.watches.notes().is_none(), "nobody watches any more");
}

#[test]
fn a_field_that_is_made_while_rows_are_looked_for_is_seen() {
    let (_tsdb, database) = open(&SimFs::new(1));
    write(&database, &[("a".to_owned(), 1, 1)]);
    let field = vec!["f".to_owned()];
    let gone = DeleteRequest {
        fields: Some(field),
        targets: vec![DeleteTarget { measurement: "m".to_owned(), tags: None, rows: None }],
        ..request(odd(|| {}), None, TimeRange::ALL)
    };
    let (writer, asked) = (database.clone(), AtomicU64::new(0));
    let condition = odd(move || {
        if asked.fetch_add(1, Ordering::Relaxed) == 0 {
            // The field goes, and comes back under another number.
            writer.delete(&gone, NOW).unwrap();
            write(&writer, &[("a".to_owned(), 1, 2), ("a".to_owned(), 2, 3)]);
        }
    });
    database.delete(&request(condition, None, TimeRange::ALL), NOW).unwrap();
    assert_eq!(read(&database), Model::from([(("a".into(), 1), 2)]));
}

/// What happens between a delete's looks at rows: all of it comes before the delete.
struct Meddler {
    database: Arc<Database>,
    store: firndb_engine::store::Store,
    state: Mutex<(Rng, Model)>,
    /// Things still to be done during this delete.
    left: AtomicU64,
    done: AtomicU64,
}

impl Meddler {
    fn write(&self) {
        let (rng, model) = &mut *self.state.lock();
        let rows = (0..1 + rng.below(4)).map(|_| {
            let day = if rng.one_in(4) { -9 * DAY_NS } else { 0 };
            let offset = day + rng.below(3) as i64 * HOUR_NS + rng.below(12) as i64;
            (format!("h{}", rng.below(5)), offset, rng.below(100) as i64)
        });
        let rows: Vec<_> = rows.collect();
        write(&self.database, &rows);
        model.extend(rows.into_iter().map(|(host, offset, value)| ((host, offset), value)));
    }

    /// A delete that needs no scan.
    fn delete(&self) {
        let (rng, model) = &mut *self.state.lock();
        let (host, start) = (format!("h{}", rng.below(5)), rng.below(12) as i64);
        let range = TimeRange::new(NOW + start, NOW + start + rng.below(4) as i64);
        let mut request = request(odd(|| {}), Some(&host), range);
        request.targets[0].rows = None;
        self.database.delete(&request, NOW).unwrap();
        let is_gone = |offset: i64| range.contains(NOW + offset);
        model.retain(|(of, offset), _| *of != host || !is_gone(*offset));
    }

    fn meddle(&self) {
        let is_due = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_due).is_err()
            || self.database.gate.try_read().is_none()
        {
            return;
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        let kind = self.state.lock().0.below(20);
        match kind {
            0 => self.store.flush(None).unwrap(),
            1 => compact(&self.store, false),
            2..=4 => self.delete(),
            _ => self.write(),
        }
    }
}

#[test]
fn a_delete_covers_all_that_was_written_before_it_whatever_came_between() {
    for seed in 0..12 {
        println!("seed {seed}");
        let fs = SimFs::new(seed);
        let (tsdb, database) = open(&fs);
        let meddler = Arc::new(Meddler {
            database: database.clone(),
            store: tsdb.store().clone(),
            state: Mutex::new((Rng::new(seed), Model::new())),
            left: AtomicU64::new(0),
            done: AtomicU64::new(0),
        });
        (0..6).for_each(|_| meddler.write());
        for _ in 0..8 {
            (0..3).for_each(|_| meddler.write());
            let (host, range) = {
                let rng = &mut meddler.state.lock().0;
                let host = rng.one_in(3).then(|| format!("h{}", rng.below(5)));
                let start = NOW + rng.below(12) as i64;
                let range = if rng.one_in(3) {
                    TimeRange::ALL
                } else {
                    TimeRange::new(start, start + HOUR_NS + 3)
                };
                meddler.left.store(rng.below(12), Ordering::Relaxed);
                (host, range)
            };
            let own = meddler.clone();
            let condition = odd(move || own.meddle());
            database.delete(&request(condition, host.as_deref(), range), NOW).unwrap();
            let model = &mut meddler.state.lock().1;
            model.retain(|(of, offset), value| {
                let is_meant = host.as_ref().is_none_or(|host| host == of);
                !(is_meant && range.contains(NOW + offset) && *value % 2 != 0)
            });
            assert_eq!(read(&database), *model);
        }
        assert!(meddler.done.load(Ordering::Relaxed) > 10, "nothing came between");
        compact(tsdb.store(), true);
        assert_eq!(read(&database), meddler.state.lock().1);
    }
}

#[test]
fn threads_that_write_lose_what_came_before_a_delete_and_keep_what_came_after() {
    const WRITES: i64 = 300;
    let (tsdb, database) = open(&SimFs::new(1));
    let moment = AtomicU64::new(0);
    let tick = || moment.fetch_add(1, Ordering::SeqCst);
    let (mut writes, mut deletes) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let (tick, database) = (&tick, &database);
        let writers: Vec<_> = (0..3)
            .map(|number| {
                scope.spawn(move || {
                    let write = |at: i64| {
                        let (host, begun) = (format!("h{number}"), tick());
                        write(database, &[(host.clone(), at * 1000, at)]);
                        ((host, at * 1000), at, begun, tick())
                    };
                    (0..WRITES).map(write).collect::<Vec<_>>()
                })
            })
            .collect();
        for _ in 0..20 {
            let begun = tick();
            database.delete(&request(odd(|| {}), None, TimeRange::ALL), NOW).unwrap();
            deletes.push((begun, tick()));
            tsdb.store().flush(None).unwrap();
        }
        writers.into_iter().for_each(|writer| writes.extend(writer.join().unwrap()));
    });
    let left = read(&database);
    for (row, value, begun, acknowledged) in writes {
        let is_before = deletes.iter().any(|(start, _)| acknowledged < *start);
        let is_after = deletes.iter().all(|(_, end)| *end < begun);
        let is_left = left.contains_key(&row);
        assert!(value % 2 != 0 || is_left, "{row:?} is even");
        assert!(value % 2 == 0 || !(is_before && is_left), "{row:?} came before");
        assert!(!is_after || is_left, "{row:?} came after");
    }
}

#[test]
fn spans_are_charged_from_when_they_are_found_until_they_are_purged() {
    const SPANS: i64 = 20_000;
    let (fs, budget) = (SimFs::new(1), Budget::new(1 << 30));
    let (tsdb, database) = open_within(&fs, &budget);
    for first in (0..2 * SPANS).step_by(1000) {
        let rows = (first..first + 1000).map(|at| ("a".to_owned(), at, at));
        write(&database, &rows.collect::<Vec<_>>());
    }
    let request = request(odd(|| {}), None, TimeRange::ALL);
    let spans_bytes = SPANS as u64 * SPAN_BYTES;
    // Room for a half of them, for all of them, for making the delete of them as well.
    for (room, is_enough) in [(spans_bytes / 2, false), (2 * spans_bytes, false), (1 << 24, true)] {
        let ceiling = budget.ceiling_bytes(Share::Deletes);
        let others = budget.reserve_anyway(Share::Other, ceiling - budget.total_bytes() - room);
        let done = database.delete(&request, NOW);
        drop(others);
        match done {
            Ok(_) => assert!(is_enough, "{room}"),
            Err(Error::Engine(firndb_engine::Error::Busy { .. })) => {
                assert!(!is_enough, "{room}");
                assert_eq!(budget.held_bytes(Share::Deletes), 0, "{room}");
                assert_eq!(read(&database).len() as i64, 2 * SPANS);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(read(&database).len() as i64, SPANS);
    let held = budget.held_bytes(Share::Deletes);
    assert!((spans_bytes..spans_bytes + 2000).contains(&held), "{held}");
    drop(database);
    tsdb.store().close().unwrap();
    drop(tsdb);
    assert_eq!(budget.held_bytes(Share::Deletes), 0);
    let (_tsdb, database) = open_within(&fs, &budget);
    assert_eq!(budget.held_bytes(Share::Deletes), held, "as before");
    purge(&database);
    assert_eq!(budget.held_bytes(Share::Deletes), 0);
    assert_eq!(read(&database).len() as i64, SPANS);
}

#[test]
fn spans_are_replaced_where_rows_changed() {
    let spans = |pairs: &[(i64, i64)]| -> Vec<TimeRange> {
        pairs.iter().map(|(start, end)| TimeRange::new(*start, *end)).collect()
    };
    type Pairs = &'static [(i64, i64)];
    let cases: [(Pairs, (i64, i64), Pairs, Pairs); 8] = [
        (&[], (1, 9), &[(2, 3)], &[(2, 3)]),
        (&[(10, 50)], (30, 30), &[], &[(10, 29), (31, 50)]),
        (&[(10, 50)], (30, 30), &[(30, 30)], &[(10, 50)]),
        (&[(10, 50)], (5, 60), &[], &[]),
        (&[(10, 20), (40, 50)], (15, 45), &[(30, 35)], &[(10, 14), (30, 35), (46, 50)]),
        (&[(10, 20), (40, 50)], (25, 30), &[(25, 25)], &[(10, 20), (25, 25), (40, 50)]),
        (&[(10, 20)], (21, 30), &[(21, 22)], &[(10, 22)]),
        (&[(10, 20)], (i64::MIN, i64::MAX), &[(1, 2)], &[(1, 2)]),
    ];
    for (old, range, new, expected) in cases {
        let range = TimeRange::new(range.0, range.1);
        assert_eq!(replaced(spans(old), range, &spans(new)), spans(expected), "{old:?} {range:?}");
    }
}
