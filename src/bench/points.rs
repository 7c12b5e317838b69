//! Lines that a bench writes and questions that it asks.
//!
//! ```text
//! bench,host=host-000042 f0=13,f1=2.5,.. 1767225600     seconds; line n is of round n / series,
//!                                                       a round every ten seconds
//! ```
//!
//! What a line holds is a function of its number, so that lines that are sent again change nothing.

use std::fmt::Write;

use super::keys::Dice;

/// The moment of the first round: 2026-01-01T00:00:00Z.
const START_S: u64 = 1_767_225_600;
/// Seconds between two rounds.
const ROUND_S: u64 = 10;
/// Rounds of an hour.
const ROUNDS_PER_HOUR: u64 = 3600 / ROUND_S;

/// What is asked unless another question is given.
const QUESTION: &str = "SELECT mean(f0), max(f0) FROM bench WHERE host = '{host}' AND \
    time >= '2026-01-01T00:00:00Z' AND time < '2026-01-01T01:00:00Z' GROUP BY time(1m)";

/// Series of points.
#[derive(Debug)]
pub struct Points {
    series: u64,
    fields: usize,
    question: String,
}

impl Points {
    /// So many series of so many fields.
    pub fn new(series: u64, fields: usize, question: Option<String>) -> Points {
        Points { series, fields, question: question.unwrap_or_else(|| QUESTION.to_owned()) }
    }

    /// Lines of an hour of every series.
    pub fn hour(&self) -> u64 {
        self.series * ROUNDS_PER_HOUR
    }

    /// Lines, each given by its number and its series.
    pub fn lines(&self, lines: impl Iterator<Item = (u64, u64)>) -> String {
        let mut text = String::new();
        for (line, series) in lines {
            let time = START_S + line / self.series * ROUND_S;
            let mut dice = Dice::of(series, line);
            let _ = write!(text, "bench,host={}", host(series));
            for field in 0..self.fields {
                let separator = if field == 0 { ' ' } else { ',' };
                let value = (dice.next() % 100_000) as f64 / 100.0;
                let _ = write!(text, "{separator}f{field}={value}");
            }
            let _ = writeln!(text, " {time}");
        }
        text
    }

    /// The question about one series.
    pub fn question(&self, series: u64) -> String {
        self.question.replace("{host}", &host(series))
    }
}

fn host(series: u64) -> String {
    format!("host-{series:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_rounds_and_are_the_same_each_time() {
        let points = Points::new(3, 2, None);
        let text = points.lines((0..7).map(|line| (line, line % 3)));
        assert_eq!(text, points.lines((0..7).map(|line| (line, line % 3))));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 7);
        assert!(lines[0].starts_with("bench,host=host-000000 f0="), "{text}");
        assert!(lines[2].starts_with("bench,host=host-000002 f0="), "{text}");
        assert!(lines[2].contains(",f1=") && !lines[2].contains(",f2="), "{text}");
        let times: Vec<_> = lines.iter().filter_map(|line| line.rsplit(' ').next()).collect();
        assert_eq!((times[0], times[2]), ("1767225600", "1767225600"));
        assert_eq!((times[3], times[6]), ("1767225610", "1767225620"));
        assert_eq!(points.hour(), 3 * 360);
    }

    #[test]
    fn a_question_names_its_series() {
        assert!(Points::new(1, 1, None).question(42).contains("host = 'host-000042'"));
        let own = Points::new(1, 1, Some("SELECT * FROM x WHERE h='{host}'".to_owned()));
        assert_eq!(own.question(7), "SELECT * FROM x WHERE h='host-000007'");
    }
}
