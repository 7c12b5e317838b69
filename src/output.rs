//! How commands that show state print it: rows for people, and the same rows for programs.
//!
//! ```text
//! table    aligned columns, counts in groups of three, sizes in KiB and MiB; --raw: bare integers
//! json     one document: { fact: value, .., list: [ {column: value, ..}, .. ] }
//! ndjson, csv, md    the rows of the first list
//! ```
//!
//! Bytes (keys, values) are shown as ASCII with `\n`, `\\`, `\xff`: reversible, and what arguments
//! that take keys understand.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::cli::print_lines;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Aligned columns.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a row.
    Ndjson,
    /// Comma-separated values.
    Csv,
    /// A Markdown table.
    Md,
}

/// Arguments of commands that print rows.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// How rows are printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print sizes and counts as bare integers.
    #[arg(long)]
    raw: bool,
}

impl OutputArgs {
    fn form(&self) -> Form {
        if self.json { Form::Json } else { self.format }
    }
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Not known, or none.
    Nothing,
    /// Text.
    Text(String),
    /// A number of things.
    Count(u64),
    /// A number that is a name: a sequence number, an offset.
    Number(u64),
    /// A size.
    Bytes(u64),
    /// A ratio.
    Ratio(f64),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Nothing, Into::into)
    }
}

impl From<&[u8]> for Cell {
    fn from(bytes: &[u8]) -> Self {
        Cell::Text(shown(bytes))
    }
}

impl Cell {
    fn json(&self) -> Value {
        match self {
            Cell::Nothing => Value::Null,
            Cell::Text(text) => json!(text),
            Cell::Count(number) | Cell::Number(number) | Cell::Bytes(number) => json!(number),
            Cell::Ratio(ratio) => json!(ratio),
        }
    }

    fn text(&self, is_raw: bool) -> String {
        match self {
            Cell::Nothing => String::from(if is_raw { "" } else { "-" }),
            Cell::Text(text) => text.clone(),
            Cell::Count(number) if !is_raw => grouped(*number),
            Cell::Bytes(bytes) if !is_raw => size(*bytes),
            Cell::Count(number) | Cell::Number(number) | Cell::Bytes(number) => number.to_string(),
            Cell::Ratio(ratio) => format!("{ratio:.2}"),
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Cell::Text(_))
    }
}

/// Rows under named columns.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Rows {
    /// No rows yet; column names are the keys of JSON.
    pub fn new(columns: &[&'static str]) -> Self {
        Rows { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// The objects of a JSON array as rows; what a column is shown as goes by its name.
    pub fn of_json(list: &Value, columns: &[&'static str]) -> Self {
        let mut rows = Rows::new(columns);
        let cell = |object: &Value, name: &str| match &object[name] {
            Value::Null => Cell::Nothing,
            Value::String(text) => Cell::Text(text.clone()),
            Value::Number(number) => match number.as_u64() {
                Some(bytes) if name.ends_with("bytes") => Cell::Bytes(bytes),
                Some(count) if name == "id" || name.ends_with("level") => Cell::Number(count),
                Some(count) => Cell::Count(count),
                None => Cell::Ratio(number.as_f64().unwrap_or_default()),
            },
            other => Cell::Text(other.to_string()),
        };
        for object in list.as_array().into_iter().flatten() {
            rows.push(columns.iter().map(|name| cell(object, name)).collect());
        }
        rows
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    fn objects(&self) -> Vec<Value> {
        let object = |row: &Vec<Cell>| {
            let named = self.columns.iter().zip(row);
            Value::Object(named.map(|(name, cell)| (name.to_string(), cell.json())).collect())
        };
        self.rows.iter().map(object).collect()
    }

    /// Aligned columns: text to the left, numbers to the right.
    fn table(&self, is_raw: bool) -> String {
        self.table_in(&mut Vec::new(), is_raw)
    }

    /// As [`Rows::table`], with columns of at least `widths`, which grow to those that were needed.
    fn table_in(&self, widths: &mut Vec<usize>, is_raw: bool) -> String {
        let heads = self.columns.iter().map(|name| name.replace('_', " ").to_uppercase());
        let mut lines: Vec<Vec<String>> = vec![heads.collect()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(|c| c.text(is_raw)).collect()));
        let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max();
        widths.resize(self.columns.len(), 0);
        for (at, least) in widths.iter_mut().enumerate() {
            *least = (*least).max(width(at).unwrap_or_default());
        }
        let is_left = |at: usize| self.rows.iter().any(|row| row[at].is_text());
        let mut out = String::new();
        for line in &lines {
            let mut text = String::new();
            for (at, cell) in line.iter().enumerate() {
                let width = widths[at];
                text += &match is_left(at) {
                    true => format!("{cell:<width$}  "),
                    false => format!("{cell:>width$}  "),
                };
            }
            out += text.trim_end();
            out.push('\n');
        }
        out
    }

    /// One line a value: for few rows of many columns.
    fn lines(&self, is_raw: bool) -> String {
        let width = self.columns.iter().map(|name| name.len()).max().unwrap_or_default();
        let mut out = String::new();
        for row in &self.rows {
            if !out.is_empty() {
                out.push('\n');
            }
            for (name, cell) in self.columns.iter().zip(row) {
                out += &format!("{name:width$}  {}\n", cell.text(is_raw));
            }
        }
        out
    }

    fn csv(&self) -> String {
        let quoted = |text: String| match text.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text,
        };
        let mut out = self.columns.join(",") + "\n";
        for row in &self.rows {
            let cells: Vec<_> = row.iter().map(|cell| quoted(cell.text(true))).collect();
            out += &(cells.join(",") + "\n");
        }
        out
    }

    fn markdown(&self, is_raw: bool) -> String {
        let rule: Vec<_> = self.columns.iter().map(|_| "---").collect();
        let mut out = format!("| {} |\n| {} |\n", self.columns.join(" | "), rule.join(" | "));
        for row in &self.rows {
            let cells = row.iter().map(|cell| cell.text(is_raw).replace('|', "\\|"));
            out += &format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
        }
        out
    }
}

/// Rows that come in time: what stands above them is printed once.
#[derive(Debug, Default)]
pub struct Stream {
    widths: Vec<usize>,
    is_begun: bool,
}

impl Stream {
    /// Prints more rows as asked; a JSON document has no end here, so that it is one a row.
    pub fn print(&mut self, rows: &Rows, args: &OutputArgs) {
        print_lines(&self.render(rows, args.form(), args.raw));
    }

    fn render(&mut self, rows: &Rows, form: Form, is_raw: bool) -> String {
        let (text, heads) = match form {
            Form::Json | Form::Ndjson => {
                (rows.objects().iter().map(|row| format!("{row}\n")).collect(), 0)
            }
            Form::Csv => (rows.csv(), 1),
            Form::Md => (rows.markdown(is_raw), 2),
            Form::Table => (rows.table_in(&mut self.widths, is_raw), 1),
        };
        let skipped = if std::mem::replace(&mut self.is_begun, true) { heads } else { 0 };
        text.split_inclusive('\n').skip(skipped).collect()
    }
}

/// What a command prints.
#[derive(Debug, Default)]
pub struct Answer {
    lists: Vec<(&'static str, Rows)>,
    facts: Map<String, Value>,
    notes: String,
    is_upright: bool,
}

impl Answer {
    /// An answer with the rows `list`.
    pub fn of(name: &'static str, list: Rows) -> Self {
        Answer { lists: vec![(name, list)], ..Answer::default() }
    }

    /// Rows are printed one value a line.
    pub fn upright(mut self) -> Self {
        self.is_upright = true;
        self
    }

    /// Adds rows.
    pub fn list(mut self, name: &'static str, list: Rows) -> Self {
        self.lists.push((name, list));
        self
    }

    /// Adds a value to the JSON document.
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a line for people, behind the rows.
    pub fn note(mut self, line: impl AsRef<str>) -> Self {
        self.notes += line.as_ref();
        self.notes.push('\n');
        self
    }

    fn document(&self) -> Value {
        let mut document = self.facts.clone();
        for (name, rows) in &self.lists {
            document.insert((*name).to_owned(), Value::Array(rows.objects()));
        }
        Value::Object(document)
    }

    fn render(&self, form: Form, is_raw: bool) -> String {
        let first = self.lists.first().map(|(_, rows)| rows);
        let first = || first.cloned().unwrap_or_default();
        match form {
            Form::Json => format!("{}\n", self.document()),
            Form::Ndjson => first().objects().iter().map(|row| format!("{row}\n")).collect(),
            Form::Csv => first().csv(),
            Form::Md => first().markdown(is_raw),
            Form::Table => {
                let lists = self.lists.iter().filter(|(_, rows)| rows.len() > 0);
                let lists = lists.map(|(_, rows)| match self.is_upright {
                    true => rows.lines(is_raw),
                    false => rows.table(is_raw),
                });
                let mut texts: Vec<String> = lists.collect();
                texts.extend((!self.notes.is_empty()).then(|| self.notes.clone()));
                if self.is_upright || texts.len() > 2 { texts.join("\n") } else { texts.concat() }
            }
        }
    }

    /// Prints it as asked.
    pub fn print(&self, args: &OutputArgs) {
        print_lines(&self.render(args.form(), args.raw));
    }
}

/// Bytes as text that [`bytes_of`] takes back.
pub fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// As [`shown`], not longer than `max` bytes of the value.
pub fn shown_cut(bytes: &[u8], max: usize) -> String {
    if bytes.len() <= max {
        return shown(bytes);
    }
    format!("{}... ({} bytes)", shown(&bytes[..max]), bytes.len())
}

/// The bytes of an argument: text with the escapes of [`shown`].
pub fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let Some((escape, after)) = rest.split_first() else {
            return Err("ends with a lone \\; write \\\\ for one".to_owned());
        };
        rest = after;
        out.push(match escape {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            b'\\' | b'\'' | b'"' => *escape,
            b'x' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                rest = rest.get(2..).unwrap_or_default();
                byte.ok_or("\\x takes two hexadecimal digits")?
            }
            other => return Err(format!("unknown escape \\{}", other.escape_ascii())),
        });
    }
    Ok(out)
}

/// The bytes of hexadecimal text.
pub fn hex_of(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<_> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    bytes.ok_or_else(|| "expected pairs of hexadecimal digits".to_owned())
}

/// A size in IEC units.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A number in groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_text_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes_of(&shown(&all)).unwrap(), all);
        assert_eq!(bytes_of("caf\u{e9}").unwrap(), "caf\u{e9}".as_bytes());
        for bad in ["\\", "\\x", "\\x1", "\\xg0", "\\q"] {
            assert!(bytes_of(bad).is_err(), "{bad}");
        }
        assert_eq!(hex_of("00ff 10").unwrap(), [0, 255, 16]);
        assert!(hex_of("0").is_err() && hex_of("zz").is_err());
    }

    #[test]
    fn sizes_and_counts_read_well() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_717_987, "1.6 MiB")];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        let cases = [(1, "1"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn rows_that_come_later_stand_under_the_same_heads() {
        let rows = |name: &str, count: u64| {
            let mut rows = Rows::new(&["name", "count"]);
            rows.push(vec![name.into(), Cell::Count(count)]);
            rows
        };
        let mut stream = Stream::default();
        let first = stream.render(&rows("first", 1), Form::Table, false);
        assert_eq!(first, "NAME   COUNT\nfirst      1\n");
        assert_eq!(stream.render(&rows("b", 22), Form::Table, false), "b         22\n");
        assert_eq!(stream.render(&Rows::new(&["name", "count"]), Form::Table, false), "");
        let mut stream = Stream::default();
        assert_eq!(stream.render(&rows("a", 1), Form::Csv, false), "name,count\na,1\n");
        assert_eq!(stream.render(&rows("b", 2), Form::Csv, false), "b,2\n");
        assert_eq!(
            stream.render(&rows("b", 2), Form::Json, false),
            "{\"count\":2,\"name\":\"b\"}\n"
        );
    }

    #[test]
    fn rows_have_five_forms() {
        let mut rows = Rows::new(&["name", "first_seq", "size"]);
        rows.push(vec!["a,b".into(), Cell::Number(1100), Cell::Bytes(2048)]);
        rows.push(vec!["c|".into(), Cell::Nothing, Cell::Bytes(1)]);
        let answer = Answer::of("files", rows).fact("status", "ok").note("done");
        let table =
            "NAME  FIRST SEQ     SIZE\na,b        1100  2.0 KiB\nc|            -      1 B\ndone\n";
        assert_eq!(answer.render(Form::Table, false), table);
        let json: Value = serde_json::from_str(&answer.render(Form::Json, false)).unwrap();
        assert_eq!(json["files"][0]["first_seq"], 1100);
        assert_eq!(json["files"][1]["first_seq"], Value::Null);
        assert_eq!(json["status"], "ok");
        assert_eq!(
            answer.render(Form::Csv, false),
            "name,first_seq,size\n\"a,b\",1100,2048\nc|,,1\n"
        );
        assert_eq!(answer.render(Form::Ndjson, false).lines().count(), 2);
        assert!(answer.render(Form::Md, true).ends_with("| c\\| |  | 1 |\n"));
    }
}
