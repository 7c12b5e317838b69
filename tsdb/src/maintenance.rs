//! What is to be done from time to time: dropping expired partitions, closing windows.

/// What [`crate::Tsdb::maintain`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Partitions whose last point had expired, dropped whole.
    pub partitions_expired: u64,
    /// Partitions whose window is over, asked to be rewritten as one final run.
    pub partitions_closed: u64,
    /// Index entries of dropped series removed.
    pub series_swept: u64,
}
