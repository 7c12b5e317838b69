//! Rollups against points: random histories, and every covered bucket computed literally.
//!
//! The truth never forgets a point that was taken, however old: a bucket outlives its points.

use std::collections::{BTreeMap, BTreeSet};

use firndb_engine::fs::sim::{Rng, SimFs};
use firndb_engine::options::Durability;
use firndb_engine::store::CompactOptions;
use firndb_tsdb::model::{FieldId, FieldType, MeasurementId, SeriesId, TimeRange, Timestamp};
use firndb_tsdb::rollup::column::{self, Part};
use firndb_tsdb::{
    Database, DeleteRequest, DeleteTarget, FieldInfo, Piece, PolicyChange, PolicySpec, Rollup,
    RollupLevel, RollupSpec, ScanRequest, TagPredicate, Tsdb,
};

use crate::history::random_series;
use crate::truth::{
    NewPoint, Read, Rows, SeriesName, Truth, Value, options, read, through_backup, write,
};

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DATABASE: &str = "alps";
const SHORT: &str = "short";

/// What a bucket says of one field: the parts by number, sums of integers put together.
pub type Bucket = BTreeMap<FieldId, (Value, Option<i128>)>;

/// Values that add exactly.
fn random_value(rng: &mut Rng, number: u64) -> Value {
    match number % 5 {
        0 => Value::Float((rng.below(800) as f64 / 8.0 - 50.0).to_bits()),
        1 if rng.one_in(20) => Value::Integer(i64::MAX - rng.below(3) as i64),
        1 => Value::Integer(rng.below(200) as i64 - 100),
        2 if rng.one_in(20) => Value::Unsigned(u64::MAX - rng.below(3)),
        2 => Value::Unsigned(rng.below(1000)),
        3 => Value::Boolean(rng.one_in(2)),
        _ => Value::Text("snow".repeat(rng.below(4) as usize)),
    }
}

pub fn random_rolled_point(rng: &mut Rng, now: Timestamp) -> NewPoint {
    let timestamp = match rng.below(30) {
        0 => now - rng.below(9 * HOUR_NS as u64) as i64,
        1 | 2 => now - rng.below(600) as i64 * SECOND_NS,
        3 => now + rng.below(3600) as i64 * SECOND_NS,
        _ => now / SECOND_NS * SECOND_NS - rng.below(4) as i64 * SECOND_NS,
    };
    let count = 1 + rng.below(5);
    let fields = (0..count).map(|_| {
        let number = rng.below(6);
        (format!("f{number}"), random_value(rng, number))
    });
    NewPoint { fields: fields.collect(), series: random_series(rng), timestamp }
}

fn sum_of(values: &[&Value]) -> Option<(Value, Option<i128>)> {
    Some(match values[0] {
        Value::Float(_) => {
            let of = |value: &&Value| match value {
                Value::Float(bits) => f64::from_bits(*bits),
                other => panic!("{other:?} among floats"),
            };
            (Value::Float(values.iter().map(of).sum::<f64>().to_bits()), None)
        }
        Value::Integer(_) | Value::Unsigned(_) => {
            let of = |value: &&Value| match value {
                Value::Integer(v) => i128::from(*v),
                Value::Unsigned(v) => i128::from(*v),
                other => panic!("{other:?} among numbers"),
            };
            let sum: i128 = values.iter().map(of).sum();
            match values[0] {
                Value::Integer(_) => (Value::Integer(sum as i64), Some(sum)),
                _ => (Value::Unsigned(sum as u64), Some(sum)),
            }
        }
        Value::Boolean(_) => {
            let trues = values.iter().filter(|value| ***value == Value::Boolean(true)).count();
            (Value::Integer(trues as i64), None)
        }
        Value::Text(_) => return None,
    })
}

fn is_less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => f64::from_bits(*a) < f64::from_bits(*b),
        (Value::Integer(a), Value::Integer(b)) => a < b,
        (Value::Unsigned(a), Value::Unsigned(b)) => a < b,
        _ => panic!("{a:?} beside {b:?}"),
    }
}

/// What a bucket must say, from its points.
fn bucket_of(rows: &Rows, fields: &[FieldInfo], range: TimeRange) -> Bucket {
    let mut bucket = Bucket::new();
    for field in fields {
        let mut values: Vec<(Timestamp, &Value)> = Vec::new();
        for (timestamp, row) in rows.range(range.start..=range.end) {
            values.extend(row.get(&field.name).map(|value| (*timestamp, value)));
        }
        let (Some(first), Some(last)) = (values.first(), values.last()) else { continue };
        let all: Vec<&Value> = values.iter().map(|(_, value)| *value).collect();
        let mut put = |part, value: Value| {
            bucket.insert(column::id(field.id, part), (value, None));
        };
        put(Part::Count, Value::Integer(all.len() as i64));
        put(Part::First, first.1.clone());
        put(Part::Last, last.1.clone());
        put(Part::FirstAt, Value::Integer(first.0 - range.start));
        put(Part::LastAt, Value::Integer(last.0 - range.start));
        if !matches!(field.field_type, FieldType::Boolean | FieldType::String) {
            let min = all.iter().copied().reduce(|a, b| if is_less(b, a) { b } else { a });
            let max = all.iter().copied().reduce(|a, b| if is_less(a, b) { b } else { a });
            put(Part::Min, min.unwrap().clone());
            put(Part::Max, max.unwrap().clone());
        }
        if let Some(sum) = sum_of(&all) {
            bucket.insert(column::id(field.id, Part::Sum), sum);
        }
    }
    bucket
}

/// The rows of a level, normal: without what is counted to 0, sums put together.
pub fn buckets(
    database: &Database,
    class: &str,
    (measurement, series): (MeasurementId, SeriesId),
    fields: &[FieldInfo],
    range: TimeRange,
    now: Timestamp,
) -> BTreeMap<Timestamp, Bucket> {
    let ids: Vec<FieldId> = fields
        .iter()
        .flat_map(|field| Part::ALL.iter().map(|part| column::id(field.id, *part)))
        .collect();
    let request = ScanRequest {
        policy: Some(class),
        measurement,
        series: &[series],
        fields: &ids,
        range,
        descending: false,
        now,
    };
    let scan = database.scan(&request).unwrap();
    let mut pieces = scan.series(0).unwrap();
    let all: Vec<usize> = (0..ids.len()).collect();
    let mut found = BTreeMap::new();
    while let Some(piece) = pieces.next_piece().unwrap() {
        let columns = match piece {
            Piece::Rows(columns) => columns,
            Piece::Chunk(chunk) => chunk.load(&all, TimeRange::ALL).unwrap(),
        };
        for (row, timestamp) in columns.timestamps.iter().enumerate() {
            let values: BTreeMap<FieldId, Value> = (columns.columns.iter())
                .filter_map(|column| Some((column.field, Value::of(column, row)?)))
                .collect();
            let bucket = normal(&values, fields);
            if !bucket.is_empty() {
                found.insert(*timestamp, bucket);
            }
        }
    }
    found
}

fn normal(values: &BTreeMap<FieldId, Value>, fields: &[FieldInfo]) -> Bucket {
    let mut bucket = Bucket::new();
    for field in fields {
        let of = |part| values.get(&column::id(field.id, part));
        if matches!(of(Part::Count), None | Some(Value::Integer(0))) {
            continue;
        }
        for part in Part::ALL {
            let Some(value) = of(part) else { continue };
            let high = match of(Part::SumHigh) {
                Some(Value::Integer(high)) => Some(i128::from(*high) << 64),
                _ => None,
            };
            let sum = match (part, value) {
                (Part::SumHigh, _) => continue,
                (Part::Sum, Value::Integer(low)) if field.field_type == FieldType::Integer => {
                    Some(high.map_or(i128::from(*low), |high| high | i128::from(*low as u64)))
                }
                (Part::Sum, Value::Unsigned(low)) => Some(high.unwrap_or(0) | i128::from(*low)),
                _ => None,
            };
            bucket.insert(column::id(field.id, part), (value.clone(), sum));
        }
    }
    bucket
}

/// Compares every covered bucket that begins at `trusted_from` or later; returns how many.
pub fn check_rollup(
    database: &Database,
    truth: &Truth,
    rollup: &Rollup,
    trusted_from: Timestamp,
    now: Timestamp,
) -> usize {
    let mut compared = 0;
    for series in &truth.series {
        let Some((measurement, id)) = find(database, series) else { continue };
        if !rollup.includes(&series.0) {
            continue;
        }
        let fields = database.measurement(&series.0).unwrap().fields.clone();
        let rows = truth.rows(&rollup.policy, series, TimeRange::ALL);
        let covers =
            database.rollup_cover(Some(&rollup.policy), &series.0, TimeRange::ALL, now).unwrap();
        for (level, RollupLevel { every_ns, .. }) in rollup.levels.iter().enumerate() {
            let class = rollup.class(level);
            let Some(cover) = covers.iter().find(|cover| cover.class == class) else { continue };
            assert_eq!(cover.every_ns, *every_ns);
            let mut last_end = Timestamp::MIN;
            for span in &cover.spans {
                assert!(span.start > last_end && span.start <= span.end, "{:?}", cover.spans);
                assert_eq!(span.start.rem_euclid(*every_ns), 0);
                assert_eq!((span.end + 1).rem_euclid(*every_ns), 0);
                last_end = span.end;
                let span = TimeRange::new(span.start.max(trusted_from), span.end);
                if span.is_empty() {
                    continue;
                }
                let got = buckets(database, &class, (measurement, id), &fields, span, now);
                let mut expected = BTreeMap::new();
                for timestamp in rows.range(span.start..=span.end).map(|(t, _)| t) {
                    let start = timestamp.div_euclid(*every_ns) * every_ns;
                    let range = TimeRange::new(start, start + every_ns - 1);
                    let bucket = || bucket_of(&rows, &fields, range);
                    expected.entry(start).or_insert_with(bucket);
                }
                compared += expected.len();
                expected.retain(|start, _| *start >= trusted_from);
                assert_same(&got, &expected, &format!("{series:?} {class}, {rollup:?} at {now}"));
            }
        }
    }
    compared
}

fn assert_same(
    got: &BTreeMap<Timestamp, Bucket>,
    expected: &BTreeMap<Timestamp, Bucket>,
    what: &str,
) {
    let starts: BTreeSet<&Timestamp> = got.keys().chain(expected.keys()).collect();
    for start in starts {
        assert_eq!(got.get(start), expected.get(start), "bucket at {start} of {what}");
    }
}

fn find(database: &Database, series: &SeriesName) -> Option<(MeasurementId, SeriesId)> {
    let info = database.measurement(&series.0)?;
    let id = database.series(Some(&series.0), None).unwrap().into_iter().find(|id| {
        let (_, tags) = database.series_key(*id).unwrap().expect("listed");
        tags.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).eq(series.1.iter().cloned())
    })?;
    Some((info.id, id))
}

struct World {
    rng: Rng,
    seed: u64,
    fs: SimFs,
    tsdb: Tsdb,
    truth: Truth,
    now: Timestamp,
    /// Rollups with the time from which on no point was dropped before they began.
    rollups: BTreeMap<String, (Rollup, Option<Timestamp>)>,
    /// The latest time that the policy gave up, per policy.
    gone_before: BTreeMap<&'static str, Timestamp>,
    operations: u64,
    compared: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let fs = SimFs::new(seed);
        let tsdb = open(&fs, seed);
        let database = tsdb.create_database(DATABASE, None).unwrap();
        let spec = PolicySpec {
            name: Some(SHORT.to_owned()),
            duration_ns: Some(4 * HOUR_NS),
            ..PolicySpec::default()
        };
        database.create_policy(&spec).unwrap();
        World {
            rng: Rng::new(seed),
            seed,
            fs,
            tsdb,
            truth: Truth::default(),
            // Some histories cross the epoch.
            now: if seed.is_multiple_of(4) { -6 * HOUR_NS } else { 1_700_000_000 * SECOND_NS },
            rollups: BTreeMap::new(),
            gone_before: BTreeMap::new(),
            operations: 0,
            compared: 0,
        }
    }

    fn database(&self) -> std::sync::Arc<Database> {
        self.tsdb.database(DATABASE).unwrap()
    }

    fn policy(&mut self) -> &'static str {
        if self.rng.one_in(3) { SHORT } else { "autogen" }
    }

    fn step(&mut self) {
        self.operations += 1;
        match self.rng.below(400) {
            0..=289 => self.write(),
            290..=319 => self.now += self.rng.below(1800) as i64 * SECOND_NS,
            320..=321 => self.now -= self.rng.below(1200) as i64 * SECOND_NS,
            322..=326 => self.tsdb.store().flush(None).unwrap(),
            327..=329 => self.compact(),
            330..=369 => self.maintain(),
            370..=372 => self.reopen(),
            373..=374 => self.drop_series(),
            375 => self.drop_measurement(),
            376..=379 => self.create_rollup(),
            380 => self.drop_rollup(),
            381 => self.alter_policy(),
            382 if self.rng.one_in(4) => self.drop_policy(),
            398..=399 => self.delete(),
            383..=388 => self.check_points(),
            389 => through_backup(&self.tsdb, &self.fs, DATABASE, self.now),
            _ => self.check(),
        }
    }

    fn write(&mut self) {
        let policy = self.policy();
        let count = 1 + self.rng.below(16);
        self.now += self.rng.below(8) as i64 * SECOND_NS;
        let points: Vec<_> =
            (0..count).map(|_| random_rolled_point(&mut self.rng, self.now)).collect();
        self.operations += count;
        let database = self.database();
        let mut refused = Vec::new();
        for (point, line) in points.iter().zip(1..) {
            let from = database.raw_from(Some(policy), &point.series.0, self.now);
            if !self.truth.write(policy, std::slice::from_ref(point), from).is_empty() {
                refused.push(line);
            }
        }
        let summary = write(&database, Some(policy), &points, self.now).unwrap();
        let got: Vec<u32> = summary.refused.iter().map(|refusal| refusal.line).collect();
        assert_eq!(got, refused, "{:?}", summary.refused);
    }

    fn compact(&mut self) {
        let is_final = self.rng.one_in(3);
        self.tsdb.store().compact(None, CompactOptions { is_final }, &|| false).unwrap();
    }

    fn maintain(&mut self) {
        self.tsdb.maintain(self.now).unwrap();
        self.note_gone();
    }

    /// Maintenance may have begun rollups, and dropped points.
    fn note_gone(&mut self) {
        let database = self.database();
        for (rollup, trusted_from) in self.rollups.values_mut() {
            let policy = if rollup.policy == SHORT { SHORT } else { "autogen" };
            trusted_from.get_or_insert(*self.gone_before.entry(policy).or_insert(i64::MIN + 2));
        }
        for policy in ["autogen", SHORT] {
            let alive_from = database.policy(Some(policy)).unwrap().alive_from(self.now);
            let aged = self.rollups.values().filter(|(rollup, _)| rollup.policy == policy);
            let aged = aged.filter_map(|(rollup, _)| Some(self.now - rollup.raw_ns?)).max();
            let gone = self.gone_before.entry(policy).or_insert(i64::MIN + 2);
            *gone = (*gone).max(alive_from).max(aged.unwrap_or(i64::MIN));
        }
    }

    fn reopen(&mut self) {
        self.tsdb.store().close().unwrap();
        self.tsdb = open(&self.fs, self.seed);
    }

    fn drop_series(&mut self) {
        let host = format!("h{}", self.rng.below(6));
        let tags = TagPredicate::Equal("host".to_owned(), host.clone());
        self.database().drop_series(None, Some(&tags)).unwrap();
        self.truth.drop_series(|(_, tags)| {
            tags.iter().any(|(key, value)| key == "host" && *value == host)
        });
    }

    fn drop_measurement(&mut self) {
        let (measurement, _) = random_series(&mut self.rng);
        self.database().drop_measurement(&measurement).unwrap();
        self.truth.drop_series(|(of, _)| *of == measurement);
    }

    /// Deletes points: whole buckets, or whatever span.
    fn delete(&mut self) {
        let policy = self.policy();
        let (measurement, tags) = random_series(&mut self.rng);
        let grain = if self.rng.one_in(2) { 18 * HOUR_NS } else { SECOND_NS };
        let start = self.now - self.rng.below(12 * HOUR_NS as u64) as i64;
        let end = start + self.rng.below(3 * HOUR_NS as u64) as i64;
        let range = match self.rng.below(8) {
            0 => TimeRange::ALL,
            _ => TimeRange::new(
                start.div_euclid(grain) * grain,
                (end.div_euclid(grain) + 1) * grain - 1,
            ),
        };
        let host = tags.iter().find(|(key, _)| key == "host").map(|(_, host)| host.clone());
        let fields = self.rng.one_in(3).then(|| vec![format!("f{}", self.rng.below(6))]);
        let request = DeleteRequest {
            policy: Some(policy.to_owned()),
            targets: vec![DeleteTarget {
                measurement: measurement.clone(),
                tags: host.clone().map(|host| TagPredicate::Equal("host".to_owned(), host)),
                rows: None,
            }],
            range,
            fields: fields.clone(),
            statement: String::new(),
        };
        if let Err(error) = self.database().delete(&request, self.now) {
            assert!(error.to_string().contains("whole buckets"), "{error}");
            assert!(self.rollups.values().any(|(rollup, _)| rollup.policy == policy), "{error}");
            return;
        }
        let Some(series) = self.truth.rows.get_mut(policy) else { return };
        for ((of, tags), rows) in series {
            let is_host = |(key, value): &(String, String)| {
                key == "host" && host.as_ref().is_some_and(|host| host == value)
            };
            if *of != measurement || !(host.is_none() || tags.iter().any(is_host)) {
                continue;
            }
            for (_, row) in rows.range_mut(range.start..=range.end) {
                match &fields {
                    Some(fields) => row.retain(|key, _| !fields.contains(key)),
                    None => row.clear(),
                }
            }
            rows.retain(|_, row| !row.is_empty());
        }
    }

    fn create_rollup(&mut self) {
        if self.rollups.len() >= 3 {
            return;
        }
        let level = |every_ns, keep_ns| RollupLevel { every_ns, keep_ns };
        let day = Some(30 * HOUR_NS);
        let levels = match self.rng.below(5) {
            0 => vec![level(10 * SECOND_NS, Some(5 * HOUR_NS)), level(MINUTE_NS, day)],
            1 => vec![level(MINUTE_NS, None), level(HOUR_NS, None)],
            2 => vec![level(7 * MINUTE_NS, None)],
            3 => vec![level(90 * SECOND_NS, None), level(90 * MINUTE_NS, day)],
            _ => vec![level(HOUR_NS, None), level(6 * HOUR_NS, None)],
        };
        let measurements = if self.rng.one_in(2) { vec![] } else { vec!["cpu".to_owned()] };
        let raw_ns = self.rng.one_in(3).then(|| HOUR_NS + self.rng.below(3) as i64 * HOUR_NS);
        let spec = RollupSpec {
            name: Some(format!("r{}", self.rng.below(4))),
            policy: Some(self.policy().to_owned()),
            measurements,
            levels,
            raw_ns,
        };
        let name = spec.name.clone().unwrap();
        match self.database().create_rollup(&spec) {
            Ok(rollup) => _ = self.rollups.entry(name).or_insert((rollup, None)),
            Err(error) => assert!(self.rollups.contains_key(&name), "{error}"),
        }
    }

    fn drop_rollup(&mut self) {
        let name = format!("r{}", self.rng.below(4));
        let done = self.database().drop_rollup(&name);
        assert_eq!(done.is_ok(), self.rollups.remove(&name).is_some());
    }

    fn alter_policy(&mut self) {
        let duration_ns = Some((2 + self.rng.below(5) as i64) * HOUR_NS);
        let change = PolicyChange { duration_ns, ..PolicyChange::default() };
        self.database().alter_policy(SHORT, &change).unwrap();
    }

    fn drop_policy(&mut self) {
        let database = self.database();
        let policy = database.policy(Some(SHORT)).unwrap();
        database.drop_policy(SHORT).unwrap();
        let (name, duration_ns) = (Some(SHORT.to_owned()), policy.duration_ns);
        database.create_policy(&PolicySpec { name, duration_ns, ..PolicySpec::default() }).unwrap();
        self.truth.rows.remove(SHORT);
        self.rollups.retain(|_, (rollup, _)| rollup.policy != SHORT);
        self.gone_before.remove(SHORT);
    }

    /// Points that nothing gave up are all there.
    fn check_points(&mut self) {
        let database = self.database();
        let policy = self.policy();
        let gone = self.gone_before.get(policy).copied().unwrap_or(i64::MIN + 2);
        let at = self.rng.below(self.truth.series.len().max(1) as u64) as usize;
        let Some(series) = self.truth.series.iter().nth(at) else { return };
        let from = database.raw_from(Some(policy), &series.0, self.now).max(gone);
        let range = TimeRange::new(from, TimeRange::ALL.end);
        let how = Read { policy, range, descending: false, now: self.now };
        assert_eq!(read(&database, series, how), self.truth.rows(policy, series, range));
    }

    fn check(&mut self) {
        let database = self.database();
        let names: Vec<String> = database.rollups().into_iter().map(|rollup| rollup.name).collect();
        assert_eq!(names, self.rollups.keys().cloned().collect::<Vec<_>>());
        for (rollup, trusted_from) in self.rollups.values() {
            // The first bucket that begins there is the first one that can be whole.
            let every = rollup.coarsest_ns();
            let Some(from) = trusted_from else { continue };
            let from = from.saturating_add(every - 1).div_euclid(every).saturating_mul(every);
            self.compared += check_rollup(&database, &self.truth, rollup, from, self.now);
        }
    }

    /// Left alone, everything gets built and repaired.
    fn settle(&mut self) {
        self.now += 3 * HOUR_NS;
        for _ in 0..10_000 {
            self.maintain();
            self.now += 2 * MINUTE_NS / 100;
            let status = self.database().rollup_status().unwrap();
            let ready = (self.now - MINUTE_NS).div_euclid(HOUR_NS) * HOUR_NS;
            let is_done = status.iter().all(|status| {
                let mut levels = status.levels.iter();
                status.dirty_slots == 0
                    && levels.all(|level| {
                        let goal = ready.div_euclid(level.every_ns) * level.every_ns;
                        level.built_until.is_some_and(|until| until >= goal)
                    })
            });
            if is_done {
                return self.check();
            }
        }
        panic!("not built: {:?}", self.database().rollup_status());
    }
}

fn open(fs: &SimFs, seed: u64) -> Tsdb {
    let mut options = options(fs, Durability::Always);
    options.rolling.stride_ns = [MINUTE_NS, 10 * MINUTE_NS, HOUR_NS][(seed % 3) as usize];
    options.rolling.rows_per_call = [50, 2_000, 100_000][(seed / 3 % 3) as usize];
    Tsdb::open(options).unwrap()
}

fn run(seed: u64, operations_max: u64) {
    println!("seed {seed}");
    let mut world = World::new(seed);
    while world.operations < operations_max {
        world.step();
    }
    world.reopen();
    world.settle();
    println!("{} buckets compared", world.compared);
    assert!(world.compared > 1000, "hardly anything was built");
}

#[test]
fn covered_buckets_equal_their_points_in_random_histories() {
    let seeds = std::env::var("FIRNDB_HISTORY_SEEDS").ok().and_then(|s| s.parse().ok());
    for seed in 1..=seeds.unwrap_or(9) {
        run(seed, 8_000);
    }
}

#[test]
fn a_rollup_begins_where_points_that_anothers_age_dropped_are_over() {
    let fs = SimFs::new(1);
    let tsdb = open(&fs, 1);
    let spec = PolicySpec { shard_duration_ns: Some(HOUR_NS), ..PolicySpec::default() };
    let database = tsdb.create_database(DATABASE, Some(spec)).unwrap();
    let rollup = |name: &str, every_ns: i64, raw_ns: Option<i64>| RollupSpec {
        name: Some(name.to_owned()),
        levels: vec![RollupLevel { every_ns, keep_ns: None }],
        raw_ns,
        ..RollupSpec::default()
    };
    database.create_rollup(&rollup("first", HOUR_NS, Some(2 * HOUR_NS))).unwrap();
    let start = 1_699_999_200 * SECOND_NS;
    let mut truth = Truth::default();
    let points: Vec<_> = (0..144)
        .map(|n| NewPoint {
            series: ("m".to_owned(), vec![("host".to_owned(), "a".to_owned())]),
            timestamp: start + n * 5 * MINUTE_NS,
            fields: vec![("f".to_owned(), Value::Integer(n))],
        })
        .collect();
    write(&database, None, &points, start).unwrap();
    truth.write("autogen", &points, Timestamp::MIN);
    let now = start + 24 * HOUR_NS;
    let partitions = || {
        let keyspaces = tsdb.store().keyspaces();
        keyspaces.iter().filter(|k| k.name.contains("/autogen/")).count()
    };
    for _ in 0..40 {
        tsdb.maintain(now - 16 * HOUR_NS).unwrap();
    }
    let left = partitions();
    assert!(left > 0 && left < 12, "{left} partitions are left of twelve");
    // Of the bucket from the fifth hour to the eighth one hour is gone.
    database.create_rollup(&rollup("second", 3 * HOUR_NS, None)).unwrap();
    for _ in 0..10 {
        tsdb.maintain(now).unwrap();
    }
    let rollups = database.rollups();
    for rollup in &rollups {
        let compared = check_rollup(&database, &truth, rollup, Timestamp::MIN, now);
        assert!(compared > 0, "{rollup:?}");
    }
    let covers = database.rollup_cover(None, "m", TimeRange::ALL, now).unwrap();
    let begin = |class: &str| {
        let cover = covers.iter().find(|cover| cover.class == class).unwrap();
        cover.spans.first().unwrap().start
    };
    let (first, second) = (begin(&rollups[0].class(0)), begin(&rollups[1].class(0)));
    assert!(first < second, "the first tells of what is gone: {first}, {second}");
}
