//! Answers as the JSON of InfluxDB 1.x.
//!
//! ```text
//! {"results":[{"statement_id":0,"series":[{"name":"m","tags":{"h":"a"},"columns":["time","f"],
//!  "values":[[0,1]],"partial":true}],"messages":[..],"partial":true,"error":".."}]}
//! ```
//!
//! Chunked, there is a document a line, each with rows of one series. `partial` in a series says
//! that its rows go on, in a result that the statement does; so a document is closed only when it
//! is known what comes next.

use super::cells::{Notation, Words, cells, rows};
use super::number;
use super::output::{Closed, Output};
use super::time::TimeFormat;
use crate::error::Error;
use crate::exec::{Series, SeriesHead};
use crate::influxql::Answer;

/// Text, numbers and nothing, as JSON has them.
pub struct Json;

impl Notation for Json {
    const MISSING: &'static [u8] = b"null";

    fn float(number: f64, out: &mut Vec<u8>) {
        number::json_float(number, out);
    }

    fn text(text: &str, out: &mut Vec<u8>) {
        string(text, out);
    }
}

/// Appends text in quotes.
pub fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// How answers are to be laid out.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// How times are written; the zone comes with each answer.
    pub time: TimeFormat,
    /// Rows of a document, when there is to be one a line.
    pub chunk_rows: Option<usize>,
    /// Most rows of a statement when all is one document; 0: no limit.
    pub rows_max: u64,
}

/// Writes the answers to the statements of one request.
pub struct Writer {
    output: Output,
    layout: Layout,
    statements: usize,
    words: Vec<Words>,
}

impl Writer {
    /// A writer into `output`.
    pub fn new(output: Output, layout: Layout) -> Writer {
        Writer { output, layout, statements: 0, words: Vec::new() }
    }

    /// Writes the answer to the next statement, which may have failed, and the warnings about it.
    /// Returns whether all went well.
    pub fn statement(
        &mut self,
        answer: Result<Answer, Error>,
        warnings: Vec<String>,
    ) -> Result<bool, Closed> {
        let failure = match self.layout.chunk_rows {
            None => self.whole(answer, warnings),
            Some(chunk_rows) => self.chunks(answer, warnings, chunk_rows.max(1)),
        }?;
        self.statements += 1;
        self.output.checkpoint()?;
        Ok(failure.is_none())
    }

    /// Ends the request.
    pub fn finish(mut self) -> Result<(), Closed> {
        if self.layout.chunk_rows.is_none() {
            let end: &[u8] = if self.statements == 0 { b"{}\n" } else { b"]}\n" };
            self.put(end);
        }
        self.output.finish()
    }

    /// Writes a statement as an element of the one document of the request.
    fn whole(
        &mut self,
        answer: Result<Answer, Error>,
        mut warnings: Vec<String>,
    ) -> Result<Option<Error>, Closed> {
        self.put(if self.statements == 0 { b"{\"results\":[" } else { b"," });
        self.begin_result();
        let failure = match answer {
            Ok(mut answer) => {
                let failure = self.whole_series(&mut answer)?;
                warnings.extend(answer.warnings());
                failure
            }
            Err(error) => Some(error),
        };
        self.messages(&warnings);
        self.end_result(failure.as_ref());
        Ok(failure)
    }

    /// Writes the series of an answer; returns why they broke off.
    fn whole_series(&mut self, answer: &mut Answer) -> Result<Option<Error>, Closed> {
        let time = self.time_of(answer);
        let mut room = match self.layout.rows_max {
            0 => usize::MAX,
            rows_max => usize::try_from(rows_max).unwrap_or(usize::MAX),
        };
        let (mut first, mut open, mut failure) = (true, None, None);
        for part in answer {
            let part = match part {
                Ok(part) => part,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            let all = rows(&part);
            if all == 0 && time.is_some() && !part.partial && open.is_none() {
                continue;
            }
            let begun = match open {
                Some(begun) => begun,
                None => {
                    self.put(if first { b",\"series\":[" } else { b"," });
                    first = false;
                    self.begin_series(&part.head, time.as_ref());
                    false
                }
            };
            let some = all.min(room);
            room -= some;
            open = Some(self.rows(&part, 0..some, time.as_ref(), begun)?);
            if some < all {
                break;
            }
            if !part.partial {
                self.end_series(open.take(), false);
            }
        }
        if open.is_some() {
            self.end_series(open, failure.is_none());
        }
        if !first {
            self.put(b"]");
        }
        Ok(failure)
    }

    /// Writes a statement as documents of at most `chunk_rows` rows.
    fn chunks(
        &mut self,
        answer: Result<Answer, Error>,
        mut warnings: Vec<String>,
        chunk_rows: usize,
    ) -> Result<Option<Error>, Closed> {
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(self.lone_document(Some(error), &warnings)),
        };
        let time = self.time_of(&answer);
        let mut next = answer.next();
        if next.is_none() {
            self.lone_document(None, &warnings);
        }
        // Whether a document is open, with how many rows.
        let mut open: Option<usize> = None;
        while let Some(part) = next {
            let part = match part {
                Ok(part) => part,
                Err(error) => {
                    if open.is_some() {
                        self.end_document(open, true, true, &[]);
                    }
                    warnings.extend(answer.warnings());
                    return Ok(self.lone_document(Some(error), &warnings));
                }
            };
            let all = rows(&part);
            let mut row = 0;
            loop {
                let in_document = match open {
                    Some(rows) => rows,
                    None => {
                        self.put(b"{\"results\":[");
                        self.begin_result();
                        self.put(b",\"series\":[");
                        self.begin_series(&part.head, time.as_ref());
                        0
                    }
                };
                let end = all.min(row + chunk_rows - in_document);
                self.rows(&part, row..end, time.as_ref(), in_document > 0)?;
                open = Some(in_document + end - row);
                row = end;
                if row == all {
                    break;
                }
                self.end_document(open.take(), true, true, &[]);
            }
            next = answer.next();
            if !part.partial {
                // What is to be said of the answer is known, and said, at its end.
                let said = if next.is_none() { answer.warnings() } else { Vec::new() };
                self.end_document(open.take(), false, next.is_some(), &said);
            } else if open == Some(chunk_rows) {
                self.end_document(open.take(), true, true, &[]);
            }
            self.output.checkpoint()?;
        }
        Ok(None)
    }

    /// A document without series.
    fn lone_document(&mut self, failure: Option<Error>, warnings: &[String]) -> Option<Error> {
        self.put(b"{\"results\":[");
        self.begin_result();
        self.messages(warnings);
        self.end_result(failure.as_ref());
        self.put(b"]}\n");
        failure
    }

    fn end_document(
        &mut self,
        rows: Option<usize>,
        series_goes_on: bool,
        goes_on: bool,
        warnings: &[String],
    ) {
        self.end_series(rows.map(|rows| rows > 0), series_goes_on);
        self.put(b"]");
        self.messages(warnings);
        if goes_on {
            self.put(b",\"partial\":true");
        }
        self.put(b"}]}\n");
    }

    fn put(&mut self, bytes: &[u8]) {
        self.output.buffer.extend_from_slice(bytes);
    }

    /// The time column of an answer: its name and how times are written.
    fn time_of(&self, answer: &Answer) -> Option<(String, TimeFormat)> {
        let column = answer.time()?;
        let format = match self.layout.time {
            TimeFormat::Rfc3339(_) => TimeFormat::Rfc3339(column.zone),
            epoch => epoch,
        };
        Some((column.name.clone(), format))
    }

    fn begin_result(&mut self) {
        self.put(b"{\"statement_id\":");
        number::integer(self.statements, &mut self.output.buffer);
    }

    fn messages(&mut self, warnings: &[String]) {
        for (index, warning) in warnings.iter().enumerate() {
            self.put(if index == 0 { b",\"messages\":[" } else { b"," });
            self.put(b"{\"level\":\"warning\",\"text\":");
            string(warning, &mut self.output.buffer);
            self.put(b"}");
        }
        if !warnings.is_empty() {
            self.put(b"]");
        }
    }

    fn end_result(&mut self, failure: Option<&Error>) {
        if let Some(error) = failure {
            self.put(b",\"error\":");
            string(&error.to_string(), &mut self.output.buffer);
        }
        self.put(b"}");
    }

    fn begin_series(&mut self, head: &SeriesHead, time: Option<&(String, TimeFormat)>) {
        let out = &mut self.output.buffer;
        out.push(b'{');
        if !head.name.is_empty() {
            out.extend_from_slice(b"\"name\":");
            string(&head.name, out);
            out.push(b',');
        }
        if !head.tags.is_empty() {
            out.extend_from_slice(b"\"tags\":{");
            for (index, (key, value)) in head.tags.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                string(key, out);
                out.push(b':');
                string(value, out);
            }
            out.extend_from_slice(b"},");
        }
        out.extend_from_slice(b"\"columns\":[");
        let columns = time.map(|(name, _)| name).into_iter().chain(&head.columns);
        for (index, column) in columns.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            string(column, out);
        }
        out.push(b']');
    }

    /// Closes a series: `begun` says whether it has rows, `goes_on` whether more were to come.
    fn end_series(&mut self, begun: Option<bool>, goes_on: bool) {
        if begun == Some(true) {
            self.put(b"]");
        }
        if goes_on {
            self.put(b",\"partial\":true");
        }
        self.put(b"}");
    }

    /// Writes some rows of a part; returns whether the series has any by now.
    fn rows(
        &mut self,
        part: &Series,
        rows: std::ops::Range<usize>,
        time: Option<&(String, TimeFormat)>,
        mut begun: bool,
    ) -> Result<bool, Closed> {
        let cells = cells::<Json>(part, &mut self.words);
        let time = time.map(|(_, format)| *format);
        let quotes = time.is_some_and(TimeFormat::is_text);
        for row in rows {
            let out = &mut self.output.buffer;
            out.extend_from_slice(if begun { b"," } else { b",\"values\":[" });
            begun = true;
            out.push(b'[');
            if let Some(time) = time {
                if quotes {
                    out.push(b'"');
                }
                time.write(part.times[row], out);
                if quotes {
                    out.push(b'"');
                }
            }
            for (index, cell) in cells.iter().enumerate() {
                if index > 0 || time.is_some() {
                    out.push(b',');
                }
                cell.write::<Json>(row, out);
            }
            out.push(b']');
            self.output.checkpoint()?;
        }
        Ok(begun)
    }
}
