//! Merging against a map of single values.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::FieldValue;

/// Rows as the model has them; the types of the fields are fixed by their number.
type Model = BTreeMap<(Timestamp, FieldId), FieldValue<'static>>;

fn value(field: FieldId, seed: i64) -> FieldValue<'static> {
    match field.0 % 5 {
        0 => FieldValue::Float(seed as f64),
        1 => FieldValue::Integer(seed),
        2 => FieldValue::Unsigned(seed as u64),
        3 => FieldValue::Boolean(seed % 2 == 0),
        _ => FieldValue::String(format!("text {seed}").into()),
    }
}

/// Columns of a source: a row per timestamp, a value where `cells` has one.
fn source(timestamps: &[Timestamp], fields: &[u32], cells: &Model) -> Columns {
    let column = |field: FieldId| {
        let field_type = value(field, 0).field_type();
        let mut values = Values::defaults(field_type, 0);
        let mut validity = Bitmap::default();
        for &timestamp in timestamps {
            let cell = cells.get(&(timestamp, field));
            validity.push(cell.is_some());
            match (&mut values, cell.cloned()) {
                (Values::Float(v), Some(FieldValue::Float(cell))) => v.push(cell),
                (Values::Integer(v), Some(FieldValue::Integer(cell))) => v.push(cell),
                (Values::Unsigned(v), Some(FieldValue::Unsigned(cell))) => v.push(cell),
                (Values::Boolean(v), Some(FieldValue::Boolean(cell))) => v.push(cell),
                (Values::String { offsets, bytes }, Some(FieldValue::String(cell))) => {
                    bytes.extend_from_slice(cell.as_bytes());
                    offsets.push(bytes.len() as u32);
                }
                (Values::Float(v), _) => v.push(0.0),
                (Values::Integer(v), _) => v.push(0),
                (Values::Unsigned(v), _) => v.push(0),
                (Values::Boolean(v), _) => v.push(false),
                (Values::String { offsets, bytes }, _) => offsets.push(bytes.len() as u32),
                (Values::Missing(_), _) => unreachable!(),
            }
        }
        let validity = Some(validity).filter(|v| v.count() < v.len());
        Column { field, values, validity }
    };
    Columns {
        timestamps: timestamps.to_vec(),
        columns: fields.iter().map(|&field| column(FieldId(field))).collect(),
    }
}

/// A source: its timestamps, its fields, whether it has holes, the seed of its values.
fn sources() -> impl Strategy<Value = Vec<(Vec<Timestamp>, Vec<u32>, bool, i64)>> {
    let timestamps = prop_oneof![
        proptest::collection::btree_set(0..60i64, 0..40),
        (0..1000i64, 1..30i64).prop_map(|(from, len)| (from..from + len).collect()),
    ];
    let timestamps = timestamps.prop_map(|set| set.into_iter().collect());
    let fields = proptest::collection::btree_set(0..7u32, 0..7)
        .prop_map(|set| set.into_iter().rev().collect());
    proptest::collection::vec((timestamps, fields, any::<bool>(), 0..1000i64), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_last_write_of_each_field_and_row_wins(sources in sources()) {
        let mut model = Model::new();
        let mut rows = std::collections::BTreeSet::new();
        let mut columns = Vec::new();
        for (timestamps, fields, has_holes, seed) in &sources {
            let mut cells = Model::new();
            for (index, &timestamp) in timestamps.iter().enumerate() {
                rows.insert(timestamp);
                for &field in fields {
                    if !has_holes || !(index + field as usize).is_multiple_of(3) {
                        let field = FieldId(field);
                        cells.insert((timestamp, field), value(field, seed + index as i64));
                    }
                }
            }
            columns.push(source(timestamps, fields, &cells));
            model.extend(cells);
        }
        let merged = merge_columns(&columns);
        let rows: Vec<Timestamp> = rows.into_iter().collect();
        let mut fields: Vec<u32> = sources.iter().flat_map(|(_, f, ..)| f.clone()).collect();
        fields.sort_unstable();
        fields.dedup();
        prop_assert_eq!(merged, source(&rows, &fields, &model));
    }
}

#[test]
fn nothing_and_missing_columns() {
    assert_eq!(merge_columns(&[]), Columns::default());
    let missing = Columns { timestamps: vec![5], columns: vec![Column::missing(FieldId(3), 1)] };
    assert_eq!(merge_columns(&[missing.clone(), missing.clone()]), missing);
    let present = source(&[4], &[3], &Model::from([((4, FieldId(3)), FieldValue::Boolean(true))]));
    let merged = merge_columns(&[present, missing]);
    assert_eq!(merged.timestamps, [4, 5]);
    assert_eq!(merged.columns[0].values, Values::Boolean(vec![true, false]));
    assert_eq!(merged.columns[0].count(), 1);
}
