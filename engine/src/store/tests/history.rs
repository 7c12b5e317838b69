//! Random histories of one store against maps.

use super::*;

fn pairs_of(model: &Model) -> Vec<(String, String)> {
    model.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Random writes with everything that moves data about; at each step reads agree with a map.
#[test]
fn histories_agree_with_a_map() {
    for seed in 1..=12 {
        history(seed);
    }
}

struct History {
    rng: Rng,
    fs: Arc<dyn Fs>,
    store: Store,
    keyspaces: Vec<(Keyspace, Model)>,
    snapshots: Vec<(Snapshot, Vec<Model>)>,
}

fn history(seed: u64) {
    let fs = sim();
    let store = Store::open(options(&fs)).unwrap();
    let create = |name: &str| store.create_keyspace(name, KeyspaceOptions::default()).unwrap();
    let keyspaces = ["kv/a", "kv/b"].map(|name| (create(name), Model::new())).into();
    let mut history = History { rng: Rng::new(seed), fs, store, keyspaces, snapshots: Vec::new() };
    for step in 0..1500 {
        history.step();
        if step % 100 == 99 {
            history.check(seed);
        }
    }
    history.snapshots.clear();
    history.store.compact(None, CompactOptions::default(), &|| false).unwrap();
    history.check(seed);
    let report = history.store.check(true, &|_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "seed {seed}: {report:?}");
}

impl History {
    fn step(&mut self) {
        match self.rng.below(1000) {
            0..=4 => self.reopen(),
            5..=14 => self.store.flush(None).unwrap(),
            15..=18 => {
                let is_final = self.rng.one_in(2);
                self.store.compact(None, CompactOptions { is_final }, &|| false).unwrap();
            }
            19..=30 => {
                let policy = match self.rng.one_in(2) {
                    true => options(&self.fs).policy,
                    false => Policy::Tiered(Default::default()),
                };
                self.store.set_policy(self.keyspaces[0].0.id, policy).unwrap();
            }
            31..=40 => {
                let models = self.keyspaces.iter().map(|(_, model)| model.clone()).collect();
                self.snapshots.push((self.store.snapshot(), models));
            }
            41..=50 => drop(self.snapshots.pop()),
            51..=52 => {
                let (keyspace, model) = &mut self.keyspaces[1];
                self.store.drop_keyspaces(&[keyspace.id], "test").unwrap();
                *keyspace = self.store.create_keyspace("kv/b", Default::default()).unwrap();
                model.clear();
                self.snapshots.clear();
            }
            _ => self.write(),
        }
    }

    fn write(&mut self) {
        let mut batch = WriteBatch::new();
        for _ in 0..self.rng.below(6) {
            let which = self.rng.below(2) as usize;
            let (keyspace, model) = &mut self.keyspaces[which];
            let key = format!("{:03}", self.rng.below(400));
            let value = format!("{}", self.rng.next_u64()).repeat(self.rng.below(10) as usize + 1);
            match self.rng.below(4) {
                0 => {
                    batch.delete(keyspace.id, key.as_bytes());
                    model.remove(&key);
                }
                1 => {
                    batch.merge(keyspace.id, key.as_bytes(), b"+");
                    model.entry(key).or_default().push('+');
                }
                _ => {
                    batch.put(keyspace.id, key.as_bytes(), value.as_bytes());
                    model.insert(key, value);
                }
            }
        }
        let _ = self.store.write(&batch, WriteOptions::default()).unwrap();
    }

    fn reopen(&mut self) {
        self.snapshots.clear();
        self.store.close().unwrap();
        self.store = Store::open(options(&self.fs)).unwrap();
    }

    fn check(&mut self, seed: u64) {
        for (keyspace, model) in &self.keyspaces {
            let mut pairs = pairs_of(model);
            assert_eq!(scan(&self.store, keyspace, ScanOptions::default()), pairs, "seed {seed}");
            pairs.reverse();
            let reverse = ScanOptions { reverse: true, ..ScanOptions::default() };
            assert_eq!(scan(&self.store, keyspace, reverse), pairs, "seed {seed}");
            for key in (0..400).map(|key| format!("{key:03}")) {
                let expected = model.get(&key).cloned();
                assert_eq!(get(&self.store, keyspace, &key), expected, "seed {seed} key {key}");
            }
        }
        for (snapshot, models) in &self.snapshots {
            for ((keyspace, _), model) in self.keyspaces.iter().zip(models) {
                let at = ScanOptions { snapshot: Some(snapshot), ..ScanOptions::default() };
                let seen = scan(&self.store, keyspace, at);
                assert_eq!(seen, pairs_of(model), "seed {seed} snapshot {}", snapshot.seq());
            }
        }
    }
}
