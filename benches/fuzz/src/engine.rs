//! Targets of what the engine stores, and of stores that are told what to do.

#[path = "engine/decoders.rs"]
mod decoders;
#[path = "engine/stores.rs"]
mod stores;

pub use decoders::{
    compression, filter, manifest_edit, table, table_footer, table_properties, wal, write_batch,
};
pub use stores::{store, transaction};
