//! Writing samples: `name{label="value"} 1`, each name with its help and type before it.

use std::fmt::{Display, Write};

use firndb::engine::histogram::{BUCKETS, HistogramCounts};

/// Exposed buckets of durations: 2^11 ns (2 us) to 2^35 ns (34 s).
const NS_BUCKETS: std::ops::RangeInclusive<usize> = 11..=35;
/// Exposed buckets of counts: 1 to 2^20.
const COUNT_BUCKETS: std::ops::RangeInclusive<usize> = 1..=20;

/// Labels of a sample.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page of metrics under way.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// The page.
    pub fn into_string(self) -> String {
        self.0
    }

    /// Help and type of a name; its samples follow.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// One sample.
    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.line(format_args!("{name}{} {value}", Shown(labels, None)));
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A histogram of nanoseconds, in seconds.
    pub fn seconds(&mut self, name: &str, labels: Labels<'_>, counts: &HistogramCounts) {
        let sum = counts.sum as f64 / 1e9;
        self.buckets(name, labels, counts, NS_BUCKETS, |bound| bound as f64 / 1e9, sum);
    }

    /// A histogram of counts or bytes.
    pub fn counts(&mut self, name: &str, labels: Labels<'_>, counts: &HistogramCounts) {
        let sum = counts.sum as f64;
        self.buckets(name, labels, counts, COUNT_BUCKETS, |bound| bound as f64, sum);
    }

    fn buckets(
        &mut self,
        name: &str,
        labels: Labels<'_>,
        counts: &HistogramCounts,
        shown: std::ops::RangeInclusive<usize>,
        scale: impl Fn(u64) -> f64,
        sum: f64,
    ) {
        let mut below = 0;
        for index in 0..BUCKETS {
            below += counts.counts[index];
            if shown.contains(&index) {
                let bound = scale(HistogramCounts::bound(index)).to_string();
                let labels = Shown(labels, Some(&bound));
                self.line(format_args!("{name}_bucket{labels} {below}"));
            }
        }
        self.line(format_args!("{name}_bucket{} {below}", Shown(labels, Some("+Inf"))));
        self.line(format_args!("{name}_sum{} {sum}", Shown(labels, None)));
        self.line(format_args!("{name}_count{} {below}", Shown(labels, None)));
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{text}").expect("a String takes everything");
    }
}

/// Labels as they are written, with `le` last where there is one.
struct Shown<'a>(Labels<'a>, Option<&'a str>);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bound = self.1.map(|bound| ("le", bound));
        let mut separator = '{';
        for (name, value) in self.0.iter().copied().chain(bound) {
            write!(f, "{separator}{name}=\"")?;
            for c in value.chars() {
                match c {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    other => f.write_char(other)?,
                }
            }
            f.write_char('"')?;
            separator = ',';
        }
        if separator == ',' { f.write_char('}') } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use firndb::engine::histogram::Histogram;

    use super::*;

    #[test]
    fn samples_and_histograms() {
        let mut out = Text::default();
        out.gauge("g", "A gauge.", 1.5);
        out.sample("s", &[("a", "x\"\\\n"), ("b", "y")], 2);
        let histogram = Histogram::default();
        histogram.record(3_000); // bucket of 2^12
        histogram.record(60_000_000_000); // beyond the last
        out.seconds("d_seconds", &[("p", "v1")], &histogram.read());
        let text = out.into_string();
        assert!(text.starts_with(
            "# HELP g A gauge.\n# TYPE g gauge\ng 1.5\ns{a=\"x\\\"\\\\\\n\",b=\"y\"} 2\n"
        ));
        assert!(text.contains("d_seconds_bucket{p=\"v1\",le=\"0.000002047\"} 0\n"));
        assert!(text.contains("d_seconds_bucket{p=\"v1\",le=\"0.000004095\"} 1\n"));
        assert!(text.contains("d_seconds_bucket{p=\"v1\",le=\"+Inf\"} 2\n"));
        assert!(text.contains("d_seconds_sum{p=\"v1\"} 60.000003\n"));
    }
}
