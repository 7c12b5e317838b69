//! Settings: defaults, then a TOML file, then the environment, then flags; the last one wins.
//!
//! The one table of [`table::SETTINGS`] names every key with its default, kind and reason. Key
//! `http.addr` is `addr` of `[http]` in the file, `FIRNDB_HTTP_ADDR` in the environment, and
//! `--http-addr` (where there is such a flag) or `--set http.addr=..` on the command line.
//!
//! Nothing is passed over: an unknown key is an error that names the nearest one and shows its
//! line; a value that cannot be is refused with the place it came from.

pub mod settings;
pub mod table;
pub mod value;

use std::fmt;
use std::path::{Path, PathBuf};

use firndb::engine::fs::{self, Fs};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use table::{SETTINGS, Setting};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table of settings.
    Default,
    /// Line of a file.
    File(PathBuf, usize),
    /// A variable of the environment.
    Env(String),
    /// A flag, as written.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Env(name) => write!(f, "env {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A setting that cannot be used; the text says which, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Every setting with its value and origin, in the order of the table.
#[derive(Debug, Clone)]
pub struct Config {
    values: Vec<(String, Origin)>,
}

/// Where settings are taken from.
pub struct Sources<'a> {
    /// Reads the file.
    pub fs: &'a dyn Fs,
    /// `--config`; without it the usual places are tried.
    pub file: Option<&'a Path>,
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Key, value and flag, in the order written.
    pub flags: &'a [(String, String, String)],
}

impl Config {
    /// All defaults.
    pub fn defaults() -> Self {
        let default = |setting: &Setting| (setting.default.to_owned(), Origin::Default);
        Config { values: SETTINGS.iter().map(default).collect() }
    }

    /// Reads all sources.
    pub fn load(sources: &Sources<'_>) -> Result<Config, ConfigError> {
        let mut config = Config::defaults();
        if let Some(path) = find_file(sources)? {
            let bytes = fs::read_all(sources.fs, &path)
                .map_err(|e| ConfigError(format!("cannot read {}: {e}", path.display())))?;
            let text = String::from_utf8(bytes)
                .map_err(|_| ConfigError(format!("{} is not UTF-8 text", path.display())))?;
            config.read_toml(&path, &text)?;
        }
        for (index, setting) in SETTINGS.iter().enumerate() {
            let name = setting.env_name();
            if let Some(value) = (sources.env)(&name) {
                config.set(index, value, Origin::Env(name))?;
            }
        }
        for (key, value, flag) in sources.flags {
            let index = index_of(key)
                .ok_or_else(|| ConfigError(format!("{}\n  in {flag}", unknown_key(key))))?;
            config.set(index, value.clone(), Origin::Flag(flag.clone()))?;
        }
        Ok(config)
    }

    /// The value of a key of the table, as text.
    pub fn get(&self, key: &str) -> &str {
        let index = index_of(key).expect("callers name keys of the table");
        &self.values[index].0
    }

    /// Settings with their values and origins.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Setting, &str, &Origin)> {
        SETTINGS
            .iter()
            .zip(&self.values)
            .map(|(setting, (value, origin))| (setting, value.as_str(), origin))
    }

    fn set(&mut self, index: usize, value: String, origin: Origin) -> Result<(), ConfigError> {
        let setting = &SETTINGS[index];
        setting.kind.check(&value).map_err(|why| {
            ConfigError(format!("{} = {value:?}: {why}\n  from {origin}", setting.key))
        })?;
        self.values[index] = (value, origin);
        Ok(())
    }

    fn read_toml(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let table = DeTable::parse(text)
            .map_err(|e| ConfigError(format!("{} is not TOML: {e}", path.display())))?;
        self.read_table(path, text, "", table.get_ref())
    }

    fn read_table(
        &mut self,
        path: &Path,
        text: &str,
        prefix: &str,
        table: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            let line = line_of(text, name.span().start);
            if let DeValue::Table(inner) = value.get_ref() {
                let section = format!("{key}.");
                if SETTINGS.iter().any(|setting| setting.key.starts_with(&section)) {
                    self.read_table(path, text, &section, inner)?;
                    continue;
                }
            }
            let at = |what: String| ConfigError(point_at(path, text, name, line, &what));
            let index = index_of(&key).ok_or_else(|| at(unknown_key(&key)))?;
            let value = plain_text(value)
                .ok_or_else(|| at(format!("{key} must be a text, a number, true or false")))?;
            self.set(index, value, Origin::File(path.to_owned(), line))
                .map_err(|error| at(error.0))?;
        }
        Ok(())
    }
}

fn index_of(key: &str) -> Option<usize> {
    SETTINGS.iter().position(|setting| setting.key == key)
}

fn plain_text(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The file to read: the one named, else the first that exists of the usual ones.
fn find_file(sources: &Sources<'_>) -> Result<Option<PathBuf>, ConfigError> {
    let named = sources.file.map(Path::to_owned);
    if let Some(path) = named.or_else(|| (sources.env)("FIRNDB_CONFIG").map(PathBuf::from)) {
        return Ok(Some(path));
    }
    let home = (sources.env)("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| (sources.env)("HOME").map(|home| Path::new(&home).join(".config")));
    let usual = [
        Some(PathBuf::from("firndb.toml")),
        home.map(|home| home.join("firndb/firndb.toml")),
        Some(PathBuf::from("/etc/firndb/firndb.toml")),
    ];
    Ok(usual.into_iter().flatten().find(|path| sources.fs.exists(path).unwrap_or(false)))
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].bytes().filter(|byte| *byte == b'\n').count()
}

/// A message with the line it is about and a caret below the key.
fn point_at<T>(path: &Path, text: &str, key: &Spanned<T>, line: usize, what: &str) -> String {
    let span = key.span();
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let shown = text[start..].lines().next().unwrap_or_default();
    let gutter = line.to_string();
    format!(
        "{what}\n  --> {}:{line}\n{:w$} |\n{gutter} | {shown}\n{:w$} | {}{}",
        path.display(),
        "",
        "",
        " ".repeat(text[start..span.start].chars().count()),
        "^".repeat(text[span].chars().count().max(1)),
        w = gutter.len()
    )
}

fn unknown_key(key: &str) -> String {
    let nearest = SETTINGS.iter().min_by_key(|setting| distance(key, setting.key));
    match nearest.filter(|setting| distance(key, setting.key) <= 3.max(key.len() / 3)) {
        Some(setting) => format!("unknown setting {key:?}; did you mean {:?}?", setting.key),
        None => format!("unknown setting {key:?}; `firndb config example` lists them all"),
    }
}

/// Insertions, removals and replacements from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte_a) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, byte_b) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte_a != byte_b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
