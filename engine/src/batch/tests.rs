//! The batch format: round trips, damage, golden bytes.

use proptest::prelude::*;

use super::*;
use crate::expiry::EXPIRY_BYTES;

type Owned = (u32, Kind, Vec<u8>, Vec<u8>);

fn any_op() -> impl Strategy<Value = Owned> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    (any::<u32>(), 0..6u8, bytes(), bytes()).prop_map(|(keyspace, kind, key, value)| match kind {
        0 => (keyspace, Kind::Put, key, value),
        1 => (keyspace, Kind::Delete, key, Vec::new()),
        2 => (keyspace, Kind::Merge, key, value),
        3 => (keyspace, Kind::DeleteRange, key, value),
        4 => (keyspace, Kind::PutUntil, key, [vec![7; EXPIRY_BYTES], value].concat()),
        _ => (keyspace, Kind::Append, Vec::new(), value),
    })
}

fn batch_of(ops: &[Owned]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for (keyspace, kind, key, value) in ops {
        let keyspace = KeyspaceId(*keyspace);
        match kind {
            Kind::Put => batch.put(keyspace, key, value),
            Kind::Delete => batch.delete(keyspace, key),
            Kind::Merge => batch.merge(keyspace, key, value),
            Kind::Append => batch.append(keyspace, value),
            Kind::DeleteRange => batch.delete_range(keyspace, key, value),
            Kind::PutUntil => {
                let moment = crate::expiry::expires_at_ms(value);
                batch.put_with_ttl(keyspace, key, &value[EXPIRY_BYTES..], moment);
            }
        }
    }
    batch
}

fn ops_of(batch: &WriteBatch) -> Vec<Owned> {
    let op = |op: Result<(KeyspaceId, Op<'_>)>| {
        let (keyspace, op) = op.unwrap();
        (keyspace.0, op.kind, op.key.to_vec(), op.value.to_vec())
    };
    batch.iter().map(op).collect()
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        ops in proptest::collection::vec(any_op(), 0..20), id: Option<[u8; 16]>,
    ) {
        let mut batch = batch_of(&ops);
        if let Some(id) = id {
            batch.set_id(id);
        }
        prop_assert_eq!(batch.len(), ops.len());
        prop_assert_eq!(batch.id(), id);
        prop_assert_eq!(&ops_of(&batch), &ops);
        let again = WriteBatch::from_bytes(batch.bytes().to_vec()).unwrap();
        prop_assert_eq!(&again, &batch);
        batch.clear();
        prop_assert_eq!(&batch, &WriteBatch::new());
    }

    /// Damage gives an error or another batch, never a panic, and truncation always an error.
    #[test]
    fn damage_is_met_with_an_error(
        ops in proptest::collection::vec(any_op(), 1..8),
        at: prop::sample::Index,
        flip in 1..=255u8,
    ) {
        let bytes = batch_of(&ops).bytes().to_vec();
        let at = at.index(bytes.len());
        prop_assert!(WriteBatch::from_bytes(bytes[..at].to_vec()).is_err());
        let mut longer = bytes.clone();
        longer.push(flip);
        prop_assert!(WriteBatch::from_bytes(longer).is_err());
        let mut flipped = bytes;
        flipped[at] ^= flip;
        if let Ok(batch) = WriteBatch::from_bytes(flipped) {
            prop_assert_eq!(ops_of(&batch).len(), batch.len());
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = WriteBatch::from_bytes(bytes);
    }
}

proptest! {
    /// What a later range delete of its batch covers is passed over, and nothing else.
    #[test]
    fn later_range_deletes_supersede_earlier_operations(
        ops in proptest::collection::vec(
            (0..2u32, 0..4u8, "[a-d]{0,2}", "[a-d]{0,2}"), 0..12,
        ),
    ) {
        let ops: Vec<Owned> = ops
            .into_iter()
            .map(|(keyspace, kind, a, b)| {
                let (a, b) = (a.into_bytes(), b.into_bytes());
                match kind {
                    0 => (keyspace, Kind::Put, a, b),
                    1 => (keyspace, Kind::Delete, a, Vec::new()),
                    2 => (keyspace, Kind::Append, Vec::new(), b),
                    _ => (keyspace, Kind::DeleteRange, a.clone(), [a, b, vec![0]].concat()),
                }
            })
            .collect();
        let covered = |index: usize| {
            let (keyspace, kind, key, _) = &ops[index];
            let is_keyed = matches!(kind, Kind::Put | Kind::Delete);
            is_keyed && ops[index..].iter().any(|(other, kind, start, end)| {
                *kind == Kind::DeleteRange && other == keyspace && start <= key && key < end
            })
        };
        let expected: Vec<bool> = (0..ops.len()).map(covered).collect();
        let found = batch_of(&ops).superseded().unwrap();
        let has_ranges = ops.iter().any(|(_, kind, ..)| *kind == Kind::DeleteRange);
        prop_assert_eq!(found, if has_ranges { expected } else { Vec::new() });
    }
}

#[test]
fn a_range_delete_without_its_flag_is_refused() {
    let mut batch = WriteBatch::new();
    batch.delete_range(KeyspaceId(1), b"a", b"b");
    assert!(batch.has_range_deletes());
    let mut bytes = batch.bytes().to_vec();
    assert_eq!(bytes[4], 2);
    bytes[4] = 0;
    assert!(WriteBatch::from_bytes(bytes).is_err());
}

#[test]
fn the_name_may_come_late_and_be_replaced() {
    let mut batch = WriteBatch::new();
    batch.put(KeyspaceId(300), b"k", b"v");
    batch.set_id([1; 16]);
    batch.set_id([2; 16]);
    assert_eq!(batch.id(), Some([2; 16]));
    assert_eq!(ops_of(&batch), [(300, Kind::Put, b"k".to_vec(), b"v".to_vec())]);
}

#[test]
fn the_format_stays() {
    let mut batch = WriteBatch::new();
    batch.put(KeyspaceId(1), b"k", b"value");
    batch.delete(KeyspaceId(300), b"d");
    batch.merge(KeyspaceId(2), b"m", b"o");
    batch.append_with(KeyspaceId(3), |out| out.extend_from_slice(b"pay"));
    let before_ranges = batch.bytes().to_vec();
    let expected: &[u8] = &[
        4, 0, 0, 0, 0, // count, flags
        1, 1, 1, b'k', 5, b'v', b'a', b'l', b'u', b'e', // put
        0xac, 2, 2, 1, b'd', // delete in keyspace 300
        2, 3, 1, b'm', 1, b'o', // merge
        3, 4, 3, 0, 0, 0, b'p', b'a', b'y', // append
    ];
    assert_eq!(before_ranges, expected);
    batch.delete_range(KeyspaceId(1), b"a", b"bc");
    let ranges: &[u8] = &[1, 5, 1, b'a', 2, b'b', b'c'];
    assert_eq!(batch.bytes(), [&[5, 0, 0, 0, 2], &expected[5..], ranges].concat());
    batch.clear();
    batch.put_with_ttl(KeyspaceId(1), b"k", b"v", 0x0102);
    let expected: &[u8] = &[1, 0, 0, 0, 0, 1, 6, 1, b'k', 9, 2, 1, 0, 0, 0, 0, 0, 0, b'v'];
    assert_eq!(batch.bytes(), expected);
    let short: &[u8] = &[1, 0, 0, 0, 0, 1, 6, 1, b'k', 7, 2, 1, 0, 0, 0, 0, 0];
    assert!(WriteBatch::from_bytes(short.to_vec()).is_err(), "no room for its moment");
}

#[test]
fn puts_get_the_moment_of_their_keyspace() {
    let (a, b) = (KeyspaceId(1), KeyspaceId(2));
    let mut batch = WriteBatch::new();
    batch.set_id([7; 16]);
    batch.put(a, b"1", b"x");
    batch.put_with_ttl(a, b"2", b"y", 5);
    batch.put(b, b"3", b"z");
    batch.delete(a, b"4");
    batch.merge(a, b"5", b"m");
    batch.delete_range(a, b"6", b"7");
    batch.append(b, b"8");
    let mut expected = WriteBatch::new();
    expected.set_id([7; 16]);
    expected.put_with_ttl(a, b"1", b"x", 90);
    expected.put_with_ttl(a, b"2", b"y", 5);
    expected.put(b, b"3", b"z");
    expected.delete(a, b"4");
    expected.merge(a, b"5", b"m");
    expected.delete_range(a, b"6", b"7");
    expected.append(b, b"8");
    assert_eq!(batch.expiring(&|id| (id == a).then_some(90)).unwrap(), expected);
}
