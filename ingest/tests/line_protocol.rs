//! Line protocol: the case file, byte cases, and random text against a slow obvious parser.

use std::collections::BTreeMap;

use firndb_ingest::line_protocol::{encode, parse};
use firndb_ingest::precision::Precision;
use firndb_tsdb::model::{
    FieldValue, MeasurementId, Point, PointSeries, SeriesId, SeriesRef, Timestamp,
};
use proptest::prelude::*;

use crate::reference;

/// The server's clock in these tests: not on the grid of any unit above the nanosecond.
const NOW: Timestamp = 1_600_000_123_456_789_012;

/// A point in comparable form.
#[derive(Debug, Clone, PartialEq)]
pub struct Flat {
    pub measurement: String,
    pub tags: BTreeMap<String, String>,
    pub fields: Vec<(String, String)>,
    pub timestamp: Timestamp,
}

/// A value as the case file writes it: type and text.
pub fn value_text(value: &FieldValue<'_>) -> String {
    match value {
        FieldValue::Float(v) => format!("f64 {:016x}", v.to_bits()),
        FieldValue::Integer(v) => format!("i64 {v}"),
        FieldValue::Unsigned(v) => format!("u64 {v}"),
        FieldValue::Boolean(v) => format!("bool {v}"),
        FieldValue::String(v) => format!("str {v}"),
    }
}

/// Points and `line: reason` of a text no series of which is known.
fn flat(text: &[u8], precision: Precision) -> (Vec<Flat>, Vec<(u32, String)>) {
    let parsed = parse(text, precision, NOW, |_| None);
    let batch = &parsed.batch;
    let flat_point = |point: &Point<'_>| {
        let PointSeries::New { measurement, tags, .. } = &point.series else {
            panic!("no series is known")
        };
        let tags = &batch.tags[tags.start as usize..tags.end as usize];
        let fields = batch.fields_of(point).iter();
        Flat {
            measurement: measurement.to_string(),
            tags: tags.iter().map(|t| (t.key.to_string(), t.value.to_string())).collect(),
            fields: fields.map(|f| (f.key.to_string(), value_text(&f.value))).collect(),
            timestamp: point.timestamp,
        }
    };
    let points = batch.points.iter().map(flat_point).collect();
    let errors = parsed.errors.iter().map(|e| (e.line, e.reason.to_string())).collect();
    (points, errors)
}

fn reasons(text: &[u8]) -> Vec<String> {
    flat(text, Precision::Nanosecond).1.into_iter().map(|(_, reason)| reason).collect()
}

#[derive(serde::Deserialize)]
struct Case {
    id: u32,
    input: String,
    precision: String,
    points: Vec<CasePoint>,
    errors: Vec<serde_json::Value>,
}

#[derive(serde::Deserialize)]
struct CasePoint {
    measurement: String,
    tags: BTreeMap<String, String>,
    fields: Vec<CaseField>,
    time: Option<String>,
}

#[derive(serde::Deserialize)]
struct CaseField {
    key: String,
    #[serde(rename = "type")]
    field_type: String,
    value: String,
}

impl CaseField {
    fn text(&self) -> String {
        match self.field_type.as_str() {
            "f64" => format!("f64 {:016x}", self.value.parse::<f64>().unwrap().to_bits()),
            other => format!("{other} {}", self.value),
        }
    }
}

#[test]
fn every_case_of_the_contract() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("cases/line-protocol-cases.json")).unwrap();
    assert_eq!(cases.len(), 272);
    let mut failures = Vec::new();
    for case in cases {
        let precision = Precision::from_v1(&case.precision).unwrap();
        let (points, errors) = flat(case.input.as_bytes(), precision);
        let expected: Vec<Flat> = case
            .points
            .iter()
            .map(|point| Flat {
                measurement: point.measurement.clone(),
                tags: point.tags.clone(),
                fields: point.fields.iter().map(|f| (f.key.clone(), f.text())).collect(),
                timestamp: match &point.time {
                    Some(time) => time.parse().unwrap(),
                    None => precision.floor(NOW),
                },
            })
            .collect();
        let got: Vec<String> = errors.into_iter().map(|(_, reason)| reason).collect();
        let wanted: Vec<String> =
            case.errors.iter().map(|e| e.as_str().unwrap_or_default().to_owned()).collect();
        if points != expected || got != wanted {
            failures.push(format!("{}: {points:?} {got:?} wanted {wanted:?}", case.id));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn bytes_that_json_cannot_hold() {
    let long_tag = [b"m,t=".as_slice(), &[b'x'; 65_600], b" f=1 1"].concat();
    let cases: [(&[u8], &[&str]); 6] = [
        (b"m\xff\xfe,t=\xff f=1 1", &["invalid UTF-8"]),
        (b"ms f=\"\xff\xfe\" 1", &["invalid UTF-8"]),
        (b"a f=1 1\nm\xff f=1\nb f=\"x\ny\" 1\nbad", &["invalid UTF-8", "missing fields"]),
        (b"m f=\"a\n\xff\" 1\nm f=2 2", &["invalid UTF-8"]),
        (b"# \xff\n \t\r\nm f=1", &[]),
        (&long_tag, &["max key length exceeded: 65604 > 65535"]),
    ];
    for (text, expected) in cases {
        assert_eq!(reasons(text), expected, "{}", String::from_utf8_lossy(text));
    }
    let long_key = [b"m,t=x ".as_slice(), &[b'k'; 65_527], b"=1 1"].concat();
    assert_eq!(reasons(&long_key), ["max key length exceeded: 65536 > 65535"]);
    let long_value = [b"m s=\"".as_slice(), &[b'x'; 70_000], b"\" 1"].concat();
    assert_eq!(flat(&long_value, Precision::Nanosecond).0.len(), 1);
}

#[test]
fn errors_name_line_and_column_and_cut_the_line() {
    let text =
        b"m f=1 1\n  m f=x 1\nm f=\"a\nb\" 1\n\n# c\r\nm,a=b,a=c f=1\r\nm f=1 t\n".as_slice();
    let parsed = parse(text, Precision::Nanosecond, NOW, |_| None);
    let lines: Vec<u32> = parsed.batch.points.iter().map(|p| p.line).collect();
    assert_eq!(lines, [1, 3]);
    let errors: Vec<(u32, u32, String)> =
        parsed.errors.iter().map(|e| (e.line, e.column, e.to_string())).collect();
    assert_eq!(
        errors,
        [
            (2, 7, "unable to parse 'm f=x 1': invalid boolean".to_owned()),
            (7, 2, "unable to parse 'm,a=b,a=c f=1': duplicate tags".to_owned()),
            (8, 7, "unable to parse 'm f=1 t': bad timestamp".to_owned()),
        ]
    );
    let long = [b"m,t=".as_slice(), "\u{e9}".repeat(40_000).as_bytes(), b" f=1"].concat();
    let parsed = parse(&long, Precision::Nanosecond, NOW, |_| None);
    assert_eq!(parsed.errors[0].text, format!("m,t={}", "\u{e9}".repeat(254)));
    let many = b"x\n".repeat(5_000);
    let many = parse(&many, Precision::Nanosecond, NOW, |_| None);
    assert_eq!((many.errors.len(), many.error_count), (1000, 5000));
}

#[test]
fn tags_of_a_known_series_are_not_looked_at() {
    let series = SeriesRef { series: SeriesId(7), measurement: MeasurementId(3) };
    let known = |text: &[u8]| (text == b"m,a=b\\ c").then_some(series);
    let parsed = parse(b"m,a=b\\ c f=1 1\nm,a=b f=2 2", Precision::Nanosecond, NOW, known);
    assert!(matches!(parsed.batch.points[0].series, PointSeries::Known(s) if s == series));
    assert!(matches!(&parsed.batch.points[1].series,
        PointSeries::New { text: b"m,a=b", measurement, tags } if measurement == "m" && *tags == (0..1)));
}

/// Pieces of line protocol, so that random text often comes near to being valid.
fn nearly_line_protocol() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "m", "cpu", ",", "=", " ", "\\", "\"", "\n", "\r\n", "#", "\t", "f=1", ",t=v", "1", "-",
            ".", "e", "i", "u", "true", "f=\"a b\"", "\\ ", "\\,", "\\=", "\\\\", " f=2i 17\n",
            "m,a=b f=1,g=\"x\" 9\n", "9223372036854775807", "NaN", "\u{e9}", "\0", "time",
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn agrees_with_the_slow_parser(text in nearly_line_protocol()) {
        let (points, errors) = flat(&text, Precision::Nanosecond);
        let (slow_points, slow_errors) = reference::parse(&text, NOW);
        prop_assert_eq!(points, slow_points);
        prop_assert_eq!(errors, slow_errors);
    }

    #[test]
    fn any_bytes_are_survived(text in prop::collection::vec(any::<u8>(), 0..300)) {
        for precision in [Precision::Auto, Precision::Hour] {
            let parsed = parse(&text, precision, NOW, |_| None);
            prop_assert!(parsed.error_count as usize + parsed.batch.points.len() <= text.len());
        }
    }

    #[test]
    fn a_mutated_line_is_survived(at in 0usize..64, byte in any::<u8>()) {
        let mut text = b"cpu,host=a\\ b,dc=x v=1.5,n=2i,s=\"q\\\"\",b=t 1700000000000000000\nm f=1 1".to_vec();
        text[at] = byte;
        let (points, errors) = flat(&text, Precision::Nanosecond);
        let (slow_points, slow_errors) = reference::parse(&text, NOW);
        prop_assert_eq!(points, slow_points);
        prop_assert_eq!(errors, slow_errors);
    }

    #[test]
    fn what_is_encoded_reads_back(
        measurement in "[a-c =,\\\\\"#\r\t\u{e9}]{1,6}",
        tags in prop::collection::btree_map("[a-c =,\\\\\"\r]{1,4}", "[a-c =,\\\\\"\u{e9}]{1,4}", 0..4),
        key in "[a-c =,\\\\\"]{1,4}",
        string in "[a-c =,\\\\\"\n\r\u{e9}]{0,8}",
        number in any::<f64>(),
        integer in any::<i64>(),
        timestamp in -9223372036854775806i64..=9223372036854775806,
    ) {
        let mut line = Vec::new();
        let fields = [
            (key.as_str(), FieldValue::Float(number)),
            ("i", FieldValue::Integer(integer)),
            ("u", FieldValue::Unsigned(integer as u64)),
            ("s", FieldValue::String(string.as_str().into())),
            ("b", FieldValue::Boolean(integer < 0)),
        ];
        let pairs = tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        if encode(&measurement, pairs, fields.clone(), timestamp, &mut line).is_err() {
            prop_assert!(line.is_empty());
            return Ok(());
        }
        let (points, errors) = flat(&line, Precision::Nanosecond);
        prop_assert!(errors.is_empty(), "{:?} {:?}", errors, String::from_utf8_lossy(&line));
        let expected = Flat {
            measurement,
            tags: tags.clone(),
            fields: fields.iter().map(|(k, v)| ((*k).to_owned(), value_text(v))).collect(),
            timestamp,
        };
        prop_assert_eq!(points, [expected]);
    }
}

#[test]
fn what_no_line_can_carry_is_refused() {
    let one = || [("f", FieldValue::Integer(1))];
    let refused = |measurement: &str, tag: (&'static str, &'static str)| {
        encode(measurement, [tag], one(), 1, &mut Vec::new()).is_err()
    };
    assert!(!refused("m", ("a", "b")));
    for measurement in ["", "m\\", "a\nb", "#m", "\tm", "\0m"] {
        assert!(refused(measurement, ("a", "b")), "{measurement:?}");
    }
    for tag in [("", "b"), ("a", ""), ("a\\", "b"), ("a", "b\\"), ("a", "b\nc")] {
        assert!(refused("m", tag), "{tag:?}");
    }
    let none: [(&str, &str); 0] = [];
    let nan = [("f", FieldValue::Float(f64::NAN))];
    assert!(encode("m", none, nan, 1, &mut Vec::new()).is_err());
    assert!(encode("m", none, [], 1, &mut Vec::new()).is_err());
    assert!(encode("m", none, one(), i64::MAX, &mut Vec::new()).is_err());
}
