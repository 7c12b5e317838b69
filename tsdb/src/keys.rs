//! Names of keyspaces and keys within them: who may put what where.
//!
//! ```text
//! catalog                              databases and their policies (catalog)
//! index/<db>                           schema and series of a database (index)
//! points/<db>/<policy>/<start>+<len>   a partition; its window in seconds (partition)
//!
//! chunk key := series u32 big-endian | first timestamp i64 big-endian, sign bit flipped
//! ```
//!
//! Names of databases and policies have `%` and `/` written as `%25` and `%2F`.

use crate::model::{SeriesId, Timestamp};
use crate::retention::Window;

/// The keyspace of databases and policies.
pub const CATALOG: &str = "catalog";

const INDEX: &str = "index/";
const POINTS: &str = "points/";

/// Length of a chunk's key.
pub const CHUNK_KEY_BYTES: usize = 12;

/// What a keyspace is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keyspace {
    /// Schema and series of a database.
    Index {
        /// The database.
        database: String,
    },
    /// A partition.
    Points {
        /// The database.
        database: String,
        /// The retention policy.
        policy: String,
        /// The span of time.
        window: Window,
    },
}

impl Keyspace {
    /// The keyspace of this name, if it is one of ours.
    pub fn parse(name: &str) -> Option<Keyspace> {
        if let Some(database) = name.strip_prefix(INDEX) {
            return Some(Keyspace::Index { database: unescape(database)? });
        }
        let mut parts = name.strip_prefix(POINTS)?.split('/');
        let (database, policy, window) = (parts.next()?, parts.next()?, parts.next()?);
        let (start, len) = window.split_once('+')?;
        let window = Window { start_s: start.parse().ok()?, len_s: len.parse().ok()? };
        let is_whole = parts.next().is_none() && window.len_s > 0;
        is_whole.then_some(Keyspace::Points {
            database: unescape(database)?,
            policy: unescape(policy)?,
            window,
        })
    }

    /// Its name in another database.
    pub fn name_in(&self, database: &str) -> String {
        match self {
            Keyspace::Index { .. } => index_name(database),
            Keyspace::Points { policy, window, .. } => points_name(database, policy, *window),
        }
    }

    /// The database it belongs to.
    pub fn database(&self) -> &str {
        match self {
            Keyspace::Index { database } | Keyspace::Points { database, .. } => database,
        }
    }
}

/// Name of a database's index.
pub fn index_name(database: &str) -> String {
    format!("{INDEX}{}", escape(database))
}

/// What the names of all partitions of a database begin with.
pub fn points_prefix(database: &str) -> String {
    format!("{POINTS}{}/", escape(database))
}

/// Name of a partition.
pub fn points_name(database: &str, policy: &str, window: Window) -> String {
    let Window { start_s, len_s } = window;
    format!("{POINTS}{}/{}/{start_s}+{len_s}", escape(database), escape(policy))
}

fn escape(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        match part.get(..2)? {
            "25" => out.push('%'),
            "2F" => out.push('/'),
            _ => return None,
        }
        out.push_str(&part[2..]);
    }
    Some(out)
}

/// The key of a chunk.
pub fn chunk_key(series: SeriesId, first: Timestamp) -> [u8; CHUNK_KEY_BYTES] {
    let mut key = [0; CHUNK_KEY_BYTES];
    key[..4].copy_from_slice(&series.0.to_be_bytes());
    key[4..].copy_from_slice(&(first as u64 ^ 1 << 63).to_be_bytes());
    key
}

/// Series and first timestamp of a chunk's key.
pub fn parse_chunk_key(key: &[u8]) -> Option<(SeriesId, Timestamp)> {
    let (series, first) = key.split_first_chunk::<4>()?;
    let first = u64::from_be_bytes(first.try_into().ok()?) ^ 1 << 63;
    Some((SeriesId(u32::from_be_bytes(*series)), first as Timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let window = Window { start_s: -7200, len_s: 3600 };
        for database in ["db", "a/b", "100%", "%2F", "", "\u{e9}%\u{e9}"] {
            let points = points_name(database, "auto/gen", window);
            let (database, policy) = (database.to_owned(), "auto/gen".to_owned());
            let policy_name = policy.clone();
            let expected = Keyspace::Points { database: database.clone(), policy, window };
            assert_eq!(Keyspace::parse(&points), Some(expected.clone()), "{points}");
            assert!(points.starts_with(&points_prefix(&database)));
            assert_eq!(expected.name_in("x"), points_name("x", &policy_name, window));
            let expected = Keyspace::Index { database: database.clone() };
            assert_eq!(Keyspace::parse(&index_name(&database)), Some(expected));
        }
        for foreign in ["catalog", "kv/a", "points/a", "points/a/b/c", "points/a/b/1+0", "index/%"]
        {
            assert_eq!(Keyspace::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn chunk_keys_sort_as_series_and_time() {
        let mut pairs = vec![];
        for series in [0, 1, 255, 256, u32::MAX] {
            for first in [i64::MIN, -1, 0, 1, i64::MAX] {
                pairs.push((SeriesId(series), first));
            }
        }
        let keys: Vec<_> = pairs.iter().map(|(series, first)| chunk_key(*series, *first)).collect();
        assert!(keys.is_sorted());
        for (key, pair) in keys.iter().zip(&pairs) {
            assert_eq!(parse_chunk_key(key), Some(*pair));
        }
        assert_eq!(parse_chunk_key(&[0; 11]), None);
    }
}
