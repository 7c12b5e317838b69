//! Groups that are cut against the rows they are made of: whatever the size of a cut, the same
//! rows come out, the newest write of each winning, in chunks that do not overlap.

use std::collections::BTreeMap;

use super::*;
use crate::chunk::testing::Random;
use crate::left_out::PolicyLeftOut;
use crate::model::{Column, Values};

const SERIES: SeriesId = SeriesId(7);

/// What was put, decoded.
#[derive(Default)]
struct Sink(Vec<(Seq, Columns)>);

impl EntrySink for Sink {
    fn put(
        &mut self,
        key: &[u8],
        seq: Seq,
        _kind: Kind,
        value: &[u8],
        body: Option<&[u8]>,
    ) -> engine::Result<()> {
        let body = Body::Memory(body.unwrap_or_default().into());
        let head = reader::decode_head(value, Some(&body))?;
        assert_eq!(keys::parse_chunk_key(key), Some((SERIES, head.first_timestamp())));
        self.0.push((seq, reader::load_all(&head, &body)?));
        Ok(())
    }
}

/// A chunk of one source.
struct Chunk {
    seq: Seq,
    first: Timestamp,
    head: Vec<u8>,
    body: Body,
}

/// Chunks of `runs` runs, each of which overlaps the others all along, in the order of keys; and
/// the rows they mean.
fn chunks(random: &mut Random, runs: u64) -> (Vec<Chunk>, BTreeMap<Timestamp, i64>) {
    let (mut chunks, mut model) = (Vec::new(), BTreeMap::new());
    for seq in 1..=runs {
        let mut at = random.below(50) as i64;
        for _ in 0..20 + random.below(20) {
            let rows = 1 + random.below(40) as usize;
            let mut columns = Columns { timestamps: Vec::new(), columns: Vec::new() };
            let mut values = Vec::new();
            for _ in 0..rows {
                // A chunk now and then spans many of the other runs.
                let step = if random.once_in(200) { 3000 } else { 9 };
                at += 1 + random.below(step) as i64;
                columns.timestamps.push(at);
                values.push(seq as i64 * 1_000_000 + at);
                model.insert(at, seq as i64 * 1_000_000 + at); // runs come oldest first
            }
            let values = Values::Integer(values);
            columns.columns.push(Column { field: FieldId(0), values, validity: None });
            let encoded = chunk::encode(&columns, Class::Hot);
            let body = Body::Memory(encoded.body.into());
            chunks.push(Chunk { seq, first: columns.timestamps[0], head: encoded.head, body });
        }
    }
    chunks.sort_by_key(|chunk| (chunk.first, std::cmp::Reverse(chunk.seq)));
    (chunks, model)
}

fn merged(chunks: &[Chunk], group_bytes_max: usize) -> (Vec<(Seq, Columns)>, usize) {
    let mut merge = PointsMerge::new(false, PolicyLeftOut::nothing());
    merge.group_bytes_max = group_bytes_max;
    let (mut out, mut held) = (Sink::default(), 0);
    for chunk in chunks {
        let entry = InputEntry {
            key: &keys::chunk_key(SERIES, chunk.first),
            seq: chunk.seq,
            kind: Kind::Put,
            value: &chunk.head,
            body: Some(chunk.body.clone()),
        };
        merge.entry(entry, &mut out).unwrap();
        held = held.max(merge.group.len());
    }
    merge.finish(&mut out).unwrap();
    assert!(merge.group.is_empty() && merge.open.rows() == 0);
    (out.0, held)
}

#[test]
fn a_group_cut_anywhere_gives_the_same_rows() {
    for seed in 0..40 {
        let runs = 2 + seed % 7;
        let (chunks, model) = chunks(&mut Random::new(seed), runs);
        for group_bytes_max in [0, 1000, 10_000, usize::MAX] {
            let (out, held) = merged(&chunks, group_bytes_max);
            let mut rows = Vec::new();
            let mut last = Timestamp::MIN;
            for (seq, columns) in &out {
                let Values::Integer(values) = &columns.columns[0].values else { panic!("type") };
                assert!(columns.timestamps[0] > last, "seed {seed}: chunks overlap");
                last = *columns.timestamps.last().unwrap();
                let newest = values.iter().map(|value| value / 1_000_000).max().unwrap();
                assert!(*seq >= newest as u64, "seed {seed}: a chunk older than its rows");
                rows.extend(columns.timestamps.iter().copied().zip(values.iter().copied()));
            }
            let wanted: Vec<_> = model.iter().map(|(at, value)| (*at, *value)).collect();
            assert_eq!(rows, wanted, "seed {seed}, cut at {group_bytes_max}");
            if group_bytes_max == 0 {
                assert!(held <= runs as usize + 1, "seed {seed}: {held} chunks of {runs} runs");
            }
        }
    }
}

#[test]
fn what_a_merge_holds_has_a_bound() {
    let (chunks, _) = chunks(&mut Random::new(1), 8);
    let decoded: usize = chunks.iter().map(|chunk| Head::decode(&chunk.head).unwrap().rows()).sum();
    let (_, held) = merged(&chunks, 4000);
    assert!(held < chunks.len() / 4, "{held} of {} chunks, {decoded} rows", chunks.len());
}
