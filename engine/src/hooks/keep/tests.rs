//! `keep` against a reader that looks at every version: exhaustive over short histories.

use super::*;
use crate::hooks::Plain;
use crate::range_delete::RangeDelete;

const KINDS: [Kind; 3] = [Kind::Put, Kind::Delete, Kind::Merge];

/// What the clock shows when a job begins.
const JOB_MS: u64 = 100;

/// When puts expire: before the job, and between two readers that come after it.
const MOMENTS: [u64; 2] = [JOB_MS, JOB_MS + 50];

/// A version whose value is a list of ids: a put sets it, an operand appends to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    seq: Seq,
    kind: Kind,
    value: Vec<u8>,
}

/// Below which number a reader at `snapshot` sees nothing of a key that `deletes` cover.
fn hidden_below(deletes: &[Seq], snapshot: Seq) -> Seq {
    deletes.iter().copied().filter(|seq| *seq <= snapshot).max().unwrap_or(0)
}

/// What a reader at `snapshot` sees of `versions`, newest first, of a key that range deletes with
/// the numbers `deletes` cover: walks all of them, oldest first.
fn read(versions: &[Version], deletes: &[Seq], snapshot: Seq, now_ms: u64) -> Option<Vec<u8>> {
    let seen = hidden_below(deletes, snapshot)..=snapshot;
    let mut state: Option<Vec<u8>> = None;
    let mut expired = None;
    for version in versions.iter().rev().filter(|version| seen.contains(&version.seq)) {
        if version.kind != Kind::Merge {
            let has_expired = is_expired(version.kind, &version.value, now_ms);
            expired = has_expired.then_some(version.seq);
        }
        match version.kind {
            Kind::Put => state = Some(version.value.clone()),
            Kind::PutUntil if expired.is_none() => {
                state = Some(version.value[EXPIRY_BYTES..].to_vec());
            }
            Kind::Delete | Kind::PutUntil => state = None,
            _ if expired == Some(version.seq) => {} // of the batch of what has expired
            _ => state.get_or_insert_default().extend_from_slice(&version.value),
        }
    }
    state
}

fn append(_: &[u8], base: Option<&[u8]>, operands: &[&[u8]]) -> Vec<u8> {
    [base.unwrap_or_default(), &operands.concat()].concat()
}

/// What `keep` leaves of `versions`.
fn apply_keep(
    versions: &[Version],
    deletes: &[Seq],
    snapshots: &[Seq],
    is_bottom: bool,
) -> Vec<Version> {
    let mut expired = None;
    let mut left = Vec::new();
    for version in versions.iter().rev() {
        let mut version = version.clone();
        if version.kind != Kind::Merge {
            let has_expired = is_expired(version.kind, &version.value, JOB_MS);
            expired = has_expired.then_some(version.seq);
            if has_expired {
                (version.kind, version.value) = (Kind::Delete, Vec::new());
            }
        }
        let is_gone = version.kind == Kind::Merge && expired == Some(version.seq);
        if !is_gone && !is_erased(deletes, snapshots, version.seq) {
            left.push(version);
        }
    }
    left.reverse();
    let versions = left;
    let states: Vec<_> = versions.iter().map(|version| (version.seq, version.kind)).collect();
    let mut kept = Vec::new();
    keep(&states, snapshots, is_bottom, &mut kept);
    kept.into_iter()
        .map(|kept| match kept {
            Kept::AsIs(index) => versions[index].clone(),
            Kept::Fold { operands, base, kind } => {
                let newest = operands.start;
                let values: Vec<_> = operands.rev().map(|index| &*versions[index].value).collect();
                let front = if kind == Kind::PutUntil { EXPIRY_BYTES } else { 0 };
                let base = base.map(|index| versions[index].value.split_at(front));
                let value = append(b"", base.map(|(_, base)| base), &values);
                let value = [base.map_or(&[][..], |(moment, _)| moment), &value].concat();
                Version { seq: versions[newest].seq, kind, value }
            }
        })
        .collect()
}

/// What `KeepMerge` leaves of `versions`, between two other keys.
fn apply_merge(
    versions: &[Version],
    deletes: &[Seq],
    snapshots: &[Seq],
    is_bottom: bool,
) -> Vec<Version> {
    struct Sink(Vec<(Vec<u8>, Version)>);
    impl EntrySink for Sink {
        fn put(
            &mut self,
            key: &[u8],
            seq: Seq,
            kind: Kind,
            value: &[u8],
            _: Option<&[u8]>,
        ) -> Result<()> {
            self.0.push((key.to_vec(), Version { seq, kind, value: value.to_vec() }));
            Ok(())
        }
    }
    let delete = |seq: &Seq| RangeDelete { seq: *seq, start: (*b"b").into(), end: (*b"c").into() };
    let context = MergeContext {
        is_flush: false,
        is_bottom,
        is_final: false,
        snapshots: snapshots.to_vec(),
        range_deletes: Arc::new(RangeDeletes::new(deletes.iter().map(delete).collect(), snapshots)),
        now_ms: JOB_MS,
    };
    let mut merge = KeepMerge::new(Arc::new(Plain::with_merge(append)), &context);
    let mut sink = Sink(Vec::new());
    let other = Version { seq: 5, kind: Kind::Put, value: b"other".to_vec() };
    let entries = std::iter::once((b"a", &other))
        .chain(versions.iter().map(|version| (b"b", version)))
        .chain(std::iter::once((b"c", &other)));
    for (key, version) in entries {
        let Version { seq, kind, value } = version;
        let entry = InputEntry { key, seq: *seq, kind: *kind, value, body: None };
        merge.entry(entry, &mut sink).unwrap();
    }
    merge.finish(&mut sink).unwrap();
    assert_eq!(sink.0.first(), Some(&(b"a".to_vec(), other.clone())));
    assert_eq!(sink.0.last(), Some(&(b"c".to_vec(), other)));
    let count = sink.0.len();
    sink.0.into_iter().map(|(_, version)| version).skip(1).take(count - 2).collect()
}

/// What must hold of what is left: the same answers to every live reader, whatever lies below.
fn check(
    versions: &[Version],
    deletes: &[Seq],
    snapshots: &[Seq],
    is_bottom: bool,
    below: &[Version],
) {
    let describe =
        || format!("{versions:?} {deletes:?} at {snapshots:?} bottom {is_bottom} over {below:?}");
    let left = apply_keep(versions, deletes, snapshots, is_bottom);
    let newest_first = |left: &[Version]| left.windows(2).all(|pair| pair[0].seq > pair[1].seq);
    assert!(newest_first(&left), "{}: {left:?}", describe());
    let expiring = left.iter().filter(|version| version.kind == Kind::PutUntil).count();
    assert!(left.len() <= snapshots.len() + 1 + expiring, "{}: {left:?}", describe());
    let all = [versions, below].concat();
    let all_left = [&left, below].concat();
    for snapshot in snapshots.iter().copied().chain([Seq::MAX]) {
        // A range delete with nothing older below it is no longer needed.
        let is_needed = |delete: &&Seq| all_left.iter().any(|version| version.seq < **delete);
        let needed: Vec<Seq> = deletes.iter().filter(is_needed).copied().collect();
        for now_ms in [JOB_MS, JOB_MS + 100] {
            let expected = read(&all, deletes, snapshot, now_ms);
            let found = read(&all_left, deletes, snapshot, now_ms);
            assert_eq!(expected, found, "{}: {left:?}", describe());
            let found = read(&all_left, &needed, snapshot, now_ms);
            assert_eq!(expected, found, "{}: {left:?}", describe());
        }
    }
    let is_seen = |version: &Version| {
        let mut readers = snapshots.iter().copied().chain([Seq::MAX]);
        readers.any(|at| (hidden_below(deletes, at)..=at).contains(&version.seq))
    };
    assert!(left.iter().all(is_seen), "{}: {left:?}", describe());
    if is_bottom {
        assert!(left.iter().all(|version| version.kind != Kind::Merge || left.len() > 1));
        let oldest = left.last();
        let is_put = |version: &Version| matches!(version.kind, Kind::Put | Kind::PutUntil);
        assert!(oldest.is_none_or(is_put), "{}", describe());
    }
    let merged = apply_merge(versions, deletes, snapshots, is_bottom);
    assert_eq!(merged, left, "{}", describe());
}

/// Every subset of `0..=places` with at most four members, as bits.
fn snapshot_sets(places: u32) -> impl Iterator<Item = Vec<Seq>> {
    (0..1u32 << (places + 1)).filter(|bits| bits.count_ones() <= 4).map(move |bits| {
        (0..=places).filter(|place| bits & 1 << place != 0).map(|place| place as Seq * 10).collect()
    })
}

fn histories(count: u32, equal: u32) -> impl Iterator<Item = Vec<Version>> {
    (0..3u32.pow(count)).map(move |mut kinds| {
        let mut seq = 10;
        let mut oldest_first = Vec::new();
        for index in 0..count {
            if index > 0 && equal & 1 << (index - 1) == 0 {
                seq += 10;
            }
            let kind = KINDS[(kinds % 3) as usize];
            kinds /= 3;
            let value = if kind == Kind::Delete { vec![] } else { vec![index as u8 + 1] };
            oldest_first.push(Version { seq, kind, value });
        }
        oldest_first.reverse();
        oldest_first
    })
}

fn belows() -> Vec<Vec<Version>> {
    let below = |kind, value: &[u8]| vec![Version { seq: 5, kind, value: value.to_vec() }];
    vec![vec![], below(Kind::Put, b"p"), below(Kind::Delete, b""), below(Kind::Merge, b"m")]
}

#[test]
fn readers_see_the_same_of_what_is_left_distinct_numbers() {
    for count in 0..=6 {
        for snapshots in snapshot_sets(count) {
            for versions in histories(count, 0) {
                check(&versions, &[], &snapshots, true, &[]);
                // Below the longest histories one kind is enough: shorter ones meet them all.
                let belows = belows();
                let belows = if count == 6 { &belows[1..2] } else { &belows[..] };
                for below in belows {
                    check(&versions, &[], &snapshots, false, below);
                }
            }
        }
    }
}

#[test]
fn readers_see_the_same_of_what_is_left_several_in_one_batch() {
    for count in 2..=4 {
        for equal in 1..1 << (count - 1) {
            for snapshots in snapshot_sets(count) {
                for versions in histories(count, equal) {
                    check(&versions, &[], &snapshots, true, &[]);
                    for below in &belows() {
                        check(&versions, &[], &snapshots, false, below);
                    }
                }
            }
        }
    }
}

/// At most `most` range deletes of a history, newest first: between its versions, and on both sides
/// of what lies below it.
fn delete_sets(count: u32, most: u32) -> impl Iterator<Item = Vec<Seq>> {
    let between = (1..=count as Seq).map(|number| 10 * number + 5);
    let places: Vec<Seq> = [3, 7].into_iter().chain(between).collect();
    let sets = (1..1u32 << places.len()).filter(move |bits| bits.count_ones() <= most);
    sets.map(move |bits| {
        let chosen = (0..places.len()).rev().filter(|place| bits & 1 << place != 0);
        chosen.map(|place| places[place]).collect()
    })
}

#[test]
fn readers_see_the_same_of_what_is_left_under_range_deletes() {
    for count in 0..=6 {
        for deletes in delete_sets(count, if count == 6 { 1 } else { 2 }) {
            for snapshots in snapshot_sets(count) {
                for versions in histories(count, 0) {
                    check(&versions, &deletes, &snapshots, true, &[]);
                    let belows = belows();
                    let belows = if count >= 5 { &belows[3..4] } else { &belows[..] };
                    for below in belows {
                        check(&versions, &deletes, &snapshots, false, below);
                    }
                }
            }
        }
    }
}

/// Where a version has the number of a range delete, it was written after it in one batch.
#[test]
fn a_range_delete_spares_what_follows_it_in_its_batch() {
    for count in 1..=4 {
        for snapshots in snapshot_sets(count) {
            for versions in histories(count, 0) {
                for version in &versions {
                    check(&versions, &[version.seq], &snapshots, true, &[]);
                    for below in &belows() {
                        check(&versions, &[version.seq], &snapshots, false, below);
                    }
                }
            }
        }
    }
}

/// As `histories`, with puts that expire at either moment among the versions.
fn expiring_histories(count: u32, equal: u32) -> impl Iterator<Item = Vec<Version>> {
    (0..5u32.pow(count)).map(move |mut kinds| {
        let mut seq = 10;
        let mut oldest_first = Vec::new();
        for index in 0..count {
            if index > 0 && equal & 1 << (index - 1) == 0 {
                seq += 10;
            }
            let id = index as u8 + 1;
            let (kind, value) = match kinds % 5 {
                0 => (Kind::Put, vec![id]),
                1 => (Kind::Delete, vec![]),
                2 => (Kind::Merge, vec![id]),
                which => {
                    let moment = MOMENTS[which as usize - 3].to_le_bytes();
                    (Kind::PutUntil, [&moment[..], &[id]].concat())
                }
            };
            kinds /= 5;
            oldest_first.push(Version { seq, kind, value });
        }
        oldest_first.reverse();
        oldest_first
    })
}

#[test]
fn readers_see_the_same_of_what_is_left_of_what_expires() {
    for count in 1..=5 {
        let equals = if count <= 4 { 1 << (count - 1) } else { 1 };
        for equal in 0..equals {
            for snapshots in snapshot_sets(count).filter(|set| count < 5 || set.len() <= 2) {
                for versions in expiring_histories(count, equal) {
                    check(&versions, &[], &snapshots, true, &[]);
                    let belows = belows();
                    let belows = if count >= 4 { &belows[1..2] } else { &belows[..] };
                    for below in belows {
                        check(&versions, &[], &snapshots, false, below);
                    }
                }
            }
        }
    }
}

#[test]
fn readers_see_the_same_of_what_expires_under_range_deletes() {
    for count in 1..=3 {
        for deletes in delete_sets(count, 2) {
            for snapshots in snapshot_sets(count) {
                for versions in expiring_histories(count, 0) {
                    check(&versions, &deletes, &snapshots, true, &[]);
                    check(&versions, &deletes, &snapshots, false, &belows()[1]);
                }
            }
        }
    }
}

#[test]
fn an_operand_without_an_operator_fails_the_job_instead_of_being_lost() {
    let context = MergeContext {
        is_flush: false,
        is_bottom: true,
        is_final: false,
        snapshots: vec![],
        range_deletes: Arc::default(),
        now_ms: 0,
    };
    struct NoSink;
    impl EntrySink for NoSink {
        fn put(&mut self, _: &[u8], _: Seq, _: Kind, _: &[u8], _: Option<&[u8]>) -> Result<()> {
            panic!("nothing may be written")
        }
    }
    let mut merge = KeepMerge::new(Arc::new(Plain::new()), &context);
    let entry = InputEntry { key: b"k", seq: 1, kind: Kind::Merge, value: b"1", body: None };
    merge.entry(entry, &mut NoSink).unwrap();
    assert!(merge.finish(&mut NoSink).is_err());
}
