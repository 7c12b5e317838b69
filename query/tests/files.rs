//! `/api/v1/range`, `/api/v1/export` and `/api/v1/export/days` from outside.

use arrow::ipc::reader::StreamReader;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::answers::{Fixture, Storage};

fn fixture() -> Fixture {
    let fixture = Fixture::new(Storage::Tables);
    let lines =
        "m,h=a f=1.5,i=1i 1700000000\nm,h=a f=2.5 1700000060\nm,h=b,z=x f=3,i=7i 1700000001";
    fixture.load("d", lines);
    fixture
}

fn get(fixture: &Fixture, uri: &str) -> (u16, Vec<u8>) {
    fixture.send(Request::get(uri).body(Body::empty()).expect("a request"))
}

fn text(fixture: &Fixture, uri: &str) -> (u16, String) {
    let (status, body) = get(fixture, uri);
    (status, String::from_utf8(body).expect("UTF-8"))
}

#[test]
fn range_answers() {
    let fixture = fixture();
    let cases = [
        (
            "rows",
            "field=f,i&unit=s",
            r#"{"unit":"s","series":[{"name":"m","tags":{},"time":[1700000000,1700000001,1700000060],"fields":{"f":[1.5,3,2.5],"i":[1,7,null]}}]}"#,
        ),
        (
            "windows of groups",
            "field=f&fn=mean&every=1m&group_by=h&from=1700000000s&to=1700000100s&fill=null",
            r#"{"unit":"ms","series":[{"name":"m","tags":{"h":"a"},"time":[1699999980000,1700000040000],"fields":{"f":[1.5,2.5]}},{"name":"m","tags":{"h":"b"},"time":[1699999980000,1700000040000],"fields":{"f":[3,null]}}]}"#,
        ),
        (
            "newest of each series, of some tags",
            "field=f&group_by=*&order=desc&limit=1&tag.h=a&tag.h=b&tag.z=x&unit=s",
            r#"{"unit":"s","series":[{"name":"m","tags":{"h":"b","z":"x"},"time":[1700000001],"fields":{"f":[3]}}]}"#,
        ),
        (
            "a percentile",
            "field=i&fn=p99&from=now-10h&unit=s",
            concat!(
                r#"{"unit":"s","series":[{"name":"m","tags":{},"time":[1700000001],"#,
                r#""fields":{"i":[7]}}]}"#
            ),
        ),
        ("nothing there", "from=2030-01-01T00:00:00Z", r#"{"unit":"ms","series":[]}"#),
    ];
    for (name, parameters, expected) in cases {
        let (status, body) =
            text(&fixture, &format!("/api/v1/range?db=d&measurement=m&{parameters}"));
        assert_eq!((status, body.trim_end()), (200, expected), "{name}");
    }
    let (status, body) =
        text(&fixture, "/api/v1/range?db=d&measurement=m&field=f&fn=max&group_by=h&format=csv");
    let expected = "time,h,f\n2023-11-14T22:14:20Z,a,2.5\n2023-11-14T22:13:21Z,b,3\n";
    assert_eq!((status, body.as_str()), (200, expected));
}

#[test]
fn range_as_arrow_and_parquet() {
    let fixture = fixture();
    let uri = "/api/v1/range?db=d&measurement=m&group_by=h&format=";
    let (status, body) = get(&fixture, &format!("{uri}arrow"));
    assert_eq!(status, 200);
    let reader = StreamReader::try_new(body.as_slice(), None).expect("a stream");
    let rows: usize = reader.map(|batch| batch.expect("a batch").num_rows()).sum();
    assert_eq!(rows, 3);
    let (status, body) = get(&fixture, &format!("{uri}parquet"));
    assert_eq!(status, 200);
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(body)).expect("a file");
    assert_eq!(reader.metadata().file_metadata().num_rows(), 3);
    let schema = reader.schema().clone();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["time", "h", "f", "i"]);
}

#[test]
fn refusals_name_the_parameter() {
    let fixture = fixture();
    let cases = [
        ("range?db=d", 400, "parameter \\\"measurement\\\": missing"),
        ("range?measurement=m", 400, "parameter \\\"db\\\": missing"),
        ("range?db=nope&measurement=m", 404, "database not found: nope"),
        ("range?db=d&measurement=m&rp=nope", 404, "retention policy not found: nope"),
        ("range?db=d&measurement=m&from=yesterday", 400, "parameter \\\"from\\\": a time: "),
        ("range?db=d&measurement=m&every=1m", 400, "parameter \\\"every\\\": needs fn"),
        ("range?db=d&measurement=m&every=0s&fn=max", 400, "parameter \\\"every\\\": not a"),
        ("range?db=d&measurement=m&fn=avg", 400, "parameter \\\"fn\\\": "),
        ("range?db=d&measurement=m&limit=-1", 400, "parameter \\\"limit\\\": "),
        ("range?db=d&measurement=m&color=red", 400, "parameter \\\"color\\\": unknown"),
        ("export?db=d", 400, "parameter \\\"measurement\\\": missing"),
        ("export?db=d&measurement=nope", 400, "measurement not found: nope"),
        ("export?db=d&measurement=m&format=xls", 400, "parameter \\\"format\\\": parquet, csv"),
        ("export/days?db=nope", 404, "database not found: nope"),
    ];
    for (uri, expected, reason) in cases {
        let (status, body) = text(&fixture, &format!("/api/v1/{uri}"));
        assert_eq!(status, expected, "{uri}: {body}");
        assert!(body.contains(reason), "{uri}: {body}");
    }
}

#[test]
fn exports_and_their_days() {
    let fixture = fixture();
    let (status, body) = get(&fixture, "/api/v1/export?db=d&measurement=m");
    assert_eq!(status, 200);
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(body)).expect("a file");
    assert_eq!(reader.metadata().file_metadata().num_rows(), 3);
    let uri = "/api/v1/export?db=d&measurement=m&format=lp&from=1700000001s&to=1700000002s";
    let (_, body) = text(&fixture, uri);
    assert_eq!(body, "m,h=b,z=x f=3,i=7i 1700000001000000000\n");
    let (_, body) = text(&fixture, "/api/v1/export/days?db=d");
    let expected = concat!(
        r#"{"days":[{"measurement":"m","date":"2023-11-14","from":1699920000000000000,"#,
        r#""to":1700006400000000000,"path":"measurement=m/date=2023-11-14/part-0.parquet"}]}"#
    );
    assert_eq!(body.trim_end(), expected);
}
