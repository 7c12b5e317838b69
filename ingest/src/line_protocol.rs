//! Line protocol: the text in which clients send points.
//!
//! ```text
//! measurement,tagkey=tagvalue,... field=value,... timestamp
//! cpu,host=a,region=eu\ west      busy=81.5,n=3i  1700000000000000000
//! ```
//!
//! Steps, line by line: cut at the next LF (`lines`); find the end of the series text and ask
//! `known` for it; only an unknown series has its tags parsed (`point`); fields go into one
//! arena; a timestamp is scaled to nanoseconds. A bad line is reported and the others go on.
//!
//! Invariants:
//! - a refused line leaves nothing behind in the batch, and costs at most two more passes over
//!   its own bytes;
//! - names and strings are slices of the text unless they have escapes;
//! - no input panics.
//!
//! Why a known series may skip the checks of its tags: `known` answers only for texts of series
//! that were stored, and a text that was refused here is never stored.
//!
//! Deviations from InfluxDB 1.x, where it refuses harmless text or stores garbage: one CR before
//! the LF is dropped; bytes after a closing quote are an error; a leading NUL is an error; a line
//! that is not UTF-8 is an error; a comment ends at its LF whatever it contains.

mod encode;
mod escape;
mod lines;
mod number;
mod point;

use std::fmt;

use firndb_tsdb::model::{Batch, SeriesRef, Timestamp};

use crate::precision::Precision;

pub use encode::{EncodeError, encode};

/// Bytes of a line that an error repeats: a client's log should not drown in a line of a megabyte.
const TEXT_BYTES_MAX: usize = 512;
/// Errors kept with their text; more are only counted. A body of nothing but one-letter lines
/// would otherwise cost fifty times its size.
const ERRORS_MAX: usize = 1000;
/// Longest series text, and series text + 4 + field key; InfluxDB's limit.
const KEY_BYTES_MAX: usize = 65_535;

/// What a text held.
#[derive(Debug, Default)]
pub struct Parsed<'a> {
    /// The good points.
    pub batch: Batch<'a>,
    /// The bad lines, in input order; the first 1000 of them.
    pub errors: Vec<LineError>,
    /// Number of bad lines.
    pub error_count: u64,
}

/// A line that is not a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// Line of the text, from 1.
    pub line: u32,
    /// Byte of that line at which it went wrong, from 1.
    pub column: u32,
    /// What is wrong.
    pub reason: Reason,
    /// The line, cut after 512 bytes; bytes that are not UTF-8 replaced.
    pub text: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unable to parse '{}': {}", self.text, self.reason)
    }
}

/// What is wrong with a line. The texts are those of InfluxDB 1.x: clients look for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the texts say it
pub enum Reason {
    #[error("missing measurement")]
    MissingMeasurement,
    #[error("invalid measurement")]
    InvalidMeasurement,
    #[error("missing tag key")]
    MissingTagKey,
    #[error("missing tag value")]
    MissingTagValue,
    #[error("invalid tag format")]
    InvalidTagFormat,
    #[error("duplicate tags")]
    DuplicateTags,
    #[error("missing fields")]
    MissingFields,
    #[error("invalid field format")]
    InvalidFieldFormat,
    #[error("missing field key")]
    MissingFieldKey,
    #[error("missing field value")]
    MissingFieldValue,
    #[error("invalid number")]
    InvalidNumber,
    #[error("invalid float")]
    InvalidFloat,
    #[error("invalid boolean")]
    InvalidBoolean,
    #[error("unable to parse integer {0}: value out of range")]
    IntegerOutOfRange(String),
    #[error("unable to parse unsigned {0}: value out of range")]
    UnsignedOutOfRange(String),
    #[error("unbalanced quotes")]
    UnbalancedQuotes,
    #[error("bad timestamp")]
    BadTimestamp,
    #[error("time outside range -9223372036854775806 - 9223372036854775806")]
    TimeOutsideRange,
    #[error("point is invalid")]
    PointIsInvalid,
    #[error("max key length exceeded: {0} > {KEY_BYTES_MAX}")]
    KeyTooLong(usize),
    #[error("invalid UTF-8")]
    InvalidUtf8,
    #[error("text longer than 4 GiB")]
    TextTooLong,
}

/// A [`Reason`] and the byte of the line at which it was found.
#[derive(Debug, PartialEq)]
struct Fault {
    at: usize,
    reason: Reason,
}

impl Fault {
    fn new(at: usize, reason: Reason) -> Self {
        Fault { at, reason }
    }
}

/// The points of `text`.
///
/// - `precision`: unit of its timestamps.
/// - `now`: the timestamp of points without one, after rounding down to `precision`.
/// - `known`: the series whose text (measurement and tags, as written) is given, if it is stored.
pub fn parse<'a>(
    text: &'a [u8],
    precision: Precision,
    now: Timestamp,
    known: impl Fn(&[u8]) -> Option<SeriesRef>,
) -> Parsed<'a> {
    parse_piece(text, &mut Place::default(), usize::MAX, precision, now, known)
}

/// Where a line of a text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Byte of the text.
    pub at: usize,
    /// Line, from 1.
    pub line: u32,
}

impl Default for Place {
    fn default() -> Self {
        Place { at: 0, line: 1 }
    }
}

/// As [`parse`], from `place` on, up to the end of the line with which `piece_bytes` are reached;
/// moves `place` there. The points of a long text are never all held at once that way.
pub fn parse_piece<'a>(
    text: &'a [u8],
    place: &mut Place,
    piece_bytes: usize,
    precision: Precision,
    now: Timestamp,
    known: impl Fn(&[u8]) -> Option<SeriesRef>,
) -> Parsed<'a> {
    let mut parsed = Parsed::default();
    if u32::try_from(text.len()).is_err() {
        // Ranges into the arenas and line numbers are u32.
        parsed.refuse(1, text, Fault::new(0, Reason::TextTooLong));
        place.at = text.len();
        return parsed;
    }
    let times = point::Times { precision, default: precision.floor(now) };
    let lines = lines::Lines::new(text);
    let Place { mut at, line: mut line_number } = *place;
    let end = text.len().min(at.saturating_add(piece_bytes));
    while at < end {
        let mut line = lines.cut_at_lf(at);
        if !line.is_point() {
            at = line.next;
            line_number += 1;
            continue;
        }
        let mut outcome = parse_line(&lines, &line, line_number, &times, &known, &mut parsed.batch);
        let mut lf_inside = 0;
        if outcome.is_err() {
            // The LF may lie within quotes or behind a backslash: cut as the rules say. A line
            // that parsed cannot be one of those: it ended outside quotes, not in a backslash.
            let whole = lines.cut(&line);
            if whole.next != line.next {
                line = whole;
                lf_inside = lines.count_lf(&line);
                outcome = parse_line(&lines, &line, line_number, &times, &known, &mut parsed.batch);
            }
        }
        match outcome {
            Ok(()) if parsed.batch.points.len() == 1 => {
                reserve(&mut parsed.batch, end - at.min(end), line.next - at);
            }
            Ok(()) => {}
            Err(fault) => {
                let fault = Fault::new(fault.at + line.start - at, fault.reason);
                parsed.refuse(line_number, &text[line.start..line.end], fault);
            }
        }
        line_number += 1 + lf_inside;
        at = line.next;
    }
    *place = Place { at, line: line_number };
    parsed
}

/// Where the line that starts at `at` ends, its LF included: the start of the next one. For
/// cutting a text into pieces of whole lines.
pub fn line_end(text: &[u8], at: usize) -> usize {
    lines::next_line(text, at)
}

fn parse_line<'a>(
    lines: &lines::Lines<'a>,
    line: &lines::Line,
    number: u32,
    times: &point::Times,
    known: &impl Fn(&[u8]) -> Option<SeriesRef>,
    batch: &mut Batch<'a>,
) -> Result<(), Fault> {
    let text = lines.text_of(line).map_err(|at| Fault::new(at, Reason::InvalidUtf8))?;
    point::parse(text, number, times, known, batch)
}

/// Makes room for `rest_bytes` of text like the first line, which took `line_bytes`: growing the
/// arenas by doubling would copy every point once more.
fn reserve(batch: &mut Batch<'_>, rest_bytes: usize, line_bytes: usize) {
    let lines = rest_bytes / line_bytes;
    // Bounded: a short first line must not make a long body reserve many times its size.
    batch.points.reserve(lines.min(1 << 16));
    batch.fields.reserve((lines * batch.fields.len()).min(1 << 19));
}

impl Parsed<'_> {
    fn refuse(&mut self, line: u32, text: &[u8], fault: Fault) {
        self.error_count += 1;
        if self.errors.len() == ERRORS_MAX {
            return;
        }
        let cut = &text[..text.len().min(TEXT_BYTES_MAX)];
        let mut cut_text = String::from_utf8_lossy(cut).into_owned();
        if cut.len() < text.len() && std::str::from_utf8(cut).is_err() {
            // The cut may have gone through a character.
            while cut_text.ends_with(char::REPLACEMENT_CHARACTER) {
                cut_text.pop();
            }
        }
        self.errors.push(LineError {
            line,
            column: fault.at as u32 + 1,
            reason: fault.reason,
            text: cut_text,
        });
    }
}
