//! What the three write APIs share: a body becomes stored points and a report.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::HeaderMap;
use firndb_engine::budget::Reservation;
use firndb_tsdb::model::{Batch, Timestamp};
use firndb_tsdb::write::{Refusal, WriteSummary};
use firndb_tsdb::{Database, Error};

use super::IngestState;
use crate::body::{self, BodyError, Received};
use crate::line_protocol::{self, LineError, Parsed, Place};
use crate::metrics::{Protocol, Rejection};
use crate::precision::Precision;

/// Lines that a report tells one by one.
const LINES_MAX: usize = 100;
/// Bytes of each line that it repeats.
const LINE_BYTES_MAX: usize = 200;
/// Memory that a piece of text takes on its way into the store, as a multiple of its bytes: its
/// points, three times for lines of ten fields, and twice for the batch made of them. What the
/// points really take is charged as soon as it is known.
const WORK_FACTOR: u64 = 5;
/// What the batch made of a piece takes.
const BATCH_FACTOR: u64 = 2;
/// Bytes of text parsed and stored at once: this part of the memory there is, within bounds.
const PIECE_PART: u64 = 64;
const PIECE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=8 << 20;

/// What a request asks for.
pub(super) struct WriteRequest {
    pub(super) protocol: Protocol,
    pub(super) database: String,
    /// `None`: the default policy.
    pub(super) policy: Option<String>,
    pub(super) precision: Precision,
    /// Whether one line that does not parse keeps all the others from being stored.
    pub(super) is_all_or_nothing: bool,
    /// Whether the report names the lines.
    pub(super) wants_lines: bool,
}

/// What became of a request.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Points stored.
    pub(super) stored: u64,
    /// Whether some line was a point.
    pub(super) has_points: bool,
    /// Lines that do not parse: the first of them, and how many.
    pub(super) unparsed: Vec<LineError>,
    pub(super) unparsed_count: u64,
    /// Points that the write stage refused, and the first reason.
    pub(super) refused_count: u64,
    pub(super) refusal: Option<String>,
    /// The bad lines, where they were asked for.
    pub(super) lines: Vec<BadLine>,
}

/// A line that was not stored, or not as it was.
#[derive(Debug)]
pub(super) struct BadLine {
    pub(super) line: u32,
    pub(super) kind: Rejection,
    pub(super) reason: String,
    pub(super) text: String,
}

/// Why nothing was stored, whatever the lines.
#[derive(Debug)]
pub(super) enum Failure {
    Body(BodyError),
    Store(Error),
    /// Our own fault: the handler's thread ended.
    Internal,
}

impl Report {
    /// The messages of lines that do not parse, one to a line.
    pub(super) fn unparsed_text(&self) -> String {
        let mut messages: Vec<String> =
            self.unparsed.iter().take(LINES_MAX).map(LineError::to_string).collect();
        let rest = self.unparsed_count.saturating_sub(messages.len() as u64);
        if rest > 0 {
            messages.push(format!("and {rest} more lines"));
        }
        messages.join("\n")
    }
}

/// Takes the body and stores its points.
pub(super) async fn run(
    state: Arc<IngestState>,
    headers: HeaderMap,
    body: Body,
    request: WriteRequest,
) -> Result<Report, Failure> {
    // Admitted with all it needs: or many bodies would be taken in, and none could be parsed.
    let work = match body::admit(&state.budget, state.work_bytes(body::announced_bytes(&headers))) {
        Ok(work) => work,
        Err(error) => {
            body::refuse(&headers, body, false).await;
            return Err(state.refused_body(error));
        }
    };
    let received = body::receive(&headers, body, &state.limits, &state.budget).await;
    let received = received.map_err(|error| state.refused_body(error))?;
    // The commit waits for an fsync: not on a thread that other connections need.
    let stored = tokio::task::spawn_blocking(move || state.store(received, work, &request)).await;
    stored.unwrap_or(Err(Failure::Internal))
}

/// What became of the lines of a text.
#[derive(Default)]
struct Outcome {
    unparsed: Vec<LineError>,
    unparsed_count: u64,
    has_points: bool,
    summary: WriteSummary,
    refused_count: u64,
}

impl Outcome {
    /// Adds what became of a piece; of the bad lines as many are kept as a report may name.
    fn add(&mut self, parsed: Parsed<'_>, summary: WriteSummary) {
        self.has_points |= !parsed.batch.points.is_empty();
        self.unparsed_count += parsed.error_count;
        let room = LINES_MAX.saturating_sub(self.unparsed.len());
        self.unparsed.extend(parsed.errors.into_iter().take(room));
        self.summary.written += summary.written;
        self.refused_count += summary.refused.len() as u64;
        let all = &mut self.summary;
        for (all, more) in
            [(&mut all.refused, summary.refused), (&mut all.stripped, summary.stripped)]
        {
            let room = LINES_MAX.saturating_sub(all.len());
            all.extend(more.into_iter().take(room));
        }
    }
}

impl IngestState {
    fn refused_body(&self, error: BodyError) -> Failure {
        let counter = match error {
            BodyError::TooLarge => Some(&self.metrics.too_large),
            BodyError::Overloaded => Some(&self.metrics.overloaded),
            _ => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Failure::Body(error)
    }

    fn piece_bytes(&self) -> u64 {
        let part = self.budget.limit_bytes() / PIECE_PART;
        part.clamp(*PIECE_BYTES.start(), *PIECE_BYTES.end())
    }

    /// What a text of `text_bytes` needs beside itself.
    fn work_bytes(&self, text_bytes: u64) -> u64 {
        text_bytes.min(self.piece_bytes()) * WORK_FACTOR
    }

    fn store(
        &self,
        received: Received,
        mut work: Reservation,
        request: &WriteRequest,
    ) -> Result<Report, Failure> {
        let text = received.text(&self.limits).map_err(|error| self.refused_body(error))?;
        let text_bytes = text.bytes.len() as u64;
        let more = self.work_bytes(text_bytes).saturating_sub(work.bytes());
        if !work.try_grow(more) {
            return Err(self.refused_body(BodyError::Overloaded));
        }
        let database = self.tsdb.database(&request.database);
        if database.is_none() && !self.auto_create {
            let name = request.database.clone();
            return Err(Failure::Store(Error::DatabaseNotFound { name }));
        }
        self.metrics.text_bytes.fetch_add(text_bytes, Ordering::Relaxed);
        let now = self.clock.unix_ns();
        let outcome = self.store_pieces(&text.bytes, database, work, request, now)?;
        self.metrics.reject(Rejection::Parse, outcome.unparsed_count);
        Ok(report(outcome, &text.bytes, request.wants_lines))
    }

    fn store_pieces(
        &self,
        text: &[u8],
        mut database: Option<Arc<Database>>,
        mut work: Reservation,
        request: &WriteRequest,
        now: Timestamp,
    ) -> Result<Outcome, Failure> {
        let is_one_piece = text.len() as u64 <= self.piece_bytes();
        if request.is_all_or_nothing && !is_one_piece {
            let mut checked = Outcome::default();
            let mut place = Place::default();
            while place.at < text.len() {
                let parsed = self.parse(text, &mut place, database.as_deref(), request, now);
                checked.add(parsed, WriteSummary::default());
            }
            if checked.unparsed_count > 0 {
                return Ok(checked);
            }
        }
        let (mut outcome, mut place) = (Outcome::default(), Place::default());
        while place.at < text.len() {
            let parsed = self.parse(text, &mut place, database.as_deref(), request, now);
            let piece_bytes = self.piece_bytes().min(text.len() as u64);
            work.resize_anyway(size_of_batch(&parsed.batch) + BATCH_FACTOR * piece_bytes);
            let mut summary = WriteSummary::default();
            let keeps_all_out = request.is_all_or_nothing && parsed.error_count > 0;
            if !parsed.batch.points.is_empty() && !keeps_all_out {
                let database = match &mut database {
                    Some(database) => database,
                    none => {
                        let made = self.tsdb.create_database(&request.database, None);
                        none.insert(made.map_err(Failure::Store)?)
                    }
                };
                summary = self.write(database, request, &parsed.batch, now)?;
            }
            outcome.add(parsed, summary);
        }
        Ok(outcome)
    }

    /// Parses the piece at `place`.
    fn parse<'t>(
        &self,
        text: &'t [u8],
        place: &mut Place,
        database: Option<&Database>,
        request: &WriteRequest,
        now: Timestamp,
    ) -> Parsed<'t> {
        let start_ns = self.clock.monotonic_ns();
        let piece_bytes = usize::try_from(self.piece_bytes()).unwrap_or(usize::MAX);
        let known = |series: &[u8]| database.and_then(|database| database.known_series(series));
        let precision = request.precision;
        let parsed = line_protocol::parse_piece(text, place, piece_bytes, precision, now, known);
        self.metrics.parse_ns.record(self.clock.monotonic_ns().saturating_sub(start_ns));
        parsed
    }

    fn write(
        &self,
        database: &Database,
        request: &WriteRequest,
        batch: &Batch<'_>,
        now: Timestamp,
    ) -> Result<WriteSummary, Failure> {
        let start_ns = self.clock.monotonic_ns();
        let policy = request.policy.as_deref();
        let summary = database.write(policy, batch, now).map_err(Failure::Store)?;
        let metrics = self.metrics.of(request.protocol);
        metrics.write_ns.record(self.clock.monotonic_ns().saturating_sub(start_ns));
        metrics.batch_points.record(batch.points.len() as u64);
        metrics.points_written.fetch_add(summary.written, Ordering::Relaxed);
        for refusal in &summary.refused {
            self.metrics.reject(Rejection::of(&refusal.reason), 1);
        }
        Ok(summary)
    }
}

fn size_of_batch(batch: &Batch<'_>) -> u64 {
    (size_of_val(batch.points.as_slice())
        + size_of_val(batch.fields.as_slice())
        + size_of_val(batch.tags.as_slice())) as u64
}

fn report(outcome: Outcome, text: &[u8], wants_lines: bool) -> Report {
    let summary = &outcome.summary;
    let first = summary.refused.first().or(summary.stripped.first());
    let lines = if wants_lines { bad_lines(&outcome.unparsed, summary, text) } else { Vec::new() };
    Report {
        stored: summary.written,
        has_points: outcome.has_points,
        unparsed_count: outcome.unparsed_count,
        refused_count: outcome.refused_count,
        refusal: first.map(|refusal| refusal.reason.to_string()),
        lines,
        unparsed: outcome.unparsed,
    }
}

/// The first bad lines of all kinds, in input order.
fn bad_lines(errors: &[LineError], summary: &WriteSummary, text: &[u8]) -> Vec<BadLine> {
    let mut lines: Vec<BadLine> = errors
        .iter()
        .take(LINES_MAX)
        .map(|error| BadLine {
            line: error.line,
            kind: Rejection::Parse,
            reason: error.reason.to_string(),
            text: cut(error.text.as_bytes()),
        })
        .collect();
    for refusals in [&summary.refused, &summary.stripped] {
        let refusals = &refusals[..refusals.len().min(LINES_MAX)];
        let texts = texts_of(text, refusals);
        lines.extend(refusals.iter().zip(texts).map(|(refusal, text)| BadLine {
            line: refusal.line,
            kind: Rejection::of(&refusal.reason),
            reason: refusal.reason.to_string(),
            text,
        }));
    }
    lines.sort_by_key(|line| line.line);
    lines.truncate(LINES_MAX);
    lines
}

/// The lines of `text` that refusals speak of, in input order as these are.
fn texts_of(text: &[u8], refusals: &[Refusal]) -> Vec<String> {
    let mut lines = (1u32..).zip(text.split(|byte| *byte == b'\n'));
    let mut last = (0, &text[..0]);
    refusals
        .iter()
        .map(|refusal| {
            if last.0 < refusal.line {
                last = lines.find(|(line, _)| *line == refusal.line).unwrap_or(last);
            }
            cut(last.1)
        })
        .collect()
}

fn cut(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let end = line.len().min(LINE_BYTES_MAX);
    // The cut may go through a character: leave that one out.
    let valid = match std::str::from_utf8(&line[..end]) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => end,
    };
    String::from_utf8_lossy(&line[..valid]).into_owned()
}
