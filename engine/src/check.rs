//! Verifies the directory of a store.

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// Table files read.
    pub tables: u64,
    /// Entries in them.
    pub entries: u64,
    /// Log segments.
    pub segments: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What is wrong; empty when all is well.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The file it is about.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}
