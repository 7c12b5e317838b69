//! The write stage and the questions about series, scene by scene.

use firndb_engine::fs::sim::SimFs;
use firndb_engine::options::Durability;
use firndb_engine::store::CompactOptions;
use firndb_tsdb::model::{FieldType, TimeRange};
use firndb_tsdb::{
    Limits, MeasurementFilter, NameFilter, PolicyChange, PolicySpec, TagPredicate, Tsdb,
    WriteSummary,
};
use regex::Regex;

use crate::truth::{NewPoint, Read, Rows, Value, options, read, write};

const NOW: i64 = 1_700_000_000_000_000_000;
const HOUR_NS: i64 = 3_600_000_000_000;

fn point(series: &str, timestamp: i64, fields: &[(&str, Value)]) -> NewPoint {
    let mut parts = series.split(',');
    let name = parts.next().unwrap().to_owned();
    let pair = |tag: &str| tag.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap();
    let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    NewPoint { series: (name, parts.map(pair).collect()), timestamp, fields }
}

fn float(value: f64) -> Value {
    Value::Float(value.to_bits())
}

fn reasons(summary: &WriteSummary) -> Vec<(u32, String)> {
    summary.refused.iter().map(|r| (r.line, r.reason.to_string())).collect()
}

fn open(limits: Limits) -> Tsdb {
    let mut options = options(&SimFs::new(1), Durability::Always);
    options.limits = limits;
    Tsdb::open(options).unwrap()
}

fn rows(tsdb: &Tsdb, series: &str) -> Rows {
    let database = tsdb.database("d").unwrap();
    let range = TimeRange::ALL;
    let how = Read { policy: "autogen", range, descending: false, now: NOW };
    read(&database, &point(series, 0, &[]).series, how)
}

#[test]
fn the_write_stage_answers_as_the_contract_says() {
    let conflict = |given: &str| {
        format!(
            "field type conflict: input field \"f\" on measurement \"m\" is type {given}, \
             already exists as type float"
        )
    };
    let (one, two) = (float(1.0), float(2.0));
    let tsdb = open(Limits::default());
    let database = tsdb.create_database("d", None).unwrap();
    let send = |points: &[NewPoint]| write(&database, None, points, NOW).unwrap();

    let got = send(&[point("m", 1, &[("f", one.clone())])]);
    assert_eq!((got.written, got.refused.len()), (1, 0));
    let got = send(&[point("m", 1, &[("f", Value::Integer(1))])]);
    assert_eq!(reasons(&got), [(1, conflict("integer"))]);
    let got = send(&[
        point("m", 1, &[("f", Value::Integer(1))]),
        point("m,h=z", 7, &[("f", one.clone())]),
    ]);
    assert_eq!((got.written, reasons(&got)), (1, vec![(1, conflict("integer"))]));

    let got = send(&[point("new", 1, &[("f", one.clone()), ("f", Value::Integer(2))])]);
    assert_eq!(got.refused.len(), 1);
    assert_eq!(database.measurement("new"), None, "nothing of a refused point is registered");
    let got = send(&[point("m", 5, &[("f", one.clone()), ("f", two.clone())])]);
    assert_eq!(got.written, 1);
    send(&[point("m", 6, &[("f", one.clone())]), point("m", 6, &[("f", two.clone())])]);
    send(&[point("m", 6, &[("g", Value::Boolean(true))])]);
    let seen = rows(&tsdb, "m");
    assert_eq!(seen[&5].get("f"), Some(&two));
    assert_eq!(seen[&6].len(), 2);
    assert_eq!(seen[&6].get("f"), Some(&two));

    let got = send(&[
        point("m", 1, &[("time", one.clone())]),
        point("m", 8, &[("time", one.clone()), ("f", two.clone())]),
        point("m,time=1", 1, &[("f", two.clone())]),
        point("m,_field=x", 1, &[("f", two.clone())]),
        point("m,_measurement=x", 1, &[("f", two.clone())]),
    ]);
    let invalid =
        |tag: &str| format!("invalid tag key: input tag \"{tag}\" on measurement \"m\" is invalid");
    let time = "invalid field name: input field \"time\" on measurement \"m\" is invalid";
    let expected = [
        (1, time.to_owned()),
        (3, invalid("time")),
        (4, invalid("_field")),
        (5, invalid("_measurement")),
    ];
    assert_eq!((got.written, reasons(&got)), (1, expected.to_vec()));
    assert_eq!(
        got.stripped[0].reason.to_string(),
        format!("{time}. Field \"time\" has been stripped from point.")
    );
    assert_eq!(rows(&tsdb, "m")[&8].get("f"), Some(&two));

    let long = "x".repeat((1 << 20) + 1);
    let got = send(&[point("m", 9, &[("s", Value::Text(long))])]);
    let text = "input field \"s\" on measurement \"m\" is too long, 1048577 > 1048576";
    assert_eq!(reasons(&got), [(1, text.to_owned())]);
    let series = format!("m,t={}", "x".repeat(65_532));
    let got = send(&[point(&series, 9, &[("f", one.clone())])]);
    assert_eq!(reasons(&got), [(1, "max key length exceeded: 65536 > 65535".to_owned())]);
    let series = format!("m,t={}", "x".repeat(65_531));
    assert_eq!(send(&[point(&series, 9, &[("f", one)])]).written, 1, "the longest there is");
    tsdb.store().flush(None).unwrap();
    assert_eq!(rows(&tsdb, &series).len(), 1);
}

#[test]
fn limits_hold_for_new_series_only() {
    let limits = Limits {
        series_max: Some(2),
        values_per_tag_max: Some(1),
        fields_per_measurement_max: 2,
        ..Limits::default()
    };
    let tsdb = open(limits);
    let database = tsdb.create_database("d", None).unwrap();
    let send = |points: &[NewPoint]| write(&database, None, points, NOW).unwrap();
    let f = [("f", float(1.0))];
    let got = send(&[
        point("m,h=a", 1, &f),
        point("m,h=b", 1, &f),
        point("m", 1, &f),
        point("n", 1, &f),
        point("m,h=a", 2, &[("g", float(1.0))]),
        point("m,h=a", 2, &[("h", float(1.0))]),
    ]);
    let expected = [
        "max-values-per-tag limit exceeded (1/1): measurement=\"m\" tag=\"h\" value=\"b\"",
        "max-series-per-database exceeded database=d limit=2 series=2 keys=1",
        "max-fields-per-measurement limit exceeded (2/2): measurement=\"m\" field=\"h\"",
    ];
    assert_eq!(reasons(&got).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), expected);
    assert_eq!((got.written, database.series_count()), (3, 2));
    assert_eq!(send(&[point("m,h=a", 3, &f)]).written, 1);
    database.drop_series(Some("m"), None).unwrap();
    assert_eq!(send(&[point("m,h=b", 3, &f)]).written, 1, "room again");
}

#[test]
fn retention_hides_refuses_and_drops() {
    let tsdb = open(Limits::default());
    let spec = PolicySpec { duration_ns: Some(HOUR_NS), ..PolicySpec::default() };
    let database = tsdb.create_database("d", Some(spec.clone())).unwrap();
    let f = [("f", float(1.0))];
    let points = [point("m", NOW - HOUR_NS, &f), point("m", NOW - HOUR_NS - 1, &f)];
    let got = write(&database, None, &points, NOW).unwrap();
    assert_eq!(reasons(&got), [(2, "points beyond retention policy".to_owned())]);
    let how = |now| Read { policy: "autogen", range: TimeRange::ALL, descending: true, now };
    for _ in 0..2 {
        assert_eq!(read(&database, &points[0].series, how(NOW)).len(), 1);
        assert_eq!(read(&database, &points[0].series, how(NOW + 1)).len(), 0, "hidden at once");
        tsdb.store().flush(None).unwrap();
    }
    assert_eq!(tsdb.maintain(NOW).unwrap().partitions_expired, 0);
    assert_eq!(tsdb.maintain(NOW + 3 * HOUR_NS).unwrap().partitions_expired, 1);
    assert!(tsdb.store().keyspaces().iter().all(|k| !k.name.starts_with("points/")));

    assert!(tsdb.create_database("d", Some(spec)).is_ok(), "the same again");
    let other = PolicySpec { duration_ns: Some(2 * HOUR_NS), ..PolicySpec::default() };
    let error = tsdb.create_database("d", Some(other)).unwrap_err();
    assert_eq!(error.to_string(), "retention policy conflicts with an existing policy");
    let change = PolicyChange { duration_ns: Some(1), ..PolicyChange::default() };
    let error = database.alter_policy("autogen", &change).unwrap_err();
    assert_eq!(error.to_string(), "retention policy duration must be at least 1h0m0s");
    let error = database.drop_policy("zz").unwrap_err();
    assert_eq!(error.to_string(), "retention policy not found: zz");
    database.drop_policy("autogen").unwrap();
    assert!(write(&database, None, &points, NOW).is_err());
}

#[test]
fn closed_windows_become_final_and_can_be_written_again() {
    let tsdb = open(Limits::default());
    let spec = PolicySpec { shard_duration_ns: Some(HOUR_NS), ..PolicySpec::default() };
    let database = tsdb.create_database("d", Some(spec)).unwrap();
    let start = NOW / HOUR_NS * HOUR_NS;
    for n in 0..3 {
        let at = start + n * 1_000_000_000;
        write(&database, None, &[point("m", at, &[("f", float(n as f64))])], at).unwrap();
        tsdb.store().flush(None).unwrap();
    }
    assert_eq!(tsdb.maintain(start).unwrap().partitions_closed, 0);
    let later = start + 2 * HOUR_NS;
    assert_eq!(tsdb.maintain(later).unwrap().partitions_closed, 1);
    assert_eq!(tsdb.maintain(later + 1).unwrap().partitions_closed, 0, "once");
    assert_eq!(rows(&tsdb, "m").len(), 3);
    let late = [point("m", start + 1, &[("f", float(9.0))])];
    write(&database, None, &late, later).unwrap();
    assert_eq!(tsdb.maintain(later + 1).unwrap().partitions_closed, 0, "it rests first");
    assert_eq!(tsdb.maintain(later + HOUR_NS).unwrap().partitions_closed, 1);
    assert_eq!(rows(&tsdb, "m").len(), 4);
}

#[test]
fn questions_about_series() {
    let tsdb = open(Limits::default());
    let database = tsdb.create_database("d", None).unwrap();
    let f = [("f", float(1.0))];
    let names =
        ["cpu,host=a,region=eu", "cpu,host=b,region=us", "cpu,host=ab", "cpu", "mem,host=a"];
    let points: Vec<_> = names.iter().map(|name| point(name, 1, &f)).collect();
    write(&database, None, &points, NOW).unwrap();
    write(&database, None, &[point("mem", 1, &[("n", Value::Integer(1))])], NOW).unwrap();
    let regex = |text: &str| Regex::new(text).unwrap();
    let equal = |key: &str, value: &str| TagPredicate::Equal(key.into(), value.into());
    use TagPredicate::{And, False, Matches, NotEqual, NotMatches, Or, True};
    let cases: [(TagPredicate, &[u32]); 13] = [
        (True, &[0, 1, 2, 3]),
        (False, &[]),
        (equal("host", "a"), &[0]),
        (equal("host", ""), &[3]),
        (equal("nokey", ""), &[0, 1, 2, 3]),
        (NotEqual("host".into(), "a".into()), &[1, 2, 3]),
        (NotEqual("region".into(), String::new()), &[0, 1]),
        (Matches("host".into(), regex("^a")), &[0, 2]),
        (Matches("host".into(), regex("^b?$")), &[1, 3]),
        (NotMatches("host".into(), regex("a")), &[1, 3]),
        (And(vec![equal("region", ""), Matches("host".into(), regex("."))]), &[2]),
        (Or(vec![equal("host", "b"), equal("host", "")]), &[1, 3]),
        (And(vec![]), &[0, 1, 2, 3]),
    ];
    for (condition, expected) in cases {
        let got: Vec<u32> = (database.series(Some("cpu"), Some(&condition)).unwrap().iter())
            .map(|series| series.0)
            .collect();
        assert_eq!(got, expected, "{condition:?}");
    }
    assert_eq!(database.series(None, Some(&equal("host", "a"))).unwrap().len(), 2);
    assert_eq!(database.tag_keys("cpu", None).unwrap(), ["host", "region"]);
    assert_eq!(database.tag_keys("cpu", Some(&equal("host", "ab"))).unwrap(), ["host"]);
    assert_eq!(database.tag_values("cpu", "host", None).unwrap(), ["a", "ab", "b"]);
    let in_us = equal("region", "us");
    assert_eq!(database.tag_values("cpu", "host", Some(&in_us)).unwrap(), ["b"]);
    let filter = MeasurementFilter { name: None, tags: Some(in_us) };
    assert_eq!(database.measurements(&filter).unwrap(), ["cpu"]);
    let name = Some(NameFilter::Matches(regex("(?i)M")));
    let filter = MeasurementFilter { name, tags: None };
    assert_eq!(database.measurements(&filter).unwrap(), ["mem"]);
    let info = database.measurement("mem").unwrap();
    assert_eq!(info.field("n").unwrap().field_type, FieldType::Integer);
    assert_eq!(info.fields.len(), 2);

    let chunks = || -> u64 {
        let store = tsdb.store();
        let partitions = store.keyspaces().into_iter().filter(|k| k.name.starts_with("points/"));
        let tables = partitions.flat_map(|k| store.view(k.id).unwrap().tables());
        tables.map(|table| table.entries).sum()
    };
    tsdb.store().flush(None).unwrap();
    assert_eq!(chunks(), 6);
    database.drop_measurement("cpu").unwrap();
    assert_eq!(database.series_count(), 2);
    let options = CompactOptions { is_final: true };
    tsdb.store().compact(None, options, &|| false).unwrap();
    assert_eq!(chunks(), 2, "chunks of dropped series go with a compaction");
    assert_eq!(tsdb.maintain(NOW).unwrap().series_swept, 4);
    write(&database, None, &points[..1], NOW).unwrap();
    assert_eq!(database.tag_values("cpu", "host", None).unwrap(), ["a"]);
    assert_eq!(database.series(Some("cpu"), None).unwrap()[0].0, 6, "numbers are not reused");
    assert_eq!(rows(&tsdb, names[0]).len(), 1);
}

#[test]
fn several_writers_give_a_series_one_number() {
    let fs = SimFs::new(1);
    let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    let database = tsdb.create_database("d", None).unwrap();
    let names: Vec<String> = (0..50).map(|n| format!("m{},t=v{n}", n % 5)).collect();
    std::thread::scope(|scope| {
        for writer in 0..4i64 {
            let (database, names) = (&database, &names);
            scope.spawn(move || {
                for round in 0..20 {
                    let first = (writer * 13 + round * 7) as usize;
                    let field = format!("f{}", round % 3);
                    let points: Vec<_> = (0..10)
                        .map(|n| {
                            let name = &names[(first + n) % names.len()];
                            point(name, round, &[(&field, Value::Integer(round))])
                        })
                        .collect();
                    let got = write(database, None, &points, NOW).unwrap();
                    assert_eq!(got.written, 10);
                }
            });
        }
    });
    let check = |tsdb: &Tsdb| {
        let database = tsdb.database("d").unwrap();
        let series = database.series(None, None).unwrap();
        assert_eq!((series.len(), database.series_count()), (names.len(), names.len() as u64));
        for name in ["m0", "m1", "m2", "m3", "m4"] {
            assert_eq!(database.tag_values(name, "t", None).unwrap().len(), 10);
            assert_eq!(database.measurement(name).unwrap().fields.len(), 3);
        }
        names.iter().map(|name| rows(tsdb, name)).collect::<Vec<_>>()
    };
    let before = check(&tsdb);
    tsdb.store().close().unwrap();
    drop((database, tsdb));
    let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    assert_eq!(check(&tsdb), before);
}

#[test]
fn long_series_are_cut_merged_and_closed_again() {
    let tsdb = open(Limits::default());
    let database = tsdb.create_database("d", None).unwrap();
    let week = 7 * 24 * HOUR_NS;
    let start = NOW / week * week;
    let row = |n: i64| point("m", start + n * 1_000_000_000, &[("f", Value::Integer(n))]);
    let send = |rows: Vec<i64>| {
        let points: Vec<_> = rows.into_iter().map(row).collect();
        write(&database, None, &points, NOW).unwrap();
        tsdb.store().flush(None).unwrap();
    };
    let finish = || {
        let options = CompactOptions { is_final: true };
        tsdb.store().compact(None, options, &|| false).unwrap();
        let store = tsdb.store();
        let points = store.keyspaces().into_iter().find(|k| k.name.starts_with("points/"));
        let tables = store.view(points.unwrap().id).unwrap().tables();
        tables.iter().map(|table| table.entries).collect::<Vec<_>>()
    };
    send((0..10_000).collect());
    send((5_000..15_000).rev().filter(|n| *n != 14_000).collect());
    send((0..20_000).step_by(3).collect());
    assert_eq!(finish(), [3], "16 666 rows in chunks of 8192");
    send(vec![14_000]);
    assert_eq!(finish(), [3]);
    let expected: Vec<i64> = (0..20_000)
        .filter(|n| *n < 15_000 || n % 3 == 0)
        .map(|n| start + n * 1_000_000_000)
        .collect();
    assert_eq!(rows(&tsdb, "m").into_keys().collect::<Vec<_>>(), expected);
}
