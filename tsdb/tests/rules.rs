//! Retention rules, scene by scene: hidden at once, refused, dropped whole, rewritten, planned.

use std::sync::Arc;

use firndb_engine::fs::sim::{OpKind, SimFs};
use firndb_engine::options::Durability;
use firndb_tsdb::model::{TimeRange, Timestamp};
use firndb_tsdb::{
    Database, DeleteRequest, DeleteTarget, PolicyChange, PolicySpec, Reason, RollupLevel,
    RollupSpec, RuleKind, RuleScope, TagPredicate, Tsdb,
};
use regex::Regex;

use crate::truth::{NewPoint, Read, Value, options, read, write};

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;
/// A whole hour.
const NOW: i64 = 1_699_999_200_000_000_000;

fn point(series: &str, timestamp: i64) -> NewPoint {
    let mut parts = series.split(',');
    let name = parts.next().unwrap().to_owned();
    let pair = |tag: &str| tag.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap();
    let fields = vec![("f".to_owned(), Value::Integer(timestamp))];
    NewPoint { series: (name, parts.map(pair).collect()), timestamp, fields }
}

fn equal(key: &str, value: &str) -> Option<TagPredicate> {
    Some(TagPredicate::Equal(key.into(), value.into()))
}

fn scope(measurement: Option<&str>, tags: Option<TagPredicate>) -> RuleScope {
    RuleScope { policy: None, measurement: measurement.map(str::to_owned), tags }
}

fn hours(count: i64) -> RuleKind {
    RuleKind::Age(count * HOUR_NS)
}

/// A database `d` with partitions of an hour.
fn hourly(fs: &SimFs) -> (Tsdb, Arc<Database>) {
    let tsdb = Tsdb::open(options(fs, Durability::Always)).unwrap();
    let spec = PolicySpec { shard_duration_ns: Some(HOUR_NS), ..PolicySpec::default() };
    let database = tsdb.create_database("d", Some(spec)).unwrap();
    (tsdb, database)
}

/// Number of rows of a series that are seen at `now`.
fn rows(database: &Database, series: &str, now: Timestamp) -> usize {
    let how = Read { policy: "autogen", range: TimeRange::ALL, descending: false, now };
    let got = read(database, &point(series, 0).series, how);
    assert_eq!(
        got.len(),
        read(database, &point(series, 0).series, Read { descending: true, ..how }).len()
    );
    got.len()
}

fn partitions(tsdb: &Tsdb) -> usize {
    tsdb.store().keyspaces().iter().filter(|k| k.name.starts_with("points/")).count()
}

#[test]
fn rules_hide_and_refuse_at_once_and_only_shorten() {
    let fs = SimFs::new(1);
    let (tsdb, database) = hourly(&fs);
    let names = ["cpu,env=dev,host=a", "cpu,env=prod,host=b", "mem,env=dev,host=a", "mem"];
    let points: Vec<_> =
        names.iter().flat_map(|name| (0..10).map(|n| point(name, NOW - n * HOUR_NS))).collect();
    write(&database, None, &points, NOW).unwrap();
    let seen = |database: &Database| names.map(|name| rows(database, name, NOW));
    let add = |scope, kind| database.add_retention_rule(scope, kind).unwrap().id;
    let pattern = Regex::new("^[ab]$").unwrap();
    for _ in 0..2 {
        assert_eq!(seen(&database), [10; 4]);
        let dev = add(scope(Some("cpu"), equal("env", "dev")), hours(2));
        assert_eq!(seen(&database), [3, 10, 10, 10]);
        let mem = add(scope(Some("mem"), None), hours(5));
        assert_eq!(seen(&database), [3, 10, 6, 6]);
        let pattern = TagPredicate::Matches("host".into(), pattern.clone());
        let hosts = add(scope(None, Some(pattern)), hours(4));
        assert_eq!(seen(&database), [3, 5, 5, 6], "the shortest counts");
        let all = add(scope(None, None), hours(3));
        assert_eq!(seen(&database), [3, 4, 4, 4]);
        assert_eq!(add(scope(None, None), hours(9)), all, "the same points: the rule is changed");
        assert_eq!(seen(&database), [3, 5, 5, 6]);
        for id in [dev, mem, hosts, all] {
            database.drop_retention_rule(id).unwrap();
        }
        let error = database.drop_retention_rule(all).unwrap_err();
        assert_eq!(error.to_string(), format!("retention rule not found: {all}"));
        tsdb.store().flush(None).unwrap();
    }

    add(scope(None, equal("env", "dev")), hours(2));
    let late = NOW - 3 * HOUR_NS;
    let sent = [
        point("cpu,env=dev,host=a", late),
        point("cpu,env=dev,host=new", late),
        point("cpu,env=prod,host=b", late),
        point("cpu,env=dev,host=c", NOW),
        point("cpu,env=dev,host=c", NOW - 2 * HOUR_NS - 1),
    ];
    let got = write(&database, None, &sent, NOW).unwrap();
    let refused: Vec<_> = got.refused.iter().map(|r| (r.line, r.reason.to_string())).collect();
    let reason = "points beyond retention policy".to_owned();
    assert_eq!(refused, [(1, reason.clone()), (2, reason.clone()), (5, reason)]);
    let new = TagPredicate::Equal("host".into(), "new".into());
    assert!(database.series(None, Some(&new)).unwrap().is_empty(), "refused is not registered");
    // The series that came after the rule has joined it.
    assert_eq!(rows(&database, "cpu,env=dev,host=c", NOW + 2 * HOUR_NS), 1);
    assert_eq!(rows(&database, "cpu,env=dev,host=c", NOW + 2 * HOUR_NS + 1), 0);
    let got = write(&database, None, &sent[3..], NOW + 2 * HOUR_NS + 1).unwrap();
    assert_eq!(got.refused.len(), 2);
}

#[test]
fn rules_outlive_a_restart_and_policies_take_theirs_along() {
    let fs = SimFs::new(1);
    let (tsdb, database) = hourly(&fs);
    let spec = PolicySpec { name: Some("other".into()), ..PolicySpec::default() };
    database.create_policy(&spec).unwrap();
    let points = [point("cpu,env=dev", NOW - 3 * HOUR_NS), point("cpu,env=prod", NOW)];
    write(&database, None, &points, NOW).unwrap();
    let not_prod = TagPredicate::NotMatches("env".into(), Regex::new("prod").unwrap());
    database.add_retention_rule(scope(None, Some(not_prod)), hours(2)).unwrap();
    let other = RuleScope { policy: Some("other".into()), ..RuleScope::default() };
    database.add_retention_rule(other.clone(), RuleKind::DiskBytes(1)).unwrap();
    database.add_retention_rule(other, hours(2)).unwrap();
    let rules = database.retention_rules();
    assert_eq!(rules.iter().map(|rule| rule.id).collect::<Vec<_>>(), [1, 2, 3]);
    tsdb.store().close().unwrap();

    let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
    let database = tsdb.database("d").unwrap();
    assert_eq!(database.retention_rules(), rules);
    assert_eq!(rows(&database, "cpu,env=dev", NOW), 0);
    assert_eq!(rows(&database, "cpu,env=prod", NOW + 9 * HOUR_NS), 1);
    database.drop_policy("other").unwrap();
    assert_eq!(database.retention_rules(), rules[..1]);
    let again = database.add_retention_rule(scope(None, None), hours(5)).unwrap();
    assert_eq!(again.id, 4, "numbers are not used again");

    let refused = [
        (scope(None, None), RuleKind::Age(HOUR_NS - 1), "at least 1h0m0s"),
        (scope(None, None), RuleKind::DiskBytes(0), "room for a byte"),
        (scope(Some("cpu"), None), RuleKind::DiskBytes(9), "without FROM and WHERE"),
        (
            RuleScope { policy: Some("zz".into()), ..RuleScope::default() },
            hours(2),
            "not found: zz",
        ),
    ];
    for (scope, kind, expected) in refused {
        let error = database.add_retention_rule(scope, kind).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_shorter_policy_holds_at_once() {
    let fs = SimFs::new(1);
    let (tsdb, database) = hourly(&fs);
    let points: Vec<_> = (0..10).map(|n| point("m", NOW - n * HOUR_NS)).collect();
    write(&database, None, &points, NOW).unwrap();
    tsdb.store().flush(None).unwrap();
    let change = PolicyChange { duration_ns: Some(4 * HOUR_NS), ..PolicyChange::default() };
    database.alter_policy("autogen", &change).unwrap();
    assert_eq!(rows(&database, "m", NOW), 5);
    let got = write(&database, None, &points[5..], NOW).unwrap();
    assert_eq!((got.written, got.refused.len()), (0, 5));
    // The oldest hour that has points alive begins 4 hours before.
    assert_eq!(tsdb.maintain(NOW).unwrap().partitions_expired, 5);
    assert_eq!(partitions(&tsdb), 5);
}

/// Drops of partitions read no table, of whatever size these are, and are one edit.
#[test]
fn partitions_go_whole_without_a_read() {
    type Rules = Vec<(RuleScope, RuleKind)>;
    let both = || -> Rules {
        vec![(scope(Some("cpu"), None), hours(2)), (scope(Some("mem"), None), hours(3))]
    };
    let by_tag = || -> Rules {
        let parts = ["a", "b", ""].map(|env| equal("env", env));
        parts.into_iter().map(|tags| (scope(None, tags), hours(3))).collect()
    };
    let cases: [(&str, Rules); 4] = [
        ("the whole database", vec![(scope(None, None), hours(3))]),
        ("every measurement", both()),
        ("every value of a tag", by_tag()),
        ("by size", vec![(scope(None, None), RuleKind::DiskBytes(1))]),
    ];
    for (name, rules) in cases {
        let fs = SimFs::new(1);
        let (tsdb, database) = hourly(&fs);
        let series = ["cpu,env=a", "mem,env=a", "cpu,env=b", "mem"];
        let points = |n: i64| {
            let of = move |name: &&str| {
                let name = name.to_string();
                (0..100).map(move |s| point(&name, NOW - n * HOUR_NS + s * SECOND_NS))
            };
            series.iter().flat_map(of).collect::<Vec<_>>()
        };
        (0..6).for_each(|n| _ = write(&database, None, &points(n), NOW + HOUR_NS).unwrap());
        tsdb.store().flush(None).unwrap();
        assert_eq!(partitions(&tsdb), 6);
        for (scope, kind) in rules {
            database.add_retention_rule(scope, kind).unwrap();
        }
        let edits = |fs: &SimFs| {
            let of_manifest =
                |path: &&std::path::PathBuf| path.to_string_lossy().contains("MANIFEST");
            let path = fs.files().iter().find(of_manifest).unwrap().clone();
            fs.bytes(&path).unwrap().len()
        };
        let before = edits(&fs);
        fs.start_trace();
        let now = NOW + HOUR_NS;
        let report = tsdb.maintain(now).unwrap();
        let trace = fs.trace();
        let is_table =
            |op: &&firndb_engine::fs::sim::Op| op.path.extension().is_some_and(|e| e == "tbl");
        let reads = trace.iter().filter(is_table).filter(|op| op.kind == OpKind::Read).count();
        assert_eq!(reads, 0, "{name}");
        // Each edit is one sync.
        let manifest_syncs = trace
            .iter()
            .filter(|op| op.kind == OpKind::Sync && op.path.to_string_lossy().contains("MANIFEST"));
        let expected = if name == "by size" { 5 } else { 3 };
        assert_eq!(report.partitions_expired, expected, "{name}");
        // Partitions that closed meanwhile wrote edits of their own; here none is closed.
        assert_eq!((manifest_syncs.count(), report.partitions_closed), (1, 0), "{name}");
        assert!(edits(&fs) > before && report.bytes_expired > 0, "{name}");
        assert_eq!(partitions(&tsdb), 6 - expected as usize, "{name}");
    }
}

#[test]
fn closed_partitions_are_rewritten_once_per_rule() {
    let fs = SimFs::new(1);
    let (tsdb, database) = hourly(&fs);
    let name = |n: i64| format!("m,env={}", ["dev", "test", "prod", "prod"][n as usize]);
    let all: Vec<_> = (0..400)
        .map(|n| {
            // Those of dev and test take more room, each well above a fourth of what is left.
            let uneven = if n % 4 < 2 { n * n % 7 * 1000 } else { 0 };
            let timestamp = NOW + n * 5 * SECOND_NS + uneven;
            point(&format!("{},host={}", name(n % 4), n % 4), timestamp)
        })
        .collect();
    write(&database, None, &all, NOW + HOUR_NS).unwrap();
    assert_eq!(tsdb.maintain(NOW + 2 * HOUR_NS).unwrap().partitions_closed, 1);
    let chunks = || -> u64 {
        let store = tsdb.store();
        let points = store.keyspaces().into_iter().find(|k| k.name.starts_with("points/")).unwrap();
        store.view(points.id).unwrap().tables().iter().map(|table| table.entries).sum()
    };
    assert_eq!(chunks(), 4);
    let dev = database.add_retention_rule(scope(None, equal("env", "dev")), hours(4)).unwrap();
    database.add_retention_rule(scope(None, equal("env", "test")), hours(9)).unwrap();
    let mut trimmed = Vec::new();
    for hour in 3..14 {
        let report = tsdb.maintain(NOW + hour * HOUR_NS + 1).unwrap();
        if report.partitions_trimmed > 0 {
            assert!(report.bytes_trimmed > 0);
            trimmed.push((hour, chunks()));
        }
    }
    assert_eq!(trimmed, [(5, 3), (10, 2)], "each once, when its age is over");
    let seen = |now: Timestamp| -> Vec<usize> {
        (0..4).map(|n| rows(&database, &format!("{},host={n}", name(n)), now)).collect()
    };
    assert_eq!(seen(NOW), [0, 0, 100, 100]);
    // What was trimmed does not come back with the rule gone; what was not does.
    database.drop_retention_rule(dev.id).unwrap();
    assert_eq!(seen(NOW), [0, 0, 100, 100]);
    let few = database.add_retention_rule(scope(None, equal("host", "3")), hours(1)).unwrap();
    assert_eq!(seen(NOW + 9 * HOUR_NS), [0, 0, 100, 0]);
    database.drop_retention_rule(few.id).unwrap();
    assert_eq!(seen(NOW + 9 * HOUR_NS), [0, 0, 100, 100]);

    // Too little to be worth it: a part of an eighth.
    let more: Vec<_> =
        (0..4).map(|n| point(&format!("m,env=prod,host=x{n}"), NOW + n * SECOND_NS)).collect();
    write(&database, None, &more, NOW).unwrap();
    tsdb.maintain(NOW + 15 * HOUR_NS).unwrap();
    database.add_retention_rule(scope(None, equal("host", "x1")), hours(1)).unwrap();
    for hour in 15..20 {
        assert_eq!(tsdb.maintain(NOW + hour * HOUR_NS).unwrap().partitions_trimmed, 0);
    }
}

#[test]
fn the_oldest_partitions_go_until_the_rest_fits() {
    let fs = SimFs::new(1);
    let (tsdb, database) = hourly(&fs);
    let spec = PolicySpec {
        name: Some("other".into()),
        shard_duration_ns: Some(HOUR_NS),
        ..PolicySpec::default()
    };
    database.create_policy(&spec).unwrap();
    for n in 0..8 {
        let points: Vec<_> =
            (0..200).map(|s| point("m", NOW + n * HOUR_NS + s * SECOND_NS)).collect();
        let policy = if n % 2 == 0 { "autogen" } else { "other" };
        write(&database, Some(policy), &points, NOW + 9 * HOUR_NS).unwrap();
    }
    tsdb.store().flush(None).unwrap();
    let planned = |database: &Database| database.retention_plan(NOW).unwrap();
    let bytes: u64 = planned(&database).partitions.iter().map(|p| p.bytes).sum();
    let left = |database: &Database| {
        let mut left: Vec<_> = planned(database)
            .partitions
            .iter()
            .map(|p| ((p.start - NOW) / HOUR_NS, p.policy.clone()))
            .collect();
        left.sort();
        left.into_iter().map(|(hour, _)| hour).collect::<Vec<_>>()
    };
    let limit = |bytes| RuleKind::DiskBytes(bytes);
    database.add_retention_rule(scope(None, None), limit(bytes)).unwrap();
    assert_eq!(tsdb.maintain(NOW).unwrap().partitions_expired, 0);
    database.add_retention_rule(scope(None, None), limit(bytes * 3 / 4)).unwrap();
    let rule = planned(&database).rules[0].clone();
    assert_eq!((rule.bytes, rule.bytes_expired), (bytes, bytes - bytes * 3 / 4));
    assert_eq!(tsdb.maintain(NOW).unwrap().partitions_expired, 2);
    assert_eq!(left(&database), [2, 3, 4, 5, 6, 7]);
    let other = RuleScope { policy: Some("other".into()), ..RuleScope::default() };
    database.add_retention_rule(other, limit(1)).unwrap();
    assert_eq!(tsdb.maintain(NOW).unwrap().partitions_expired, 2);
    assert_eq!(left(&database), [2, 4, 6, 7], "the newest of the policy stays");
    database.add_retention_rule(scope(None, None), limit(1)).unwrap();
    assert_eq!(tsdb.maintain(NOW).unwrap().partitions_expired, 2);
    assert_eq!(left(&database), [6, 7]);
    assert_eq!(tsdb.maintain(NOW).unwrap().partitions_expired, 0);
}

/// The clock steps through the plan: each partition goes at the moment it says, and not before.
#[test]
fn maintenance_does_what_the_plan_says() {
    let fs = SimFs::new(1);
    let (tsdb, database) = hourly(&fs);
    let spec = PolicySpec {
        name: Some("short".into()),
        duration_ns: Some(30 * HOUR_NS),
        shard_duration_ns: Some(HOUR_NS),
        ..PolicySpec::default()
    };
    database.create_policy(&spec).unwrap();
    for n in 0..12 {
        let names: &[&str] = match n % 3 {
            0 => &["cpu,env=dev"],
            1 => &["cpu,env=dev", "cpu,env=prod"],
            _ => &["cpu,env=prod", "mem"],
        };
        let points: Vec<_> = names.iter().map(|name| point(name, NOW + n * HOUR_NS)).collect();
        let policy = if n % 2 == 0 { "autogen" } else { "short" };
        write(&database, Some(policy), &points, NOW + 12 * HOUR_NS).unwrap();
    }
    tsdb.store().flush(None).unwrap();
    let rules = [
        (scope(None, equal("env", "dev")), hours(20)),
        (scope(Some("cpu"), None), hours(25)),
        (RuleScope { policy: Some("short".into()), ..scope(Some("mem"), None) }, hours(28)),
        (scope(None, equal("env", "nothing")), hours(2)),
    ];
    for (scope, kind) in rules {
        database.add_retention_rule(scope, kind).unwrap();
    }
    let plan = database.retention_plan(NOW + 12 * HOUR_NS).unwrap();
    let series: Vec<u64> = plan.rules.iter().map(|rule| rule.series).collect();
    assert_eq!(series, [1, 2, 1, 0]);
    assert!(plan.rules.iter().take(3).all(|rule| rule.bytes > 0 && rule.bytes_expired == 0));
    let reasons: Vec<_> =
        plan.partitions.iter().map(|p| (p.policy.as_str(), p.reason.clone())).collect();
    assert_eq!(reasons[0], ("autogen", Some(Reason::Rules(vec![1]))), "only env=dev");
    assert!(reasons.contains(&("autogen", Some(Reason::Rules(vec![1, 2])))));
    assert!(reasons.contains(&("autogen", None)), "mem stays under autogen");
    assert!(reasons.contains(&("short", Some(Reason::Rules(vec![2, 3])))));
    let mut moments: Vec<_> = plan.partitions.iter().filter_map(|p| p.goes_at).collect();
    moments.sort();
    moments.dedup();
    assert!(moments.len() > 4);
    for at in moments {
        let count = |now| tsdb.maintain(now).unwrap().partitions_expired;
        // Trims only make partitions smaller: what the plan said of the whole still holds.
        let going = plan.partitions.iter().filter(|p| p.goes_at == Some(at)).count() as u64;
        assert_eq!((count(at - 1), count(at)), (0, going));
        let still = database.retention_plan(at).unwrap();
        let expected = plan.partitions.iter().filter(|p| p.goes_at.is_none_or(|goes| goes > at));
        assert_eq!(still.partitions.len(), expected.count());
    }
    assert_eq!(partitions(&tsdb), 2, "those with mem under autogen");
}

#[test]
fn what_a_dropped_rule_took_is_not_built_again_from_what_is_left() {
    let fs = SimFs::new(1);
    let (tsdb, database) = hourly(&fs);
    let level = RollupLevel { every_ns: HOUR_NS, keep_ns: None };
    database.create_rollup(&RollupSpec { levels: vec![level], ..RollupSpec::default() }).unwrap();
    let names = ["m,env=dev,host=a", "m,env=prod,host=b"];
    let points: Vec<_> = (0..24)
        .flat_map(|n| names.map(|name| point(name, NOW + n * HOUR_NS / 4 + SECOND_NS)))
        .collect();
    write(&database, None, &points, NOW).unwrap();
    let later = NOW + 24 * HOUR_NS;
    tsdb.maintain(later).unwrap();
    let dev = database.add_retention_rule(scope(None, equal("env", "dev")), hours(20)).unwrap();
    for _ in 0..20 {
        tsdb.maintain(later).unwrap(); // builds, closes, trims
    }
    database.drop_retention_rule(dev.id).unwrap();
    assert_eq!(names.map(|name| rows(&database, name, later)), [8, 24], "four hours are gone");

    let delete = |database: &Database, name: &str, from: i64, to: i64| {
        let request = DeleteRequest {
            policy: None,
            targets: vec![DeleteTarget {
                measurement: "m".into(),
                tags: equal("host", name),
                rows: None,
            }],
            range: TimeRange::new(NOW + from * HOUR_NS / 4, NOW + to * HOUR_NS / 4 - 1),
            fields: None,
            statement: String::new(),
        };
        database.delete(&request, later).map(|_| ()).map_err(|error| error.to_string())
    };
    drop((tsdb, database));
    for round in 0..2 {
        let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
        let database = tsdb.database("d").unwrap();
        let late = |name: &str, hour: i64| {
            let late = point(name, NOW + hour * HOUR_NS + (9 + round) * SECOND_NS);
            write(&database, None, &[late], later).unwrap().refused.len()
        };
        let refused = [(names[0], 2), (names[0], 5), (names[1], 2)].map(|(name, h)| late(name, h));
        assert_eq!(refused, [1, 0, 0], "only where its neighbours are gone");
        // A series that has no points yet has no neighbours either.
        assert_eq!(late(&format!("m,env=dev,host=new{round}"), 2), 0);
        let error = delete(&database, "a", 1, 3).unwrap_err();
        assert!(error.contains("only whole buckets can be deleted"), "{error}");
        delete(&database, "b", 1, 3).unwrap();
        delete(&database, "a", 4, 8).unwrap();
        tsdb.maintain(later).unwrap();
    }
}
