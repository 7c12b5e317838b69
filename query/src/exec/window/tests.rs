//! Buckets of time: where they begin and end, in UTC and in zones.

use super::*;

const S: i64 = 1_000_000_000;
const H: i64 = 3600 * S;

fn window(every_ns: i64, offset_ns: i64, zone: Option<chrono_tz::Tz>) -> Buckets {
    Buckets::new(Some(Window { every_ns, offset_ns, zone }))
}

#[test]
fn bucket_of_a_timestamp() {
    let cases = [
        ("middle", 60 * S, 0, 90 * S, 60 * S, 120 * S),
        ("on an edge", 60 * S, 0, 60 * S, 60 * S, 120 * S),
        ("before the epoch", 60 * S, 0, -1, -60 * S, 0),
        ("offset", 60 * S, 15 * S, 70 * S, 15 * S, 75 * S),
        ("negative offset", 60 * S, -15 * S, 70 * S, 45 * S, 105 * S),
        ("offset longer than the bucket", 60 * S, 75 * S, 70 * S, 15 * S, 75 * S),
    ];
    for (name, every, offset, at, start, end) in cases {
        assert_eq!(window(every, offset, None).at(at), Bucket { start, end }, "{name}");
    }
}

#[test]
fn buckets_follow_the_wall_clock_of_a_zone() {
    let berlin = window(24 * H, 0, Some(chrono_tz::Europe::Berlin));
    // 2024-03-31 is 23 hours long in Berlin: it starts at 23:00 UTC and ends at 22:00 UTC.
    let noon = 1_711_879_200 * S;
    let midnight = 1_711_839_600 * S;
    assert_eq!(berlin.at(noon), Bucket { start: midnight, end: midnight + 23 * H });
    // 2024-10-27 is 25 hours long.
    let midnight = 1_729_980_000 * S;
    assert_eq!(berlin.at(midnight + 20 * H), Bucket { start: midnight, end: midnight + 25 * H });
    // Hours keep their length.
    let hourly = window(H, 0, Some(chrono_tz::Europe::Berlin));
    assert_eq!(hourly.at(noon), Bucket { start: noon, end: noon + H });
}

#[test]
fn runs_are_gapless_and_find_agrees_with_at() {
    let zones = [None, Some(chrono_tz::Europe::Berlin), Some(chrono_tz::Asia::Kolkata)];
    for zone in zones {
        for every in [H / 2, 6 * H, 24 * H, 7 * 24 * H] {
            let buckets = window(every, 5 * 60 * S, zone);
            let (first, last) = (1_711_000_000 * S, 1_732_000_000 * S);
            let run = Run::covering(&buckets, first, last);
            assert!(run.start(0) <= first && last < run.end(run.len() - 1));
            for probe in (first..last).step_by((H * 13 + 7) as usize) {
                let found = run.find(probe);
                let bucket = Bucket { start: run.start(found), end: run.end(found) };
                assert!(bucket.start <= probe && probe < bucket.end, "{zone:?} {every} {probe}");
                assert_eq!(buckets.at(probe), bucket, "{zone:?} {every} {probe}");
            }
        }
    }
}

#[test]
fn ends_of_time_do_not_overflow() {
    let buckets = window(7 * H, 3, None);
    for at in [i64::MIN, i64::MIN + 2, i64::MAX - 1, i64::MAX] {
        let bucket = buckets.at(at);
        assert!(bucket.start <= at && at <= bucket.end);
        let run = Run::covering(&buckets, at, at);
        assert_eq!((run.len(), run.find(at)), (1, 0));
    }
    assert_eq!(buckets.count_between(0, -1), 0);
}

#[test]
fn shift_counts_buckets() {
    let berlin = window(24 * H, 0, Some(chrono_tz::Europe::Berlin));
    let midnight = 1_711_839_600 * S; // 31 March, 23 hours
    assert_eq!(berlin.shift(midnight, 1), midnight + 23 * H);
    assert_eq!(berlin.shift(midnight, -1), midnight - 24 * H);
    assert_eq!(berlin.shift(midnight, 0), midnight);
}

#[test]
fn segments_cover_all_rows_at_the_edges() {
    let buckets = window(10, 0, None);
    let mut seed = 42u64;
    for _ in 0..200 {
        let mut timestamps = vec![];
        let mut t = 0i64;
        for _ in 0..100 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            t += 1 + (seed >> 60) as i64 * i64::from(seed >> 33 & 3 == 0) * 7;
            timestamps.push(t);
        }
        let run = Run::covering(&buckets, timestamps[0], *timestamps.last().unwrap());
        let mut segments = vec![];
        run.segments(&timestamps, &mut segments);
        let mut at = 0;
        for segment in &segments {
            assert_eq!(segment.start, at);
            assert!(segment.end > segment.start);
            for t in &timestamps[segment.start..segment.end] {
                assert!(run.start(segment.bucket) <= *t && *t < run.end(segment.bucket));
            }
            at = segment.end;
        }
        assert_eq!(at, timestamps.len());
        assert!(segments.windows(2).all(|w| w[0].bucket < w[1].bucket));
    }
}
