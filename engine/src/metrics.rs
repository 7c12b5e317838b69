//! Numbers of a store, for `/metrics` and the storage page.

/// Numbers of a store at one moment.
#[derive(Debug, Clone, Default)]
pub struct StoreMetrics {}
