//! Which source answers for which stretch of time: points, or the buckets of a rollup's level.
//!
//! 1. Where whole buckets of a level lie within windows of the plan, and the functions asked for
//!    are told by buckets, the coarsest such level answers, exactly.
//! 2. What is left is read from points: unaligned edges, what is not built yet or about to be
//!    built again, and everything when the plan asks for what no bucket tells.
//! 3. Of that, the part whose points are gone is answered by buckets all the same, the finest
//!    there are, each counting where it starts: not exactly, which the answer says.
//!
//! Invariants: the spans given tile the range in order of time; exact ones begin and end at
//! edges of buckets.

use firndb_tsdb::model::{TimeRange, Timestamp};

use crate::plan::Window;

/// A level whose buckets may stand for points.
#[derive(Debug, Clone)]
pub struct Level {
    /// Length of a bucket.
    pub every_ns: i64,
    /// Ascending, disjoint spans of whole buckets.
    pub spans: Vec<TimeRange>,
}

/// What a plan asks of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Functions that buckets tell, over windows; `None`: over the whole range.
    Buckets(Option<Window>),
    /// Rows: no bucket tells what is asked for.
    Rows,
}

/// Where a stretch of time is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The points.
    Raw,
    /// Buckets.
    Level {
        /// Which level.
        level: usize,
        /// Whether the answer is the one that points would give.
        exact: bool,
    },
}

/// A stretch of time and where it is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The stretch.
    pub range: TimeRange,
    /// Its source.
    pub from: From,
}

/// Divides `range` among points and `levels`, which come coarsest first; points before
/// `raw_from` are gone.
pub fn divide(range: TimeRange, raw_from: Timestamp, levels: &[Level], need: &Need) -> Vec<Span> {
    let mut rest = vec![range];
    let mut spans = Vec::new();
    if let Need::Buckets(window) = need {
        for (level, of) in levels.iter().enumerate().filter(|(_, of)| fits(window.as_ref(), of)) {
            let from = From::Level { level, exact: true };
            rest = take(rest, of, from, |part| whole(part, of.every_ns), &mut spans);
        }
    }
    for (level, of) in levels.iter().enumerate().rev() {
        let from = From::Level { level, exact: false };
        let gone = |part: TimeRange| TimeRange::new(part.start, part.end.min(raw_from - 1));
        rest = take(rest, of, from, gone, &mut spans);
    }
    spans.extend(rest.into_iter().map(|range| Span { range, from: From::Raw }));
    spans.sort_by_key(|span| span.range.start);
    if *need != Need::Rows {
        complete_buckets(&mut spans, range, levels);
    }
    join(spans)
}

/// Whether each bucket of the level lies within one window.
fn fits(window: Option<&Window>, level: &Level) -> bool {
    window.is_none_or(|window| {
        window.zone.is_none()
            && window.every_ns % level.every_ns == 0
            && window.offset_ns % level.every_ns == 0
    })
}

/// Takes from the pieces of `rest` what `cut` makes of their common parts with the level; returns
/// what is left of them, ascending.
fn take(
    rest: Vec<TimeRange>,
    level: &Level,
    from: From,
    cut: impl Fn(TimeRange) -> TimeRange,
    spans: &mut Vec<Span>,
) -> Vec<TimeRange> {
    let mut left = Vec::with_capacity(rest.len());
    for piece in rest {
        let mut at = piece.start;
        let first = level.spans.partition_point(|span| span.end < piece.start);
        for span in level.spans[first..].iter().take_while(|span| span.start <= piece.end) {
            let taken = cut(span.intersect(&piece));
            if taken.is_empty() {
                continue;
            }
            if at < taken.start {
                left.push(TimeRange::new(at, taken.start - 1));
            }
            spans.push(Span { range: taken, from });
            at = taken.end.saturating_add(1);
        }
        if at <= piece.end {
            left.push(TimeRange::new(at, piece.end));
        }
    }
    left
}

/// The whole buckets within `range`.
fn whole(range: TimeRange, every_ns: i64) -> TimeRange {
    let over = range.start.rem_euclid(every_ns);
    let start = if over == 0 { range.start } else { range.start.saturating_add(every_ns - over) };
    let after = range.end.saturating_add(1);
    TimeRange::new(start, after.saturating_sub(after.rem_euclid(every_ns)).saturating_sub(1))
}

/// A bucket that counts where it starts stands for its whole time: what follows an inexact span
/// begins where its last bucket ends, or points would be counted twice.
fn complete_buckets(spans: &mut Vec<Span>, range: TimeRange, levels: &[Level]) {
    let mut covered = Timestamp::MIN;
    let every_of = |from: From| match from {
        From::Level { level, .. } => levels[level].every_ns,
        From::Raw => 1,
    };
    let mut every = 1;
    for span in spans.iter_mut() {
        // An end that is no edge of the follower's own buckets would break them.
        if every % every_of(span.from) == 0 {
            span.range.start = span.range.start.max(covered);
        }
        if span.range.is_empty() {
            continue;
        }
        (covered, every) = (Timestamp::MIN, 1);
        if let From::Level { exact: false, .. } = span.from {
            every = every_of(span.from);
            let over = span.range.end.saturating_add(1).rem_euclid(every);
            if over > 0 {
                span.range.end = span.range.end.saturating_add(every - over).min(range.end);
                covered = span.range.end.saturating_add(1);
            }
        }
    }
    spans.retain(|span| !span.range.is_empty());
    // Where the follower could not give way, the span keeps to its own time.
    for at in 1..spans.len() {
        let next = spans[at].range.start;
        let span = &mut spans[at - 1];
        span.range.end = span.range.end.min(next - 1);
    }
}

/// Neighbours of one source as one.
fn join(spans: Vec<Span>) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if last.from == span.from && last.range.end + 1 == span.range.start => {
                last.range.end = span.range.end;
            }
            _ => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
