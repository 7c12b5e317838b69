//! Keyspaces in miniature: tables that hold real versions of keys, plans that run side by side and
//! end in any order, flushes between, policies that change. After every step each key reads as the
//! model says, versions of a key descend from run to run, and tables of a run are disjoint.

use std::collections::BTreeMap;

use super::*;
use crate::compaction::Claim;
use crate::fs::sim::Rng;
use crate::options::{LazyLeveled, TimeWindow};
use crate::scan::bounds::Bounds;

const SEEDS: u64 = 150;
const STEPS: u64 = 400;
const JOBS_MAX: usize = 4;
const WINDOW_BYTES: usize = 2;

/// Key to its newest version: sequence number, and whether it is a delete.
type Entries = BTreeMap<Vec<u8>, (u64, bool)>;

struct SimTable {
    meta: TableMeta,
    entries: Entries,
}

struct World {
    rng: Rng,
    policy: Policy,
    /// Newest first.
    runs: Vec<(Place, Vec<SimTable>)>,
    in_flight: InFlight,
    jobs: Vec<(Plan, Claim)>,
    model: Entries,
    seq: u64,
    number: u64,
    made: BTreeMap<&'static str, u64>,
}

fn random_policy(rng: &mut Rng) -> Policy {
    let tiers = Tiered {
        merge_runs_min: 2 + rng.below(3) as u32,
        merge_runs_max: 5,
        ratio: 2.0,
        runs_max: 4 + rng.below(4) as u32,
    };
    let ratio = 2 + rng.below(3) as u32;
    match rng.below(4) {
        0 => Policy::Tiered(tiers),
        1 => Policy::LazyLeveled(LazyLeveled { tiers, ratio }),
        2 => Policy::TimeWindow(TimeWindow { tiers, prefix_bytes: WINDOW_BYTES as u8 }),
        _ => Policy::Leveled(Leveled {
            runs0_trigger: 1 + rng.below(4) as u32,
            ratio,
            base_bytes: 5 + rng.below(40),
        }),
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let policy = random_policy(&mut rng);
        World {
            rng,
            policy,
            runs: Vec::new(),
            in_flight: InFlight::default(),
            jobs: Vec::new(),
            model: Entries::new(),
            seq: 0,
            number: 0,
            made: BTreeMap::new(),
        }
    }

    /// Entries as tables of a few keys each, which do not span windows where the policy says so.
    fn tables(&mut self, entries: Entries) -> Vec<SimTable> {
        let window = self.policy.window_bytes().unwrap_or(0);
        let most = 1 + self.rng.below(6) as usize;
        let mut tables: Vec<Entries> = Vec::new();
        for (key, version) in entries {
            let is_full = |table: &Entries| {
                let (last, _) = table.last_key_value().unwrap();
                table.len() >= most || last[..window] != key[..window]
            };
            if tables.last().is_none_or(is_full) {
                tables.push(Entries::new());
            }
            tables.last_mut().unwrap().insert(key, version);
        }
        let table = |entries: Entries| {
            self.number += 1;
            let (first, last) = (entries.first_key_value().unwrap(), entries.last_key_value());
            let meta = TableMeta {
                number: FileNumber(self.number),
                written_as: FileNumber(self.number),
                bytes: entries.len() as u64,
                entries: entries.len() as u64,
                deletes: entries.values().filter(|(_, is_delete)| *is_delete).count() as u64,
                smallest: first.0.as_slice().into(),
                largest: last.unwrap().0.as_slice().into(),
                ..super::table("1[a..b]1")
            };
            SimTable { meta, entries }
        };
        tables.into_iter().map(table).collect()
    }

    fn add(&mut self, place: Place, tables: Vec<SimTable>) {
        if tables.is_empty() {
            return;
        }
        match self.runs.iter_mut().find(|(other, _)| *other == place) {
            Some((_, run)) => run.extend(tables),
            None => self.runs.push((place, tables)),
        }
        self.runs.sort_by_key(|(place, _)| (place.level, std::cmp::Reverse(place.age)));
        for (_, run) in &mut self.runs {
            run.sort_by(|a, b| a.meta.smallest.cmp(&b.meta.smallest));
        }
    }

    fn flush(&mut self) {
        let mut entries = Entries::new();
        let near = self.rng.one_in(2).then(|| self.rng.below(6));
        for _ in 0..1 + self.rng.below(8) {
            let window = near.unwrap_or_else(|| self.rng.below(6));
            let key = format!("w{window}k{}", self.rng.below(8)).into_bytes();
            self.seq += 1;
            let version = (self.seq, self.rng.one_in(3));
            entries.insert(key.clone(), version);
            self.model.insert(key, version);
        }
        let newest = self.runs.first().filter(|(place, _)| place.level == 0);
        let age = newest.map_or(0, |(place, _)| place.age) + 1;
        let tables = self.tables(entries);
        self.add(Place { level: 0, age }, tables);
    }

    /// A plan of the picker, or one asked for by hand.
    fn plan(&mut self, by_hand: bool) -> Option<Plan> {
        let (low, high) = (self.rng.below(6), self.rng.below(6));
        let (level, which, is_final) =
            (self.rng.below(7) as u8, self.rng.below(3), self.rng.one_in(2));
        let levels = levels_of(&self.runs);
        let (policy, in_flight) = (&self.policy, &self.in_flight);
        if !by_hand {
            return pick(KEYSPACE, &levels, policy, in_flight);
        }
        match which {
            0 => pick_all(KEYSPACE, &levels, policy, in_flight, is_final),
            1 => pick_level(KEYSPACE, &levels, policy, in_flight, level),
            _ => {
                let key = |window: u64| Some(format!("w{window}").into_bytes());
                let bounds = Bounds { lower: key(low.min(high)), upper: key(low.max(high) + 1) };
                pick_range(KEYSPACE, &levels, policy, in_flight, &bounds)
            }
        }
    }

    fn start(&mut self, by_hand: bool) -> bool {
        let Some(plan) = self.plan(by_hand) else { return false };
        *self.made.entry(plan.reason.name()).or_default() += 1;
        *self.made.entry(if plan.is_move { "moved" } else { "merged" }).or_default() += 1;
        let claim = self.in_flight.claim(KEYSPACE, &plan);
        self.jobs.push((plan, claim));
        if self.jobs.len() > 1 {
            *self.made.entry("side by side").or_default() += 1;
        }
        true
    }

    fn finish(&mut self, at: usize, is_cancelled: bool) {
        let (plan, claim) = self.jobs.swap_remove(at);
        if !is_cancelled {
            self.apply(&plan);
        }
        self.in_flight.release(claim);
    }

    fn apply(&mut self, plan: &Plan) {
        let mut taken = Vec::new();
        for input in &plan.inputs {
            let (_, run) = self.runs.iter_mut().find(|(place, _)| *place == input.place).unwrap();
            let before = taken.len();
            taken.extend(run.extract_if(.., |table| input.tables.contains(&table.meta.number)));
            assert_eq!(taken.len() - before, input.tables.len(), "inputs stay where they are");
        }
        self.runs.retain(|(_, run)| !run.is_empty());
        let tables = if plan.is_move {
            taken
        } else {
            let mut entries = Entries::new();
            for (key, version) in taken.into_iter().flat_map(|table| table.entries) {
                let kept = entries.entry(key).or_insert(version);
                *kept = (*kept).max(version);
            }
            entries.retain(|_, (_, is_delete)| !(*is_delete && plan.is_bottom));
            self.tables(entries)
        };
        self.add(plan.output, tables);
    }

    fn check(&self) {
        let mut found = Entries::new();
        for (place, run) in &self.runs {
            for pair in run.windows(2) {
                assert!(pair[0].meta.largest < pair[1].meta.smallest, "{place:?} is disjoint");
            }
            for (key, version) in run.iter().flat_map(|table| &table.entries) {
                let newest = found.entry(key.clone()).or_insert(*version);
                assert!(newest.0 >= version.0, "{key:?} is older in a newer run than {place:?}");
            }
        }
        for (key, (seq, is_delete)) in &self.model {
            match found.remove(key) {
                None => assert!(is_delete, "{key:?} of {seq} is lost"),
                Some(version) => {
                    assert_eq!(version, (*seq, *is_delete), "{key:?} reads as the model says");
                }
            }
        }
        assert!(found.is_empty(), "{found:?} came back");
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0 => self.policy = random_policy(&mut self.rng),
            1 if self.jobs.len() < JOBS_MAX => drop(self.start(true)),
            2..8 => self.flush(),
            8..14 if self.jobs.len() < JOBS_MAX => drop(self.start(false)),
            _ if !self.jobs.is_empty() => {
                let at = self.rng.below(self.jobs.len() as u64) as usize;
                let is_cancelled = self.rng.one_in(8);
                self.finish(at, is_cancelled);
            }
            _ => {}
        }
        self.check();
    }

    /// Runs what is due until nothing is; then the shape is what the policy asks for.
    fn rest(&mut self) {
        while !self.jobs.is_empty() {
            self.finish(0, false);
        }
        for round in 0.. {
            assert!(round < 1000, "{:?} comes to no rest", self.policy);
            if !self.start(false) {
                break;
            }
            self.finish(0, false);
            self.check();
        }
        let levels = levels_of(&self.runs);
        let runs = levels.runs().count();
        assert_eq!(debt_bytes(&levels, &self.policy), 0, "{:?}", self.policy);
        match self.policy {
            Policy::Leveled(leveled) => {
                let scores = scores(&levels, &self.policy, &self.in_flight);
                assert!(scores.iter().all(|score| *score < 1.0), "{scores:?}");
                assert!(levels.runs0.len() < leveled.runs0_trigger as usize);
            }
            Policy::Tiered(tiers) | Policy::LazyLeveled(LazyLeveled { tiers, .. }) => {
                assert!(runs <= tiers.runs_max.max(2) as usize, "{runs} runs under {tiers:?}");
            }
            Policy::TimeWindow(windows) => {
                let whole = Column::whole(&levels.runs().collect::<Vec<_>>());
                for column in columns(&whole.parts, Some(WINDOW_BYTES)) {
                    let runs = column.parts.len();
                    assert!(runs <= windows.tiers.runs_max as usize, "{runs} in a window");
                }
            }
        }
    }
}

fn levels_of(runs: &[(Place, Vec<SimTable>)]) -> LevelsSummary<'_> {
    let mut levels = LevelsSummary::default();
    for level in 1..LEVELS {
        let place = Place { level: level as u8, age: 0 };
        levels.levels.push(RunSummary { place, tables: Vec::new() });
    }
    for (place, tables) in runs {
        let tables: Vec<_> = tables.iter().map(|table| &table.meta).collect();
        match place.level {
            0 => levels.runs0.push(RunSummary { place: *place, tables }),
            level => levels.levels[level as usize - 1].tables = tables,
        }
    }
    levels
}

#[test]
fn any_plans_side_by_side_lose_nothing_and_bring_nothing_back() {
    let mut made = BTreeMap::new();
    for seed in 0..SEEDS {
        println!("seed {seed}"); // shown when the test fails
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.rest();
        world.made.into_iter().for_each(|(what, count)| *made.entry(what).or_insert(0) += count);
    }
    println!("{made:?}");
    // Every way of merging was taken, often enough to mean something.
    for what in ["runs", "size", "tier", "young", "manual", "final", "moved", "side by side"] {
        assert!(made.get(what).is_some_and(|count| *count >= 50), "{what}: {made:?}");
    }
}
