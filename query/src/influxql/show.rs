//! `SHOW` statements: what there is, as tables.

use std::sync::Arc;

use firndb_engine::budget::{Budget, Reservation, Share};
use firndb_tsdb::model::{SeriesId, TagPredicate, TagSet};
use firndb_tsdb::{Database, MeasurementFilter, MeasurementInfo, NameFilter};

use super::answer::{table, text};
use super::ast::{Counted, KeyFilter, Name, Show, ShowWhat};
use super::lower::{Scope, measurements, tag_condition, without_time};
use super::retain;
use super::{delete, duration};
use crate::error::{Error, Result};
use crate::exec::{Data, Series, Vector};

/// Answers a `SHOW` statement. Times in `WHERE` are left aside: schema has no time.
pub fn show(show: &Show, scope: &Scope<'_>) -> Result<Vec<Series>> {
    let empty = |name: &str, columns: &[&str]| {
        Ok(vec![table(name, columns, columns.iter().map(|_| text::<&str>([])).collect())])
    };
    let per_database = |columns: &[&str]| {
        let databases = scope.tsdb.databases();
        let nothing = || columns.iter().map(|_| text::<&str>([])).collect();
        Ok(databases.iter().map(|name| table(name, columns, nothing())).collect())
    };
    match &show.what {
        ShowWhat::Databases => {
            let names = scope.tsdb.databases();
            Ok(vec![table("databases", &["name"], vec![text(names)])])
        }
        ShowWhat::Measurements(filter) => show_measurements(show, filter.as_ref(), scope),
        ShowWhat::TagKeys => Schema::of(show, scope)?.tag_keys(),
        ShowWhat::TagValues(keys) => Schema::of(show, scope)?.tag_values(keys),
        ShowWhat::FieldKeys => Schema::of(show, scope)?.field_keys(),
        ShowWhat::Series => Schema::of(show, scope)?.series(),
        ShowWhat::Cardinality { of, exact } => cardinality(show, of, *exact, scope),
        ShowWhat::Policies => policies(show, scope),
        ShowWhat::Rules => retain::show(show, scope),
        ShowWhat::Deletes => delete::show(show, scope),
        ShowWhat::Users => empty("", &["user", "admin"]),
        ShowWhat::Grants(_) => Err(Error::invalid("user not found")),
        ShowWhat::Queries => empty("", &["qid", "query", "database", "duration", "status"]),
        ShowWhat::ContinuousQueries => per_database(&["name", "query"]),
        ShowWhat::Shards => per_database(&[
            "id",
            "database",
            "retention_policy",
            "shard_group",
            "start_time",
            "end_time",
            "expiry_time",
            "owners",
        ]),
        ShowWhat::ShardGroups => empty(
            "shard groups",
            &["id", "database", "retention_policy", "start_time", "end_time", "expiry_time"],
        ),
        ShowWhat::Subscriptions | ShowWhat::Stats => Ok(Vec::new()),
        ShowWhat::Diagnostics => {
            let version = vec![text([env!("CARGO_PKG_VERSION")])];
            Ok(vec![table("build", &["Version"], version)])
        }
    }
}

/// The rows that `LIMIT` and `OFFSET` leave.
fn cut<T>(rows: Vec<T>, show: &Show) -> impl Iterator<Item = T> {
    let number = |n: Option<u64>, otherwise| {
        n.map_or(otherwise, |n| usize::try_from(n).unwrap_or(usize::MAX))
    };
    rows.into_iter().skip(number(show.offset, 0)).take(number(show.limit, usize::MAX))
}

fn condition(show: &Show) -> Result<Option<TagPredicate>> {
    tag_condition(without_time(show.condition.as_ref()).as_ref())
}

fn show_measurements(show: &Show, name: Option<&Name>, scope: &Scope<'_>) -> Result<Vec<Series>> {
    let Some(database) = known_database(show, scope)? else { return Ok(Vec::new()) };
    let name = name.map(|name| match name {
        Name::Is(name) => NameFilter::Equal(name.clone()),
        Name::Matches(regex) => NameFilter::Matches(regex.clone()),
    });
    let names = database.measurements(&MeasurementFilter { name, tags: condition(show)? })?;
    let names: Vec<String> = cut(names, show).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![table("measurements", &["name"], vec![text(names)])])
}

/// The database, or `None` for one that is named and unknown: some statements have no error then.
fn known_database(show: &Show, scope: &Scope<'_>) -> Result<Option<Arc<Database>>> {
    match scope.database(show.database.as_deref()) {
        Ok(database) => Ok(Some(database)),
        Err(Error::DatabaseNotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a statement about the schema looks at.
struct Schema<'a> {
    show: &'a Show,
    database: Arc<Database>,
    measurements: Vec<Arc<MeasurementInfo>>,
    tags: Option<TagPredicate>,
    budget: Budget,
}

/// What a text of an answer takes beside itself, in a row and in the column made of it.
const TEXT_BYTES: usize = 64;

/// Texts of an answer that are collected, charged as they grow.
struct Texts {
    held: Reservation,
    bytes: u64,
}

impl Texts {
    fn new(budget: &Budget) -> Result<Texts> {
        let held = budget.try_reserve(Share::Queries, 0);
        Ok(Texts { held: held.ok_or(Error::Memory { needed_bytes: 0 })?, bytes: 0 })
    }

    /// Another text; told to the budget every 64 KiB.
    fn add(&mut self, text: &str) -> Result<()> {
        self.bytes += (2 * text.len() + TEXT_BYTES) as u64;
        let more = self.bytes.saturating_sub(self.held.bytes());
        if more >= 64 << 10 && !self.held.try_grow(more) {
            return Err(Error::Memory { needed_bytes: self.bytes });
        }
        Ok(())
    }
}

impl<'a> Schema<'a> {
    fn of(show: &'a Show, scope: &Scope<'_>) -> Result<Schema<'a>> {
        let database = scope.database(show.database.as_deref())?;
        Schema::of_database(show, database, scope)
    }

    fn of_database(
        show: &'a Show,
        database: Arc<Database>,
        scope: &Scope<'_>,
    ) -> Result<Schema<'a>> {
        let budget = scope.tsdb.store().options().budget.clone();
        let tags = condition(show)?;
        let mut found = Vec::new();
        if show.sources.is_empty() {
            let names = database.measurements(&MeasurementFilter::default())?;
            found.extend(names.iter().filter_map(|name| database.measurement(name)));
        }
        for source in &show.sources {
            found.extend(measurements(&database, source)?);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found.dedup_by(|a, b| a.name == b.name);
        Ok(Schema { show, database, measurements: found, tags, budget })
    }

    /// A table per measurement that has rows.
    fn per_measurement(
        &self,
        columns: &[&str],
        mut rows: impl FnMut(&MeasurementInfo) -> Result<Vec<Vec<String>>>,
    ) -> Result<Vec<Series>> {
        let mut tables = Vec::new();
        for info in &self.measurements {
            let rows: Vec<Vec<String>> = cut(rows(info)?, self.show).collect();
            if !rows.is_empty() {
                let column = |index: usize| text(rows.iter().map(move |row| &row[index]));
                let values = (0..columns.len()).map(column).collect();
                tables.push(table(&info.name, columns, values));
            }
        }
        Ok(tables)
    }

    fn tag_keys(&self) -> Result<Vec<Series>> {
        self.per_measurement(&["tagKey"], |info| {
            let keys = self.database.tag_keys(&info.name, self.tags.as_ref())?;
            Ok(keys.into_iter().map(|key| vec![key]).collect())
        })
    }

    fn tag_values(&self, wanted: &KeyFilter) -> Result<Vec<Series>> {
        let mut texts = Texts::new(&self.budget)?;
        self.per_measurement(&["key", "value"], |info| {
            let mut rows = Vec::new();
            for key in info.tag_keys.iter().filter(|key| wanted.matches(key)) {
                let values = self.database.tag_values(&info.name, key, self.tags.as_ref())?;
                for value in values {
                    texts.add(key)?;
                    texts.add(&value)?;
                    rows.push(vec![key.clone(), value]);
                }
            }
            Ok(rows)
        })
    }

    fn field_keys(&self) -> Result<Vec<Series>> {
        self.per_measurement(&["fieldKey", "fieldType"], |info| {
            let row = |f: &firndb_tsdb::FieldInfo| vec![f.name.clone(), f.field_type.name().into()];
            let mut rows: Vec<_> = info.fields.iter().map(row).collect();
            rows.sort();
            Ok(rows)
        })
    }

    fn series_of(&self, info: &MeasurementInfo) -> Result<Vec<SeriesId>> {
        Ok(self.database.series(Some(&info.name), self.tags.as_ref())?)
    }

    fn series(&self) -> Result<Vec<Series>> {
        let mut keys = Vec::new();
        let mut texts = Texts::new(&self.budget)?;
        for info in &self.measurements {
            let begin = keys.len();
            for series in self.series_of(info)? {
                if let Some((measurement, tags)) = self.database.series_key(series)? {
                    let key = series_key(&measurement, &tags);
                    texts.add(&key)?;
                    keys.push(key);
                }
            }
            keys[begin..].sort();
        }
        let keys: Vec<String> = cut(keys, self.show).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![table("", &["key"], vec![text(keys)])])
    }

    /// How many of something each measurement has.
    fn counts(&self, of: &Counted) -> Result<Vec<Series>> {
        let tags = self.tags.as_ref();
        let mut tables = Vec::new();
        for info in &self.measurements {
            let count = match of {
                Counted::Series => self.series_of(info)?.len(),
                Counted::Measurements => 1,
                Counted::FieldKeys => info.fields.len(),
                Counted::TagKeys => self.database.tag_keys(&info.name, tags)?.len(),
                Counted::TagValues(wanted) => {
                    let mut count = 0;
                    for key in info.tag_keys.iter().filter(|key| wanted.matches(key)) {
                        count += self.database.tag_values(&info.name, key, tags)?.len();
                    }
                    count
                }
            };
            if count > 0 {
                tables.push(table(&info.name, &["count"], vec![integers(&[count as i64])]));
            }
        }
        Ok(cut(tables, self.show).collect())
    }
}

fn integers(numbers: &[i64]) -> Vector {
    Vector::full(Data::Integer(numbers.to_vec()))
}

fn cardinality(show: &Show, of: &Counted, exact: bool, scope: &Scope<'_>) -> Result<Vec<Series>> {
    let number = |column, count| vec![table("", &[column], vec![integers(&[count])])];
    let plain = show.sources.is_empty() && show.condition.is_none();
    let Some(database) = known_database(show, scope)? else {
        return Ok(number("cardinality estimation", 0));
    };
    match of {
        Counted::Series if plain && !exact => {
            Ok(number("cardinality estimation", database.series_count() as i64))
        }
        Counted::Measurements => {
            let column = if exact || !plain { "count" } else { "cardinality estimation" };
            let schema = Schema::of_database(show, database, scope)?;
            let mut count = 0;
            for info in &schema.measurements {
                let counts = schema.tags.is_none() || !schema.series_of(info)?.is_empty();
                count += i64::from(counts);
            }
            Ok(number(column, count))
        }
        of => Schema::of_database(show, database, scope)?.counts(of),
    }
}

fn policies(show: &Show, scope: &Scope<'_>) -> Result<Vec<Series>> {
    let policies = scope.database(show.database.as_deref())?.policies();
    let columns = ["name", "duration", "shardGroupDuration", "replicaN", "default"];
    let replications: Vec<i64> = policies.iter().map(|p| p.replication.into()).collect();
    let values = vec![
        text(policies.iter().map(|p| &p.name)),
        text(policies.iter().map(|p| duration::hours(p.duration_ns.unwrap_or(0)))),
        text(policies.iter().map(|p| duration::hours(p.shard_duration_ns))),
        integers(&replications),
        Vector::full(Data::Boolean(policies.iter().map(|p| p.is_default).collect())),
    ];
    Ok(vec![table("", &columns, values)])
}

/// A series as line protocol writes it.
fn series_key(measurement: &str, tags: &TagSet) -> String {
    let mut key = String::new();
    escape(measurement, &[',', ' '], &mut key);
    for (name, value) in tags.iter() {
        key.push(',');
        escape(name, &[',', '=', ' '], &mut key);
        key.push('=');
        escape(value, &[',', '=', ' '], &mut key);
    }
    key
}

fn escape(text: &str, special: &[char], out: &mut String) {
    for c in text.chars() {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
}
