//! Crash at every call of a script of points; what was acknowledged is there, what was not is
//! there whole or not at all.

use firndb_engine::fs::sim::{CrashMode, Rng, SimFs};
use firndb_engine::options::Durability;
use firndb_engine::store::CompactOptions;
use firndb_tsdb::model::{TimeRange, Timestamp};
use firndb_tsdb::{
    DeleteInfo, DeleteState, PolicySpec, RollupLevel, RollupSpec, TagPredicate, Tsdb,
};

use crate::history::random_point;
use crate::rollups::{check_rollup, random_rolled_point};
use crate::ruled::Ruled;
use crate::truth::{Deletion, NewPoint, Truth, back_up, check_all, options, restore_last, write};

const DATABASE: &str = "alps";
const HOUR_NS: i64 = 3_600_000_000_000;
const START: Timestamp = 1_700_000_000_000_000_000;

/// One step of the script.
#[derive(Debug, Clone)]
enum Step {
    Create,
    Write(&'static str, Vec<NewPoint>),
    Flush,
    Compact(bool),
    Maintain,
    CreateRollup(&'static str),
    DropRollup(&'static str),
    DropSeries(&'static str),
    DropMeasurement(&'static str),
    Delete(Deletion),
    DropDatabase,
    Advance(i64),
    /// A rule for points of this host, or of all, and its age in hours.
    Rule(Option<&'static str>, i64),
    Backup,
    /// The last backup takes the place of the database.
    Restore,
}

fn script(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    let mut now = START;
    let mut steps = vec![Step::Create];
    for round in 0..6 {
        for policy in ["autogen", "autogen", "short"] {
            let points = (0..6).map(|_| random_point(&mut rng, now)).collect();
            steps.push(Step::Write(policy, points));
        }
        steps.push(match round {
            0 | 2 => Step::Flush,
            1 => Step::Compact(false),
            3 => Step::Compact(true),
            4 => Step::DropSeries("h1"),
            _ => Step::DropMeasurement("cpu"),
        });
        // Before it: rows in memory and, from the second round on, in tables.
        steps.insert(steps.len() - 1, Step::Delete(deletion(round, now)));
        // Whole hours expire by the policy, by a rule for everything, and are rewritten by others.
        match round {
            1 => steps.push(Step::Rule(Some("h2"), 3)),
            3 => steps.push(Step::Rule(None, 5)),
            4 => steps.push(Step::Rule(Some("h2"), 1)),
            _ => {}
        }
        let hours = if round == 2 { 9 } else { 1 };
        now += hours * HOUR_NS;
        steps.push(Step::Advance(hours * HOUR_NS));
        steps.push(Step::Maintain);
    }
    steps.push(Step::Flush);
    steps.push(Step::DropDatabase);
    steps.push(Step::Create);
    steps.push(Step::Write("autogen", (0..4).map(|_| random_point(&mut rng, now)).collect()));
    steps
}

/// Rollups made, built, repaired, deleted from, dropped, restored; points that leave once rolled
/// up or expired.
fn script_of_rollups(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed);
    let mut now = START;
    let mut steps = vec![Step::Create, Step::CreateRollup("short")];
    for round in 0..5 {
        for policy in ["autogen", "short", "autogen", "short"] {
            let mut points: Vec<_> = (0..5).map(|_| random_rolled_point(&mut rng, now)).collect();
            if policy == "autogen" && round > 1 {
                // What is older than its rollup lets points be would be refused.
                points.retain(|point| point.timestamp > now - HOUR_NS / 2);
            }
            steps.push(Step::Write(policy, points));
        }
        steps.push(match round {
            0 | 2 => Step::Flush,
            1 => Step::Compact(false),
            3 => Step::Compact(true),
            _ => Step::DropSeries("h1"),
        });
        let hours = if round == 2 { 9 } else { 1 };
        now += hours * HOUR_NS;
        steps.push(Step::Advance(hours * HOUR_NS));
        steps.push(Step::Maintain);
        match round {
            1 => steps.push(Step::CreateRollup("autogen")),
            2 => {
                steps.push(Step::Backup);
                let fields = Some(vec!["f1".to_owned()]);
                steps.push(Step::Delete(Deletion { fields, ..deletion(3, now) }));
            }
            3 => steps.extend([Step::DropRollup("autogen"), Step::Restore, Step::Maintain]),
            _ => {}
        }
    }
    steps
}

/// A rollup called as its policy; points of the default one leave after an hour.
fn rollup_of(policy: &str) -> RollupSpec {
    let level = |every_ns| RollupLevel { every_ns, keep_ns: None };
    RollupSpec {
        name: Some(policy.to_owned()),
        policy: Some(policy.to_owned()),
        measurements: Vec::new(),
        levels: vec![level(HOUR_NS / 60), level(HOUR_NS)],
        raw_ns: (policy == "autogen").then_some(HOUR_NS),
    }
}

/// Covered buckets equal their points; says how many.
fn check_rollups(tsdb: &Tsdb, truth: &Truth, now: Timestamp) -> usize {
    let Some(database) = tsdb.database(DATABASE) else { return 0 };
    let check = |rollup| check_rollup(&database, truth, rollup, Timestamp::MIN, now);
    database.rollups().iter().map(check).sum()
}

/// A delete of another kind each round.
fn deletion(round: usize, now: Timestamp) -> Deletion {
    let field = |name: &str| Some(vec![name.to_owned()]);
    let all = Deletion {
        policy: None,
        measurement: Some("cpu".to_owned()),
        host: None,
        range: TimeRange::ALL,
        fields: None,
        odd: None,
    };
    match round {
        0 => Deletion { host: Some("h2".to_owned()), range: TimeRange::new(0, now), ..all },
        1 => Deletion { fields: field("f1"), ..all },
        2 => Deletion { odd: Some("f0".to_owned()), measurement: None, ..all },
        3 => Deletion { policy: Some("short".to_owned()), measurement: None, ..all },
        4 => Deletion { fields: field("f2"), range: TimeRange::new(0, now), ..all },
        _ => Deletion { host: Some("h3".to_owned()), measurement: None, ..all },
    }
}

fn rule(host: Option<&str>, hours: i64) -> Ruled {
    let host = host.map(|host| (host.to_owned(), true));
    Ruled { id: 0, policy: None, measurement: None, host, age_ns: hours * HOUR_NS }
}

/// The state that must be found after a crash: that before the step that was cut off, or after.
#[derive(Debug, Clone)]
struct State {
    truth: Option<Truth>,
    now: Timestamp,
    /// What the last backup holds.
    backup: Option<Truth>,
}

impl State {
    fn after(&self, step: &Step) -> State {
        let mut state = self.clone();
        let alive_from = |policy: &str| match policy {
            "short" => state.now - 4 * HOUR_NS,
            _ => Timestamp::MIN,
        };
        match step {
            Step::Create => state.truth = Some(Truth::default()),
            Step::Rule(host, hours) => {
                let rules = &mut state.truth.as_mut().expect("made").rules;
                let mut rule = rule(*host, *hours);
                rule.id = rules.len() as u64 + 1;
                if let Some(same) = rules.iter_mut().find(|other| other.is_same_scope(&rule)) {
                    same.age_ns = rule.age_ns;
                } else {
                    rules.push(rule);
                }
            }
            Step::DropDatabase => state.truth = None,
            Step::Advance(ns) => state.now += ns,
            Step::Flush | Step::Compact(_) | Step::Maintain => {}
            Step::CreateRollup(_) | Step::DropRollup(_) => {}
            Step::Backup => state.backup = state.truth.clone(),
            Step::Restore => state.truth = state.backup.clone(),
            Step::Write(policy, points) => {
                let from = alive_from(policy);
                state.truth.as_mut().expect("made").write_at(policy, points, from, state.now);
            }
            Step::DropSeries(host) => {
                let is_meant = |tags: &[(String, String)]| {
                    tags.iter().any(|(key, value)| key == "host" && value == host)
                };
                state.truth.as_mut().expect("made").drop_series(|(_, tags)| is_meant(tags));
            }
            Step::Delete(deletion) => {
                state.truth.as_mut().expect("made").delete(deletion, alive_from, state.now);
            }
            Step::DropMeasurement(name) => {
                state.truth.as_mut().expect("made").drop_series(|(of, _)| of == name);
            }
        }
        state
    }
}

fn run_step(tsdb: &Tsdb, fs: &SimFs, step: &Step, now: Timestamp) -> firndb_tsdb::Result<()> {
    let database = || tsdb.database(DATABASE).expect("made");
    match step {
        Step::Create => {
            let database = tsdb.create_database(DATABASE, None)?;
            let spec = PolicySpec {
                name: Some("short".to_owned()),
                duration_ns: Some(4 * HOUR_NS),
                ..PolicySpec::default()
            };
            database.create_policy(&spec)?;
        }
        Step::Write(policy, points) => _ = write(&database(), Some(policy), points, now)?,
        Step::Flush => tsdb.store().flush(None)?,
        Step::Compact(is_final) => {
            tsdb.store().compact(None, CompactOptions { is_final: *is_final }, &|| false)?;
        }
        Step::Maintain => _ = tsdb.maintain(now)?,
        Step::CreateRollup(policy) => _ = database().create_rollup(&rollup_of(policy))?,
        Step::DropRollup(policy) => database().drop_rollup(policy)?,
        Step::DropSeries(host) => {
            let tags = TagPredicate::Equal("host".to_owned(), (*host).to_owned());
            database().drop_series(None, Some(&tags))?;
        }
        Step::DropMeasurement(name) => database().drop_measurement(name)?,
        Step::Delete(deletion) => {
            let database = database();
            if database.delete(&deletion.request(&database), now)?.id.is_none() {
                tsdb.store().sync()?; // it met nothing, and wrote nothing
            }
        }
        Step::DropDatabase => tsdb.drop_database(DATABASE)?,
        Step::Rule(host, hours) => {
            let rule = rule(*host, *hours);
            database().add_retention_rule(rule.scope(), rule.kind())?;
        }
        Step::Advance(_) => {}
        Step::Backup => back_up(tsdb, fs, DATABASE, now)?,
        Step::Restore => restore_last(tsdb, fs, DATABASE)?,
    }
    Ok(())
}

/// Runs the script on a file system that fails from call `crash_at` on. Returns the states that a
/// reopened store may be in: with durability `Always` the last two, else all so far.
fn run_until_crash(
    fs: &SimFs,
    steps: &[Step],
    crash_at: Option<u64>,
    durability: Durability,
) -> Vec<State> {
    let mut states = vec![State { truth: None, now: START, backup: None }];
    if let Some(op) = crash_at {
        fs.crash_at(op);
    }
    let Ok(tsdb) = Tsdb::open(options(fs, durability)) else { return states };
    for step in steps {
        let state = states.last().expect("never empty").clone();
        states.push(state.after(step));
        if run_step(&tsdb, fs, step, state.now).is_err() {
            break;
        }
        let is_synced = durability == Durability::Always
            || matches!(step, Step::Flush | Step::Compact(_) | Step::DropDatabase | Step::Create)
            || matches!(step, Step::DropSeries(_) | Step::DropMeasurement(_))
            || matches!(step, Step::Delete(_) | Step::Rule(..) | Step::Backup | Step::Restore);
        if is_synced {
            states.drain(..states.len() - 1);
        }
    }
    states
}

/// Panics unless points and buckets are those of this state; returns how many buckets there are.
/// Points do not tell all states apart: of those that have expired only buckets are left.
fn check(tsdb: &Tsdb, state: &State) -> usize {
    let Some(truth) = &state.truth else { return 0 };
    check_all(tsdb, DATABASE, truth, state.now);
    check_rollups(tsdb, truth, state.now)
}

/// The number of buckets compared, if the store is in this state.
fn is_in(tsdb: &Tsdb, state: &State) -> Option<usize> {
    let Some(truth) = &state.truth else { return tsdb.databases().is_empty().then_some(0) };
    let database = tsdb.database(DATABASE)?;
    if truth.series.is_empty() && database.policies().len() == 1 {
        // Made, and cut off before its second policy.
        return (database.series_count() == 0).then_some(0);
    }
    let check = || check(tsdb, state);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).ok()
}

/// Crashes at every call, in one mode each (`FIRNDB_CRASH_MODES=all`: in every mode). Returns the
/// number of buckets compared.
fn crash_everywhere(seed: u64, steps: &[Step], durability: Durability) -> usize {
    let fs = SimFs::new(seed);
    run_until_crash(&fs, steps, None, durability);
    let ops = fs.op_count();
    println!("seed {seed}: {ops} calls");
    let mut compared = 0;
    let is_every_mode = std::env::var_os("FIRNDB_CRASH_MODES").is_some_and(|modes| modes == "all");
    for (op, mode) in (0..ops).zip(CrashMode::ALL.iter().cycle()) {
        let modes = if is_every_mode { &CrashMode::ALL[..] } else { std::slice::from_ref(mode) };
        for mode in modes {
            let fs = SimFs::new(seed);
            let states = run_until_crash(&fs, steps, Some(op), durability);
            let after = fs.crash(*mode, seed ^ op);
            let tsdb = Tsdb::open(options(&after, durability))
                .unwrap_or_else(|error| panic!("call {op}, {mode:?}: {error}"));
            let is_in = |state| Some((state, is_in(&tsdb, state)?));
            let Some((state, buckets)) = states.iter().rev().find_map(is_in) else {
                println!("call {op}, {mode:?}: in none of {} states", states.len());
                check(&tsdb, states.last().expect("never empty"));
                panic!("there is no such database");
            };
            compared += buckets;
            // Life goes on.
            let database = tsdb.create_database(DATABASE, None).unwrap();
            let mut truth = state.truth.clone().unwrap_or_default();
            let mut points = [random_rolled_point(&mut Rng::new(op), state.now)];
            points[0].timestamp = points[0].timestamp.max(state.now - HOUR_NS / 2);
            write(&database, Some("autogen"), &points, state.now).unwrap();
            truth.write_at("autogen", &points, Timestamp::MIN, state.now);
            tsdb.store().compact(None, CompactOptions { is_final: true }, &|| false).unwrap();
            tsdb.store().close().unwrap();
            let tsdb = Tsdb::open(options(&after, durability)).unwrap();
            check_all(&tsdb, DATABASE, &truth, state.now);
            let database = tsdb.database(DATABASE).unwrap();
            let is_purging = |delete: &DeleteInfo| delete.state == DeleteState::Purging;
            if database.deletes().iter().any(is_purging) {
                while database.deletes().iter().any(is_purging) {
                    tsdb.maintain(state.now).unwrap();
                }
                check_all(&tsdb, DATABASE, &truth, state.now);
            }
            tsdb.maintain(state.now + 2 * HOUR_NS).unwrap();
            compared += check_rollups(&tsdb, &truth, state.now + 2 * HOUR_NS);
        }
    }
    compared
}

#[test]
fn acknowledged_points_survive_a_crash_at_any_call() {
    crash_everywhere(1, &script(1), Durability::Always);
}

#[test]
fn without_a_sync_a_crash_leaves_a_prefix() {
    crash_everywhere(2, &script(2), Durability::Os);
}

fn crash_with_rollups(seed: u64, durability: Durability) {
    let compared = crash_everywhere(seed, &script_of_rollups(seed), durability);
    println!("{compared} buckets compared");
    assert!(compared > 0, "nothing was rolled up");
}

#[test]
fn covered_buckets_equal_their_points_after_a_crash_at_any_call() {
    crash_with_rollups(3, Durability::Always);
}

#[test]
fn without_a_sync_covered_buckets_equal_their_points_after_a_crash_at_any_call() {
    crash_with_rollups(4, Durability::Os);
}
