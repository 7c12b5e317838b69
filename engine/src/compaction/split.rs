//! Where a large job is cut into parts that run side by side: by ranges of user keys.
//!
//! The inputs say where their bytes lie: a small table by its first key, a large one by the keys of
//! its index. Their sum, in key order, is cut into parts of like weight. A cut is a user key, and a
//! part goes up to the cut without it: all versions of a key are in one part, and parts make
//! tables that do not overlap.

use super::Plan;
use super::run::input_tables;
use crate::Result;
use crate::levels::Version;
use crate::scan::bounds::Bounds;

/// Keys asked of a table for each part's worth of its bytes.
const ANCHORS_PER_PART: u64 = 4;

/// The parts of a job, ascending: at most `parts_max`, each of about `part_bytes` or more. One part
/// of everything where the job is small, or its inputs say too little.
pub fn split(
    plan: &Plan,
    version: &Version,
    parts_max: usize,
    part_bytes: u64,
) -> Result<Vec<Bounds>> {
    let count = plan.input_bytes / part_bytes.max(1);
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(parts_max);
    if count < 2 {
        return Ok(vec![Bounds::all()]);
    }
    let mut anchors: Vec<(Vec<u8>, u64)> = Vec::new();
    for table in input_tables(plan, version).iter().flatten() {
        let step = (part_bytes / ANCHORS_PER_PART).max(1);
        anchors.push((table.meta.smallest.to_vec(), table.meta.bytes.min(step)));
        if table.meta.bytes > step {
            anchors.extend(table.table.anchors(step)?);
        }
    }
    anchors.sort();
    Ok(cut(&anchors, count))
}

/// Cuts `anchors` (ascending keys, each with the bytes that follow it) into `count` ranges.
fn cut(anchors: &[(Vec<u8>, u64)], count: usize) -> Vec<Bounds> {
    let total: u64 = anchors.iter().map(|(_, bytes)| bytes).sum();
    let first = anchors.first().map(|(key, _)| key);
    let mut cuts: Vec<Vec<u8>> = Vec::new();
    let mut before = 0;
    for (key, bytes) in anchors {
        let is_due = before >= total / count as u64 * (cuts.len() as u64 + 1);
        if is_due && cuts.len() + 1 < count && cuts.last().or(first) != Some(key) {
            cuts.push(key.clone());
        }
        before += bytes;
    }
    let lowers = std::iter::once(None).chain(cuts.iter().cloned().map(Some));
    let uppers = cuts.iter().cloned().map(Some).chain(std::iter::once(None));
    lowers.zip(uppers).map(|(lower, upper)| Bounds { lower, upper }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(anchors: &[(&str, u64)], count: usize) -> String {
        let anchors: Vec<_> =
            anchors.iter().map(|(key, bytes)| (key.as_bytes().to_vec(), *bytes)).collect();
        let text = |key: &Option<Vec<u8>>| {
            key.as_ref().map_or(String::new(), |key| String::from_utf8(key.clone()).unwrap())
        };
        let part = |bounds: &Bounds| format!("{}..{}", text(&bounds.lower), text(&bounds.upper));
        cut(&anchors, count).iter().map(part).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn parts_have_like_weight_and_cover_everything() {
        let even = [("a", 10), ("b", 10), ("c", 10), ("d", 10)];
        type Case<'a> = (&'a [(&'a str, u64)], usize, &'a str);
        let cases: [Case<'_>; 7] = [
            (&even, 2, "..c c.."),
            (&even, 4, "..b b..c c..d d.."),
            (&even, 9, "..b b..c c..d d.."),
            (&even, 1, ".."),
            (&[("a", 90), ("b", 5), ("c", 5)], 2, "..b b.."),
            (&[("a", 10), ("a", 10), ("a", 10)], 3, ".."),
            (&[("a", 5), ("b", 5), ("b", 5), ("b", 5), ("c", 20)], 4, "..b b..c c.."),
        ];
        for (anchors, count, expected) in cases {
            assert_eq!(shown(anchors, count), expected, "{anchors:?} in {count}");
        }
    }
}
