//! Packed integers: modes, ranges, damage.

use proptest::prelude::*;

use super::*;
use crate::chunk::testing::Random;

fn round_trip(name: &str, values: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(values, &mut bytes);
    let mut out = Vec::new();
    decode_to(&bytes, values.len(), 0..values.len(), &mut out).unwrap();
    assert_eq!(out, values, "{name}");
    bytes
}

/// (name, values, mode without the scale bit, scaled, most bytes)
fn cases() -> Vec<(&'static str, Vec<i64>, u8, bool, usize)> {
    let mut random = Random::new(2);
    let n = 4096i64;
    let walk = random.walk(4096).into_iter().map(|v| v as i64).collect();
    let noise = (0..n).map(|_| random.below(100) as i64).collect();
    let mut counter = 0;
    let resets = (0..n)
        .map(|i| {
            counter = if i % 700 == 699 { 0 } else { counter + 800 + random.below(400) as i64 };
            counter
        })
        .collect();
    let jitter = (0..n).map(|i| (i * 10_000 + random.below(10) as i64) * 1_000_000).collect();
    let gaps = (0..n).map(|i| (i + i / 200) * 10_000_000_000).collect();
    let parabola = (0..n).map(|i| 5 * i * i - 3 * i).collect();
    let status = (0..n).map(|i| [200, 404, 200, 500][(i / 300 % 4) as usize]).collect();
    let spikes = (0..n).map(|i| if i % 250 == 7 { 1_000_000 + i } else { 3 }).collect();
    let extremes = (0..n).map(|i| if i % 2 == 0 { i64::MIN } else { i64::MAX }).collect();
    let wild = (0..n).map(|_| random.next() as i64).collect();
    vec![
        ("one value", vec![-7], CONSTANT, false, 2),
        ("constant", vec![i64::MIN; 4096], CONSTANT, false, 11),
        ("line", (0..n).map(|i| i * 10_000_000_000).collect(), LINE, false, 8),
        ("walk", walk, DELTA, false, 1680),
        ("noise", noise, FRAME, false, 3700),
        ("counter with resets", resets, DELTA, false, 5450),
        ("milliseconds with jitter", jitter, DELTA, true, 2800),
        ("gaps", gaps, DELTA, true, 200),
        ("parabola", parabola, DELTA2, true, 200),
        ("status", status, RUNS, true, 30),
        ("spikes", spikes, RUNS, true, 150),
        ("extremes", extremes, DELTA, false, 1100),
        ("noise of 64 bits", wild, FRAME, false, 33_000),
    ]
}

#[test]
fn the_smallest_mode_is_chosen() {
    for (name, values, mode, is_scaled, len_max) in cases() {
        let bytes = round_trip(name, &values);
        println!("{name}: mode {:#x}, {} bytes", bytes[0], bytes.len());
        assert!(bytes.len() <= len_max, "{name}: {} bytes", bytes.len());
        assert_eq!((bytes[0] & !SCALED, bytes[0] & SCALED != 0), (mode, is_scaled), "{name}");
    }
}

#[test]
fn any_range_of_rows_decodes_alone() {
    let mut random = Random::new(3);
    for (name, values, ..) in cases() {
        let bytes = round_trip(name, &values);
        for _ in 0..40 {
            let start = random.below(values.len() as u64 + 1) as usize;
            let end = start + random.below((values.len() - start + 1) as u64) as usize;
            let mut out = Vec::new();
            decode_to(&bytes, values.len(), start..end, &mut out).unwrap();
            assert_eq!(out, values[start..end], "{name}, rows {start}..{end}");
        }
    }
}

#[test]
fn a_range_does_not_touch_the_bodies_of_other_runs() {
    for (name, values, mode, ..) in cases() {
        if !matches!(mode, FRAME | DELTA | DELTA2) {
            continue;
        }
        let mut bytes = round_trip(name, &values);
        let end = bytes.len();
        bytes[end - 4] ^= 0xff; // inside the body of the last run, or its head's neighbours
        let mut out = Vec::new();
        if decode_to(&bytes, values.len(), 0..256, &mut out).is_ok() {
            assert_eq!(out, values[..256], "{name}");
        }
    }
}

/// Integers of all sizes, in the shapes that matter: runs, steps, few bits, all bits.
fn integers() -> impl Strategy<Value = Vec<i64>> {
    let value = prop_oneof![
        4 => -5i64..5,
        2 => any::<i64>(),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
    ];
    let repeated = (value, prop_oneof![3 => Just(1usize), 1 => 1usize..600]);
    let scale = prop_oneof![Just(1i64), Just(1000), Just(i64::MIN), any::<i64>()];
    (proptest::collection::vec(repeated, 1..300), scale, 0..3u8).prop_map(
        |(values, scale, sums)| {
            let repeated = values.iter().flat_map(|&(v, times)| std::iter::repeat_n(v, times));
            let mut values: Vec<i64> =
                repeated.take(ROWS_MAX).map(|v| v.wrapping_mul(scale)).collect();
            for _ in 0..sums {
                let mut total = 0i64;
                for value in &mut values {
                    total = total.wrapping_add(*value);
                    *value = total;
                }
            }
            values
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_sequence_round_trips(values in integers()) {
        round_trip("generated", &values);
    }

    #[test]
    fn damaged_bytes_never_panic(values in integers(), damage: [(u16, u8); 3], cut: u16) {
        let mut bytes = Vec::new();
        encode(&values, &mut bytes);
        for (at, with) in damage {
            let at = usize::from(at) % bytes.len().min(64); // heads lie in front
            bytes[at] ^= with;
        }
        bytes.truncate(bytes.len().saturating_sub(usize::from(cut) % 4));
        let mut count = 0;
        let decoded = decode(&bytes, values.len(), 0..values.len(), &mut |v| count += v.len());
        prop_assert!(decoded.is_err() || count == values.len());
    }

    #[test]
    fn random_bytes_never_panic(
        mode in 0..7u8, scaled: bool, bytes: Vec<u8>, len in 0..ROWS_MAX + 2
    ) {
        let bytes = [&[mode | if scaled { SCALED } else { 0 }], &bytes[..]].concat();
        let _ = decode(&bytes, len, 0..len, &mut |_| ());
    }
}
