//! What the operations are: a function of the seed and of their number.

use std::sync::atomic::Ordering;

use super::Mode;
use super::keys::Dice;
use super::run::Load;

/// Operations, in the order of the report.
pub const KINDS: [&str; 4] = ["read", "write", "scan", "query"];
const READ: usize = 0;
/// The kind that writes.
pub const WRITE: usize = 1;
const SCAN: usize = 2;
const QUERY: usize = 3;

/// What one operation came to.
pub struct Done {
    /// Which of [`KINDS`] it was.
    pub kind: usize,
    /// Keys, values or lines.
    pub entries: u64,
    /// Bytes of what was written or found; `None`: nothing was there.
    pub outcome: Result<Option<u64>, String>,
}

/// What a connection writes, in memory that the next operation uses again.
#[derive(Debug, Default)]
pub struct Scratch {
    keys: Vec<u64>,
    pairs: Vec<(String, Vec<u8>)>,
}

impl Load<'_> {
    /// Does operation `operation`.
    pub(super) fn operation(&self, operation: u64, scratch: &mut Scratch) -> Done {
        let mut dice = Dice::of(self.args.seed, operation);
        let is_read = match self.args.mode() {
            Mode::Reads => true,
            Mode::Writes => false,
            Mode::Mixed => dice.part() < self.args.read_ratio,
            Mode::Scan => return self.scan(operation, &mut dice),
        };
        match (is_read, &self.points) {
            (true, None) => self.get(operation, &mut dice),
            (false, None) => self.put(operation, &mut dice, scratch),
            (true, Some(points)) => {
                let newest = self.newest.load(Ordering::Relaxed);
                let series = self.keys.read(operation, newest, &mut dice);
                let outcome = self.target.query(&points.question(series));
                Done { kind: QUERY, entries: 1, outcome }
            }
            (false, Some(points)) => {
                let count = self.args.batch as u64;
                let base = self.newest.fetch_add(count, Ordering::Relaxed);
                let lines = (base..base + count)
                    .map(|line| (line, self.keys.written(line, line, &mut dice)));
                let lines = points.lines(lines);
                let bytes = lines.len() as u64;
                let outcome = self.target.lines(lines).map(|()| Some(bytes));
                Done { kind: WRITE, entries: count, outcome }
            }
        }
    }

    fn get(&self, operation: u64, dice: &mut Dice) -> Done {
        let newest = self.newest.load(Ordering::Relaxed);
        let mut key = key_text(self.keys.read(operation, newest, dice));
        let absent = self.args.absent_ratio;
        if absent > 0.0 && dice.part() < absent {
            key.push('~'); // between this key and the next
        }
        let value = self.target.get(&key);
        let outcome = value.map(|value| value.map(|value| value.len() as u64));
        Done { kind: READ, entries: 1, outcome }
    }

    fn put(&self, operation: u64, dice: &mut Dice, scratch: &mut Scratch) -> Done {
        let Scratch { keys, pairs } = scratch;
        let batch = self.args.batch as u64;
        let base = self.newest.fetch_add(batch, Ordering::Relaxed);
        let key = |n| self.keys.written(operation * batch + n, base + n, dice);
        keys.clear();
        keys.extend((0..batch).map(key));
        pairs.resize_with(keys.len(), Default::default);
        for (key, pair) in keys.iter().zip(&mut *pairs) {
            self.fill_pair(*key, pair);
        }
        let bytes = pairs.iter().map(|(_, value)| value.len() as u64).sum();
        let outcome = self.target.put(pairs).map(|()| {
            keys.iter().for_each(|key| self.acknowledge(*key));
            Some(bytes)
        });
        Done { kind: WRITE, entries: batch, outcome }
    }

    fn scan(&self, operation: u64, dice: &mut Dice) -> Done {
        let newest = self.newest.load(Ordering::Relaxed);
        let key = key_text(self.keys.read(operation, newest, dice));
        let outcome = self.target.scan(&key, self.args.scan_entries).map(Some);
        Done { kind: SCAN, entries: 1, outcome }
    }

    /// A key and its value: the key again, then bytes that do not compress.
    pub(super) fn pair(&self, key: u64) -> (String, Vec<u8>) {
        let mut pair = (String::new(), Vec::new());
        self.fill_pair(key, &mut pair);
        pair
    }

    /// Makes `pair` that of `key`.
    fn fill_pair(&self, key: u64, (text, value): &mut (String, Vec<u8>)) {
        let size = self.args.data_size as usize;
        write_key(text, key);
        value.clear();
        value.reserve(size + DIGITS_MAX);
        value.extend_from_slice(text.as_bytes());
        let mut dice = Dice::of(self.args.seed, key);
        while value.len() < size {
            value.extend_from_slice(&dice.next().to_le_bytes());
        }
        value.truncate(size);
    }
}

/// Digits of a key, at least; and of the largest.
const DIGITS: usize = 12;
const DIGITS_MAX: usize = 20;

/// A key as text: equal lengths, in order.
fn key_text(key: u64) -> String {
    let mut text = String::new();
    write_key(&mut text, key);
    text
}

/// Makes `text` that of `key`; digit by digit, as it is done for every operation and
/// a formatter takes several times as long.
fn write_key(text: &mut String, key: u64) {
    let (mut digits, mut at, mut left) = ([b'0'; DIGITS_MAX], DIGITS_MAX, key);
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    text.clear();
    text.push_str("key");
    let shown = &digits[at.min(DIGITS_MAX - DIGITS)..];
    text.push_str(std::str::from_utf8(shown).expect("digits"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_as_a_formatter_does() {
        let mut text = "what was there".to_owned();
        for key in [0, 7, 10, 1_234_567, 999_999_999_999, 1_000_000_000_000, u64::MAX] {
            write_key(&mut text, key);
            assert_eq!(text, format!("key{key:012}"));
        }
    }
}
