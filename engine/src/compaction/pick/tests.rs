//! Picks as tables of cases, and random shapes that must come to rest.

mod simulation;

use std::fmt::Write as _;

use super::columns::{Column, columns};
use super::*;
use crate::levels::RunSummary;
use crate::manifest::LEVEL_LAST;
use crate::options::Tiered;

const KEYSPACE: KeyspaceId = KeyspaceId(1);

/// Levels as text: one line a run, newest first: `L0` or `L1`.. then tables `number[a..c]bytes`,
/// with `-d` for one delete. Runs of level 0 get descending ages.
struct Tables(Vec<(Place, Vec<TableMeta>)>);

impl Tables {
    fn parse(text: &str) -> Tables {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let count = lines.clone().count() as u64;
        let run = |(index, line): (usize, &str)| {
            let mut words = line.split_whitespace();
            let level: u8 = words.next().unwrap()[1..].parse().unwrap();
            let age = if level == 0 { count - index as u64 } else { 0 };
            (Place { level, age }, words.map(table).collect())
        };
        Tables(lines.enumerate().map(run).collect())
    }

    fn levels(&self) -> LevelsSummary<'_> {
        let mut levels = LevelsSummary::default();
        for level in 1..LEVELS {
            let place = Place { level: level as u8, age: 0 };
            levels.levels.push(RunSummary { place, tables: Vec::new() });
        }
        for (place, tables) in &self.0 {
            let tables: Vec<_> = tables.iter().collect();
            match place.level {
                0 => levels.runs0.push(RunSummary { place: *place, tables }),
                level => levels.levels[level as usize - 1].tables = tables,
            }
        }
        levels
    }
}

fn table(word: &str) -> TableMeta {
    let (number, rest) = word.split_once('[').unwrap();
    let (range, bytes) = rest.split_once(']').unwrap();
    let (smallest, largest) = range.split_once("..").unwrap();
    let (bytes, deletes) = match bytes.strip_suffix("-d") {
        Some(bytes) => (bytes, 1),
        None => (bytes, 0),
    };
    TableMeta {
        number: FileNumber(number.parse().unwrap()),
        written_as: FileNumber(number.parse().unwrap()),
        bytes: bytes.parse().unwrap(),
        entries: 1,
        deletes,
        raw_bytes: 0,
        min_seq: 1,
        max_seq: 1,
        is_final: false,
        clean_seq: 0,
        expires_max_ms: None,
        smallest: smallest.as_bytes().into(),
        largest: largest.as_bytes().into(),
    }
}

/// `inputs -> output` with flags, as text.
fn show(plan: Option<&Plan>) -> String {
    let Some(plan) = plan else { return "nothing".to_owned() };
    let mut out = String::new();
    for input in &plan.inputs {
        let numbers: Vec<_> = input.tables.iter().map(|number| number.0.to_string()).collect();
        write!(out, "L{}({}) ", input.place.level, numbers.join(",")).unwrap();
    }
    write!(out, "-> L{}", plan.output.level).unwrap();
    if plan.output.level == 0 {
        write!(out, " age {}", plan.output.age).unwrap();
    }
    let flags = [(plan.is_bottom, " bottom"), (plan.is_move, " move"), (plan.is_final, " final")];
    flags.iter().filter(|(is_set, _)| *is_set).for_each(|(_, flag)| out.push_str(flag));
    out
}

/// Plans one after the other, each in flight when the next is picked.
fn picks(text: &str, policy: &Policy) -> Vec<String> {
    let tables = Tables::parse(text);
    let mut in_flight = InFlight::default();
    let mut shown = Vec::new();
    while let Some(plan) = pick(KEYSPACE, &tables.levels(), policy, &in_flight) {
        shown.push(show(Some(&plan)));
        let _ = in_flight.claim(KEYSPACE, &plan);
    }
    shown
}

#[test]
fn leveled_cases() {
    let policy = Policy::Leveled(Leveled { runs0_trigger: 2, ratio: 10, base_bytes: 100 });
    let cases: &[(&str, &str, &[&str])] = &[
        ("nothing at all", "", &[]),
        ("one run is not due", "L0 1[a..c]10", &[]),
        (
            "two runs go to the last level",
            "L0 2[a..c]10\nL0 1[b..d]10",
            &["L0(2) L0(1) -> L6 bottom"],
        ),
        (
            "disjoint runs are moved, until level 0 is no longer due",
            "L0 2[a..b]10\nL0 1[c..d]10",
            &["L0(2) -> L6 bottom move"],
        ),
        (
            "deletes that can go are worth a rewrite",
            "L0 2[a..b]10-d\nL0 1[c..d]10",
            &["L0(2) -> L6 bottom"],
        ),
        (
            "only what overlaps is taken along",
            "L0 2[c..d]10\nL0 1[d..e]10\nL6 3[a..b]50 4[c..c]10 5[e..g]10 6[h..z]10",
            &["L0(2) L0(1) L6(4,5) -> L6 bottom"],
        ),
        (
            "a larger last level pulls the base level up",
            "L0 2[c..d]10\nL0 1[d..e]10\nL6 3[a..z]500",
            &["L0(2) L0(1) -> L5"],
        ),
        (
            "the base level is not below data",
            "L0 2[c..d]10\nL0 1[d..e]10\nL4 3[a..z]50",
            // Level 4 is above its place and will move down; both jobs want table 3.
            &["L0(2) L0(1) L4(3) -> L4 bottom"],
        ),
        (
            "disjoint parts of level 0 go down side by side, the deepest first",
            "L0 3[a..b]10 6[n..p]10\nL0 2[b..c]10 5[n..o]10\nL0 1[a..c]10",
            &["L0(3) L0(2) L0(1) -> L6 bottom", "L0(6) L0(5) -> L6 bottom"],
        ),
        (
            "small neighbours go down together",
            "L0 1[a..a]1 2[b..b]1 3[c..c]1 4[d..z]20\nL0 5[a..a]1 6[e..z]20",
            &["L0(1,2,3,4) L0(5,6) -> L6 bottom"],
        ),
        (
            "level 0 goes before a deeper level that is more overdue",
            "L0 6[a..b]10\nL0 5[a..b]10\nL5 1[m..n]900\nL6 2[a..z]1000",
            &["L0(6) L0(5) -> L5", "L5(1) L6(2) -> L6 bottom"],
        ),
        (
            "an overfull level gives the table with the least overlap",
            "L5 1[a..c]60 2[d..f]60 3[g..i]60\nL6 4[a..b]300 5[c..d]300 6[h..h]400",
            &["L5(2) L6(5) -> L6 bottom", "L5(3) L6(6) -> L6 bottom"],
        ),
        (
            "jobs side by side take disjoint tables",
            "L5 1[a..c]160 2[d..f]160\nL6 4[a..b]500 5[d..d]500",
            &["L5(1) L6(4) -> L6 bottom", "L5(2) L6(5) -> L6 bottom"],
        ),
        (
            "neighbours that need the same table wait",
            "L5 1[a..c]160 2[d..f]160\nL6 4[b..e]1000",
            &["L5(1) L6(4) -> L6 bottom"],
        ),
        (
            "no deletes go while something lies deeper",
            "L0 2[a..c]10-d\nL0 1[b..d]10\nL5 3[a..b]10\nL6 4[a..z]500",
            &["L0(2) L0(1) L5(3) -> L5"],
        ),
    ];
    for (name, text, expected) in cases {
        assert_eq!(picks(text, &policy), *expected, "{name}");
    }
}

#[test]
fn tiered_cases() {
    let tiered = Tiered { merge_runs_min: 3, merge_runs_max: 4, ratio: 2.0, runs_max: 5 };
    let policy = Policy::Tiered(tiered);
    let cases: &[(&str, &str, &[&str])] = &[
        ("two are too few", "L0 2[a..c]10\nL0 1[a..c]10", &[]),
        (
            "three of like size",
            "L0 3[a..c]10\nL0 2[a..c]12\nL0 1[a..c]9",
            &["L0(3) L0(2) L0(1) -> L0 age 3 bottom"],
        ),
        (
            "a large one ends the group",
            "L0 4[a..c]10\nL0 3[a..c]12\nL0 2[a..c]9\nL0 1[a..c]100",
            &["L0(4) L0(3) L0(2) -> L0 age 4"],
        ),
        (
            "a small one before the group stays",
            "L0 4[a..c]1\nL0 3[a..c]12\nL0 2[a..c]9\nL0 1[a..c]10",
            &["L0(3) L0(2) L0(1) -> L0 age 3 bottom"],
        ),
        (
            "no more than the most at once, the next group beside it",
            "L0 7[a..c]9\nL0 6[a..c]9\nL0 5[a..c]9\nL0 4[a..c]9\nL0 3[a..c]9\nL0 2[a..c]9\nL0 1[a..c]9",
            &["L0(7) L0(6) L0(5) L0(4) -> L0 age 7", "L0(3) L0(2) L0(1) -> L0 age 3 bottom"],
        ),
        (
            "too many unlike runs: the cheapest neighbours",
            "L0 6[a..c]1\nL0 5[a..c]50\nL0 4[a..c]2\nL0 3[a..c]60\nL0 2[a..c]3\nL0 1[a..c]70",
            &["L0(6) L0(5) L0(4) -> L0 age 6", "L0(3) L0(2) L0(1) -> L0 age 3 bottom"],
        ),
        (
            "what the leveled policy left is a run like others",
            "L0 3[a..c]10\nL0 2[a..c]12\nL6 1[a..c]9 4[d..e]1",
            &["L0(3) L0(2) L6(1,4) -> L6 bottom"],
        ),
    ];
    for (name, text, expected) in cases {
        assert_eq!(picks(text, &policy), *expected, "{name}");
    }
}

#[test]
fn all_runs_into_one() {
    let tiered = Policy::Tiered(Tiered::default());
    let leveled = Policy::default();
    let cases = [
        ("nothing", "", &leveled, "nothing"),
        ("leveled goes to the end", "L0 1[a..b]1", &leveled, "L0(1) -> L6 bottom final"),
        (
            "tiered stays in level 0",
            "L0 2[a..b]1\nL0 1[a..b]1",
            &tiered,
            "L0(2) L0(1) -> L0 age 2 bottom final",
        ),
        (
            "tiered over leveled goes to the deepest",
            "L0 2[a..b]1\nL3 1[a..b]1\nL5 3[a..c]1",
            &tiered,
            "L0(2) L3(1) L5(3) -> L5 bottom final",
        ),
    ];
    for (name, text, policy, expected) in cases {
        let tables = Tables::parse(text);
        let mut in_flight = InFlight::default();
        let plan = pick_all(KEYSPACE, &tables.levels(), policy, &in_flight, true);
        assert_eq!(show(plan.as_ref()), expected, "{name}");
        if let Some(plan) = plan {
            let claim = in_flight.claim(KEYSPACE, &plan);
            let again = pick_all(KEYSPACE, &tables.levels(), policy, &in_flight, true);
            assert_eq!(again, None, "{name}: while a job runs");
            in_flight.release(claim);
            assert!(in_flight.is_empty());
        }
    }
}

#[test]
fn targets_follow_the_largest_level() {
    let leveled = Leveled { runs0_trigger: 4, ratio: 10, base_bytes: 100 };
    let cases: [(&str, u8, &[u64]); 5] = [
        ("", 6, &[100]),
        ("L6 1[a..b]99", 6, &[100]),
        ("L6 1[a..b]500", 5, &[50, 500]),
        ("L6 1[a..b]50000", 3, &[50, 500, 5000, 50000]),
        ("L3 2[a..b]7\nL6 1[a..b]50", 3, &[1, 1, 1, 100]),
    ];
    for (text, base, expected) in cases {
        let tables = Tables::parse(text);
        let (found, targets) = targets(&tables.levels(), &leveled);
        assert_eq!((found, &targets[base as usize..]), (base, expected), "{text}");
    }
}

/// Whatever the shape: a plan takes neighbours in age only, and once nothing is due, running every
/// plan in turn has ended.
#[test]
fn picking_ends() {
    let policies = [
        Policy::Leveled(Leveled { runs0_trigger: 2, ratio: 3, base_bytes: 50 }),
        Policy::Tiered(Tiered { merge_runs_min: 2, merge_runs_max: 4, ratio: 2.0, runs_max: 4 }),
    ];
    let mut rng = crate::fs::sim::Rng::new(7);
    for round in 0..300 {
        let mut tables = random_tables(&mut rng);
        for step in 0.. {
            assert!(step < 200, "round {round} does not end");
            let policy = &policies[if step < 3 { round % 2 } else { 1 - round % 2 }];
            let in_flight = InFlight::default();
            let Some(plan) = pick(KEYSPACE, &tables.levels(), policy, &in_flight) else { break };
            check_neighbours(&tables, &plan);
            apply(&mut tables, &plan, &mut rng);
        }
    }
}

fn random_tables(rng: &mut crate::fs::sim::Rng) -> Tables {
    let mut runs = Vec::new();
    let mut number = 0;
    let runs0 = rng.below(7);
    let places = (0..runs0)
        .map(|index| Place { level: 0, age: runs0 - index })
        .chain((1..=LEVEL_LAST).map(|level| Place { level, age: 0 }));
    for place in places {
        if place.level > 0 && rng.one_in(2) {
            continue;
        }
        let mut tables = Vec::new();
        let mut key = rng.below(20);
        while key < 90 && tables.len() < 6 {
            let end = key + rng.below(20);
            number += 1;
            let bytes = 1 + rng.below(200);
            tables.push(table(&format!("{number}[{key:02}..{end:03}]{bytes}")));
            key = end + 1 + rng.below(20);
        }
        if !tables.is_empty() {
            runs.push((place, tables));
        }
    }
    Tables(runs)
}

/// Every table that lies in age between two inputs and shares the plan's range is an input.
fn check_neighbours(tables: &Tables, plan: &Plan) {
    let taken: Vec<_> = plan.tables().collect();
    let is_input =
        |(_, run): &&(Place, Vec<TableMeta>)| run.iter().any(|t| taken.contains(&t.number));
    let first = tables.0.iter().position(|run| is_input(&run)).unwrap();
    let last = tables.0.iter().rposition(|run| is_input(&run)).unwrap();
    for (place, run) in &tables.0[first..=last] {
        for table in run {
            let is_between = table.overlaps(&plan.smallest, &plan.largest);
            let is_own_level = *place == plan.inputs[0].place && plan.inputs.len() <= 2;
            let is_allowed = taken.contains(&table.number) || !is_between || is_own_level;
            assert!(is_allowed, "{} left out of {}", table.number.0, show(Some(plan)));
        }
    }
    if plan.is_bottom {
        let older = tables.0[last + 1..].iter().flat_map(|(_, run)| run);
        let mut deeper = older.filter(|table| table.overlaps(&plan.smallest, &plan.largest));
        assert!(deeper.next().is_none(), "not the bottom: {}", show(Some(plan)));
    }
}

/// What running the plan would leave: one table of a little less than the sum, or the tables moved.
fn apply(tables: &mut Tables, plan: &Plan, rng: &mut crate::fs::sim::Rng) {
    let taken: Vec<_> = plan.tables().collect();
    let mut moved = Vec::new();
    for (_, run) in &mut tables.0 {
        moved.extend(run.iter().filter(|table| taken.contains(&table.number)).cloned());
        run.retain(|table| !taken.contains(&table.number));
    }
    tables.0.retain(|(_, run)| !run.is_empty());
    if !plan.is_move {
        let (smallest, largest) = (plan.smallest.escape_ascii(), plan.largest.escape_ascii());
        let bytes = (plan.input_bytes - rng.below(plan.input_bytes / 10 + 1)).max(1);
        let number = 1000 + rng.below(1 << 40);
        moved = vec![table(&format!("{number}[{smallest}..{largest}]{bytes}"))];
    }
    match tables.0.iter_mut().find(|(place, _)| *place == plan.output) {
        Some((_, run)) => run.extend(moved),
        None => tables.0.push((plan.output, moved)),
    }
    tables.0.sort_by_key(|(place, _)| (place.level, std::cmp::Reverse(place.age)));
    for (_, run) in &mut tables.0 {
        run.sort_by(|a, b| a.smallest.cmp(&b.smallest));
        assert!(
            run.windows(2).all(|pair| pair[0].largest < pair[1].smallest),
            "{}",
            show(Some(plan))
        );
    }
}

/// Level 0 is due while another job holds what it would go to, or its older runs.
#[test]
fn level_0_does_not_wait_for_the_base_level() {
    let policy = Policy::Leveled(Leveled { runs0_trigger: 2, ratio: 10, base_bytes: 100 });
    let young = "L0 9[c..d]1\nL0 8[c..d]1\nL0 7[c..d]1\nL0 6[c..d]1\n";
    let cases = [
        // The base level's table is on its way down.
        (format!("{young}L6 1[a..z]50"), &[1][..], "L0(9) L0(8) L0(7) L0(6) -> L0 age 5"),
        // The oldest run is on its way into the base level.
        (
            format!("{young}L0 5[b..e]40\nL6 1[a..z]50"),
            &[5, 1],
            "L0(9) L0(8) L0(7) L0(6) -> L0 age 6",
        ),
        // The young ones are being merged: the older ones go down meanwhile.
        (
            format!("{young}L0 5[b..e]40\nL0 4[b..e]9\nL6 1[a..z]50"),
            &[9, 8, 7, 6],
            "L0(5) L0(4) L6(1) -> L6 bottom",
        ),
        // A run that was merged before is left alone.
        (
            "L0 9[c..d]1\nL0 8[c..d]1\nL0 7[c..d]9\nL0 6[c..d]1\nL6 1[a..z]50".to_owned(),
            &[1],
            "nothing",
        ),
    ];
    for (text, held, expected) in cases {
        let tables = Tables::parse(&text);
        let levels = tables.levels();
        let mut in_flight = InFlight::default();
        let is_held = |table: &&TableMeta| held.contains(&table.number.0);
        let mut inputs = Vec::new();
        for run in levels.runs() {
            let tables: Vec<_> = run.tables.iter().copied().filter(is_held).collect();
            inputs.push((run.place, tables));
        }
        let output = Place { level: 0, age: 99 };
        let running = Plan::merge(inputs, output, PlanReason::Manual).unwrap();
        let _claim = in_flight.claim(KEYSPACE, &running);
        let plan = pick(KEYSPACE, &levels, &policy, &in_flight);
        assert_eq!(show(plan.as_ref()), expected, "{text}");
    }
}

#[test]
fn lazy_leveled_cases() {
    let tiers = Tiered { merge_runs_min: 2, merge_runs_max: 4, ratio: 2.0, runs_max: 5 };
    let policy = Policy::LazyLeveled(crate::options::LazyLeveled { tiers, ratio: 4 });
    let cases: &[(&str, &str, &[&str])] = &[
        ("two make no group and no last run", "L0 2[a..c]10\nL0 1[a..c]90", &[]),
        (
            "the first go to the end together",
            "L0 3[a..c]10\nL0 2[a..c]10\nL0 1[a..c]10",
            &["L0(3) L0(2) L0(1) -> L6 bottom"],
        ),
        (
            "too small for the last run: a group of their own",
            "L0 3[a..c]10\nL0 2[a..c]10\nL6 1[a..c]90",
            &["L0(3) L0(2) -> L0 age 3"],
        ),
        (
            "large enough for the last run",
            "L0 3[a..c]10\nL0 2[a..c]15\nL6 1[a..c]90",
            &["L0(3) L0(2) L6(1) -> L6 bottom"],
        ),
        (
            "only what is overlapped of the last run",
            "L0 3[b..b]40\nL0 2[c..c]15\nL6 1[a..a]50 4[b..b]50 5[d..d]50",
            &["L0(3) L0(2) L6(4) -> L6 bottom"],
        ),
        (
            "what the leveled policy left in between is a run like others",
            "L0 3[a..c]10\nL4 2[a..c]15\nL6 1[a..c]90",
            &["L0(3) L4(2) L6(1) -> L6 bottom"],
        ),
    ];
    for (name, text, expected) in cases {
        assert_eq!(picks(text, &policy), *expected, "{name}");
    }
}

#[test]
fn time_window_cases() {
    let tiers = Tiered { merge_runs_min: 3, merge_runs_max: 4, ratio: 2.0, runs_max: 5 };
    let policy = Policy::TimeWindow(crate::options::TimeWindow { tiers, prefix_bytes: 1 });
    let cases: &[(&str, &str, &[&str])] = &[
        ("two runs of the open window", "L0 2[c1..c3]10\nL0 1[c0..c4]10", &[]),
        (
            "three of like size in the open window",
            "L0 3[c1..c2]10\nL0 2[c1..c3]10\nL0 1[c0..c4]10",
            &["L0(3) L0(2) L0(1) -> L0 age 3 bottom"],
        ),
        (
            "a closed window becomes one run, the open one stays",
            "L0 3[a1..a2]10 4[c1..c2]5\nL0 2[a1..a3]20 5[c1..c2]5\nL0 1[a0..a4]10",
            &["L0(3) L0(2) L0(1) -> L0 age 3 bottom"],
        ),
        ("little that comes late waits for more", "L0 3[a1..a2]1 4[c1..c2]5\nL0 1[a0..a4]100", &[]),
        (
            "windows are merged side by side, the newest first",
            "L0 3[a1..a2]9 4[b1..b2]9 7[c1..c1]1\nL0 2[a1..a3]9 5[b3..b4]9\nL6 1[a0..a4]10 6[b2..b3]10",
            &["L0(4) L0(5) L6(6) -> L6 bottom", "L0(3) L0(2) L6(1) -> L6 bottom"],
        ),
        (
            "a table of another policy's time keeps windows together",
            "L0 3[a1..a2]9 4[b1..b2]9 7[c1..c1]1\nL0 2[a1..a3]9 5[b3..b4]9\nL6 1[a0..b9]10",
            &["L0(3,4) L0(2,5) L6(1) -> L6 bottom"],
        ),
    ];
    for (name, text, expected) in cases {
        assert_eq!(picks(text, &policy), *expected, "{name}");
    }
}

#[test]
fn ranges_and_levels_by_hand() {
    let leveled = Policy::Leveled(Leveled { runs0_trigger: 4, ratio: 10, base_bytes: 100 });
    let tiered = Policy::Tiered(Tiered::default());
    let text = "L0 8[a..b]1 9[m..n]1\nL0 7[c..d]1\nL4 4[b..c]10 5[k..p]10\nL6 1[a..a]50 2[d..f]50 3[q..z]50";
    let bounds = |lower: &str, upper: &str| crate::scan::bounds::Bounds {
        lower: Some(lower.as_bytes().to_vec()),
        upper: Some(upper.as_bytes().to_vec()),
    };
    let tables = Tables::parse(text);
    let (levels, in_flight) = (tables.levels(), InFlight::default());
    let ranges = [
        (&leveled, "a", "b", "L0(8) L0(7) L4(4) L6(1,2) -> L6 bottom"),
        (&leveled, "l", "m", "L0(9) L4(5) -> L6 bottom"),
        (&tiered, "l", "m", "L0(9) L4(5) -> L4 bottom"),
        (&tiered, "g", "h", "nothing"),
        (&leveled, "r", "s", "L6(3) -> L6 bottom"),
    ];
    for (policy, lower, upper, expected) in ranges {
        let plan = pick_range(KEYSPACE, &levels, policy, &in_flight, &bounds(lower, upper));
        assert_eq!(show(plan.as_ref()), expected, "{lower}..{upper}");
    }
    let by_level = [
        (&leveled, 0, "L0(8,9) L0(7) L4(4,5) -> L4"),
        (&tiered, 0, "L0(8,9) L0(7) -> L0 age 4"),
        (&leveled, 1, "nothing"),
        (&leveled, 4, "L4(4,5) -> L5"),
        (&tiered, 6, "L6(1,2,3) -> L6 bottom"),
    ];
    for (policy, level, expected) in by_level {
        let plan = pick_level(KEYSPACE, &levels, policy, &in_flight, level);
        assert_eq!(show(plan.as_ref()), expected, "level {level}");
    }
}

/// A delete must not go while a running job brings what it hides below it.
#[test]
fn a_running_job_may_be_older_than_what_is_there() {
    let tables = Tables::parse("L0 2[a..c]10-d\nL0 1[a..c]10");
    let levels = tables.levels();
    let mut in_flight = InFlight::default();
    let down = Place { level: 6, age: 0 };
    let older = Plan::merge(
        vec![(levels.runs0[1].place, levels.runs0[1].tables.clone())],
        down,
        PlanReason::Runs,
    )
    .unwrap();
    let _claim = in_flight.claim(KEYSPACE, &older);
    let up = Place { level: 5, age: 0 };
    let newer = Plan::merge(
        vec![(levels.runs0[0].place, levels.runs0[0].tables.clone())],
        up,
        PlanReason::Runs,
    )
    .unwrap();
    assert!(in_flight.writes_older(KEYSPACE, &newer));
    assert!(!in_flight.writes_older(KeyspaceId(2), &newer));
    let beside = Plan { smallest: b"d".to_vec(), largest: b"e".to_vec(), ..newer };
    assert!(!in_flight.writes_older(KEYSPACE, &beside));
}
