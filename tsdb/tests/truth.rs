//! What must be true: a database as plain maps, and the comparison of the real one with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use firndb_engine::clock::ManualClock;
use firndb_engine::fs::Fs;
use firndb_engine::fs::sim::{Rng, SimFs};
use firndb_engine::hooks::Plain;
use firndb_engine::options::{Background, Durability, Options as EngineOptions};
use firndb_tsdb::backup::{BackupRequest, Repository, RestoreRequest, Watch, prune};
use firndb_tsdb::model::{
    Batch, Bitmap, Column, Columns, Field, FieldType, FieldValue, Point, PointSeries, RowPredicate,
    Tag, TagSet, TimeRange, Timestamp, Values,
};
use firndb_tsdb::{
    Database, DeleteRequest, DeleteTarget, MeasurementFilter, Options, Piece, ScanRequest,
    TagPredicate, Tsdb,
};

use crate::ruled::{self, Ruled};

/// Options for a small store whose jobs run in the calling thread.
pub fn options(fs: &SimFs, durability: Durability) -> Options {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let clock = Arc::new(ManualClock::at(0));
    let mut engine = EngineOptions::new("/db", fs, clock, Arc::new(Plain::new()));
    engine.background = Background::Inline;
    engine.durability = durability;
    engine.memtable_bytes_max = 256 << 10;
    engine.memtable_bytes_hard = 4 << 20;
    engine.wal_segment_bytes = 64 << 10;
    engine.wal_bytes_max = 1 << 20;
    engine.cache_bytes = 1 << 20;
    let mut options = Options::new(engine);
    options.series_cache_bytes = 64 << 10;
    options
}

/// Backs a database up and puts it in its own place: nothing that can be seen may change by it.
pub fn through_backup(tsdb: &Tsdb, fs: &SimFs, name: &str, now: Timestamp) {
    back_up(tsdb, fs, name, now).unwrap();
    restore_last(tsdb, fs, name).unwrap();
    prune(&repository(fs), 2, &Watch::NOBODY).unwrap();
}

fn repository(fs: &SimFs) -> Repository {
    Repository::new(Arc::new(fs.clone()), Path::new("/backups"))
}

/// Backs a database up.
pub fn back_up(tsdb: &Tsdb, fs: &SimFs, name: &str, now: Timestamp) -> firndb_tsdb::Result<()> {
    let request = BackupRequest { database: Some(name.to_owned()), is_full: false };
    tsdb.backup(&repository(fs), &request, now, &Watch::NOBODY).map(drop)
}

/// Puts the last backup in the place of the database.
pub fn restore_last(tsdb: &Tsdb, fs: &SimFs, name: &str) -> firndb_tsdb::Result<()> {
    let repository = repository(fs);
    let id = repository.list()?.pop().expect("there is a backup").id;
    let database = Some(name.to_owned());
    let request = RestoreRequest { id, database, rename: None, may_replace: true };
    tsdb.restore(&repository, &request, &Watch::NOBODY).map(drop)
}

/// A value of a field, comparable bit by bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Float(u64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    Text(String),
}

impl Value {
    pub fn random(field_type: FieldType, rng: &mut Rng) -> Value {
        match field_type {
            FieldType::Float if rng.one_in(3) => Value::Float(rng.next_u64() >> 2),
            FieldType::Float => Value::Float((rng.below(1000) as f64 / 10.0).to_bits()),
            FieldType::Integer if rng.one_in(9) => Value::Integer(rng.next_u64() as i64),
            FieldType::Integer => Value::Integer(rng.below(200) as i64 - 100),
            FieldType::Unsigned => Value::Unsigned(rng.next_u64() >> rng.below(64)),
            FieldType::Boolean => Value::Boolean(rng.one_in(2)),
            FieldType::String => Value::Text("snow".repeat(rng.below(4) as usize)),
        }
    }

    fn is_odd(&self) -> bool {
        match self {
            Value::Float(bits) => bits.count_ones() % 2 == 1,
            Value::Integer(v) => v % 2 != 0,
            Value::Unsigned(v) => v % 2 == 1,
            Value::Boolean(v) => *v,
            Value::Text(v) => v.is_empty(),
        }
    }

    pub fn field_type(&self) -> FieldType {
        self.field_value().field_type()
    }

    fn field_value(&self) -> FieldValue<'_> {
        match self {
            Value::Float(bits) => FieldValue::Float(f64::from_bits(*bits)),
            Value::Integer(v) => FieldValue::Integer(*v),
            Value::Unsigned(v) => FieldValue::Unsigned(*v),
            Value::Boolean(v) => FieldValue::Boolean(*v),
            Value::Text(v) => FieldValue::String(v.as_str().into()),
        }
    }

    pub fn of(column: &Column, row: usize) -> Option<Value> {
        if !column.is_valid(row) {
            return None;
        }
        Some(match &column.values {
            Values::Float(v) => Value::Float(v[row].to_bits()),
            Values::Integer(v) => Value::Integer(v[row]),
            Values::Unsigned(v) => Value::Unsigned(v[row]),
            Values::Boolean(v) => Value::Boolean(v[row]),
            Values::String { offsets, bytes } => {
                let bytes = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
                Value::Text(String::from_utf8(bytes.to_vec()).expect("text"))
            }
            Values::Missing(_) => return None,
        })
    }
}

/// Measurement and sorted tags.
pub type SeriesName = (String, Vec<(String, String)>);

/// Rows of a series.
pub type Rows = BTreeMap<Timestamp, BTreeMap<String, Value>>;

/// A point to be written.
#[derive(Debug, Clone)]
pub struct NewPoint {
    pub series: SeriesName,
    pub timestamp: Timestamp,
    pub fields: Vec<(String, Value)>,
}

/// Text of a series as line protocol would have it.
pub fn series_text(series: &SeriesName) -> String {
    let tags: String = series.1.iter().map(|(k, v)| format!(",{k}={v}")).collect();
    format!("{}{tags}", series.0)
}

/// Writes points as a parser would hand them over.
pub fn write(
    database: &Database,
    policy: Option<&str>,
    points: &[NewPoint],
    now: Timestamp,
) -> firndb_tsdb::Result<firndb_tsdb::WriteSummary> {
    let texts: Vec<String> = points.iter().map(|p| series_text(&p.series)).collect();
    let mut batch = Batch::default();
    for ((point, text), line) in points.iter().zip(&texts).zip(1..) {
        let series = match database.known_series(text.as_bytes()) {
            Some(known) => PointSeries::Known(known),
            None => {
                let start = batch.tags.len() as u32;
                batch.tags.extend((point.series.1.iter().rev()).map(|(key, value)| Tag {
                    key: key.as_str().into(),
                    value: value.as_str().into(),
                }));
                let measurement = point.series.0.as_str().into();
                let tags = start..batch.tags.len() as u32;
                PointSeries::New { text: text.as_bytes(), measurement, tags }
            }
        };
        let start = batch.fields.len() as u32;
        batch.fields.extend(
            (point.fields.iter())
                .map(|(key, value)| Field { key: key.as_str().into(), value: value.field_value() }),
        );
        let fields = start..batch.fields.len() as u32;
        batch.points.push(Point { series, fields, timestamp: point.timestamp, line });
    }
    database.write(policy, &batch, now)
}

/// A database as it must be.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// Types by measurement and field.
    pub types: BTreeMap<String, BTreeMap<String, FieldType>>,
    /// Series ever written and not dropped.
    pub series: BTreeSet<SeriesName>,
    /// Rows by policy and series; what rules hide is still there.
    pub rows: BTreeMap<String, BTreeMap<SeriesName, Rows>>,
    /// Retention rules.
    pub rules: Vec<Ruled>,
}

impl Truth {
    /// Takes the points that the schema takes; returns the lines refused. No rule refuses any.
    pub fn write(&mut self, policy: &str, points: &[NewPoint], alive_from: Timestamp) -> Vec<u32> {
        self.write_at(policy, points, alive_from, Timestamp::MIN)
    }

    /// As [`Truth::write`], with rules at `now`.
    pub fn write_at(
        &mut self,
        policy: &str,
        points: &[NewPoint],
        alive_from: Timestamp,
        now: Timestamp,
    ) -> Vec<u32> {
        let mut refused = Vec::new();
        for (point, line) in points.iter().zip(1..) {
            let known = self.types.get(&point.series.0).cloned().unwrap_or_default();
            let mut types = known;
            let is_good = point.fields.iter().all(|(key, value)| {
                *types.entry(key.clone()).or_insert(value.field_type()) == value.field_type()
            });
            let alive_from = alive_from.max(self.alive_from(policy, &point.series, now));
            if !is_good || point.timestamp < alive_from {
                refused.push(line);
                continue;
            }
            self.types.insert(point.series.0.clone(), types);
            self.series.insert(point.series.clone());
            let series = self.rows.entry(policy.to_owned()).or_default();
            let rows = series.entry(point.series.clone()).or_default();
            rows.entry(point.timestamp).or_default().extend(point.fields.iter().cloned());
        }
        refused
    }

    /// Drops the series that `is_meant`; a measurement goes with its last series.
    pub fn drop_series(&mut self, is_meant: impl Fn(&SeriesName) -> bool) -> usize {
        let before = self.series.len();
        self.series.retain(|series| !is_meant(series));
        for series in self.rows.values_mut() {
            series.retain(|series, _| !is_meant(series));
        }
        let left: BTreeSet<&String> = self.series.iter().map(|(name, _)| name).collect();
        self.types.retain(|name, _| left.contains(name));
        before - self.series.len()
    }

    /// Deletes cells; gives the rows that lost some and the cells, of what is alive.
    pub fn delete(
        &mut self,
        deletion: &Deletion,
        alive_from: impl Fn(&str) -> Timestamp,
        now: Timestamp,
    ) -> (u64, u64) {
        let (mut points, mut values) = (0, 0);
        let rules = self.rules.clone();
        for (policy, series) in &mut self.rows {
            if deletion.policy.as_ref().is_some_and(|own| own != policy) {
                continue;
            }
            for (name, rows) in series.iter_mut().filter(|(series, _)| deletion.is_of(series)) {
                let ruled_from = ruled::alive_from(&rules, policy, name, now);
                for (timestamp, row) in rows.iter_mut() {
                    if !deletion.range.contains(*timestamp) || !deletion.holds(row) {
                        continue;
                    }
                    // Values that a rule hides may be gone already, and with them the condition.
                    if deletion.odd.is_some() && *timestamp < ruled_from {
                        continue;
                    }
                    let before = row.len() as u64;
                    row.retain(|key, _| {
                        deletion.fields.as_ref().is_some_and(|fields| !fields.contains(key))
                    });
                    if *timestamp >= alive_from(policy).max(ruled_from) {
                        points += u64::from((row.len() as u64) < before);
                        values += before - row.len() as u64;
                    }
                }
                rows.retain(|_, row| !row.is_empty());
            }
        }
        self.retire(deletion);
        if deletion.drops() {
            self.drop_series(|series| deletion.is_of(series));
        }
        (points, values)
    }

    /// A field that was deleted without a condition is no field any more.
    fn retire(&mut self, deletion: &Deletion) {
        let Some(fields) = &deletion.fields else { return };
        if deletion.policy.is_none() && deletion.is_whole() {
            for (name, types) in &mut self.types {
                if deletion.measurement.as_ref().is_none_or(|own| own == name) {
                    types.retain(|key, _| !fields.contains(key));
                }
            }
        }
    }

    /// What is older in a series has expired by a rule.
    pub fn alive_from(&self, policy: &str, series: &SeriesName, now: Timestamp) -> Timestamp {
        ruled::alive_from(&self.rules, policy, series, now)
    }

    /// The rows of a series that rules let be seen at `now`.
    pub fn rows_at(
        &self,
        policy: &str,
        series: &SeriesName,
        range: TimeRange,
        now: Timestamp,
    ) -> Rows {
        let start = range.start.max(self.alive_from(policy, series, now));
        self.rows(policy, series, TimeRange::new(start, range.end))
    }

    /// Takes over what is left of rows that rules hid until `before` was changed to this: they come
    /// back, whole or in part, as far as they are still there, and never as they were earlier.
    pub fn adopt(&mut self, database: &Database, before: &Truth, now: Timestamp) {
        for policy in database.policies() {
            let alive = TimeRange::new(policy.alive_from(now), TimeRange::ALL.end);
            let policy = &policy.name;
            for series in &self.series {
                let hidden_before = before.alive_from(policy, series, now);
                let how = Read { policy, range: TimeRange::ALL, descending: false, now };
                let got = read(database, series, how);
                let expected = self.rows_at(policy, series, alive, now);
                for (timestamp, row) in &expected {
                    let got = got.get(timestamp);
                    if *timestamp >= hidden_before {
                        assert_eq!(got, Some(row), "{series:?}");
                    }
                    let is_in = |got: &BTreeMap<String, Value>| {
                        got.iter().all(|(key, value)| row.get(key) == Some(value))
                    };
                    assert!(got.is_none_or(is_in), "{series:?} {got:?} of {row:?}");
                }
                assert!(got.keys().all(|timestamp| expected.contains_key(timestamp)));
                if let Some(rows) = self.rows.get_mut(policy).and_then(|of| of.get_mut(series)) {
                    rows.retain(|timestamp, _| !expected.contains_key(timestamp));
                    rows.extend(got);
                }
            }
        }
    }

    pub fn rows(&self, policy: &str, series: &SeriesName, range: TimeRange) -> Rows {
        let rows = self.rows.get(policy).and_then(|rows| rows.get(series));
        let Some(rows) = rows.filter(|_| !range.is_empty()) else { return Rows::new() };
        rows.range(range.start..=range.end).map(|(t, row)| (*t, row.clone())).collect()
    }
}

/// A delete to be made.
#[derive(Debug, Clone)]
pub struct Deletion {
    pub policy: Option<String>,
    pub measurement: Option<String>,
    pub host: Option<String>,
    pub range: TimeRange,
    pub fields: Option<Vec<String>>,
    /// Rows in which this field has a value that is odd in some way.
    pub odd: Option<String>,
}

impl Deletion {
    /// A delete of any kind; times around `now`.
    pub fn random(rng: &mut Rng, now: Timestamp) -> Deletion {
        let hour = 3_600_000_000_000i64;
        let start = now - rng.below(9 * hour as u64) as i64;
        let field = |rng: &mut Rng| format!("f{}", rng.below(6));
        Deletion {
            policy: rng.one_in(4).then(|| "short".to_owned()),
            measurement: (!rng.one_in(4))
                .then(|| ["cpu", "disk io", "m\u{e9}t"][rng.below(3) as usize].to_owned()),
            host: rng.one_in(2).then(|| format!("h{}", rng.below(6))),
            range: match rng.below(4) {
                0 => TimeRange::ALL,
                1 => TimeRange::new(start, start + rng.below(hour as u64) as i64),
                2 => TimeRange::new(TimeRange::ALL.start, start),
                _ => TimeRange::new(now - 30_000_000_000, TimeRange::ALL.end),
            },
            fields: rng.one_in(3).then(|| vec![field(rng), field(rng)]),
            odd: rng.one_in(3).then(|| field(rng)),
        }
    }

    fn is_of(&self, (measurement, tags): &SeriesName) -> bool {
        self.measurement.as_ref().is_none_or(|own| own == measurement)
            && self
                .host
                .as_ref()
                .is_none_or(|host| tags.iter().any(|(key, value)| key == "host" && value == host))
    }

    fn is_whole(&self) -> bool {
        self.host.is_none() && self.odd.is_none() && self.range == TimeRange::ALL
    }

    /// Whether nothing can be left of the series.
    fn drops(&self) -> bool {
        let is_all = self.range == TimeRange::ALL && self.policy.is_none();
        is_all && self.odd.is_none() && self.fields.is_none()
    }

    fn holds(&self, row: &BTreeMap<String, Value>) -> bool {
        self.odd.as_ref().is_none_or(|key| row.get(key).is_some_and(Value::is_odd))
    }

    /// The request for it.
    pub fn request(&self, database: &Database) -> DeleteRequest {
        let names = database.measurements(&MeasurementFilter::default()).unwrap();
        let names = names
            .into_iter()
            .filter(|name| self.measurement.as_ref().is_none_or(|own| own == name));
        let target = |measurement: String| DeleteTarget {
            measurement,
            tags: self.host.clone().map(|host| TagPredicate::Equal("host".to_owned(), host)),
            rows: self.odd.clone().map(|key| Arc::new(Odd([key])) as Arc<dyn RowPredicate>),
        };
        DeleteRequest {
            policy: self.policy.clone(),
            targets: names.map(target).collect(),
            range: self.range,
            fields: self.fields.clone(),
            statement: format!("{self:?}"),
        }
    }
}

/// A condition on values.
#[derive(Debug)]
struct Odd([String; 1]);

impl RowPredicate for Odd {
    fn fields(&self) -> &[String] {
        &self.0
    }

    fn holds(&self, _tags: &TagSet, columns: &Columns) -> Bitmap {
        let mut holds = Bitmap::default();
        for row in 0..columns.rows() {
            let value = Value::of(&columns.columns[0], row);
            holds.push(value.is_some_and(|value| value.is_odd()));
        }
        holds
    }
}

/// How to read one series.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    pub policy: &'a str,
    pub range: TimeRange,
    pub descending: bool,
    pub now: Timestamp,
}

/// Reads the rows of one series through a scan, checking what every scan promises.
pub fn read(database: &Database, series: &SeriesName, how: Read<'_>) -> Rows {
    let mut rows = Rows::new();
    let Some(info) = database.measurement(&series.0) else { return rows };
    let id = database.series(Some(&series.0), None).unwrap().into_iter().find(|id| {
        let (name, tags) = database.series_key(*id).unwrap().expect("listed");
        let tags: Vec<_> = tags.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        (name, tags) == *series
    });
    let Some(id) = id else { return rows };
    let fields: Vec<_> = info.fields.iter().rev().map(|field| field.id).collect();
    let names: Vec<_> = info.fields.iter().rev().map(|field| &field.name).collect();
    let request = ScanRequest {
        policy: Some(how.policy),
        measurement: info.id,
        series: &[id],
        fields: &fields,
        range: how.range,
        descending: how.descending,
        now: how.now,
    };
    let scan = database.scan(&request).unwrap();
    let mut pieces = scan.series(0).unwrap();
    let all: Vec<usize> = (0..fields.len()).collect();
    let mut last: Option<TimeRange> = None;
    while let Some(piece) = pieces.next_piece().unwrap() {
        let columns = match piece {
            Piece::Rows(columns) => columns,
            Piece::Chunk(chunk) => {
                let columns = chunk.load(&all, TimeRange::ALL).unwrap();
                // What the request covers, the directory may answer: so nothing of it has expired.
                if how.range.covers(&chunk.time_range()) {
                    assert_eq!(columns.rows(), chunk.rows());
                    for (at, column) in columns.columns.iter().enumerate() {
                        assert_eq!(column.count(), chunk.count(at), "count in the directory");
                    }
                }
                columns
            }
        };
        let Some(span) = span_of(&columns) else { continue };
        assert!(scan.range().covers(&span), "rows outside the range");
        let is_in_order = last.is_none_or(|last| match how.descending {
            true => span.end < last.start,
            false => span.start > last.end,
        });
        assert!(is_in_order, "pieces overlap or are out of order");
        last = Some(span);
        collect(&columns, &names, &mut rows);
    }
    rows
}

fn span_of(columns: &Columns) -> Option<TimeRange> {
    Some(TimeRange::new(*columns.timestamps.first()?, *columns.timestamps.last()?))
}

fn collect(columns: &Columns, names: &[&String], rows: &mut Rows) {
    assert_eq!(columns.columns.len(), names.len());
    for (row, timestamp) in columns.timestamps.iter().enumerate() {
        let values: BTreeMap<String, Value> = (columns.columns.iter().zip(names))
            .filter_map(|(column, name)| Some(((*name).clone(), Value::of(column, row)?)))
            .collect();
        let before = rows.insert(*timestamp, values);
        assert!(before.is_none(), "a row came twice");
    }
}

/// The whole of a database against the truth.
pub fn check_all(tsdb: &Tsdb, name: &str, truth: &Truth, now: Timestamp) {
    let database = tsdb.database(name).expect("the database exists");
    let measurements = database.measurements(&MeasurementFilter::default()).unwrap();
    assert_eq!(measurements, truth.types.keys().cloned().collect::<Vec<_>>());
    for (measurement, types) in &truth.types {
        let info = database.measurement(measurement).expect("listed");
        let got: BTreeMap<_, _> =
            info.fields.iter().map(|f| (f.name.clone(), f.field_type)).collect();
        assert_eq!(&got, types, "fields of {measurement}");
        check_tags(&database, measurement, truth);
    }
    assert_eq!(database.series_count(), truth.series.len() as u64, "number of series");
    let rules: Vec<u64> = database.retention_rules().iter().map(|rule| rule.id).collect();
    assert_eq!(rules, truth.rules.iter().map(|rule| rule.id).collect::<Vec<_>>());
    for policy in database.policies() {
        for series in &truth.series {
            let alive_from = database.raw_from(Some(&policy.name), &series.0, now);
            let range = TimeRange::new(alive_from, TimeRange::ALL.end);
            let how = Read { policy: &policy.name, range: TimeRange::ALL, descending: false, now };
            let got = read(&database, series, how);
            let expected = truth.rows_at(&policy.name, series, range, now);
            assert_eq!(got, expected, "{series:?} {}", policy.name);
        }
    }
}

fn check_tags(database: &Database, measurement: &str, truth: &Truth) {
    let of_measurement = truth.series.iter().filter(|(name, _)| name == measurement);
    let tags: BTreeSet<_> = of_measurement.flat_map(|(_, tags)| tags.iter().cloned()).collect();
    let keys: BTreeSet<_> = tags.iter().map(|(key, _)| key.clone()).collect();
    let got = database.tag_keys(measurement, None).unwrap();
    assert_eq!(got, keys.iter().cloned().collect::<Vec<_>>(), "tag keys of {measurement}");
    for key in keys {
        let values: Vec<_> =
            tags.iter().filter(|(k, _)| *k == key).map(|(_, value)| value.clone()).collect();
        assert_eq!(database.tag_values(measurement, &key, None).unwrap(), values);
    }
}
