//! Time series over the engine: series, schema, time partitions, chunks, retention.
//!
//! Modules in order; each may use those above it:

pub mod chunk;
pub mod model;

pub mod erasure;

pub mod error;
pub mod limits;
pub mod retention;

pub mod keys;
pub mod schema;

pub mod column_cache;
pub mod memtable;
pub mod reader;

pub mod index;

pub mod left_out;

pub mod hooks;

pub mod rollup;
pub mod rules;

pub mod catalog;
pub mod partition;

pub mod database;

pub mod deletes;
pub mod drops;
pub mod scan;
pub mod show;
pub mod write;

pub mod expiry;
pub mod maintenance;

pub mod instance;

pub mod backup;

pub use database::Database;
pub use deletes::{
    DeleteCount, DeleteInfo, DeleteReport, DeleteRequest, DeleteState, DeleteTarget,
};
pub use erasure::Erasure;
pub use error::{Error, Result};
pub use expiry::{PlannedPartition, PlannedRule, Reason, RetentionPlan};
pub use index::{MeasurementFilter, NameFilter, TagPredicate};
pub use instance::{Options, Tsdb};
pub use limits::Limits;
pub use maintenance::MaintenanceReport;
pub use retention::{
    PolicyChange, PolicySpec, RetentionPolicy, RetentionRule, RuleKind, RuleScope,
};
pub use rollup::{LevelCover, LevelStatus, Rollup, RollupLevel, RollupSpec, RollupStatus};
pub use scan::{ChunkPiece, Piece, Scan, ScanRequest, SeriesScan};
pub use schema::{FieldInfo, MeasurementInfo};
pub use write::{Refusal, RefusalReason, WriteSummary};
