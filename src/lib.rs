//! FirnDB as a library: the crates of the workspace under one name.

mod system_clock;

pub use firndb_engine as engine;
pub use firndb_ingest as ingest;
pub use firndb_query as query;
pub use firndb_tsdb as tsdb;
pub use system_clock::SystemClock;
