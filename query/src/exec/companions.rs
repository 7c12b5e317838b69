//! Plain fields and tags beside a selector, taken from the row that it selected; and the rows of
//! functions that give several per bucket.

use firndb_tsdb::model::{Bitmap, TimeRange, Timestamp};

use super::aggregate::{Finished, Spot};
use super::fold::States;
use super::resolve::Ref;
use super::shared::Shared;
use super::vector::{Data, Vector};
use super::window::Run;
use super::{expr, windowed};
use crate::error::Result;
use crate::plan::Function;

/// The column `to` (a field or a tag) at `spots`; where `wanted` has no bit it is missing.
pub fn column(
    shared: &Shared,
    to: &Ref,
    spots: &[Spot],
    wanted: Option<&Bitmap>,
) -> Result<Vector> {
    let is_wanted = |row: usize| wanted.is_none_or(|bits| bits.get(row));
    match to {
        Ref::Tag(key) => {
            let column = &shared.tag_columns[key];
            let code = |row: usize| {
                if is_wanted(row) { column.codes[spots[row].series as usize] } else { None }
            };
            Ok(tag_column(&column.words, (0..spots.len()).map(code)))
        }
        Ref::Field(field) => {
            let mut out = Vector::missing(0);
            for (row, spot) in spots.iter().enumerate() {
                shared.means.check()?;
                let value = if is_wanted(row) { at(shared, *field, spot)? } else { None };
                out.append(&value.unwrap_or_else(|| Vector::missing(1)));
            }
            Ok(out)
        }
        Ref::Call(_) | Ref::Transform(_) => Ok(Vector::missing(spots.len())),
    }
}

/// A column of tag values by their codes.
pub fn tag_column(
    words: &std::sync::Arc<[String]>,
    codes: impl Iterator<Item = Option<u32>>,
) -> Vector {
    let codes: Vec<Option<u32>> = codes.collect();
    if words.is_empty() {
        return Vector::missing(codes.len());
    }
    let validity = codes
        .iter()
        .any(Option::is_none)
        .then(|| super::mask::from_fn(codes.len(), |row| codes[row].is_some()));
    let codes = codes.into_iter().map(Option::unwrap_or_default).collect();
    Vector { data: Data::Tag { codes, words: words.clone() }, validity }
}

/// One field of one row.
fn at(shared: &Shared, field: usize, spot: &Spot) -> Result<Option<Vector>> {
    let range = TimeRange::new(spot.time, spot.time);
    let mut pieces = shared.input.pieces(spot.series as usize, range, false)?;
    while let Some(piece) = pieces.next_piece()? {
        let mut rows = piece.load(&[field], range)?;
        if let (1, Some(column)) = (rows.timestamps.len(), rows.columns.pop()) {
            return Ok(Some(column.into()));
        }
    }
    Ok(None)
}

/// Rows of the call that gives several per bucket, ascending.
pub fn multi_rows(
    shared: &Shared,
    states: States,
    run: &Run,
) -> Result<(Vec<Timestamp>, Vec<Vector>)> {
    let call = &shared.resolved.calls[0];
    let mut finished = None;
    for state in states.fields {
        for call in state.calls {
            finished = Some(call.finish(&state.counts)?);
        }
    }
    let Some(Finished::Rows { buckets, values, spots }) = finished else {
        return Ok((Vec::new(), Vec::new()));
    };
    let (buckets, values, spots) = match &call.function {
        Function::Top { count, tags } if !tags.is_empty() => {
            best_of_tags(shared, *count, tags, true, &buckets, &values, &spots)
        }
        Function::Bottom { count, tags } if !tags.is_empty() => {
            best_of_tags(shared, *count, tags, false, &buckets, &values, &spots)
        }
        _ => (buckets, values, spots),
    };
    let time = |(bucket, spot): (&usize, &Spot)| match (&call.function, &shared.plan.window) {
        (Function::Distinct, Some(_)) => run.start(*bucket),
        (Function::Distinct, None) if shared.is_open_start() => 0,
        (Function::Distinct, None) => shared.plan.range.start,
        _ => spot.time,
    };
    let times: Vec<Timestamp> = buckets.iter().zip(&spots).map(time).collect();
    let mut columns = Vec::new();
    for to in &shared.resolved.refs {
        columns.push(match to {
            Ref::Call(_) => values.clone(),
            other => column(shared, other, &spots, None)?,
        });
    }
    let rows = times.len();
    debug_assert!(columns.iter().all(|column| column.len() == rows));
    Ok((times, windowed::outputs(shared, columns, rows)))
}

/// Of each bucket, the best row of each combination of `tags`, and of those the best `count`.
fn best_of_tags(
    shared: &Shared,
    count: u64,
    tags: &[String],
    top: bool,
    buckets: &[usize],
    values: &Vector,
    spots: &[Spot],
) -> (Vec<usize>, Vector, Vec<Spot>) {
    let combination = |row: usize| -> Vec<&str> {
        let of = &shared.tags[spots[row].series as usize];
        tags.iter().map(|key| of.get(key).unwrap_or_default()).collect()
    };
    let mut rows: Vec<usize> = (0..spots.len()).collect();
    rows.sort_by(|a, b| {
        let (x, y) = (values.cell(*a), values.cell(*b));
        let order = if top { expr::order_cells(y, x) } else { expr::order_cells(x, y) };
        let order = expr::is_nan(x).cmp(&expr::is_nan(y)).then(order);
        buckets[*a].cmp(&buckets[*b]).then(order).then(spots[*a].time.cmp(&spots[*b].time))
    });
    let mut kept: Vec<u32> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut bucket = None;
    for row in rows {
        if bucket != Some(buckets[row]) {
            bucket = Some(buckets[row]);
            seen.clear();
        }
        if (seen.len() as u64) < count && seen.insert(combination(row)) {
            kept.push(row as u32);
        }
    }
    kept.sort_by_key(|row| {
        let spot = &spots[*row as usize];
        (buckets[*row as usize], spot.time, &shared.tags[spot.series as usize])
    });
    let at = |row: &u32| *row as usize;
    (
        kept.iter().map(|row| buckets[at(row)]).collect(),
        values.take(&kept),
        kept.iter().map(|row| spots[at(row)]).collect(),
    )
}
