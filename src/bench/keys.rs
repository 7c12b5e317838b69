//! Which key an operation is about: a function of the seed and the number of the operation, so that
//! the same seed gives the same operations however many connections there are.

/// How keys are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Each as likely as any other.
    Uniform,
    /// Few are asked for often: the key of rank `r` with weight `1 / r^theta`.
    Zipf(f64),
    /// As Zipf, of the keys written last.
    Latest,
    /// One after the other.
    Sequential,
}

/// Skew of `zipf` without a number, and of `latest`: that of YCSB.
const THETA: f64 = 0.99;

impl Distribution {
    /// The distribution called `text`.
    pub fn of(text: &str) -> Result<Distribution, String> {
        match text.split_once(':').unwrap_or((text, "")) {
            ("uniform", "") => Ok(Distribution::Uniform),
            ("sequential", "") => Ok(Distribution::Sequential),
            ("latest", "") => Ok(Distribution::Latest),
            ("zipf", "") => Ok(Distribution::Zipf(THETA)),
            ("zipf", theta) => match theta.parse() {
                Ok(theta) if theta > 0.0 && theta < 1.0 => Ok(Distribution::Zipf(theta)),
                _ => Err("zipf:THETA is above 0 and below 1".to_owned()),
            },
            _ => Err("uniform, zipf, zipf:0.99, latest or sequential".to_owned()),
        }
    }

    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            Distribution::Uniform => "uniform".to_owned(),
            Distribution::Zipf(theta) => format!("zipf {theta}"),
            Distribution::Latest => "latest".to_owned(),
            Distribution::Sequential => "sequential".to_owned(),
        }
    }
}

/// Numbers that a seed and the number of an operation give.
#[derive(Debug, Clone, Copy)]
pub struct Dice(u64);

impl Dice {
    /// The numbers of operation `operation`.
    pub fn of(seed: u64, operation: u64) -> Dice {
        let mut dice = Dice(seed ^ operation.wrapping_mul(0xd605_0b3b_9a5e_2c61));
        dice.next();
        dice
    }

    /// The next number (SplitMix64).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to 1, 1 excluded.
    pub fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Chooses keys.
#[derive(Debug)]
pub struct Keys {
    count: u64,
    distribution: Distribution,
    zipf: Option<Zipf>,
}

impl Keys {
    /// Keys from 0 to `count`, which is at least 1.
    pub fn new(count: u64, distribution: Distribution) -> Keys {
        let theta = match distribution {
            Distribution::Zipf(theta) => Some(theta),
            Distribution::Latest => Some(THETA),
            _ => None,
        };
        Keys { count, distribution, zipf: theta.map(|theta| Zipf::new(count, theta)) }
    }

    /// The key that operation `operation` writes, as number; `newest` have been written so far.
    pub fn written(&self, operation: u64, newest: u64, dice: &mut Dice) -> u64 {
        match self.distribution {
            Distribution::Latest => newest % self.count,
            _ => self.read(operation, newest, dice),
        }
    }

    /// The key that operation `operation` reads.
    pub fn read(&self, operation: u64, newest: u64, dice: &mut Dice) -> u64 {
        let zipf = || self.zipf.as_ref().expect("made with the distribution");
        match self.distribution {
            Distribution::Uniform => dice.next() % self.count,
            Distribution::Sequential => operation % self.count,
            // The often asked ones lie all over the key space, not side by side.
            Distribution::Zipf(_) => Dice::of(0, zipf().rank(dice.part())).next() % self.count,
            Distribution::Latest => {
                let back = zipf().rank(dice.part()) % newest.clamp(1, self.count);
                (newest.max(1) - 1 - back) % self.count
            }
        }
    }
}

/// Ranks after Zipf, by the method of Gray and others (Quickly Generating Billion-Record Synthetic
/// Databases, 1994).
#[derive(Debug)]
struct Zipf {
    count: u64,
    theta: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    fn new(count: u64, theta: f64) -> Zipf {
        let zeta_of = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-theta)).sum::<f64>();
        let zeta = zeta_of(count);
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - theta)) / (1.0 - zeta_of(2) / zeta);
        Zipf { count, theta, zeta, alpha: 1.0 / (1.0 - theta), eta }
    }

    /// The rank, from 0, of a number from 0 to 1.
    fn rank(&self, part: f64) -> u64 {
        let scaled = part * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(self.theta) {
            return 1.min(self.count - 1);
        }
        let rank = self.count as f64 * (self.eta * part - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn counts(distribution: Distribution, newest: u64) -> BTreeMap<u64, u64> {
        let keys = Keys::new(100, distribution);
        let mut counts = BTreeMap::new();
        for operation in 0..10_000 {
            let key = keys.read(operation, newest, &mut Dice::of(7, operation));
            assert!(key < 100, "{distribution:?}");
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    #[test]
    fn keys_are_chosen_as_named() {
        let uniform = counts(Distribution::Uniform, 0);
        assert_eq!(uniform.len(), 100);
        assert!(uniform.values().all(|count| (50..200).contains(count)), "{uniform:?}");
        let sequential = counts(Distribution::Sequential, 0);
        assert!(sequential.values().all(|count| *count == 100));
        let zipf = counts(Distribution::Zipf(0.99), 0);
        let most = zipf.values().max().copied().unwrap_or_default();
        assert!(most > 1500, "rank 0 has weight 1 of about 5.4: {most}");
        let latest = counts(Distribution::Latest, 50);
        let newest = latest.get(&49).copied().unwrap_or_default();
        assert!(newest > 1500 && latest.keys().all(|key| *key < 50), "{latest:?}");
        assert_eq!(counts(Distribution::Latest, 0).len(), 1, "nothing was written yet");
    }

    #[test]
    fn names_are_read() {
        assert_eq!(Distribution::of("zipf:0.5"), Ok(Distribution::Zipf(0.5)));
        assert_eq!(Distribution::of("zipf"), Ok(Distribution::Zipf(THETA)));
        for bad in ["zipf:1", "zipf:x", "uniform:1", "gauss", ""] {
            assert!(Distribution::of(bad).is_err(), "{bad}");
        }
    }
}
