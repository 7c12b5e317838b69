//! One request, point by point: admitted against the schema, resolved to its series, encoded.
//!
//! A point whose series and fields are known is encoded without a lock. The first point that
//! brings something new takes the registration lock and is judged again under it, since another
//! request may have registered the same meanwhile; the lock is then held until the batch is in the
//! log. Nothing of a refused point is registered.
//!
//! Fast path: a point whose field keys and types equal those of the point before it of the same
//! measurement needs no look-up at all.

use std::sync::Arc;

use firndb_engine::batch::WriteBatch;
use firndb_engine::store::{Commit, WriteOptions};
use hashbrown::HashMap;

use crate::database::{Database, Life};
use crate::deletes::Notes;
use crate::index::entries;
use crate::limits::KEY_BYTES_MAX;
use crate::memtable::payload::{STRING_BYTES_LIMIT, ShapeField};
use crate::model::time::{TIMESTAMP_MAX, TIMESTAMP_MIN};
use crate::model::{
    Batch, Field, FieldType, FieldValue, MeasurementId, Point, PointSeries, SeriesId, SeriesRef,
    Tag, Timestamp,
};
use crate::retention::RetentionPolicy;
use crate::rollup::Late;
use crate::schema::MeasurementInfo;
use crate::write::registration::Registration;
use crate::write::rows::{RowShape, Rows};
use crate::write::{Refusal, RefusalReason, WriteSummary};
use crate::{Error, Result};

/// Bytes at which a request is split into several batches: a part of what memtables may hold, so
/// that a few of them at once fit.
const BATCH_PART: u64 = 16;
const BATCH_BYTES: std::ops::RangeInclusive<u64> = 512 << 10..=8 << 20;

/// Tag keys with a meaning of their own.
const TAG_KEYS_RESERVED: [&str; 3] = ["time", "_field", "_measurement"];

impl Database {
    /// Stores the points of a request under `policy` (`None`: the default one). Good points are
    /// stored whatever the others are; later points win over earlier ones of the same series,
    /// time and field. Returns when the points are as durable as the store's options say.
    ///
    /// # Errors
    /// No such policy, or the engine's refusal; then nothing was stored (of a request of several
    /// megabytes: not everything), or, after an error of the file system, it is unknown what was.
    pub fn write(
        &self,
        policy: Option<&str>,
        batch: &Batch<'_>,
        now: Timestamp,
    ) -> Result<WriteSummary> {
        let policy = self.policy(policy)?;
        let (summary, commit) = {
            let gate = self.gate.read();
            if *gate == Life::Dropped {
                return Err(Error::DatabaseNotFound { name: self.name.clone() });
            }
            let mut writer = Writer::new(self, batch, &policy, now);
            for point in &batch.points {
                writer.point(point)?;
            }
            writer.finish()?
        };
        if let Some(commit) = commit {
            commit.wait()?; // the log is one: what came before is durable too
        }
        Ok(summary)
    }
}

/// Why a point cannot be admitted now.
enum Stop {
    /// Not at all.
    Refused(RefusalReason),
    /// It brings something new.
    NeedsLock,
    /// The request fails.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl From<RefusalReason> for Stop {
    fn from(reason: RefusalReason) -> Stop {
        Stop::Refused(reason)
    }
}

/// A measurement as this request sees it.
struct Local {
    info: Arc<MeasurementInfo>,
    /// Whether this request changed it.
    is_changed: bool,
    /// Shapes of its points; the one last used comes first.
    shapes: Vec<usize>,
}

/// What [`Writer::check_fields`] finds.
struct Checked<'b> {
    chosen: Vec<(&'b str, FieldType, u16)>,
    has_new: bool,
    is_stripped: bool,
}

struct Writer<'d, 'b> {
    database: &'d Database,
    batch: &'b Batch<'b>,
    policy: &'d RetentionPolicy,
    now: Timestamp,
    alive_from: Timestamp,
    /// What is not older no retention rule refuses.
    alive_whatever_from: Timestamp,
    locals: Vec<Local>,
    local_by_id: HashMap<MeasurementId, usize>,
    local_by_name: HashMap<Box<str>, usize>,
    last_local: usize,
    shapes: Vec<RowShape<'b>>,
    /// Series resolved by this request.
    texts: HashMap<&'b [u8], SeriesRef>,
    rows: Rows<'d>,
    registration: Option<Registration<'d>>,
    out: WriteBatch,
    commit: Option<Commit>,
    summary: WriteSummary,
    has_dropped: bool,
    late: Late,
    /// For deletes that look for rows meanwhile.
    notes: Option<Notes>,
    batch_bytes_max: usize,
}

fn batch_bytes_max(memtable_bytes_max: u64) -> usize {
    (memtable_bytes_max / BATCH_PART).clamp(*BATCH_BYTES.start(), *BATCH_BYTES.end()) as usize
}

impl<'d, 'b> Writer<'d, 'b> {
    fn new(
        database: &'d Database,
        batch: &'b Batch<'b>,
        policy: &'d RetentionPolicy,
        now: Timestamp,
    ) -> Self {
        let rules = &database.rules;
        Writer {
            database,
            batch,
            policy,
            now,
            alive_from: policy.alive_from(now).max(rules.alive_from(&policy.name, now)),
            alive_whatever_from: rules.alive_whatever_from(&policy.name, now),
            locals: Vec::new(),
            local_by_id: HashMap::new(),
            local_by_name: HashMap::new(),
            last_local: 0,
            shapes: Vec::new(),
            texts: HashMap::new(),
            rows: Rows::new(&database.partitions, policy, now),
            registration: None,
            out: WriteBatch::new(),
            commit: None,
            summary: WriteSummary::default(),
            has_dropped: !database.index.dropped().is_empty(),
            late: database.late(&policy.name, now),
            notes: database.watches.notes(),
            batch_bytes_max: batch_bytes_max(database.store.options().memtable_bytes_max),
        }
    }

    fn point(&mut self, point: &'b Point<'b>) -> Result<()> {
        loop {
            match self.admit(point) {
                Ok(Some((series, shape))) => {
                    let (line, fields) = (point.line, self.batch.fields_of(point));
                    if self.shapes[shape].is_stripped {
                        let measurement = self.locals[self.last_local].info.name.as_str().into();
                        let reason = RefusalReason::TimeFieldStripped { measurement };
                        self.summary.stripped.push(Refusal { line, reason });
                    }
                    if self.late.may_touch(point.timestamp) {
                        let name = &self.locals[self.last_local].info.name;
                        self.late.mark(name, series, point.timestamp);
                    }
                    if let Some(notes) = &mut self.notes {
                        notes.add(series, point.timestamp);
                    }
                    let numbered = (shape, &self.shapes[shape]);
                    self.rows.push(series, numbered, fields, point.timestamp);
                    self.summary.written += 1;
                    if self.rows.bytes() + self.out.bytes().len() > self.batch_bytes_max {
                        self.flush()?;
                    }
                    return Ok(());
                }
                // The series was dropped since the request was parsed: the drop came later.
                Ok(None) => {
                    self.summary.written += 1;
                    return Ok(());
                }
                Err(Stop::Refused(reason)) => {
                    self.summary.refused.push(Refusal { line: point.line, reason });
                    return Ok(());
                }
                Err(Stop::NeedsLock) => {
                    // What was learnt without the lock may be out of date.
                    self.locals.clear();
                    self.local_by_id.clear();
                    self.local_by_name.clear();
                    self.registration = Some(Registration::begin(self.database));
                }
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
    }

    /// The series and shape of a point, registered if need be; `None`: the series is gone.
    fn admit(&mut self, point: &'b Point<'b>) -> Result<Option<(SeriesId, usize)>, Stop> {
        if !(TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&point.timestamp) {
            return Err(RefusalReason::TimeRange.into());
        }
        if point.timestamp < self.alive_from {
            return Err(RefusalReason::BeyondRetention.into());
        }
        if point.timestamp < self.alive_whatever_from && self.has_expired(point) {
            return Err(RefusalReason::BeyondRetention.into());
        }
        let known = match &point.series {
            PointSeries::Known(series) => *series,
            PointSeries::New { text, measurement, tags } => match self.texts.get(text) {
                Some(series) => *series,
                None => {
                    let tags = &self.batch.tags[tags.start as usize..tags.end as usize];
                    return self.admit_new(point, text, measurement, tags).map(Some);
                }
            },
        };
        if self.has_dropped && self.database.index.dropped().contains(known.series) {
            return Ok(None);
        }
        let Some(local) = self.local_of(known.measurement) else { return Ok(None) };
        if self.late.may_touch(point.timestamp) {
            let name = &self.locals[local].info.name;
            self.check_age(name, Some(known.series), point.timestamp)?;
        }
        let shape = self.shape(local, point)?;
        Ok(Some((known.series, shape)))
    }

    /// Whether a rule on its measurement or tags would hide a point at once.
    fn has_expired(&self, point: &Point<'b>) -> bool {
        let (rules, policy, now) = (&self.database.rules, &self.policy.name, self.now);
        let alive_from = match &point.series {
            PointSeries::Known(series) => rules.alive_from_of(policy, series.series, now),
            PointSeries::New { measurement, tags, .. } => {
                let tags = &self.batch.tags[tags.start as usize..tags.end as usize];
                let tag = |key: &str| tags.iter().find(|tag| tag.key == key).map(|t| &*t.value);
                rules.alive_from_of_new(policy, (measurement, &tag), now)
            }
        };
        point.timestamp < alive_from
    }

    /// Refuses a point whose neighbours may be gone by the age that a rollup gives points.
    fn check_age(
        &self,
        measurement: &str,
        series: Option<SeriesId>,
        timestamp: Timestamp,
    ) -> Result<(), Stop> {
        match self.late.is_beyond(measurement, series, timestamp) {
            true => Err(RefusalReason::BeyondRetention.into()),
            false => Ok(()),
        }
    }

    /// A point whose series this request has not met.
    fn admit_new(
        &mut self,
        point: &'b Point<'b>,
        text: &'b [u8],
        name: &'b str,
        tags: &'b [Tag<'b>],
    ) -> Result<(SeriesId, usize), Stop> {
        if text.len() > KEY_BYTES_MAX {
            return Err(RefusalReason::KeyLength { got: text.len() }.into());
        }
        if let Some(tag) = tags.iter().find(|tag| TAG_KEYS_RESERVED.contains(&&*tag.key)) {
            let (measurement, tag) = (name.into(), (*tag.key).into());
            return Err(RefusalReason::TagKey { measurement, tag }.into());
        }
        self.check_age(name, None, point.timestamp)?;
        let mut pairs: Vec<(&str, &str)> = tags.iter().map(|t| (&*t.key, &*t.value)).collect();
        pairs.sort_unstable();
        let mut local = self.local_named(name);
        let id = match (local, &self.registration) {
            (Some(local), _) => self.locals[local].info.id,
            (None, Some(registration)) => registration.next_measurement(),
            (None, None) => {
                self.check_fields(None, name, point)?;
                return Err(Stop::NeedsLock);
            }
        };
        let mut series_key = Vec::with_capacity(text.len() + 8);
        entries::put_series_key(&mut series_key, id, pairs.iter().copied());
        let same_hash = match (local, self.find(&series_key)?) {
            (Some(local), Ok(series)) => {
                self.check_age(name, Some(series), point.timestamp)?;
                let shape = self.shape(local, point)?;
                let series = SeriesRef { series, measurement: id };
                self.texts.insert(text, series);
                return Ok((series.series, shape));
            }
            (_, found) => found.err().unwrap_or_default(),
        };
        let info = local.map(|local| self.locals[local].info.clone());
        if local.is_none_or(|local| self.known_shape(local, point).is_none()) {
            self.check_fields(info.as_deref(), name, point)?;
        }
        let Some(registration) = &mut self.registration else { return Err(Stop::NeedsLock) };
        registration.check_limits(info.as_deref(), name, &pairs)??;
        if local.is_none() {
            let info = registration.add_measurement(name, &mut self.out);
            local = Some(self.add_local(Arc::new(info), true));
        }
        let local = local.expect("made just now");
        self.last_local = local;
        let shape = self.shape(local, point)?;
        let registration = self.registration.as_mut().expect("held");
        let local = &mut self.locals[local];
        local.is_changed = true;
        let info = &mut local.info;
        let keyed = (&series_key[..], &same_hash[..]);
        let series = registration.add_series(info, keyed, &pairs, &mut self.out)?;
        self.texts.insert(text, series);
        Ok((series.series, shape))
    }

    /// A series of this key, stored or about to be; or else stored ones of the same hash.
    fn find(&self, series_key: &[u8]) -> Result<Result<SeriesId, Vec<SeriesId>>> {
        let pending = self.registration.as_ref().and_then(|r| r.find(series_key));
        match pending {
            Some(series) => Ok(Ok(series)),
            None => self.database.index.find(series_key),
        }
    }

    /// Where a shape that fits the point stands among those of its measurement.
    fn known_shape(&self, local: usize, point: &Point<'b>) -> Option<usize> {
        let fields = self.batch.fields_of(point);
        let mut shapes = self.locals[local].shapes.iter();
        shapes.position(|shape| self.shapes[*shape].fits(fields))
    }

    fn local_of(&mut self, id: MeasurementId) -> Option<usize> {
        if self.locals.get(self.last_local).is_some_and(|local| local.info.id == id) {
            return Some(self.last_local);
        }
        let local = match self.local_by_id.get(&id) {
            Some(local) => *local,
            None => {
                let info = self.database.schema.by_id(id)?;
                self.add_local(info, false)
            }
        };
        self.last_local = local;
        Some(local)
    }

    fn local_named(&mut self, name: &str) -> Option<usize> {
        if self.locals.get(self.last_local).is_some_and(|local| local.info.name == name) {
            return Some(self.last_local);
        }
        if let Some(local) = self.local_by_name.get(name).copied() {
            self.last_local = local;
            return Some(local);
        }
        let id = self.database.schema.by_name(name)?.id;
        self.local_of(id)
    }

    fn add_local(&mut self, info: Arc<MeasurementInfo>, is_changed: bool) -> usize {
        let at = self.locals.len();
        self.local_by_id.insert(info.id, at);
        self.local_by_name.insert(info.name.as_str().into(), at);
        self.locals.push(Local { info, is_changed, shapes: Vec::new() });
        at
    }

    /// The shape of a point of a measurement; new fields are registered.
    fn shape(&mut self, local: usize, point: &'b Point<'b>) -> Result<usize, Stop> {
        let fields = self.batch.fields_of(point);
        if let Some(at) = self.known_shape(local, point) {
            let shapes = &mut self.locals[local].shapes;
            shapes.swap(0, at);
            let shape = shapes[0];
            if self.shapes[shape].has_text {
                self.check_text(&self.locals[local].info.name, fields)?;
            }
            return Ok(shape);
        }
        let info = self.locals[local].info.clone();
        let checked = self.check_fields(Some(&info), &info.name, point)?;
        drop(info);
        if checked.has_new {
            let Some(registration) = &self.registration else { return Err(Stop::NeedsLock) };
            let local = &mut self.locals[local];
            for (name, field_type, _) in &checked.chosen {
                if local.info.field(name).is_none() {
                    registration.add_field(&mut local.info, name, *field_type, &mut self.out);
                    local.is_changed = true;
                }
            }
        }
        let local = &mut self.locals[local];
        let resolved = |(name, field_type, at): &(&str, FieldType, u16)| {
            let field = local.info.field(name).expect("known or added just now");
            let field: ShapeField = (field.id, *field_type);
            (field, *at)
        };
        let chosen = checked.chosen.iter().map(resolved).collect();
        self.shapes.push(RowShape::new(fields, chosen, checked.is_stripped));
        local.shapes.insert(0, self.shapes.len() - 1);
        local.shapes.truncate(8); // more shapes in turn than this: rather look fields up
        Ok(self.shapes.len() - 1)
    }

    /// Judges the fields of a point against a measurement (`None`: a new one) and each other; of
    /// a repeated key the last counts, if all are of one type.
    fn check_fields(
        &self,
        info: Option<&MeasurementInfo>,
        name: &str,
        point: &'b Point<'b>,
    ) -> Result<Checked<'b>, Stop> {
        let fields = self.batch.fields_of(point);
        let mut checked = Checked { chosen: Vec::new(), has_new: false, is_stripped: false };
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut count = info.map_or(0, |info| info.fields.len());
        // Numbers have 16 bits, and those of deleted fields are not given again.
        let given = info.map_or(0, |info| info.next_field().0 as usize);
        let numbers = (usize::from(u16::MAX) + count).saturating_sub(given);
        let limit = self.database.limits.fields_per_measurement_max.min(numbers);
        for (field, at) in fields.iter().zip(0u16..) {
            let (key, given) = (&*field.key, field.value.field_type());
            if key == "time" {
                checked.is_stripped = true;
                continue;
            }
            let place = places.get(key).copied();
            let stored = info.and_then(|info| info.field(key)).map(|field| field.field_type);
            let existing = stored.or(place.map(|place| checked.chosen[place].1));
            if let Some(existing) = existing.filter(|existing| *existing != given) {
                let (measurement, field) = (name.into(), key.into());
                let reason =
                    RefusalReason::FieldTypeConflict { measurement, field, given, existing };
                return Err(reason.into());
            }
            if existing.is_none() {
                if key.len() + 4 > KEY_BYTES_MAX {
                    return Err(RefusalReason::KeyLength { got: key.len() + 4 }.into());
                }
                if count >= limit {
                    let (measurement, field, fields) = (name.into(), key.into(), count);
                    return Err(
                        RefusalReason::FieldsLimit { measurement, field, fields, limit }.into()
                    );
                }
                if !self.database.schema.has_room() {
                    let (measurement, field) = (name.into(), key.into());
                    return Err(RefusalReason::SchemaMemory { measurement, field }.into());
                }
                count += 1;
                checked.has_new = true;
            }
            match place {
                Some(place) => checked.chosen[place].2 = at,
                None => {
                    places.insert(key, checked.chosen.len());
                    checked.chosen.push((key, given, at));
                }
            }
        }
        if checked.chosen.is_empty() {
            return Err(RefusalReason::TimeField { measurement: name.into() }.into());
        }
        self.check_text(name, fields)?;
        Ok(checked)
    }

    /// Refuses strings that are too long.
    fn check_text(&self, name: &str, fields: &[Field<'_>]) -> Result<(), Stop> {
        let limit = self.database.limits.string_bytes_max.min(STRING_BYTES_LIMIT);
        for field in fields {
            if let FieldValue::String(text) = &field.value
                && text.len() > limit
            {
                let (measurement, field) = (name.into(), (*field.key).into());
                let got = text.len();
                let reason = RefusalReason::StringLength { measurement, field, got, limit };
                return Err(reason.into());
            }
        }
        Ok(())
    }

    /// Hands what was collected to the log, lets registrations be seen, and only then tells those
    /// who look for rows: they would not find a field that is not published. After an error it is
    /// unknown what is there, so they look at it too.
    fn flush(&mut self) -> Result<()> {
        let logged = self.log();
        if let Some(notes) = &mut self.notes {
            self.database.watches.tell_written(&self.policy.name, &std::mem::take(notes));
        }
        logged
    }

    fn log(&mut self) -> Result<()> {
        if let Some(registration) = &mut self.registration {
            registration.finish(&mut self.out);
        }
        self.rows.drain_into(&mut self.out)?;
        self.late.put_marks(self.database.index.keyspace(), &mut self.out);
        if !self.out.is_empty() {
            let options = WriteOptions::default();
            self.commit = Some(self.database.store.write_no_wait(&self.out, options)?);
            self.out.clear();
        }
        self.late.publish(self.now);
        let changed = self.locals.iter_mut().filter(|local| local.is_changed);
        let changed = changed.map(|local| {
            local.is_changed = false;
            local.info.clone()
        });
        if let Some(registration) = self.registration.take() {
            registration.publish(changed);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(WriteSummary, Option<Commit>)> {
        self.flush()?;
        for point in &self.batch.points {
            if let PointSeries::New { text, .. } = &point.series
                && let Some(series) = self.texts.remove(text)
            {
                self.database.cache.insert(text, series);
            }
        }
        Ok((self.summary, self.commit))
    }
}
