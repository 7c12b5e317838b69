//! Random histories of two databases with the same points, one of them with rollups: writes, late
//! and overwriting ones among them, deletes, rules that come and go, clock steps, flushes,
//! compactions, maintenance, restarts and crashes. At every step both give the same answers,
//! unless one says that its answer is not exact.

use std::fmt::Write;
use std::sync::Arc;

use firndb_engine::clock::ManualClock;
use firndb_engine::fs::Fs;
use firndb_engine::fs::sim::{CrashMode, SimFs};
use firndb_engine::hooks::Plain;
use firndb_engine::options::{Background, Options as EngineOptions};
use firndb_engine::store::CompactOptions;
use firndb_ingest::line_protocol;
use firndb_ingest::precision::Precision;
use firndb_tsdb::model::Timestamp;
use firndb_tsdb::rollup::RollupOptions;
use firndb_tsdb::{Options, PolicySpec, Tsdb};

use super::random::same;
use super::rows::Random;
use super::*;
use crate::exec::spans::{From, Span};
use crate::exec::{Context, aggregate, division};
use crate::influxql::{self, Scope};
use crate::testing;

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

/// The database with rollups, and the one without.
const DATABASES: [&str; 2] = ["d", "plain"];

/// What a history did, over all seeds.
#[derive(Debug, Default)]
struct Tally {
    operations: u64,
    points: u64,
    refused: u64,
    deletes: u64,
    deletes_refused: u64,
    queries: u64,
    /// Queries that buckets answered, wholly or in part.
    by_buckets: u64,
    /// Queries in which points that are gone were answered for.
    beyond_points: u64,
    inexact: u64,
}

struct World {
    random: Random,
    /// How rare points are that come days late.
    very_late_one_in: u64,
    fs: SimFs,
    tsdb: Tsdb,
    now: Timestamp,
    /// Points of the database with rollups before this went with a rollup that was dropped.
    lost_before: Timestamp,
    rollups: Vec<String>,
    tally: Tally,
}

fn open(fs: &SimFs) -> Tsdb {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let clock = Arc::new(ManualClock::at(0));
    let mut engine = EngineOptions::new("/db", fs, clock, Arc::new(Plain::new()));
    engine.background = Background::Inline;
    engine.memtable_bytes_max = 128 << 10;
    engine.memtable_bytes_hard = 4 << 20;
    engine.wal_segment_bytes = 64 << 10;
    engine.wal_bytes_max = 1 << 20;
    engine.cache_bytes = 1 << 20;
    let mut options = Options::new(engine);
    let (delay_ns, stride_ns) = (MINUTE_NS, 10 * MINUTE_NS);
    options.rolling = RollupOptions { delay_ns, stride_ns, rows_per_call: 3000 };
    Tsdb::open(options).unwrap()
}

impl World {
    fn new(seed: u64) -> World {
        let fs = SimFs::new(seed);
        let tsdb = open(&fs);
        for name in DATABASES {
            // Short partitions, so that whole ones go.
            let shard_duration_ns = Some(12 * HOUR_NS);
            let policy = PolicySpec { shard_duration_ns, ..PolicySpec::default() };
            tsdb.create_database(name, Some(policy)).unwrap();
        }
        let mut random = Random::new(seed);
        World {
            very_late_one_in: *random.pick(&[30, 300]),
            random,
            fs,
            tsdb,
            now: 1_700_000_000 * SECOND_NS,
            lost_before: i64::MIN,
            rollups: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn step(&mut self) {
        self.tally.operations += 1;
        match self.random.below(200) {
            0..=99 => self.write(),
            100..=149 => self.query(),
            150..=164 => self.maintain(),
            165..=170 => self.delete(),
            171..=176 => self.tick(HOUR_NS),
            177..=179 => self.tick(DAY_NS),
            180 => self.now -= self.random.below(120) as i64 * SECOND_NS,
            181..=184 => self.tsdb.store().flush(None).unwrap(),
            185..=187 => self.compact(),
            188..=190 => self.reopen(),
            191..=194 => self.create_rollup(),
            195 if self.random.one_in(3) => self.drop_rollup(),
            _ => self.tick(10 * MINUTE_NS),
        }
    }

    /// A time below `most_ns`, in whole seconds.
    fn below(&mut self, most_ns: i64) -> i64 {
        self.random.below((most_ns / SECOND_NS) as u64) as i64 * SECOND_NS
    }

    fn tick(&mut self, most_ns: i64) {
        self.now += self.below(most_ns);
    }

    fn ask(&self, database: &str, text: &str) -> Result<()> {
        let scope =
            Scope { tsdb: &self.tsdb, database: Some(database), policy: None, now: self.now };
        let context = testing::context(&self.tsdb, 0);
        for (statement, _) in influxql::parse(text, &Default::default()).unwrap() {
            for part in influxql::answer(&statement, &scope, &context)? {
                part?;
            }
        }
        Ok(())
    }

    /// A line of one point.
    fn line(&mut self, time: Timestamp) -> String {
        let random = &mut self.random;
        let measurement = if random.one_in(4) { "mem" } else { "cpu" };
        let mut line = format!("{measurement},host=h{}", random.below(4));
        if random.one_in(2) {
            let _ = write!(line, ",zone=z{}", random.below(2));
        }
        let number = random.below(5);
        let field = |random: &mut Random, number: u64| match number {
            0 => format!("i={}i", random.below(2000) as i64 - 1000),
            1 => format!("f={}", random.below(8000) as f64 / 4.0 - 1000.0),
            2 => format!("u={}u", random.below(3000)),
            3 => format!("b={}", random.one_in(2)),
            _ => format!("s=\"{}\"", random.pick(&["red", "green", "blue", ""])),
        };
        let mut fields = vec![field(random, number)];
        if random.one_in(2) {
            fields.push(field(random, (number + 1) % 5));
        }
        let _ = writeln!(line, " {} {time}", fields.join(","));
        line
    }

    /// Mostly a steady stream; some late, some very late.
    fn time(&mut self) -> Timestamp {
        let late = match self.random.below(40) {
            _ if self.random.one_in(self.very_late_one_in) => 10 * DAY_NS,
            0..=2 => 8 * HOUR_NS,
            _ => 10 * MINUTE_NS,
        };
        let late = self.below(late);
        (self.now - late).div_euclid(5 * SECOND_NS) * 5 * SECOND_NS
    }

    fn write(&mut self) {
        let raw_from: Vec<Timestamp> = ["cpu", "mem"].map(|m| self.raw_from(m)).into();
        let mut text = String::new();
        for _ in 0..1 + self.random.below(30) {
            let time = self.time();
            let line = self.line(time);
            let of = usize::from(line.starts_with("mem"));
            self.tally.operations += 1;
            // What is too old for one database is kept from the other.
            if time < raw_from[of] {
                self.tally.refused += 1;
                continue;
            }
            self.tally.points += 1;
            text += &line;
        }
        for name in DATABASES {
            let database = self.tsdb.database(name).unwrap();
            let known = |text: &[u8]| database.known_series(text);
            let (lines, unit) = (text.as_bytes(), Precision::Nanosecond);
            let parsed = line_protocol::parse(lines, unit, self.now, known);
            assert_eq!(parsed.error_count, 0, "{text}");
            let summary = database.write(None, &parsed.batch, self.now).unwrap();
            assert!(summary.refused.is_empty(), "{name}: {:?}", summary.refused);
        }
    }

    fn raw_from(&self, measurement: &str) -> Timestamp {
        self.tsdb.database("d").unwrap().raw_from(None, measurement, self.now)
    }

    fn maintain(&mut self) {
        // Once, or when marks have rested and until there is nothing more to do.
        let calls = *self.random.pick(&[1, 50]);
        if calls > 1 {
            self.now += 2 * MINUTE_NS;
        }
        for _ in 0..calls {
            let report = self.tsdb.maintain(self.now).unwrap();
            if report.rollup_rows == 0 && report.rollup_slots_repaired == 0 {
                break;
            }
        }
    }

    fn compact(&mut self) {
        let is_final = self.random.one_in(2);
        self.tsdb.store().compact(None, CompactOptions { is_final }, &|| false).unwrap();
    }

    fn reopen(&mut self) {
        match self.random.one_in(2) {
            true => self.tsdb.store().close().unwrap(),
            false => {
                let mode = *self.random.pick(&CrashMode::ALL);
                self.fs = self.fs.crash(mode, self.random.next());
            }
        }
        self.tsdb = open(&self.fs);
    }

    fn delete(&mut self) {
        let before = *self.random.pick(&[2 * HOUR_NS, 10 * DAY_NS]);
        let from = self.time() - self.below(before);
        let every = *self.random.pick(&[SECOND_NS, HOUR_NS, HOUR_NS]);
        let from = from.div_euclid(every) * every;
        let to = from + (1 + self.random.below(90)) as i64 * every;
        let measurement = *self.random.pick(&["cpu", "mem"]);
        // A condition on values sees the points that are there.
        let by_value = self.random.one_in(4) && from >= self.raw_from(measurement);
        let mut text = match by_value {
            true => format!("DELETE FROM {measurement} WHERE i > 500 AND"),
            false => format!("DELETE FROM {measurement} WHERE"),
        };
        let _ = write!(text, " time >= {from} AND time < {to}");
        if !self.random.one_in(3) {
            let _ = write!(text, " AND host = 'h{}'", self.random.below(4));
        }
        self.tally.deletes += 1;
        match self.ask("d", &text) {
            Ok(()) => self.ask("plain", &text).unwrap(),
            // Buckets whose points are gone cannot be taken apart.
            Err(error) => {
                assert!(error.to_string().contains("only whole buckets"), "{error}");
                self.tally.deletes_refused += 1;
            }
        }
    }

    fn create_rollup(&mut self) {
        // What is expected below is told by rollups that saw every point.
        let are_gone = ["cpu", "mem"].iter().any(|of| self.raw_from(of) > TimeRange::ALL.start);
        if self.rollups.len() >= 2 || are_gone {
            return;
        }
        let name = format!("r{}", self.tally.operations);
        let sources = *self.random.pick(&["", "FROM cpu", "(FROM cpu, mem)"]);
        let levels = *self.random.pick(&[
            "10s KEEP 2d, 1m KEEP 30d, 1h",
            "1m, 1h",
            "1m KEEP 1d, 10m",
            "1h",
            "5m, 15m KEEP 20d, 1d",
        ]);
        let raw = *self.random.pick(&["", " RAW 6h", " RAW 2d"]);
        let text = format!("CREATE ROLLUP {name} ON d {sources} EVERY {levels}{raw}");
        self.ask("d", &text).unwrap();
        self.rollups.push(name);
    }

    fn drop_rollup(&mut self) {
        let Some(name) = self.rollups.pop() else { return };
        for measurement in ["cpu", "mem"] {
            self.lost_before = self.lost_before.max(self.raw_from(measurement));
        }
        self.ask("d", &format!("DROP ROLLUP {name} ON d")).unwrap();
    }

    /// An aggregate over windows, or a few rows.
    fn plan(&mut self) -> Plan {
        use Function::*;
        let ago = self.below(12 * DAY_NS);
        let random = &mut self.random;
        let functions = [Count, Sum, Mean, Min, Max, First, Last, Spread];
        let column = |random: &mut Random| {
            let function = match random.below(40) {
                0 => Median,
                1 => CountDistinct,
                _ => random.pick(&functions).clone(),
            };
            let (name, field_type) = *random.pick(&FIELDS);
            let fits = aggregate::check_type(&function, field_type).is_ok();
            call(function, if fits { name } else { "f" })
        };
        let count = 1 + random.below(3);
        let mut plan = plan((0..count).map(|_| column(random)).collect());
        plan.name = (*random.pick(&["cpu", "cpu", "mem"])).to_owned();
        let widths = [HOUR_NS, 5 * HOUR_NS, DAY_NS, 12 * DAY_NS];
        let width = *random.pick(&widths);
        let edge = *random.pick(&[SECOND_NS, HOUR_NS, HOUR_NS]);
        let end = self.now - ago + width / 2;
        let end = end.div_euclid(edge) * edge;
        plan.range = TimeRange::new((end - width).max(self.lost_before), end - 1);
        if random.one_in(8) && self.lost_before == i64::MIN {
            plan.range = TimeRange::ALL;
        }
        let every =
            [SECOND_NS, 10 * SECOND_NS, MINUTE_NS, 10 * MINUTE_NS, HOUR_NS, DAY_NS, 7 * DAY_NS];
        let fits = |every: &&i64| plan.range.end.saturating_sub(plan.range.start) / **every < 1500;
        let every: Vec<i64> = every.iter().filter(fits).copied().collect();
        if !every.is_empty() && !random.one_in(5) {
            let every_ns = *random.pick(&every);
            let offset_ns =
                *random.pick(&[0, 0, 0, MINUTE_NS, HOUR_NS, -5 * HOUR_NS, 7 * SECOND_NS]);
            plan.window = Some(Window { every_ns, offset_ns, zone: None });
        }
        plan.fill = random.pick(&[Fill::Null, Fill::None, Fill::Previous, Fill::Linear]).clone();
        let groups: [&[&str]; 3] = [&[], &["host"], &["host", "zone"]];
        let group = random.pick(&groups).iter().map(|key| (*key).to_owned()).collect();
        plan.group = GroupTags::List(group);
        plan.descending = random.one_in(3);
        plan.limit = random.one_in(4).then(|| 1 + random.below(20));
        plan.offset = if random.one_in(6) { random.below(5) } else { 0 };
        plan.now = self.now;
        plan
    }

    fn query(&mut self) {
        let mut plan = self.plan();
        if plan.range.is_empty() {
            return;
        }
        let context = testing::context(&self.tsdb, if self.random.one_in(4) { 2 } else { 0 });
        let mut answers = Vec::new();
        for name in DATABASES.iter().rev() {
            plan.source = Source::Measurement {
                database: (*name).to_owned(),
                policy: None,
                measurement: plan.name.clone(),
            };
            answers.push(collected(&context, &plan));
        }
        self.tally.queries += 1;
        let raw_from = self.raw_from(&plan.name);
        let division = division(&context, &plan).unwrap();
        let spans = division.as_ref().map_or(&[][..], |division| &division.spans);
        let by_buckets = |span: &&Span| span.from != From::Raw;
        self.tally.by_buckets += u64::from(spans.iter().any(|span| by_buckets(&span)));
        let (got, warnings) = answers.pop().unwrap();
        if !warnings.is_empty() {
            self.tally.inexact += 1;
            assert!(plan.range.start < raw_from, "{warnings:?}: the points are there, {plan:?}");
            return;
        }
        let beyond = spans.iter().filter(by_buckets).any(|span| span.range.start < raw_from);
        self.tally.beyond_points += u64::from(beyond);
        let (expected, _) = answers.pop().unwrap();
        let rollups = self.tsdb.database("d").unwrap().rollup_status().unwrap();
        let name =
            format!("now {}, raw from {raw_from}, {spans:?}, {plan:?}, {rollups:?}", self.now);
        same(&got, &expected, &name);
    }
}

/// A whole answer, and where it is not exact.
fn collected(context: &Context, plan: &Plan) -> (Answer, Vec<String>) {
    let result = crate::exec::run(context, plan).unwrap();
    let series = result.series.iter().map(|series| {
        let tags: Vec<String> = series.head.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
        (tags.join(","), rows_of(series))
    });
    (series.collect(), result.warnings.so_far())
}

#[test]
fn databases_with_and_without_rollups_answer_alike() {
    let wanted = std::env::var("FIRN_TEST_OPERATIONS").ok().and_then(|n| n.parse().ok());
    let (wanted, mut seed) = (wanted.unwrap_or(100_000), 0);
    let first = std::env::var("FIRNDB_HISTORY_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut all = Tally::default();
    while all.operations < wanted {
        println!("seed {}", first + seed);
        let mut world = World::new(first + seed);
        seed += 1;
        while world.tally.operations < 5000 {
            world.step();
        }
        let of = world.tally;
        all.operations += of.operations;
        all.points += of.points;
        all.refused += of.refused;
        all.deletes += of.deletes;
        all.deletes_refused += of.deletes_refused;
        all.queries += of.queries;
        all.by_buckets += of.by_buckets;
        all.beyond_points += of.beyond_points;
        all.inexact += of.inexact;
    }
    println!("{all:?}");
    let enough = all.by_buckets > all.queries / 5 && all.beyond_points > 0 && all.refused > 0;
    assert!(enough || all.operations < 50_000, "the histories miss something: {all:?}");
}
