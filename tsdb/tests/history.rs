//! Random histories against plain maps: writes, late points, overwrites, deletes, drops, flushes,
//! compactions, expiry, retention rules, purges, restarts.

use std::collections::BTreeMap;

use firndb_engine::fs::sim::{Rng, SimFs};
use firndb_engine::options::Durability;
use firndb_engine::store::CompactOptions;
use firndb_tsdb::model::{FieldType, TimeRange, Timestamp};
use firndb_tsdb::{DeleteState, PolicySpec, TagPredicate, Tsdb};

use crate::ruled::Ruled;
use crate::truth::{
    Deletion, NewPoint, Read, SeriesName, Truth, Value, check_all, options, read, through_backup,
    write,
};

const HOUR_NS: i64 = 3_600_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const SHORT: &str = "short";
const TYPES: [FieldType; 5] = [
    FieldType::Float,
    FieldType::Integer,
    FieldType::Unsigned,
    FieldType::Boolean,
    FieldType::String,
];

pub fn random_series(rng: &mut Rng) -> SeriesName {
    let measurement = ["cpu", "disk io", "m\u{e9}t"][rng.below(3) as usize];
    let mut tags = Vec::new();
    if !rng.one_in(5) {
        tags.push(("host".to_owned(), format!("h{}", rng.below(6))));
    }
    if rng.one_in(2) {
        tags.push(("zone".to_owned(), format!("z{}", rng.below(2))));
    }
    (measurement.to_owned(), tags)
}

pub fn random_point(rng: &mut Rng, now: Timestamp) -> NewPoint {
    // Mostly a steady stream; some late, some very late, some in the future.
    let timestamp = match rng.below(20) {
        0 => now - rng.below(9 * HOUR_NS as u64) as i64,
        1 => now - rng.below(600) as i64 * SECOND_NS,
        2 => now + rng.below(3600) as i64 * SECOND_NS,
        _ => now / SECOND_NS * SECOND_NS - rng.below(4) as i64 * SECOND_NS,
    };
    let count = 1 + rng.below(5);
    let fields = (0..count).map(|_| {
        let number = rng.below(6) as usize;
        let usual = TYPES[number % 5];
        let field_type = if rng.one_in(60) { TYPES[rng.below(5) as usize] } else { usual };
        (format!("f{number}"), Value::random(field_type, rng))
    });
    NewPoint { fields: fields.collect(), series: random_series(rng), timestamp }
}

struct World {
    rng: Rng,
    fs: SimFs,
    tsdb: Tsdb,
    truths: BTreeMap<String, Truth>,
    now: Timestamp,
    operations: u64,
    deletes: u64,
    rule_changes: u64,
    trims: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let fs = SimFs::new(seed);
        let tsdb = Tsdb::open(options(&fs, Durability::Always)).unwrap();
        let now = 1_700_000_000 * SECOND_NS;
        let rng = Rng::new(seed);
        World {
            rng,
            fs,
            tsdb,
            truths: BTreeMap::new(),
            now,
            operations: 0,
            deletes: 0,
            rule_changes: 0,
            trims: 0,
        }
    }

    fn pick_database(&mut self) -> String {
        let name = ["alps", "andes/south"][self.rng.below(2) as usize].to_owned();
        if !self.truths.contains_key(&name) {
            let database = self.tsdb.create_database(&name, None).unwrap();
            let spec = PolicySpec {
                name: Some(SHORT.to_owned()),
                duration_ns: Some(4 * HOUR_NS),
                ..PolicySpec::default()
            };
            database.create_policy(&spec).unwrap();
            self.truths.insert(name.clone(), Truth::default());
        }
        name
    }

    fn step(&mut self) {
        self.operations += 1;
        match self.rng.below(400) {
            0..=299 => self.write(),
            300..=361 => self.read(),
            362..=369 => self.delete(),
            370..=379 => self.now += self.rng.below(1800) as i64 * SECOND_NS,
            380..=384 => self.tsdb.store().flush(None).unwrap(),
            385 => self.compact(false),
            386 => self.through_backup(),
            387 => self.compact(true),
            388..=391 => {
                self.trims += self.tsdb.maintain(self.now).unwrap().partitions_trimmed;
            }
            392..=393 => self.reopen(),
            394..=395 => self.drop_series(),
            396 if self.rng.one_in(2) => self.drop_measurement(),
            397 if self.rng.one_in(8) => self.drop_database(),
            398..=399 => self.change_rules(),
            _ => self.check(),
        }
    }

    fn write(&mut self) {
        let name = self.pick_database();
        let policy = if self.rng.one_in(4) { SHORT } else { "autogen" };
        let count = 1 + self.rng.below(16);
        self.now += self.rng.below(3) as i64 * SECOND_NS;
        let points: Vec<_> = (0..count).map(|_| random_point(&mut self.rng, self.now)).collect();
        self.operations += count;
        let database = self.tsdb.database(&name).unwrap();
        let summary = write(&database, Some(policy), &points, self.now).unwrap();
        let alive_from = database.policy(Some(policy)).unwrap().alive_from(self.now);
        let truth = self.truths.get_mut(&name).unwrap();
        let refused = truth.write_at(policy, &points, alive_from, self.now);
        let got: Vec<u32> = summary.refused.iter().map(|refusal| refusal.line).collect();
        assert_eq!(got, refused, "{:?}", summary.refused);
        assert_eq!(summary.written + refused.len() as u64, count);
    }

    fn read(&mut self) {
        let name = self.pick_database();
        let truth = &self.truths[&name];
        let at = self.rng.below(truth.series.len().max(1) as u64) as usize;
        let Some(series) = truth.series.iter().nth(at) else { return };
        let policy = if self.rng.one_in(4) { SHORT } else { "autogen" };
        let start = self.now - self.rng.below(10 * HOUR_NS as u64) as i64;
        let range = match self.rng.below(4) {
            0 => TimeRange::ALL,
            1 => TimeRange::new(start, start + self.rng.below(HOUR_NS as u64) as i64),
            2 => TimeRange::new(self.now - 60 * SECOND_NS, self.now + HOUR_NS),
            _ => TimeRange::new(start, self.now),
        };
        let database = self.tsdb.database(&name).unwrap();
        let how = Read { policy, range, descending: self.rng.one_in(2), now: self.now };
        let alive_from = database.policy(Some(policy)).unwrap().alive_from(self.now);
        let alive = TimeRange::new(range.start.max(alive_from), range.end);
        let expected = truth.rows_at(policy, series, alive, self.now);
        assert_eq!(read(&database, series, how), expected, "{series:?}");
    }

    fn compact(&mut self, is_final: bool) {
        self.tsdb.store().compact(None, CompactOptions { is_final }, &|| false).unwrap();
    }

    fn reopen(&mut self) {
        self.tsdb.store().close().unwrap();
        self.tsdb = Tsdb::open(options(&self.fs, Durability::Always)).unwrap();
    }

    fn through_backup(&mut self) {
        let name = self.pick_database();
        through_backup(&self.tsdb, &self.fs, &name, self.now);
    }

    fn drop_series(&mut self) {
        let name = self.pick_database();
        let host = format!("h{}", self.rng.below(6));
        let measurement = self.rng.one_in(2).then_some("cpu");
        let tags = TagPredicate::Equal("host".to_owned(), host.clone());
        let dropped =
            self.tsdb.database(&name).unwrap().drop_series(measurement, Some(&tags)).unwrap();
        let truth = self.truths.get_mut(&name).unwrap();
        let expected = truth.drop_series(|(of, tags)| {
            measurement.is_none_or(|measurement| of == measurement)
                && tags.iter().any(|(key, value)| key == "host" && *value == host)
        });
        assert_eq!(dropped, expected as u64);
    }

    fn delete(&mut self) {
        let name = self.pick_database();
        let database = self.tsdb.database(&name).unwrap();
        let deletion = Deletion::random(&mut self.rng, self.now);
        let request = deletion.request(&database);
        let count = database.count_matching(&request, self.now).unwrap();
        let report = database.delete(&request, self.now).unwrap();
        let alive_from = |policy: &str| database.policy(Some(policy)).unwrap().alive_from(self.now);
        let truth = self.truths.get_mut(&name).unwrap();
        let expected = truth.delete(&deletion, alive_from, self.now);
        assert_eq!((count.points, count.values), expected, "{deletion:?}");
        assert!(report.id.is_some() || expected.0 == 0, "{deletion:?}");
        self.deletes += 1;
        let again = database.count_matching(&request, self.now).unwrap();
        assert_eq!((again.points, again.partitions), (0, 0), "{deletion:?}");
    }

    /// Until nothing is left of deleted rows; then nothing hides them any more.
    fn purge(&mut self) {
        for name in self.truths.keys() {
            let database = self.tsdb.database(name).unwrap();
            let is_open = || database.deletes().iter().any(|d| d.state == DeleteState::Purging);
            let mut steps = 0;
            while is_open() {
                self.tsdb.maintain(self.now).unwrap();
                steps += 1;
                assert!(steps < 1000, "{:?}", database.deletes());
            }
        }
    }

    /// Adds a rule, changes one or drops one.
    fn change_rules(&mut self) {
        let name = self.pick_database();
        let database = self.tsdb.database(&name).unwrap();
        let truth = self.truths.get_mut(&name).unwrap();
        let before = truth.clone();
        let count = truth.rules.len() as u64;
        if count > 0 && self.rng.one_in(2) {
            let at = self.rng.below(count) as usize;
            let rule = truth.rules.remove(at);
            if self.rng.one_in(2) {
                let rule = Ruled { age_ns: Ruled::random(&mut self.rng).age_ns, ..rule };
                let changed = database.add_retention_rule(rule.scope(), rule.kind()).unwrap();
                assert_eq!(changed.id, rule.id);
                truth.rules.insert(at, rule);
            } else {
                database.drop_retention_rule(rule.id).unwrap();
            }
        } else {
            let mut rule = Ruled::random(&mut self.rng);
            rule.id = database.add_retention_rule(rule.scope(), rule.kind()).unwrap().id;
            truth.rules.retain(|other| !other.is_same_scope(&rule));
            truth.rules.push(rule);
            truth.rules.sort_by_key(|rule| rule.id);
        }
        truth.adopt(&database, &before, self.now);
        self.rule_changes += 1;
    }

    fn drop_measurement(&mut self) {
        let name = self.pick_database();
        let (measurement, _) = random_series(&mut self.rng);
        self.tsdb.database(&name).unwrap().drop_measurement(&measurement).unwrap();
        self.truths.get_mut(&name).unwrap().drop_series(|(of, _)| *of == measurement);
    }

    fn drop_database(&mut self) {
        let name = self.pick_database();
        self.tsdb.drop_database(&name).unwrap();
        self.truths.remove(&name);
    }

    fn check(&mut self) {
        let names: Vec<_> = self.truths.keys().cloned().collect();
        assert_eq!(self.tsdb.databases(), names);
        if self.rng.one_in(4) {
            for (name, truth) in &self.truths {
                check_all(&self.tsdb, name, truth, self.now);
            }
        }
    }
}

/// Runs a history; gives the number of rule changes, and of partitions rewritten for rules.
fn run(seed: u64, operations_max: u64) -> (u64, u64) {
    println!("seed {seed}");
    let mut world = World::new(seed);
    while world.operations < operations_max {
        world.step();
    }
    assert!(world.deletes > 0);
    world.reopen();
    for (name, truth) in &world.truths {
        check_all(&world.tsdb, name, truth, world.now);
    }
    world.purge();
    for (name, truth) in &world.truths {
        check_all(&world.tsdb, name, truth, world.now);
    }
    (world.rule_changes, world.trims)
}

#[test]
fn random_histories_agree_with_the_truth() {
    let seeds = std::env::var("FIRNDB_HISTORY_SEEDS").ok().and_then(|s| s.parse().ok());
    let counts = (1..=seeds.unwrap_or(20)).map(|seed| run(seed, 10_000));
    let (changes, trims) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{changes} changes of rules, {trims} partitions rewritten for them");
    assert!(changes > 0 && trims > 0);
}
