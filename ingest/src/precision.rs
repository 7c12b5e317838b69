//! The unit of the timestamps of a request, and the words each endpoint has for it.

use firndb_tsdb::model::Timestamp;
use firndb_tsdb::model::time::{TIMESTAMP_MAX, TIMESTAMP_MIN};

/// Unit of the timestamps of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 1 ns.
    #[default]
    Nanosecond,
    /// 1 000 ns.
    Microsecond,
    /// 10^6 ns.
    Millisecond,
    /// 10^9 ns.
    Second,
    /// 60 seconds.
    Minute,
    /// 3600 seconds.
    Hour,
    /// Guessed for each line from the size of its timestamp.
    Auto,
}

impl Precision {
    /// The words of `/write`.
    pub fn from_v1(word: &str) -> Option<Self> {
        Some(match word {
            "n" | "ns" => Precision::Nanosecond,
            "u" | "us" | "\u{b5}" | "\u{3bc}" => Precision::Microsecond,
            "ms" => Precision::Millisecond,
            "s" => Precision::Second,
            "m" => Precision::Minute,
            "h" => Precision::Hour,
            _ => return None,
        })
    }

    /// The words of `/api/v2/write`.
    pub fn from_v2(word: &str) -> Option<Self> {
        matches!(word, "ns" | "us" | "ms" | "s").then(|| Precision::from_v1(word))?
    }

    /// The words of `/api/v3/write_lp`.
    pub fn from_v3(word: &str) -> Option<Self> {
        Some(match word {
            "auto" => Precision::Auto,
            "nanosecond" | "ns" | "n" => Precision::Nanosecond,
            "microsecond" | "us" | "u" => Precision::Microsecond,
            "millisecond" | "ms" => Precision::Millisecond,
            "second" | "s" => Precision::Second,
            _ => return None,
        })
    }

    /// Nanoseconds of one unit; 1 for `Auto`, which has none.
    fn unit_ns(self) -> i64 {
        match self {
            Precision::Nanosecond | Precision::Auto => 1,
            Precision::Microsecond => 1_000,
            Precision::Millisecond => 1_000_000,
            Precision::Second => 1_000_000_000,
            Precision::Minute => 60_000_000_000,
            Precision::Hour => 3_600_000_000_000,
        }
    }

    /// A timestamp in this unit as nanoseconds; `None` outside the range a point may have.
    pub fn scale(self, timestamp: i64) -> Option<Timestamp> {
        let unit = match self {
            Precision::Auto => Precision::guess(timestamp),
            fixed => fixed,
        };
        let ns = timestamp.checked_mul(unit.unit_ns())?;
        (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&ns).then_some(ns)
    }

    /// `now` on the grid of this unit: rounded towards minus infinity.
    pub fn floor(self, now: Timestamp) -> Timestamp {
        now - now.rem_euclid(self.unit_ns())
    }

    /// What `Auto` takes `timestamp` for: the unit in which it lies near the present. Small
    /// numbers, as tests like to use, become seconds.
    fn guess(timestamp: i64) -> Precision {
        match timestamp.unsigned_abs() / 1_000_000_000 {
            0..5 => Precision::Second,
            5..5_000 => Precision::Millisecond,
            5_000..5_000_000 => Precision::Microsecond,
            _ => Precision::Nanosecond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        use Precision::*;
        let cases = [
            ("n", Some(Nanosecond), None, Some(Nanosecond)),
            ("ns", Some(Nanosecond), Some(Nanosecond), Some(Nanosecond)),
            ("u", Some(Microsecond), None, Some(Microsecond)),
            ("us", Some(Microsecond), Some(Microsecond), Some(Microsecond)),
            ("\u{b5}", Some(Microsecond), None, None),
            ("ms", Some(Millisecond), Some(Millisecond), Some(Millisecond)),
            ("s", Some(Second), Some(Second), Some(Second)),
            ("m", Some(Minute), None, None),
            ("h", Some(Hour), None, None),
            ("auto", None, None, Some(Auto)),
            ("second", None, None, Some(Second)),
            ("nanosecond", None, None, Some(Nanosecond)),
            ("S", None, None, None),
            ("", None, None, None),
        ];
        for (word, v1, v2, v3) in cases {
            assert_eq!(Precision::from_v1(word), v1, "v1 {word:?}");
            assert_eq!(Precision::from_v2(word), v2, "v2 {word:?}");
            assert_eq!(Precision::from_v3(word), v3, "v3 {word:?}");
        }
    }

    #[test]
    fn auto_guesses_the_unit_near_the_present() {
        let now = 1_700_000_000;
        for (timestamp, ns) in [
            (now, now * 1_000_000_000),
            (now * 1_000, now * 1_000_000_000),
            (now * 1_000_000, now * 1_000_000_000),
            (now * 1_000_000_000, now * 1_000_000_000),
            (1, 1_000_000_000),
            (-1, -1_000_000_000),
            (4_999_999_999, 4_999_999_999_000_000_000),
            (5_000_000_000, 5_000_000_000_000_000),
        ] {
            assert_eq!(Precision::Auto.scale(timestamp), Some(ns), "{timestamp}");
        }
        assert_eq!(Precision::Auto.scale(i64::MIN), None);
    }

    #[test]
    fn floor_goes_towards_minus_infinity() {
        assert_eq!(Precision::Second.floor(1_999_999_999), 1_000_000_000);
        assert_eq!(Precision::Second.floor(-1), -1_000_000_000);
        assert_eq!(Precision::Nanosecond.floor(-1), -1);
        assert_eq!(Precision::Auto.floor(7), 7);
    }
}
