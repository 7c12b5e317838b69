//! A script of operations on a store, and what the store must hold after each of them.
//!
//! The states are computed beforehand by a plain map of maps. While the script runs, a
//! [`Tracker`] says which of its steps were acknowledged, so that at any moment, also at one
//! inside a step, the states that a crash may leave are known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firndb_engine::batch::WriteBatch;
use firndb_engine::clock::ManualClock;
use firndb_engine::fs::Fs;
use firndb_engine::fs::sim::{Rng, SimFs};
use firndb_engine::hooks::{Hooks, Plain};
use firndb_engine::options::{
    Background, Durability, HookResolver, KeyspaceOptions, LazyLeveled, Leveled, Options, Policy,
    Tiered, TimeWindow,
};
use firndb_engine::scan::bounds::Bounds;
use firndb_engine::store::{
    CompactOptions, ScanOptions, Store, TableSource, Transfer, WriteOptions,
};
use firndb_engine::{Error, Result};
use parking_lot::Mutex;

/// Keyspaces and what they hold.
pub type State = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// What a write does to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Put,
    Delete,
    Merge,
    /// From `key` up to, not including, `value`.
    DeleteRange,
    /// A put that expires long after the test.
    PutUntil,
    /// A put that expired long before the test: as a delete.
    PutExpired,
}

/// One operation of a batch.
#[derive(Debug, Clone)]
pub struct Operation {
    pub keyspace: &'static str,
    pub change: Change,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// One step of a script.
#[derive(Debug, Clone)]
pub enum Step {
    Write(Vec<Operation>),
    Create(&'static str),
    Drop(&'static str),
    Flush(Option<&'static str>),
    Compact(Option<&'static str>),
    /// Exports the first keyspace and imports it as the second, whatever that held.
    Copy(&'static str, &'static str, Transfer),
    /// Another compaction policy; which one, by number.
    Policy(&'static str, usize),
    Sync,
    Maintain,
    Reopen,
}

/// Steps and the states between them: `states[i]` is the one before step `i`.
#[derive(Debug, Clone)]
pub struct Script {
    pub steps: Vec<Step>,
    pub states: Vec<State>,
    pub durability: Durability,
}

/// Why scripts drop keyspaces.
pub const DROP_REASON: &str = "dropped by the script";

const KEYSPACES: [&str; 3] = ["a", "b", "c"];
const KEYS: u64 = 20;

fn key(index: u64) -> Vec<u8> {
    format!("key-{index:02}").into_bytes()
}

const POLICIES: u64 = 4;

fn policy(which: usize) -> Policy {
    let tiers = Tiered { merge_runs_min: 2, merge_runs_max: 4, ratio: 2.0, runs_max: 3 };
    match which {
        0 => Policy::Leveled(Leveled { runs0_trigger: 2, ratio: 2, base_bytes: 8 << 10 }),
        1 => Policy::LazyLeveled(LazyLeveled { tiers, ratio: 2 }),
        2 => Policy::TimeWindow(TimeWindow { tiers, prefix_bytes: 5 }),
        _ => Policy::Tiered(tiers),
    }
}

/// Concatenates: associative, and every operand can be told in the result.
fn concatenate(_key: &[u8], base: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8> {
    let mut out = base.unwrap_or_default().to_vec();
    for operand in operands {
        out.extend_from_slice(operand);
    }
    out
}

impl Script {
    /// A script of `steps` random steps. With `Durability::Always` keyspaces come and go; without,
    /// they are there from the start, since writes that are not waited for may be lost behind them.
    pub fn random(seed: u64, steps: usize, durability: Durability) -> Script {
        Script::continued(seed, steps, durability, State::new())
    }

    /// As [`Script::random`], for a store that holds `state`, durably.
    pub fn continued(seed: u64, steps: usize, durability: Durability, state: State) -> Script {
        let mut rng = Rng::new(seed);
        let mut script = Script { steps: Vec::new(), states: vec![state], durability };
        let at_first = if durability == Durability::Always { 2 } else { KEYSPACES.len() };
        for name in &KEYSPACES[..at_first] {
            if !script.last_state().contains_key(*name) {
                script.push(Step::Create(name));
            }
        }
        while script.steps.len() < steps {
            let step = script.random_step(&mut rng);
            script.push(step);
        }
        script
    }

    fn random_step(&self, rng: &mut Rng) -> Step {
        let state = self.last_state();
        let comes_and_goes = self.durability == Durability::Always;
        let pick = |rng: &mut Rng| {
            let name = KEYSPACES[rng.below(3) as usize];
            state.contains_key(name).then_some(name)
        };
        match rng.below(100) {
            0..3 if comes_and_goes => match pick(rng) {
                Some(name) if state.len() > 1 => Step::Drop(name),
                _ => Step::Create(KEYSPACES[rng.below(3) as usize]),
            },
            0..5 if comes_and_goes => Step::Create(KEYSPACES[rng.below(3) as usize]),
            5..12 => Step::Flush(pick(rng)),
            12..18 => Step::Compact(pick(rng)),
            18..20 => Step::Reopen,
            20 => Step::Maintain,
            21 => match pick(rng) {
                Some(name) => Step::Policy(name, rng.below(POLICIES) as usize),
                None => Step::Maintain,
            },
            22..26 => Step::Sync,
            26..29 => match pick(rng) {
                Some(from) => {
                    let all = if comes_and_goes { 3 } else { state.len() as u64 };
                    let transfer = if rng.one_in(2) { Transfer::Copy } else { Transfer::Link };
                    Step::Copy(from, KEYSPACES[rng.below(all) as usize], transfer)
                }
                None => Step::Sync,
            },
            _ => Step::Write(self.random_batch(rng)),
        }
    }

    fn random_batch(&self, rng: &mut Rng) -> Vec<Operation> {
        let names: Vec<_> = self.last_state().keys().collect();
        let count = if rng.one_in(3) { 2 + rng.below(5) } else { 1 };
        let operation = |index: u64| {
            let name = names[rng.below(names.len() as u64) as usize].as_str();
            let keyspace = KEYSPACES.into_iter().find(|k| *k == name).expect("one of ours");
            let mut change = match rng.below(10) {
                0..5 => Change::Put,
                5..7 => Change::Delete,
                _ => Change::Merge,
            };
            let mut value = format!("<{}.{index}>", self.steps.len()).into_bytes();
            let more = rng.below(120);
            value.resize(value.len() + more as usize, b'.');
            let at = rng.below(KEYS);
            if change == Change::Delete && more.is_multiple_of(4) {
                change = Change::DeleteRange;
            } else if change == Change::Put {
                change = match more % 8 {
                    0 => Change::PutUntil,
                    1 => Change::PutExpired,
                    _ => Change::Put,
                };
            }
            match change {
                Change::Delete => value.clear(),
                Change::DeleteRange => value = key(at + 1 + more / 4 % 6),
                Change::Put | Change::Merge | Change::PutUntil | Change::PutExpired => {}
            }
            Operation { keyspace, change, key: key(at), value }
        };
        (0..count).map(operation).collect()
    }

    /// Adds a step and computes the state behind it.
    fn push(&mut self, step: Step) {
        let mut state = self.last_state().clone();
        assert!(apply(&step, &mut state), "a script does nothing impossible");
        self.steps.push(step);
        self.states.push(state);
    }

    /// The state behind the last step.
    pub fn last_state(&self) -> &State {
        self.states.last().expect("there is a first state")
    }
}

/// Does to `state` what the step does to a store; `false` when a keyspace is missing.
pub fn apply(step: &Step, state: &mut State) -> bool {
    match step {
        Step::Create(name) => drop(state.entry((*name).into()).or_default()),
        Step::Drop(name) => return state.remove(*name).is_some(),
        Step::Copy(from, to, _) => {
            let Some(map) = state.get(*from).cloned() else { return false };
            state.insert((*to).into(), map);
        }
        Step::Write(operations) => {
            if !operations.iter().all(|op| state.contains_key(op.keyspace)) {
                return false;
            }
            // Operands in the batch of a put that has expired go with it.
            let mut expired = BTreeSet::new();
            for op in operations {
                let target = (op.keyspace, &op.key);
                match op.change {
                    Change::PutExpired => drop(expired.insert(target)),
                    Change::Merge if expired.contains(&target) => continue,
                    Change::Merge => {}
                    Change::DeleteRange => expired.retain(|(keyspace, key)| {
                        *keyspace != op.keyspace || **key < op.key || **key >= op.value
                    }),
                    _ => drop(expired.remove(&target)),
                }
                let map = state.get_mut(op.keyspace).expect("just seen");
                match op.change {
                    Change::Put | Change::PutUntil => {
                        drop(map.insert(op.key.clone(), op.value.clone()));
                    }
                    Change::Delete | Change::PutExpired => drop(map.remove(&op.key)),
                    Change::Merge => map.entry(op.key.clone()).or_default().extend(&op.value),
                    Change::DeleteRange => map.retain(|key, _| *key < op.key || *key >= op.value),
                }
            }
        }
        _ => {}
    }
    true
}

/// How far a script got, for those who look while it runs.
#[derive(Debug, Clone, Default)]
pub struct Tracker(Arc<Mutex<Allowed>>);

/// Indexes of the states that a crash may leave.
#[derive(Debug, Clone, Default)]
pub struct Allowed {
    /// The oldest: everything before it was acknowledged as durable.
    pub first: usize,
    /// The newest: the step that is running is the last that may have happened.
    pub last: usize,
}

impl Tracker {
    pub fn allowed(&self) -> Allowed {
        self.0.lock().clone()
    }

    fn begin(&self, step: usize) {
        self.0.lock().last = step + 1;
    }

    /// Step `step` is over; what it wrote is durable or not.
    fn end(&self, step: usize, is_durable: bool) {
        if is_durable {
            self.0.lock().first = step + 1;
        }
    }
}

#[derive(Debug)]
struct Merging;

impl HookResolver for Merging {
    fn hooks(&self, _keyspace_name: &str) -> Arc<dyn Hooks> {
        Arc::new(Plain::with_merge(concatenate))
    }
}

pub fn dir() -> &'static Path {
    Path::new("/data")
}

/// A tiny store: every limit is reached within a few writes.
pub fn options(fs: Arc<dyn Fs>) -> Options {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000_000_000));
    Options {
        background: Background::Inline,
        memtable_bytes_max: 4 << 10,
        memtable_bytes_hard: 16 << 10,
        wal_segment_bytes: 4 << 10,
        wal_bytes_max: 16 << 10,
        block_bytes: 256,
        restart_interval: 4,
        cache_bytes: 16 << 10,
        table_bytes_max: 4 << 10,
        ..Options::new(PathBuf::from(dir()), fs, clock, Arc::new(Merging))
    }
}

/// A store that a script runs on.
pub struct Run {
    fs: Arc<dyn Fs>,
    store: Option<Store>,
    durability: Durability,
}

impl Run {
    /// A store that is not open yet.
    pub fn closed(fs: Arc<dyn Fs>, durability: Durability) -> Run {
        Run { fs, store: None, durability }
    }

    /// Opens the store.
    pub fn open(fs: Arc<dyn Fs>, durability: Durability) -> Result<Run> {
        let mut run = Run::closed(fs, durability);
        run.reopen()?;
        Ok(run)
    }

    /// Opens the store, unless it is open.
    pub fn reopen(&mut self) -> Result<()> {
        if self.store.is_none() {
            self.store = Some(Store::open(options(self.fs.clone()))?);
        }
        Ok(())
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    /// Runs one step. Says whether everything up to here is durable now.
    pub fn step(&mut self, step: &Step) -> Result<bool> {
        let id = |name: &str| {
            let keyspace = self.store().keyspace(name);
            let missing = || Error::NotFound { what: format!("keyspace {name}") };
            keyspace.map(|keyspace| keyspace.id).ok_or_else(missing)
        };
        let every = |name: &Option<&str>| name.map(id).transpose();
        match step {
            Step::Write(operations) => {
                let mut batch = WriteBatch::new();
                for op in operations {
                    let keyspace = id(op.keyspace)?;
                    match op.change {
                        Change::Put => batch.put(keyspace, &op.key, &op.value),
                        Change::Delete => batch.delete(keyspace, &op.key),
                        Change::Merge => batch.merge(keyspace, &op.key, &op.value),
                        Change::DeleteRange => batch.delete_range(keyspace, &op.key, &op.value),
                        Change::PutUntil => {
                            batch.put_with_ttl(keyspace, &op.key, &op.value, u64::MAX);
                        }
                        Change::PutExpired => batch.put_with_ttl(keyspace, &op.key, &op.value, 1),
                    }
                }
                let durability = Some(self.durability);
                let commit = self.store().write(&batch, WriteOptions { durability })?;
                assert!(commit.seq() > 0);
                return Ok(self.durability == Durability::Always);
            }
            Step::Create(name) => {
                let keyspace = self.store().create_keyspace(name, KeyspaceOptions::default())?;
                assert_eq!(&*keyspace.name, *name);
            }
            Step::Drop(name) => self.store().drop_keyspaces(&[id(name)?], DROP_REASON)?,
            Step::Flush(name) => self.store().flush(every(name)?)?,
            Step::Compact(name) => {
                self.store().compact(every(name)?, CompactOptions::default(), &|| false)?;
            }
            Step::Copy(from, to, transfer) => {
                id(from)?;
                copy_keyspace(self.store(), from, to, *transfer)?;
                return Ok(true);
            }
            Step::Sync => {
                self.store().sync()?;
                return Ok(true);
            }
            Step::Policy(name, which) => self.store().set_policy(id(name)?, policy(*which))?,
            Step::Maintain => self.store().maintain()?,
            Step::Reopen => {
                let closed = self.store().close();
                self.store = None;
                self.reopen()?;
                closed?;
                return Ok(true);
            }
        }
        Ok(self.durability == Durability::Always)
    }
}

/// Exports the keyspace `from` and imports it as `to`, in place of what is there.
pub fn copy_keyspace(store: &Store, from: &str, to: &str, how: Transfer) -> Result<()> {
    let export = store.begin_export(&|name| name == from)?.wait(&|| false)?;
    let mut import = store.begin_import()?;
    for keyspace in &export.keyspaces {
        import.keyspace(to, keyspace.options.clone())?;
        for table in &keyspace.tables {
            let (path, is_final) = (table.path().to_owned(), table.meta().is_final);
            let source = TableSource { path, place: table.place, is_final };
            import.table(&source, how, &mut |_| Ok(()))?;
        }
        for delete in &keyspace.range_deletes {
            import.range_delete(delete.clone())?;
        }
    }
    let old: Vec<_> = store.keyspace(to).into_iter().map(|keyspace| keyspace.id).collect();
    import.commit(&old, export.seq, "script").map(drop)
}

/// Runs a whole script and closes the store.
pub fn run(fs: Arc<dyn Fs>, script: &Script, tracker: &Tracker) -> Result<()> {
    let mut run = Run::open(fs, script.durability)?;
    for (index, step) in script.steps.iter().enumerate() {
        tracker.begin(index);
        let is_durable = run.step(step)?;
        tracker.end(index, is_durable);
    }
    run.store().close()
}

/// Reads everything there is, by scans both ways and by keys; all must agree.
pub fn read_state(store: &Store) -> Result<State> {
    let mut state = State::new();
    for keyspace in store.keyspaces() {
        let scan = |reverse| {
            let options = ScanOptions { bounds: Bounds::all(), reverse, ..ScanOptions::default() };
            let pairs = store.scan(keyspace.id, options)?;
            pairs.map(|pair| pair.map(|(k, v)| (k, v.into_vec()))).collect::<Result<Vec<_>>>()
        };
        let forward = scan(false)?;
        let mut backward = scan(true)?;
        backward.reverse();
        assert_eq!(forward, backward, "scans of {} agree", keyspace.name);
        assert!(forward.windows(2).all(|pair| pair[0].0 < pair[1].0), "keys ascend");
        let map: BTreeMap<_, _> = forward.into_iter().collect();
        for index in 0..KEYS {
            let value = store.get(keyspace.id, &key(index), None)?.map(|v| v.into_vec());
            let scanned = map.get(&key(index));
            assert_eq!(value.as_ref(), scanned, "get and scan of {} agree", keyspace.name);
        }
        state.insert(keyspace.name.to_string(), map);
    }
    Ok(state)
}

/// What is wrong with `state`, given the states that are allowed.
pub fn judge(script: &Script, allowed: &Allowed, state: &State) -> Result<usize, String> {
    let range = allowed.first..=allowed.last.max(allowed.first);
    if let Some(found) = range.clone().find(|index| script.states[*index] == *state) {
        return Ok(found);
    }
    let other = script.states.iter().position(|known| known == state);
    let nearest = &script.states[allowed.first];
    let names: BTreeSet<_> = nearest.keys().chain(state.keys()).collect();
    let difference = names.into_iter().find(|name| nearest.get(*name) != state.get(*name));
    Err(match (other, difference) {
        (Some(other), _) => format!("state {other}, allowed are {range:?}"),
        (None, Some(name)) => format!(
            "a state that never was; allowed are {range:?}; keyspace {name} is {:?}, was {:?}",
            state.get(name).map(text),
            nearest.get(name).map(text),
        ),
        (None, None) => unreachable!("equal to the nearest"),
    })
}

fn text(map: &BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    map.iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// A simulated file system with the folder of the store.
pub fn new_fs(seed: u64) -> SimFs {
    let fs = SimFs::new(seed);
    fs.create_dir_all(dir()).expect("nothing fails yet");
    fs
}
