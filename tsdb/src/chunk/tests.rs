//! Chunks as a whole: round trips, ranges, statistics, damage.

mod golden;

use proptest::prelude::*;

use super::testing::{Random, columns};
use super::*;
use crate::model::{FieldId, FieldType, TimeRange};

/// Decodes everything; columns in the order of the head.
fn decode(chunk: &EncodedChunk, rows: Range<usize>) -> (Head, Columns) {
    let head = Head::decode(&chunk.head).unwrap();
    assert_eq!(head.body_len(), chunk.body.len());
    let mut timestamps = Vec::new();
    let bytes = &chunk.body[head.timestamps_range()];
    decode_timestamps(&head, bytes, rows.clone(), &mut timestamps).unwrap();
    let columns = head
        .columns()
        .iter()
        .map(|column| {
            let mut out = Column::missing(FieldId(999), 3);
            decode_column(column, &chunk.body[column.range()], rows.clone(), &mut out).unwrap();
            out
        })
        .collect();
    (head, Columns { timestamps, columns })
}

/// Floats as bits, so that NaN equals NaN and 0.0 differs from -0.0; no validity where all rows
/// have a value; defaults in rows without one.
fn normal(columns: &Columns) -> Columns {
    let mut normal = columns.clone();
    normal.columns.retain(|column| column.values.field_type().is_some());
    for column in &mut normal.columns {
        column.validity = column.validity.take().filter(|v| v.count() < v.len());
        let is_valid: Vec<bool> =
            (0..normal.timestamps.len()).map(|r| column.is_valid(r)).collect();
        let valid = |row: usize| is_valid[row];
        column.values = match &column.values {
            Values::Float(v) => {
                let bits = |r: usize| if valid(r) { v[r].to_bits() } else { 0 };
                Values::Unsigned((0..v.len()).map(bits).collect())
            }
            Values::Integer(v) => {
                Values::Integer((0..v.len()).map(|r| if valid(r) { v[r] } else { 0 }).collect())
            }
            Values::Unsigned(v) => {
                Values::Unsigned((0..v.len()).map(|r| if valid(r) { v[r] } else { 0 }).collect())
            }
            Values::Boolean(v) => Values::Boolean((0..v.len()).map(|r| valid(r) && v[r]).collect()),
            Values::String { offsets, bytes } => {
                let texts = Texts { offsets, bytes };
                let text = |r: usize| if valid(r) { texts.get(r) } else { b"".as_slice() };
                strings((0..is_valid.len()).map(text))
            }
            Values::Missing(n) => Values::Missing(*n),
        };
    }
    normal
}

fn strings<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Values {
    let (mut offsets, mut bytes) = (vec![0], Vec::new());
    for text in texts {
        bytes.extend_from_slice(text);
        offsets.push(bytes.len() as u32);
    }
    Values::String { offsets, bytes }
}

fn texts(texts: &[String]) -> Values {
    strings(texts.iter().map(|text| text.as_bytes()))
}

fn round_trip(name: &str, columns: &Columns, class: Class) -> EncodedChunk {
    let chunk = encode(columns, class);
    let (head, decoded) = decode(&chunk, 0..columns.rows());
    assert_eq!(normal(&decoded), normal(columns), "{name}, {class:?}");
    assert_eq!(head.rows(), columns.rows());
    assert_eq!(head.first_timestamp(), columns.timestamps[0]);
    assert_eq!(Some(&head.last_timestamp()), columns.timestamps.last());
    chunk
}

fn floats(random: &mut Random, len: usize, mut value: impl FnMut(&mut Random) -> f64) -> Values {
    Values::Float((0..len).map(|_| value(random)).collect())
}

/// (name, values, encoding when hot, encoding when cold, most bits a value hot, cold)
fn cases() -> Vec<(&'static str, Values, Encoding, Encoding, f64, f64)> {
    use Encoding::*;
    let random = &mut Random::new(5);
    let n = 4096;
    let walk = random.walk(n);
    let integers = |f: &dyn Fn(f64) -> i64| Values::Integer(walk.iter().map(|&v| f(v)).collect());
    let decimals =
        |power: f64| Values::Float(walk.iter().map(|v| (v * power).round() / power).collect());
    let with_nan = (0..n)
        .map(|i| if i % 100 == 5 { f64::NAN } else { (walk[i] * 100.0).round() / 100.0 })
        .collect();
    let odd = [f64::NAN, f64::INFINITY, -0.0, 5e-324, f64::from_bits(0x7ff0_0000_0000_0001)];
    let same = |random: &mut Random| [0.1 + 0.2, 1.0 / 3.0][random.below(50) as usize / 49];
    let hosts: Vec<String> =
        (0..n).map(|_| format!("host-{}.example.org", random.below(50))).collect();
    let lines: Vec<String> =
        (0..n).map(|i| format!("request {i} took {} ms for /a/b/c", random.below(1000))).collect();
    let ids: Vec<String> = (0..n).map(|_| format!("{:016x}", random.next())).collect();
    let unsigned = (0..n).map(|i| u64::MAX - (i as u64) * 1000 - random.below(9)).collect();
    vec![
        ("integer walk", integers(&|v| v as i64), Packed, Pco, 3.1, 2.5),
        ("constant", integers(&|_| 7), Packed, Packed, 0.01, 0.01),
        ("unsigned counter", Values::Unsigned(unsigned), Packed, Packed, 4.4, 4.4),
        ("one decimal", decimals(10.0), Decimal, DecimalPco, 6.2, 5.7),
        ("two decimals", decimals(100.0), Decimal, Decimal, 9.5, 9.5),
        ("two decimals and NaN", Values::Float(with_nan), Decimal, DecimalPco, 9.6, 9.2),
        ("all digits", Values::Float(walk.clone()), Packed, Pco, 52.0, 50.0),
        ("f32 once", floats(random, n, |r| f64::from(r.unit() as f32)), Packed, Pco, 27.0, 26.0),
        ("two values of many digits", floats(random, n, same), Packed, Pco, 0.4, 0.3),
        ("odd ones", floats(random, n, |r| odd[r.below(5) as usize]), Gorilla, Pco, 39.0, 3.0),
        ("bits at random", floats(random, n, |r| f64::from_bits(r.next())), Raw, Raw, 64.0, 64.0),
        ("status", texts(&hosts), Dictionary, Dictionary, 6.5, 6.5),
        ("log lines", texts(&lines), Text, Text, 50.0, 50.0),
        ("ids", texts(&ids), Text, Text, 90.0, 80.0),
        ("random bits", booleans(n, |_| random.once_in(2)), Bitmap, Bitmap, 1.0, 1.0),
        ("rare bits", booleans(n, |_| random.once_in(500)), Runs, Runs, 0.1, 0.1),
        ("periodic bits", booleans(n, |i| i % 13 % 3 == 0), Runs, BitmapZstd, 0.7, 0.1),
    ]
}

fn booleans(len: usize, value: impl FnMut(usize) -> bool) -> Values {
    Values::Boolean((0..len).map(value).collect())
}

#[test]
fn the_smallest_encoding_is_chosen() {
    for (name, values, hot, cold, hot_max, cold_max) in cases() {
        let columns = columns(values.len(), vec![values]);
        for (class, encoding, bits_max) in
            [(Class::Hot, hot, hot_max), (Class::Cold, cold, cold_max)]
        {
            let chunk = round_trip(name, &columns, class);
            let head = Head::decode(&chunk.head).unwrap();
            let bits = chunk.body.len() as f64 * 8.0 / columns.rows() as f64;
            println!("{name}, {class:?}: {:?}, {bits:.2} bits", head.columns()[0].encoding);
            assert_eq!(head.columns()[0].encoding, encoding, "{name}, {class:?}, {bits:.2} bits");
            assert!(bits <= bits_max, "{name}, {class:?}: {bits:.2} bits");
        }
    }
}

#[test]
fn any_range_of_rows_decodes_alone() {
    let mut random = Random::new(6);
    for (name, values, ..) in cases() {
        let mut columns = columns(values.len(), vec![values.clone(), values]);
        let validity = (0..columns.rows()).fold(Bitmap::default(), |mut bits, _| {
            bits.push(!random.once_in(3));
            bits
        });
        columns.columns[1].validity = Some(validity);
        columns.timestamps.iter_mut().for_each(|t| *t += random.below(1000) as i64);
        for class in [Class::Hot, Class::Cold] {
            let chunk = encode(&columns, class);
            for _ in 0..10 {
                let start = random.below(4097) as usize;
                let end = start + random.below(4097 - start as u64) as usize;
                let (_, decoded) = decode(&chunk, start..end);
                let expected = normal(&columns.slice(start..end));
                assert_eq!(normal(&decoded), expected, "{name}, {class:?}, {start}..{end}");
            }
        }
    }
}

/// Values of one type with runs of equal ones, extremes and, for floats, decimals.
fn any_values(rows: usize) -> impl Strategy<Value = Values> {
    let float = prop_oneof![
        4 => (-100_000i64..100_000).prop_map(|v| v as f64 / 100.0),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => prop_oneof![
            Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(5e-324),
            Just(f64::MAX), Just(f64::from_bits(0xfff8_0000_dead_beef)), Just(1e15), Just(-0.1)
        ],
    ];
    let integer = prop_oneof![
        3 => -9i64..9, 1 => any::<i64>(), 1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)]
    ];
    let text = prop_oneof![2 => "[a-c]{0,3}", 1 => any::<String>()];
    fn many<T: Clone + std::fmt::Debug + 'static>(
        rows: usize,
        value: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = Vec<T>> {
        proptest::collection::vec((value, prop_oneof![Just(1), 1..9usize]), rows).prop_map(
            move |values| {
                let repeated = values.into_iter().flat_map(|(v, times)| vec![v; times]);
                repeated.take(rows).collect()
            },
        )
    }
    prop_oneof![
        many(rows, float).prop_map(Values::Float),
        many(rows, integer.clone()).prop_map(Values::Integer),
        many(rows, integer).prop_map(|v| Values::Unsigned(v.iter().map(|&v| v as u64).collect())),
        many(rows, any::<bool>()).prop_map(Values::Boolean),
        many(rows, text).prop_map(|v| texts(&v)),
        Just(Values::Missing(rows)),
    ]
}

fn any_columns(rows_max: usize) -> impl Strategy<Value = Columns> {
    let steps = prop_oneof![Just(1..2i64), Just(1..1000), Just(1..i64::MAX >> 12)];
    (1..=rows_max, steps, any::<i64>(), 0..4usize).prop_flat_map(|(rows, steps, first, fields)| {
        let steps = proptest::collection::vec(steps, rows);
        let nulls = prop_oneof![
            2 => Just(None),
            2 => proptest::collection::vec(any::<bool>(), rows).prop_map(Some),
            1 => Just(Some(vec![false; rows])),
            1 => (0..rows).prop_map(move |at| Some((0..rows).map(|row| row == at).collect())),
        ];
        let columns = proptest::collection::vec((any_values(rows), nulls), fields);
        (steps, columns).prop_map(move |(steps, columns)| {
            let mut at = first >> 1;
            let timestamps = steps.iter().map(|step| {
                at += step;
                at
            });
            let columns = columns.into_iter().enumerate().map(|(field, (values, nulls))| {
                let validity = nulls.map(|nulls| bitmap(&nulls));
                Column { field: FieldId(field as u32 * 300), values, validity }
            });
            Columns { timestamps: timestamps.collect(), columns: columns.collect() }
        })
    })
}

fn bitmap(bits: &[bool]) -> Bitmap {
    let mut bitmap = Bitmap::default();
    bits.iter().for_each(|&bit| bitmap.push(bit));
    bitmap
}

/// Statistics the plain way: one value after another.
fn plain_stats(columns: &Columns, column: &Column) -> Option<Stats> {
    let rows: Vec<usize> = (0..columns.rows()).filter(|&row| column.is_valid(row)).collect();
    let (&first_row, &last_row) = (rows.first()?, rows.last()?);
    let values = match &column.values {
        Values::Float(v) => {
            let (mut min, mut max, mut sum) = (v[first_row], v[first_row], 0.0);
            for &row in &rows {
                if v[row].is_nan() {
                    return None;
                }
                if v[row] < min {
                    min = v[row];
                }
                if v[row] > max {
                    max = v[row];
                }
                sum += v[row];
            }
            StatsValues::Float { min, max, sum, first: v[first_row], last: v[last_row] }
        }
        Values::Integer(v) => StatsValues::Integer {
            min: rows.iter().map(|&r| v[r]).min()?,
            max: rows.iter().map(|&r| v[r]).max()?,
            sum: rows.iter().fold(0, |sum, &r| sum + i128::from(v[r])),
            first: v[first_row],
            last: v[last_row],
        },
        Values::Unsigned(v) => StatsValues::Unsigned {
            min: rows.iter().map(|&r| v[r]).min()?,
            max: rows.iter().map(|&r| v[r]).max()?,
            sum: rows.iter().fold(0, |sum, &r| sum + u128::from(v[r])),
            first: v[first_row],
            last: v[last_row],
        },
        Values::Boolean(v) => StatsValues::Boolean {
            trues: rows.iter().filter(|&&r| v[r]).count(),
            first: v[first_row],
            last: v[last_row],
        },
        Values::String { offsets, bytes } => {
            let texts = Texts { offsets, bytes };
            let (first, last) = (texts.get(first_row), texts.get(last_row));
            if first.len().max(last.len()) > STATS_STRING_BYTES_MAX {
                return None;
            }
            let text = |bytes: &[u8]| Box::from(std::str::from_utf8(bytes).unwrap());
            StatsValues::String { first: text(first), last: text(last) }
        }
        Values::Missing(_) => return None,
    };
    let (first_timestamp, last_timestamp) =
        (columns.timestamps[first_row], columns.timestamps[last_row]);
    Some(Stats { first_timestamp, last_timestamp, values })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_chunk_round_trips(columns in any_columns(700)) {
        for class in [Class::Hot, Class::Cold] {
            round_trip("generated", &columns, class);
        }
    }

    #[test]
    fn every_range_of_a_chunk_decodes_alone(columns in any_columns(700), a: usize, b: usize) {
        let (a, b) = (a % (columns.rows() + 1), b % (columns.rows() + 1));
        let rows = a.min(b)..a.max(b);
        for class in [Class::Hot, Class::Cold] {
            let (_, decoded) = decode(&encode(&columns, class), rows.clone());
            prop_assert_eq!(normal(&decoded), normal(&columns.slice(rows.clone())));
        }
    }

    #[test]
    fn statistics_equal_plain_evaluation(columns in any_columns(400)) {
        let head = Head::decode(&encode(&columns, Class::Hot).head).unwrap();
        for column in &columns.columns {
            let Some(stored) = head.column(column.field) else {
                prop_assert_eq!(column.values.field_type(), None);
                continue;
            };
            prop_assert_eq!(stored.count, column.count());
            let expected = plain_stats(&columns, column);
            // Debug text, as NaN sums are equal there and zeros of two signs are not.
            prop_assert_eq!(format!("{:?}", stored.stats), format!("{expected:?}"));
        }
    }

    #[test]
    fn rows_of_a_time_range(columns in any_columns(300), a: usize, b: usize, off in -2..3i64) {
        let head = Head::decode(&encode(&columns, Class::Hot).head).unwrap();
        let all = &columns.timestamps;
        let range = TimeRange::new(
            all[a % all.len()].saturating_add(off), all[b % all.len()].saturating_sub(off)
        );
        let rows = head.rows_in(range, if head.step().is_some() { &[] } else { all });
        let expected: Vec<usize> = (0..all.len()).filter(|&row| range.contains(all[row])).collect();
        prop_assert_eq!(rows.clone().collect::<Vec<_>>(), expected);
        let everything = head.rows_in(TimeRange::ALL, all);
        let inside = all.iter().filter(|&&t| TimeRange::ALL.contains(t)).count();
        prop_assert_eq!(everything.len(), inside);
    }

    #[test]
    fn damage_is_found(columns in any_columns(100), at: usize, bit in 0..8u8) {
        let chunk = encode(&columns, Class::Hot);
        let mut head = chunk.head.clone();
        let place = at % head.len();
        head[place] ^= 1 << bit;
        prop_assert!(Head::decode(&head).is_err());
        prop_assert!(Head::decode(&chunk.head[..place]).is_err());
        if chunk.body.is_empty() {
            return Ok(());
        }
        let mut body = chunk.body.clone();
        let place = at % body.len();
        body[place] ^= 1 << bit;
        let head = Head::decode(&chunk.head).unwrap();
        let (rows, mut out) = (0..head.rows(), Column::missing(FieldId(0), 0));
        let times = head.timestamps_range();
        let is_hit = times.contains(&place);
        let decoded = decode_timestamps(&head, &body[times], rows.clone(), &mut Vec::new());
        prop_assert_eq!(decoded.is_err(), is_hit);
        for column in head.columns() {
            let decoded = decode_column(column, &body[column.range()], rows.clone(), &mut out);
            prop_assert_eq!(decoded.is_err(), column.range().contains(&place));
        }
    }

    /// Beneath the checksums: anything may come out but a panic, or more rows than asked for.
    #[test]
    fn decoders_bear_damaged_bytes(
        columns in any_columns(300), damage: [(usize, u8); 4], cut: usize, cold: bool
    ) {
        let chunk = encode(&columns, if cold { Class::Cold } else { Class::Hot });
        let head = Head::decode(&chunk.head).unwrap();
        let mut out = Column::missing(FieldId(0), 0);
        for column in head.columns().iter().filter(|column| column.len > 0) {
            let mut bytes = chunk.body[column.range()].to_vec();
            for (at, with) in damage {
                let at = at % bytes.len();
                bytes[at] ^= with;
            }
            bytes.truncate(bytes.len() - if cut % 3 == 0 { cut % bytes.len() } else { 0 });
            let rows = cut % head.rows()..head.rows();
            if decode_unverified(column, &bytes, rows.clone(), &mut out).is_ok() {
                prop_assert_eq!(out.values.len(), rows.len());
            }
        }
        let mut bytes = chunk.head[..chunk.head.len() - 4].to_vec();
        for (at, with) in damage {
            let at = at % bytes.len();
            bytes[at] ^= with;
        }
        let _ = Head::decode_unverified(&bytes);
    }

    #[test]
    fn decoders_bear_random_bytes(
        bytes: Vec<u8>, encoding in 0..Encoding::ALL.len(), field_type in 1..6u8, mask in 0..4u8,
        mask_len in 0..9usize, count in 0..=ROWS_MAX, nulls in 0..3usize
    ) {
        let field_type = FieldType::from_byte(field_type).unwrap();
        let rows = (count + nulls).clamp(1, ROWS_MAX);
        let (encoding, mask_len) = (Encoding::ALL[encoding], if nulls > 0 { mask_len } else { 0 });
        let head =
            ColumnHead::assembled(field_type, encoding, mask, mask_len, count, rows).unwrap();
        let mut out = Column::missing(FieldId(0), 0);
        if decode_unverified(&head, &bytes, 0..rows, &mut out).is_ok() {
            prop_assert_eq!(out.values.len(), rows);
        }
        let _ = Head::decode_unverified(&bytes);
    }
}

#[test]
fn heads_of_other_versions_are_refused() {
    let chunk = encode(&columns(3, vec![Values::Integer(vec![1, 2, 3])]), Class::Hot);
    let with_version = |version: u8| {
        let mut head = chunk.head[..chunk.head.len() - 4].to_vec();
        head[0] = version;
        let checksum = crc(&head);
        head.extend_from_slice(&checksum.to_le_bytes());
        Head::decode(&head)
    };
    assert!(with_version(1).is_ok());
    assert_eq!(with_version(2), Err(ChunkError::Version { found: 2, supported: 1 }));
    assert_eq!(with_version(0).unwrap_err().to_string(), "corrupt chunk, head: version");
    assert_eq!(Head::decode(&[]).unwrap_err().to_string(), "corrupt chunk, head: ends early");
}

#[test]
fn null_masks_take_the_smaller_form() {
    let rows = 4096;
    type Case = (&'static str, fn(usize) -> bool, Mask, usize);
    let cases: [Case; 4] = [
        ("every other row", |row| row % 2 == 0, Mask::Bitmap, 512),
        ("few values", |row| row % 400 == 0, Mask::Present, 60),
        ("few nulls", |row| row % 400 != 0, Mask::Absent, 60),
        ("the first half", |row| row < 2048, Mask::Absent, 20),
    ];
    for (name, is_valid, mask, len_max) in cases {
        let validity = bitmap(&(0..rows).map(is_valid).collect::<Vec<_>>());
        let mut columns = columns(rows, vec![Values::Integer((0..rows as i64).collect())]);
        columns.columns[0].validity = Some(validity);
        let chunk = round_trip(name, &columns, Class::Hot);
        let head = Head::decode(&chunk.head).unwrap();
        let (got, len) = (head.columns()[0].mask, head.columns()[0].mask_len);
        assert_eq!(got, mask, "{name}");
        assert!(len <= len_max, "{name}: {len} bytes");
    }
}

#[test]
fn memory_of_the_column_is_used_again() {
    let chunk = encode(&columns(1000, vec![Values::Integer((0..1000).collect())]), Class::Hot);
    let head = Head::decode(&chunk.head).unwrap();
    let values = Vec::with_capacity(5000);
    let address = values.as_ptr();
    let mut out = Column { field: FieldId(7), values: Values::Integer(values), validity: None };
    decode_column(&head.columns()[0], &chunk.body, 10..20, &mut out).unwrap();
    let Values::Integer(values) = &out.values else { panic!("type of {out:?}") };
    assert_eq!(
        (values.as_ptr(), &values[..], out.field),
        (address, &[10, 11, 12, 13, 14, 15, 16, 17, 18, 19][..], FieldId(0))
    );
}
