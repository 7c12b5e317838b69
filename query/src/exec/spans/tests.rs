//! Divisions of a range by table and by property: they tile it, and exact spans are aligned.

use proptest::prelude::*;

use super::*;

const M: i64 = 60;
const H: i64 = 60 * M;

fn level(every_ns: i64, spans: &[(i64, i64)]) -> Level {
    let span = |(start, end): &(i64, i64)| TimeRange::new(*start, *end - 1);
    Level { every_ns, spans: spans.iter().map(span).collect() }
}

fn window(every_ns: i64, offset_ns: i64) -> Need {
    Need::Buckets(Some(Window { every_ns, offset_ns, zone: None }))
}

/// `[start, end)` of each span and `r`, or the number of the level, `~` before it when not exact.
fn text(spans: &[Span]) -> String {
    let one = |span: &Span| {
        let from = match span.from {
            From::Raw => "r".to_owned(),
            From::Level { level, exact: true } => level.to_string(),
            From::Level { level, exact: false } => format!("~{level}"),
        };
        format!("{}..{} {from}", span.range.start, span.range.end + 1)
    };
    spans.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn table() {
    let hours = || level(H, &[(0, 10 * H)]);
    let minutes = || level(M, &[(2 * H, 10 * H + 30 * M)]);
    let both = || vec![hours(), minutes()];
    let zone = Window { every_ns: H, offset_ns: 0, zone: Some(chrono_tz::Europe::Berlin) };
    // name, [from, to), first raw, levels, need, expected
    type Case = (&'static str, (i64, i64), i64, Vec<Level>, Need, &'static str);
    let cases: [Case; 22] = [
        ("no rollup", (5, 99), 0, vec![], window(10, 0), "5..99 r"),
        ("all hours", (H, 3 * H), 0, both(), window(H, 0), "3600..10800 0"),
        ("no window", (H, 3 * H), 0, both(), Need::Buckets(None), "3600..10800 0"),
        (
            "edges by minutes",
            (2 * H + 90, 5 * H + 90),
            0,
            both(),
            window(H, 0),
            "7290..7320 r, 7320..10800 1, 10800..18000 0, 18000..18060 1, 18060..18090 r",
        ),
        (
            "edges by points",
            (H + 90, 3 * H),
            0,
            both(),
            window(H, 0),
            "3690..7200 r, 7200..10800 0",
        ),
        (
            "not built yet",
            (9 * H, 12 * H),
            0,
            both(),
            window(H, 0),
            "32400..36000 0, 36000..37800 1, 37800..43200 r",
        ),
        ("day windows take hours", (0, 10 * H), 0, both(), window(24 * H, 0), "0..36000 0"),
        ("an offset of whole hours", (0, 10 * H), 0, both(), window(24 * H, 5 * H), "0..36000 0"),
        ("an offset of minutes", (2 * H, 10 * H), 0, both(), window(H, 5 * M), "7200..36000 1"),
        ("an offset backwards", (2 * H, 10 * H), 0, both(), window(H, -5 * M), "7200..36000 1"),
        ("windows of 90 minutes", (2 * H, 10 * H), 0, both(), window(90 * M, 0), "7200..36000 1"),
        ("windows of 90 seconds", (2 * H, 10 * H), 0, both(), window(90, 0), "7200..36000 r"),
        ("windows below a minute", (2 * H, 10 * H), 0, both(), window(M / 2, 0), "7200..36000 r"),
        ("a zone", (2 * H, 10 * H), 0, both(), Need::Buckets(Some(zone.clone())), "7200..36000 r"),
        ("rows", (2 * H, 10 * H), 0, both(), Need::Rows, "7200..36000 r"),
        (
            "dirty spots",
            (0, 10 * H),
            0,
            vec![level(H, &[(0, 2 * H), (3 * H, 10 * H)])],
            window(H, 0),
            "0..7200 0, 7200..10800 r, 10800..36000 0",
        ),
        (
            "gone, aligned",
            (0, 12 * H),
            9 * H,
            both(),
            window(H, 0),
            "0..36000 0, 36000..37800 1, 37800..43200 r",
        ),
        (
            "gone, edge by points",
            (90, 3 * H),
            9 * H,
            both(),
            window(H, 0),
            "90..3600 ~0, 3600..10800 0",
        ),
        (
            "gone, rows",
            (0, 12 * H),
            4 * H + 7,
            both(),
            Need::Rows,
            "0..7200 ~0, 7200..14407 ~1, 14407..43200 r",
        ),
        // The bucket that begins before the end of what is gone is counted whole, once.
        (
            "gone, small windows",
            (0, 12 * H),
            4 * H + 7,
            both(),
            window(M / 2, 0),
            "0..7200 ~0, 7200..14460 ~1, 14460..43200 r",
        ),
        (
            "gone, only hours",
            (0, 12 * H),
            4 * H + 7,
            vec![hours()],
            window(M, 0),
            "0..18000 ~0, 18000..43200 r",
        ),
        (
            "gone, a late finer level",
            (0, 4 * H),
            9 * H,
            vec![hours(), level(M, &[(2 * H + 20 * M, 9 * H)])],
            window(M, 0),
            "0..10800 ~0, 10800..14400 1",
        ),
    ];
    for (name, (from, to), raw_from, levels, need, expected) in cases {
        let spans = divide(TimeRange::new(from, to - 1), raw_from, &levels, &need);
        assert_eq!(text(&spans), expected, "{name}");
    }
}

#[test]
fn the_ends_of_time() {
    let levels = [level(H, &[(0, 10 * H)])];
    let spans = divide(TimeRange::ALL, 2 * H, &levels, &Need::Buckets(None));
    let all = |span: &Span| (span.range.start, span.range.end, span.from == From::Raw);
    let expected = [
        (TimeRange::ALL.start, -1, true),
        (0, 10 * H - 1, false),
        (10 * H, TimeRange::ALL.end, true),
    ];
    assert_eq!(spans.iter().map(all).collect::<Vec<_>>(), expected);
}

/// Spans of whole buckets from gaps and lengths.
fn cover(every_ns: i64, steps: &[(i64, i64)]) -> Level {
    let mut at = -20 * every_ns;
    let mut spans = Vec::new();
    for (gap, length) in steps {
        at += gap * every_ns;
        spans.push((at, at + length * every_ns));
        at += (length + 1) * every_ns;
    }
    level(every_ns, &spans)
}

proptest! {
    #[test]
    fn spans_tile_the_range_and_exact_ones_are_aligned(
        (start, len) in (-400i64..400, 1i64..600),
        raw_from in -400i64..400,
        steps in prop::collection::vec(prop::collection::vec((0i64..5, 1i64..12), 0..4), 3),
        every in prop_oneof![Just(1i64), Just(4), Just(10), Just(20), Just(60), Just(120)],
        offset in prop_oneof![Just(0i64), Just(20), Just(-20), Just(7)],
        kind in 0..3,
    ) {
        let levels: Vec<Level> =
            [60, 20, 4].iter().zip(&steps).map(|(every, steps)| cover(*every, steps)).collect();
        let need = match kind {
            0 => Need::Rows,
            1 => Need::Buckets(None),
            _ => window(every, offset),
        };
        let range = TimeRange::new(start, start + len - 1);
        let spans = divide(range, raw_from, &levels, &need);
        let mut at = range.start;
        for span in &spans {
            prop_assert_eq!(span.range.start, at, "{}", text(&spans));
            prop_assert!(!span.range.is_empty());
            at = span.range.end + 1;
            let From::Level { level, exact } = span.from else { continue };
            let of = &levels[level];
            if exact {
                prop_assert_eq!(span.range.start.rem_euclid(of.every_ns), 0);
                prop_assert_eq!(at.rem_euclid(of.every_ns), 0);
                prop_assert!(of.spans.iter().any(|s| s.covers(&span.range)), "{}", text(&spans));
                let Need::Buckets(window) = &need else { panic!("rows from buckets") };
                let is_fit = fits(window.as_ref(), of);
                prop_assert!(is_fit);
            } else {
                let bucket = span.range.end.div_euclid(of.every_ns) * of.every_ns;
                prop_assert!(span.range.start < raw_from && bucket < raw_from);
            }
        }
        prop_assert_eq!(at, range.end + 1);
        // The same covers, nothing gone: all is exact.
        let exact = divide(range, i64::MIN + 2, &levels, &need);
        let is_exact = |span: &Span| !matches!(span.from, From::Level { exact: false, .. });
        prop_assert!(exact.iter().all(is_exact));
    }
}
