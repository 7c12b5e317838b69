//! What a backup says of itself.
//!
//! ```text
//! backups/<id>.json := {"format":1,"sha256":"<of the text of backup>","backup":{..}}
//! backup   := id | time_ns | scope | store | seq
//!           | databases [ name | catalog | keyspaces ]     groups, of whoever makes some
//!           | keyspaces [ keyspace ]                       those of no group
//! keyspace := name | policy | compression | [ ttl_ms ] | [ range_deletes [ seq | start | end ] ]
//!           | tables [ object | bytes | level | age | is_final
//!                    | number | entries | raw_bytes | min_seq | max_seq ]
//! ```
//!
//! Fields that a build does not know are passed over; a change that an old build must not pass over
//! takes the next format number.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::checksum::Sha256Hex;
use crate::compress::Compression;
use crate::manifest::LEVEL_LAST;
use crate::options::{KeyspaceOptions, LazyLeveled, Leveled, Policy, Tiered, TimeWindow};
use crate::range_delete::RangeDelete;
use crate::store::{ExportedKeyspace, ExportedTable};
use crate::{Error, Result};

/// Format that this build writes, and the newest it reads.
pub const FORMAT: u32 = 1;

/// A backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// Its name in the repository.
    pub id: String,
    /// When it was taken, nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The group it is of; `None`: everything there was.
    pub scope: Option<String>,
    /// Identity of the store.
    pub store: String,
    /// Its place in the order of all writes of the store.
    pub seq: u64,
    /// Groups of keyspaces that mean something together, by name. A store knows of none; who keeps
    /// databases in it makes one of each.
    #[serde(rename = "databases")]
    pub groups: Vec<GroupRecord>,
    /// Keyspaces that belong to no group.
    pub keyspaces: Vec<KeyspaceRecord>,
}

/// A group of keyspaces in a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Its name.
    pub name: String,
    /// What whoever made it needs to know of it.
    #[serde(rename = "catalog")]
    pub note: Value,
    /// Its keyspaces.
    pub keyspaces: Vec<KeyspaceRecord>,
}

/// A keyspace in a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyspaceRecord {
    /// Its name.
    pub name: String,
    policy: Option<PolicyRecord>,
    compression: Option<CompressionRecord>,
    /// Its tables.
    pub tables: Vec<TableRecord>,
    /// How long its puts last, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    /// What is gone of them by the range.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    range_deletes: Vec<RangeDeleteRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RangeDeleteRecord {
    seq: u64,
    start: Vec<u8>,
    end: Vec<u8>,
}

/// A table in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// SHA-256 of the file, in hexadecimal: the name of the object.
    pub object: String,
    /// Length of the file.
    pub bytes: u64,
    /// Level of its run.
    pub level: u8,
    /// Age of its run.
    pub age: u64,
    /// Written by a final compaction.
    pub is_final: bool,
    /// What tells it in the store it is from.
    #[serde(flatten)]
    pub identity: TableIdentity,
}

/// What tells a table from all others of a store: numbers are never used again, and should the
/// folder of a store have been copied, its files hardly go on alike in all of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableIdentity {
    /// Number of the file.
    pub number: u64,
    /// Entries in it.
    pub entries: u64,
    /// Bytes in it before compression.
    pub raw_bytes: u64,
    /// Oldest sequence number.
    pub min_seq: u64,
    /// Newest sequence number.
    pub max_seq: u64,
}

impl TableIdentity {
    /// What tells `table`.
    pub fn of(table: &ExportedTable) -> Self {
        let meta = table.meta();
        TableIdentity {
            number: meta.number.0,
            entries: meta.entries,
            raw_bytes: meta.raw_bytes,
            min_seq: meta.min_seq,
            max_seq: meta.max_seq,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PolicyRecord {
    Leveled { runs0_trigger: u32, ratio: u32, base_bytes: u64 },
    Tiered(TiersRecord),
    LazyLeveled { tiers: TiersRecord, ratio: u32 },
    TimeWindow { tiers: TiersRecord, prefix_bytes: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct TiersRecord {
    merge_runs_min: u32,
    merge_runs_max: u32,
    ratio: f64,
    runs_max: u32,
}

impl From<Tiered> for TiersRecord {
    fn from(tiers: Tiered) -> Self {
        let Tiered { merge_runs_min, merge_runs_max, ratio, runs_max } = tiers;
        TiersRecord { merge_runs_min, merge_runs_max, ratio, runs_max }
    }
}

impl From<TiersRecord> for Tiered {
    fn from(tiers: TiersRecord) -> Self {
        let TiersRecord { merge_runs_min, merge_runs_max, ratio, runs_max } = tiers;
        Tiered { merge_runs_min, merge_runs_max, ratio, runs_max }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CompressionRecord {
    None,
    Zstd(i32),
}

impl KeyspaceRecord {
    /// What is recorded of an exported keyspace whose tables are in the repository.
    pub fn new(keyspace: &ExportedKeyspace, tables: Vec<TableRecord>) -> Self {
        let policy = keyspace.options.policy.map(|policy| match policy {
            Policy::Leveled(Leveled { runs0_trigger, ratio, base_bytes }) => {
                PolicyRecord::Leveled { runs0_trigger, ratio, base_bytes }
            }
            Policy::Tiered(tiers) => PolicyRecord::Tiered(tiers.into()),
            Policy::LazyLeveled(LazyLeveled { tiers, ratio }) => {
                PolicyRecord::LazyLeveled { tiers: tiers.into(), ratio }
            }
            Policy::TimeWindow(TimeWindow { tiers, prefix_bytes }) => {
                PolicyRecord::TimeWindow { tiers: tiers.into(), prefix_bytes }
            }
        });
        let compression = keyspace.options.compression.map(|compression| match compression {
            Compression::None => CompressionRecord::None,
            Compression::Zstd(level) => CompressionRecord::Zstd(level),
        });
        let range_deletes = keyspace.range_deletes.iter().map(|delete| RangeDeleteRecord {
            seq: delete.seq,
            start: delete.start.to_vec(),
            end: delete.end.to_vec(),
        });
        KeyspaceRecord {
            name: keyspace.name.to_string(),
            policy,
            compression,
            tables,
            ttl_ms: keyspace.options.ttl_ms,
            range_deletes: range_deletes.collect(),
        }
    }

    /// What is gone of its tables by the range.
    pub fn range_deletes(&self) -> impl Iterator<Item = RangeDelete> {
        self.range_deletes.iter().map(|delete| RangeDelete {
            seq: delete.seq,
            start: delete.start.as_slice().into(),
            end: delete.end.as_slice().into(),
        })
    }

    fn is_possible(&self) -> bool {
        self.tables.iter().all(|table| table.level <= LEVEL_LAST)
            && self.range_deletes.iter().all(|delete| delete.start < delete.end)
    }

    /// What was chosen for it.
    pub fn options(&self) -> KeyspaceOptions {
        let policy = self.policy.as_ref().map(|policy| match *policy {
            PolicyRecord::Leveled { runs0_trigger, ratio, base_bytes } => {
                Policy::Leveled(Leveled { runs0_trigger, ratio, base_bytes })
            }
            PolicyRecord::Tiered(tiers) => Policy::Tiered(tiers.into()),
            PolicyRecord::LazyLeveled { tiers, ratio } => {
                Policy::LazyLeveled(LazyLeveled { tiers: tiers.into(), ratio })
            }
            PolicyRecord::TimeWindow { tiers, prefix_bytes } => {
                Policy::TimeWindow(TimeWindow { tiers: tiers.into(), prefix_bytes })
            }
        });
        let compression = self.compression.as_ref().map(|compression| match *compression {
            CompressionRecord::None => Compression::None,
            CompressionRecord::Zstd(level) => Compression::Zstd(level),
        });
        KeyspaceOptions { policy, compression, ttl_ms: self.ttl_ms }
    }
}

impl BackupRecord {
    /// All its keyspaces.
    pub fn all_keyspaces(&self) -> impl Iterator<Item = &KeyspaceRecord> {
        self.groups.iter().flat_map(|group| &group.keyspaces).chain(&self.keyspaces)
    }

    /// All its tables.
    pub fn tables(&self) -> impl Iterator<Item = &TableRecord> {
        self.all_keyspaces().flat_map(|keyspace| &keyspace.tables)
    }

    /// Its objects and their lengths, each once.
    pub fn objects(&self) -> BTreeMap<&str, u64> {
        self.tables().map(|table| (table.object.as_str(), table.bytes)).collect()
    }

    /// Length of its objects together.
    pub fn bytes(&self) -> u64 {
        self.objects().values().sum()
    }

    /// The text of its file.
    pub fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_string(self).expect("plain structs have a JSON form");
        let sha256 = Sha256Hex::of(body.as_bytes());
        format!("{{\"format\":{FORMAT},\"sha256\":\"{sha256}\",\"backup\":{body}}}\n").into_bytes()
    }

    /// The backup with this text, from the file `place`.
    pub fn decode(place: &Path, text: &[u8]) -> Result<BackupRecord> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            format: u32,
            sha256: String,
            #[serde(borrow)]
            backup: &'a RawValue,
        }
        let damaged = |reason: String| Error::corrupt(place, 0, reason);
        let envelope: Envelope<'_> =
            serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        if envelope.format == 0 {
            return Err(damaged("there is no format 0".to_owned()));
        }
        if envelope.format > FORMAT {
            let (path, found) = (place.to_owned(), envelope.format);
            return Err(Error::Version { path, found, supported: FORMAT });
        }
        let body = envelope.backup.get();
        if Sha256Hex::of(body.as_bytes()).to_string() != envelope.sha256 {
            return Err(damaged("its checksum does not fit".to_owned()));
        }
        let record: BackupRecord =
            serde_json::from_str(body).map_err(|error| damaged(error.to_string()))?;
        if record.all_keyspaces().any(|keyspace| !keyspace.is_possible()) {
            return Err(damaged("a level or a range that there cannot be".to_owned()));
        }
        Ok(record)
    }
}
