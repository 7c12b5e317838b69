//! What retention and deletes took off the disk since the start.
//!
//! Points are not counted: partitions go whole, without anybody looking into them.

use std::sync::atomic::{AtomicU64, Ordering};

use firndb::tsdb::MaintenanceReport;

use super::text::Text;

/// Sums over the reports of maintenance.
#[derive(Debug, Default)]
pub struct RetentionMetrics {
    dropped_partitions: AtomicU64,
    dropped_bytes: AtomicU64,
    trimmed_partitions: AtomicU64,
    trimmed_bytes: AtomicU64,
    purged_partitions: AtomicU64,
    deletes_done: AtomicU64,
}

impl RetentionMetrics {
    /// Adds what a maintenance did.
    pub fn record(&self, report: &MaintenanceReport) {
        let sums = [
            (&self.dropped_partitions, report.partitions_expired),
            (&self.dropped_bytes, report.bytes_expired),
            (&self.trimmed_partitions, report.partitions_trimmed),
            (&self.trimmed_bytes, report.bytes_trimmed),
            (&self.purged_partitions, report.partitions_purged),
            (&self.deletes_done, report.deletes_done),
        ];
        for (sum, more) in sums {
            sum.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Writes the sums out.
    pub fn render(&self, out: &mut Text) {
        let read = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        let by_action = |out: &mut Text, name: &str, help: &str, sums: [&AtomicU64; 2]| {
            out.head(name, "counter", help);
            for (action, sum) in ["dropped", "rewritten"].into_iter().zip(sums) {
                out.sample(name, &[("action", action)], read(sum));
            }
        };
        let name = "firndb_retention_partitions_total";
        let help = "Partitions dropped whole, or rewritten without rows that had expired.";
        by_action(out, name, help, [&self.dropped_partitions, &self.trimmed_partitions]);
        let name = "firndb_retention_freed_bytes_total";
        let help = "Table bytes freed by dropping and by rewriting partitions.";
        by_action(out, name, help, [&self.dropped_bytes, &self.trimmed_bytes]);
        let help = "Partitions rewritten without rows that had been deleted.";
        let purged = read(&self.purged_partitions);
        out.counter("firndb_delete_rewritten_partitions_total", help, purged);
        let help = "Deletes of whose rows nothing is left.";
        out.counter("firndb_deletes_done_total", help, read(&self.deletes_done));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_add_up() {
        let metrics = RetentionMetrics::default();
        let report = MaintenanceReport {
            partitions_expired: 2,
            bytes_expired: 100,
            bytes_trimmed: 7,
            deletes_done: 1,
            ..MaintenanceReport::default()
        };
        metrics.record(&report);
        metrics.record(&report);
        let mut out = Text::default();
        metrics.render(&mut out);
        let text = out.into_string();
        for line in [
            "firndb_retention_partitions_total{action=\"dropped\"} 4",
            "firndb_retention_partitions_total{action=\"rewritten\"} 0",
            "firndb_retention_freed_bytes_total{action=\"dropped\"} 200",
            "firndb_retention_freed_bytes_total{action=\"rewritten\"} 14",
            "firndb_deletes_done_total 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
