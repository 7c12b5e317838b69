//! Values as people write them: sizes, durations, counts.

/// What the values of a setting look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text but the empty one.
    Text,
    /// Any text; empty: not set.
    OptionalText,
    /// `64MiB`, `512MB`, `4096`.
    Size,
    /// A size, or `auto`.
    AutoSize,
    /// A size, or a part of the machine's memory: `25%`.
    Memory,
    /// `30s`, `1h30m`, `250ms`.
    Duration,
    /// A whole number.
    Count,
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// Why `text` is no value of this kind.
    pub fn check(self, text: &str) -> Result<(), String> {
        let is_good = match self {
            Kind::Text => !text.is_empty(),
            Kind::OptionalText => true,
            Kind::Size => size(text).is_some(),
            Kind::AutoSize => text == "auto" || size(text).is_some(),
            Kind::Memory => percent(text).is_some() || size(text).is_some_and(|n| n > 0),
            Kind::Duration => duration_ns(text).is_some(),
            Kind::Count => count(text).is_some(),
            Kind::Bool => bool(text).is_some(),
            Kind::Choice(words) => words.contains(&text),
        };
        if is_good { Ok(()) } else { Err(format!("expected {}", self.expected())) }
    }

    fn expected(self) -> String {
        match self {
            Kind::Text => "a text that is not empty".to_owned(),
            Kind::OptionalText => "a text".to_owned(),
            Kind::Size => "a size like 64MiB, 512MB or 4096".to_owned(),
            Kind::AutoSize => "`auto` or a size like 64MiB, 512MB or 4096".to_owned(),
            Kind::Memory => "a size like 1GiB, or percent of the memory like 25%".to_owned(),
            Kind::Duration => "a duration like 250ms, 30s, 1h30m or 7d".to_owned(),
            Kind::Count => "a whole number".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// Bytes of `64MiB` (powers of 1024), `512MB` (powers of 1000) or `4096`.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return None,
    };
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        // `1.5GiB`; a part of a byte is a mistake.
        Err(_) if factor > 1 => {
            let bytes = number.parse::<f64>().ok()? * factor as f64;
            (bytes.is_finite() && bytes < u64::MAX as f64).then_some(bytes as u64)
        }
        Err(_) => None,
    }
}

/// 25 of `25%`.
pub fn percent(text: &str) -> Option<u64> {
    let number = text.strip_suffix('%')?.trim_end().parse().ok()?;
    (1..=100).contains(&number).then_some(number)
}

/// Nanoseconds of `1h30m`, `250ms`; `0` needs no unit.
pub fn duration_ns(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut sum) = (text, 0u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit: u64 = match &rest[..letters] {
            "ns" => 1,
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        rest = &rest[letters..];
        sum = sum.checked_add(number.checked_mul(unit)?)?;
    }
    (!text.is_empty()).then_some(sum)
}

/// A whole number; `_` between digits is passed over.
pub fn count(text: &str) -> Option<u64> {
    text.replace('_', "").parse().ok()
}

/// `true` or `false`.
pub fn bool(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// A size in its largest binary unit, for people.
pub fn show_size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}
