//! Folding against buckets computed value by value.

use std::collections::BTreeMap;

use super::*;
use crate::model::{Bitmap, FieldId};

/// Buckets as they come: level, start, counts, sums, spans of time.
#[derive(Default)]
struct Seen(Vec<(usize, Timestamp, Vec<Option<Folded>>)>);

impl BucketSink for Seen {
    fn bucket(&mut self, level: usize, start: Timestamp, fields: &[Option<Folded>]) {
        self.0.push((level, start, fields.to_vec()));
    }
}

fn fold(pieces: &[Columns], every_ns: &[i64], fields: usize) -> Seen {
    let mut seen = Seen::default();
    let mut fold = SeriesFold::new(every_ns, fields);
    pieces.iter().for_each(|piece| fold.push(piece, &mut seen));
    fold.finish(&mut seen);
    seen
}

fn column(values: Values, valid: Option<&[bool]>) -> Column {
    let validity = valid.map(|valid| {
        let mut bitmap = Bitmap::default();
        valid.iter().for_each(|bit| bitmap.push(*bit));
        bitmap
    });
    Column { field: FieldId(0), values, validity }
}

#[test]
fn buckets_of_all_levels_equal_what_their_values_come_to() {
    let timestamps: Vec<Timestamp> = (-40..60).filter(|t| t % 3 != 0).collect();
    let value = |t: Timestamp| (t * 7 % 11) as f64 / 8.0;
    let every_ns = [5, 10, 30];
    let mut model: BTreeMap<(usize, Timestamp), Vec<Timestamp>> = BTreeMap::new();
    for (level, every) in every_ns.iter().enumerate() {
        for t in &timestamps {
            model.entry((level, t.div_euclid(*every) * every)).or_default().push(*t);
        }
    }
    for cut in [1, 2, 7, 1000] {
        let pieces: Vec<Columns> = (timestamps.chunks(cut))
            .map(|times| Columns {
                timestamps: times.to_vec(),
                columns: vec![column(
                    Values::Float(times.iter().map(|t| value(*t)).collect()),
                    None,
                )],
            })
            .collect();
        let mut seen = fold(&pieces, &every_ns, 1).0;
        seen.sort_by_key(|(level, start, _)| (*level, *start));
        assert_eq!(seen.len(), model.len());
        for ((level, start, fields), (place, times)) in seen.iter().zip(&model) {
            assert_eq!((level, start), (&place.0, &place.1));
            let values = || times.iter().map(|t| value(*t));
            let expected = Folded {
                count: times.len() as u64,
                first_at: times[0],
                last_at: times[times.len() - 1],
                values: FoldedValues::Float(Numbers {
                    sum: values().sum(),
                    min: values().fold(f64::MAX, f64::min),
                    max: values().fold(f64::MIN, f64::max),
                    first: value(times[0]),
                    last: value(times[times.len() - 1]),
                }),
            };
            assert_eq!(fields[0].as_ref(), Some(&expected), "level {level} at {start}, cut {cut}");
        }
    }
}

#[test]
fn types_and_gaps() {
    let timestamps = vec![0, 1, 2, 3];
    let gaps = Some(&[false, true, true, false][..]);
    let text = Values::String { offsets: vec![0, 0, 1, 2, 2], bytes: b"ab".to_vec() };
    let columns = Columns {
        timestamps,
        columns: vec![
            column(Values::Integer(vec![i64::MAX, i64::MAX, 5, 0]), None),
            column(Values::Unsigned(vec![9, u64::MAX, u64::MAX, 9]), gaps),
            column(Values::Boolean(vec![true, false, true, false]), gaps),
            column(text, gaps),
            column(Values::Float(vec![-0.0, 0.0, -0.0, 7.0]), gaps),
            Column::missing(FieldId(9), 4),
        ],
    };
    let seen = fold(&[columns], &[10], 6).0;
    let [(0, 0, fields)] = &seen[..] else { panic!("{} buckets", seen.len()) };
    let sum = 2 * i128::from(i64::MAX) + 5;
    let numbers = Numbers { sum, min: 0, max: i64::MAX, first: i64::MAX, last: 0 };
    let of = |at: usize| fields[at].as_ref().map(|folded| (folded.count, &folded.values));
    assert_eq!(of(0), Some((4, &FoldedValues::Integer(numbers))));
    let (first, last) = (u64::MAX, u64::MAX);
    let sum = 2 * u128::from(u64::MAX);
    let numbers = Numbers { sum, min: first, max: first, first, last };
    assert_eq!(of(1), Some((2, &FoldedValues::Unsigned(numbers))));
    assert_eq!(of(2), Some((2, &FoldedValues::Boolean { trues: 1, first: false, last: true })));
    let text = FoldedValues::String { first: "a".into(), last: "b".into() };
    assert_eq!(of(3), Some((2, &text)));
    let Some((2, FoldedValues::Float(numbers))) = of(4) else { panic!("{:?}", of(4)) };
    assert!(numbers.min.is_sign_positive() && numbers.max.is_sign_positive(), "first of equals");
    assert_eq!(of(5), None);
    let folded = fields[1].as_ref().unwrap();
    assert_eq!((folded.first_at, folded.last_at), (1, 2));
}
