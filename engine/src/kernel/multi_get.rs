//! Many keys at once: sorted once, then one pass over memtables and runs for all of them.
//!
//! Each source is asked for every key that is not settled yet, in ascending order, before the next
//! older one is: neighbours find the same table, index block and data block still at hand. Keys
//! asked for twice are looked up once.

use super::Kernel;
use crate::Result;
use crate::bloom::key_hash;
use crate::expiry::{Now, now_ms};
use crate::key::KeyspaceId;
use crate::keyspace::Picture;
use crate::scan::Value;
use crate::scan::visible::Lookup;
use crate::snapshot::Snapshot;

/// A key on its way to its value.
struct Asked<'a> {
    key: &'a [u8],
    lookup: Lookup<'a>,
    is_settled: bool,
}

impl Kernel {
    pub fn multi_get(
        &self,
        keyspace: KeyspaceId,
        keys: &[&[u8]],
        snapshot: Option<&Snapshot>,
    ) -> Result<Vec<Option<Value>>> {
        self.check_open()?;
        let keyspace = self.keyspace(keyspace)?;
        let picture = keyspace.picture();
        let seq = self.seen(snapshot);
        let now = Now::At(now_ms(&*self.options.clock));
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by_key(|index| keys[*index]);
        let mut asked: Vec<Asked<'_>> = Vec::with_capacity(keys.len());
        for key in order.iter().map(|index| keys[*index]) {
            if asked.last().is_none_or(|last| last.key != key) {
                let lookup = Lookup::new(key, picture.hidden_below(key, seq), now);
                asked.push(Asked { key, lookup, is_settled: false });
            }
        }
        look_up(&picture, seq, &mut asked)?;
        let mut values = vec![None; keys.len()];
        let mut order = order.into_iter().peekable();
        for Asked { key, lookup, .. } in asked {
            let value = lookup.finish(&*keyspace.hooks)?;
            while let Some(index) = order.next_if(|index| keys[*index] == key) {
                values[index].clone_from(&value);
            }
        }
        Ok(values)
    }
}

fn look_up(picture: &Picture, seq: crate::key::Seq, asked: &mut [Asked<'_>]) -> Result<()> {
    for slot in picture.slots() {
        for asked in asked.iter_mut().filter(|asked| !asked.is_settled) {
            let Asked { key, lookup, is_settled } = asked;
            slot.memtable.versions(key, seq, &mut |seq, kind, value| {
                *is_settled = !lookup.add(seq, kind, || Value::copy(value));
                !*is_settled
            })?;
        }
    }
    for run in picture.version.runs() {
        for asked in asked.iter_mut().filter(|asked| !asked.is_settled) {
            let Some(table) = run.table_for(asked.key) else { continue };
            let Asked { key, lookup, is_settled } = asked;
            table.table.get(key_hash(key), key, seq, &mut |version| {
                *is_settled = !lookup.add(version.seq, version.kind, || version.pin());
                !*is_settled
            })?;
        }
    }
    Ok(())
}
