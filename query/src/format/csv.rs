//! Answers as the CSV of InfluxDB 1.x.
//!
//! ```text
//! name,tags,time,f
//! m,"h=a,k=b",1700000000000000000,1
//! ```
//!
//! A statement begins with its header, after an empty line unless it is the first; so does a
//! series whose columns are others than those before. A failure is a block of its own, with the
//! header `error`; so is what makes an answer less than exact, with the header `warning`.

use super::cells::{Notation, Words, cells, rows};
use super::number;
use super::output::{Closed, Output};
use super::time::TimeFormat;
use crate::error::Error;
use crate::exec::{Series, SeriesHead};
use crate::influxql::Answer;

/// Text, numbers and nothing, as CSV has them.
pub struct Csv;

impl Notation for Csv {
    const MISSING: &'static [u8] = b"";

    fn float(number: f64, out: &mut Vec<u8>) {
        number::plain_float(number, out);
    }

    fn text(text: &str, out: &mut Vec<u8>) {
        field(text, out);
    }
}

/// Appends a field, in quotes if it needs them.
fn field(text: &str, out: &mut Vec<u8>) {
    let special = |b: u8| matches!(b, b',' | b'"' | b'\n' | b'\r');
    if !text.bytes().any(special) && !text.starts_with([' ', '\t']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Writes the answers to the statements of one request.
pub struct Writer {
    output: Output,
    time: TimeFormat,
    /// Whether nothing was written yet.
    first: bool,
    words: Vec<Words>,
}

impl Writer {
    /// A writer into `output`.
    pub fn new(output: Output, time: TimeFormat) -> Writer {
        Writer { output, time, first: true, words: Vec::new() }
    }

    /// Writes the answer to the next statement; returns whether all went well.
    pub fn statement(&mut self, answer: Result<Answer, Error>) -> Result<bool, Closed> {
        let failure = match answer {
            Ok(mut answer) => {
                let failure = self.series(&mut answer)?;
                answer.warnings().iter().for_each(|warning| self.said("warning", warning));
                failure
            }
            Err(error) => Some(error),
        };
        if let Some(error) = &failure {
            self.said("error", &error.to_string());
        }
        self.output.checkpoint()?;
        Ok(failure.is_none())
    }

    /// Ends the request.
    pub fn finish(self) -> Result<(), Closed> {
        self.output.finish()
    }

    fn series(&mut self, answer: &mut Answer) -> Result<Option<Error>, Closed> {
        let time_name = answer.time().map(|column| column.name.clone());
        let zone = answer.time().and_then(|column| column.zone);
        let time = match self.time {
            TimeFormat::Rfc3339(_) => TimeFormat::Rfc3339(zone),
            epoch => epoch,
        };
        let mut columns: Option<Vec<String>> = None;
        let mut lead = Vec::new();
        for part in answer {
            let part = match part {
                Ok(part) => part,
                Err(error) => return Ok(Some(error)),
            };
            if columns.as_ref() != Some(&part.head.columns) {
                self.header(&part.head, time_name.as_deref());
                columns = Some(part.head.columns.clone());
            }
            lead.clear();
            begin_row(&part.head, &mut lead);
            self.rows(&part, &lead, time_name.as_ref().map(|_| time))?;
        }
        Ok(None)
    }

    /// A block of one line.
    fn said(&mut self, what: &str, text: &str) {
        self.begin_block();
        let out = &mut self.output.buffer;
        out.extend_from_slice(what.as_bytes());
        out.push(b'\n');
        field(text, out);
        out.push(b'\n');
    }

    fn begin_block(&mut self) {
        if !std::mem::take(&mut self.first) {
            self.output.buffer.push(b'\n');
        }
    }

    fn header(&mut self, head: &SeriesHead, time: Option<&str>) {
        self.begin_block();
        let out = &mut self.output.buffer;
        out.extend_from_slice(b"name,tags");
        for column in time.into_iter().chain(head.columns.iter().map(String::as_str)) {
            out.push(b',');
            field(column, out);
        }
        out.push(b'\n');
    }

    fn rows(&mut self, part: &Series, lead: &[u8], time: Option<TimeFormat>) -> Result<(), Closed> {
        let cells = cells::<Csv>(part, &mut self.words);
        for row in 0..rows(part) {
            let out = &mut self.output.buffer;
            out.extend_from_slice(lead);
            if let Some(time) = time {
                out.push(b',');
                time.write(part.times[row], out);
            }
            for cell in &cells {
                out.push(b',');
                cell.write::<Csv>(row, out);
            }
            out.push(b'\n');
            self.output.checkpoint()?;
        }
        Ok(())
    }
}

/// Name and tags: the first two fields of every row of a series.
fn begin_row(head: &SeriesHead, out: &mut Vec<u8>) {
    field(&head.name, out);
    out.push(b',');
    let mut tags = String::new();
    for (key, value) in &head.tags {
        if !tags.is_empty() {
            tags.push(',');
        }
        tags.push_str(key);
        tags.push('=');
        tags.push_str(value);
    }
    field(&tags, out);
}
