//! The body of a write request: collected within limits, decompressed within limits, its memory
//! taken from the budget for as long as it is held.
//!
//! Steps: a `Content-Length` over the limit is refused at once, a longer stream when it passes
//! the limit; what the client still sends is read and dropped up to a bound, because closing a
//! connection with unread bytes in it resets it, and the client would see no answer. Decompression
//! is its own step ([`Received::text`]), since it belongs on a blocking thread.
//!
//! A large body is admitted only while room for small ones is left: many large ones at once, and
//! writers that send little go on. Every growth of a buffer is reserved before it is allocated, so
//! that a small body that unpacks to a large one (a "zip bomb") ends in a 413 or a 503.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::Pin;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use firndb_engine::budget::{Budget, Reservation, Share};
use flate2::bufread::MultiGzDecoder;

/// Bytes beyond the limit that are read and dropped to deliver the 413.
const DRAIN_BYTES_MAX: u64 = 64 << 20;
/// A request is large when it needs more than this part of the budget.
const LARGE_PART: u64 = 64;
/// Large requests leave this part of the budget to small ones.
const LEAVE_PART: u64 = 8;
/// Smallest step by which the decompressed text grows.
const STEP_BYTES_MIN: usize = 64 << 10;

/// Largest bodies taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes as received.
    pub body_bytes_max: u64,
    /// Bytes after decompression.
    pub text_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // As received: the limit of InfluxDB 1.x. A gzipped body of that size has about 10 times
        // as much text; clients send batches of 5,000 lines, some 2 MB.
        Limits { body_bytes_max: 25_000_000, text_bytes_max: 100_000_000 }
    }
}

/// Why a body was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Over a limit, compressed or not.
    #[error("Request Entity Too Large")]
    TooLarge,
    /// The memory budget is spent.
    #[error("out of memory for request bodies; retry later")]
    Overloaded,
    /// Its sender fell silent.
    #[error("timed out waiting for the rest of the body")]
    Silent,
    /// Not what its `Content-Encoding` says, or cut off.
    #[error("{0}")]
    Broken(String),
    /// A `Content-Encoding` other than gzip.
    #[error("unsupported Content-Encoding {0:?} (use gzip or none)")]
    Encoding(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
}

/// A body as it came.
#[derive(Debug)]
pub struct Received {
    bytes: Vec<u8>,
    encoding: Encoding,
    memory: Reservation,
}

/// The text of a body, and the memory it is charged with.
#[derive(Debug)]
pub struct Text {
    /// The text.
    pub bytes: Vec<u8>,
    /// Charged for it; may be grown by what is made of it.
    pub memory: Reservation,
}

/// The length that a request announces; 0: none.
pub fn announced_bytes(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH);
    length.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// Memory for a request that needs `bytes`; large ones leave room for small ones.
pub fn admit(budget: &Budget, bytes: u64) -> Result<Reservation, BodyError> {
    let is_large = bytes > budget.limit_bytes() / LARGE_PART;
    let leave_bytes = if is_large { budget.limit_bytes() / LEAVE_PART } else { 0 };
    let admitted = budget.try_reserve_leaving(Share::Requests, bytes, leave_bytes);
    admitted.ok_or(BodyError::Overloaded)
}

/// Collects a body.
pub async fn receive(
    headers: &HeaderMap,
    mut body: Body,
    limits: &Limits,
    budget: &Budget,
) -> Result<Received, BodyError> {
    let encoding = encoding(headers)?;
    let announced = announced_bytes(headers);
    match collect(&mut body, announced, limits, budget).await {
        Ok((bytes, memory)) => Ok(Received { bytes, encoding, memory }),
        Err(error) => {
            let was_asked = announced <= limits.body_bytes_max && error != BodyError::Overloaded;
            refuse(headers, body, was_asked).await;
            Err(error)
        }
    }
}

/// Reads on, up to a bound, what a client sends whose body is not taken. A client that waits for
/// 100 and was not asked to go on (`was_asked`) has sent nothing.
pub async fn refuse(headers: &HeaderMap, body: Body, was_asked: bool) {
    if was_asked || !headers.contains_key(header::EXPECT) {
        drain(body).await;
    }
}

async fn collect(
    body: &mut Body,
    announced: u64,
    limits: &Limits,
    budget: &Budget,
) -> Result<(Vec<u8>, Reservation), BodyError> {
    if announced > limits.body_bytes_max {
        return Err(BodyError::TooLarge);
    }
    let mut memory = admit(budget, announced)?;
    let mut bytes = Vec::with_capacity(announced as usize);
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| cut_off(&error))?;
        let Ok(data) = frame.into_data() else { continue }; // trailers
        let len = bytes.len() + data.len();
        if len as u64 > limits.body_bytes_max {
            return Err(BodyError::TooLarge);
        }
        if len > bytes.capacity() {
            let capacity = len.max(bytes.capacity() * 2);
            grow(&mut bytes, capacity, &mut memory)?;
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, memory))
}

/// Why a body ended before its end. Whoever gives a silent sender up says so by the kind.
fn cut_off(error: &axum::Error) -> BodyError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::TimedOut) {
            return BodyError::Silent;
        }
        cause = error.source();
    }
    BodyError::Broken("unexpected EOF".to_owned())
}

/// Reserves, then allocates `capacity` bytes.
fn grow(bytes: &mut Vec<u8>, capacity: usize, memory: &mut Reservation) -> Result<(), BodyError> {
    let more = capacity - bytes.capacity();
    if !memory.try_grow(more as u64) {
        return Err(BodyError::Overloaded);
    }
    bytes.reserve_exact(capacity - bytes.len());
    Ok(())
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, BodyError> {
    let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    let value = String::from_utf8_lossy(value.as_bytes());
    match value.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        _ => Err(BodyError::Encoding(value.into_owned())),
    }
}

async fn drain(mut body: Body) {
    let mut seen = 0;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        seen += frame.data_ref().map_or(0, |data| data.len() as u64);
        if seen > DRAIN_BYTES_MAX {
            return;
        }
    }
}

impl Received {
    /// The text: decompressed where it was compressed. An empty body is an empty text whatever
    /// its header says: some clients announce gzip on requests without a body.
    pub fn text(mut self, limits: &Limits) -> Result<Text, BodyError> {
        if self.encoding == Encoding::Gzip && !self.bytes.is_empty() {
            let text_bytes_max = usize::try_from(limits.text_bytes_max).unwrap_or(usize::MAX);
            let bytes = gunzip(&self.bytes, text_bytes_max, &mut self.memory)?;
            self.memory.resize_anyway(bytes.capacity() as u64); // the packed bytes go
            return Ok(Text { bytes, memory: self.memory });
        }
        if self.bytes.len() as u64 > limits.text_bytes_max {
            return Err(BodyError::TooLarge);
        }
        Ok(Text { bytes: self.bytes, memory: self.memory })
    }
}

fn gunzip(packed: &[u8], limit: usize, memory: &mut Reservation) -> Result<Vec<u8>, BodyError> {
    let mut decoder = MultiGzDecoder::new(packed);
    let mut text = Vec::new();
    let mut step = packed.len().saturating_mul(4).max(STEP_BYTES_MIN);
    loop {
        let len = text.len();
        // One byte more than the limit, to tell a text of that size from a longer one.
        let target = len.saturating_add(step).min(limit.saturating_add(1));
        let capacity = target.max(text.capacity());
        grow(&mut text, capacity, memory)?;
        text.resize(target, 0);
        let read = fill(&mut decoder, &mut text[len..]).map_err(|e| broken(&e))?;
        text.truncate(len + read);
        if text.len() > limit {
            return Err(BodyError::TooLarge);
        }
        if text.len() < target {
            return Ok(text);
        }
        step = text.len().max(STEP_BYTES_MIN);
    }
}

/// Reads until `buffer` is full or the input ends; returns how much that was.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// The words of InfluxDB 1.x for bad gzip.
fn broken(error: &io::Error) -> BodyError {
    BodyError::Broken(match error.kind() {
        io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
        _ if error.to_string().contains("header") => "gzip: invalid header".to_owned(),
        _ => format!("gzip: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    async fn text_of(
        encoding: Option<&str>,
        body: &[u8],
        limits: &Limits,
        budget: &Budget,
    ) -> Result<Vec<u8>, BodyError> {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        }
        let received = receive(&headers, Body::from(body.to_vec()), limits, budget).await?;
        let text = received.text(limits)?;
        assert!(text.memory.bytes() >= text.bytes.capacity() as u64);
        Ok(text.bytes)
    }

    type Case<'a> = (Option<&'a str>, &'a [u8], Result<&'a [u8], BodyError>);

    #[tokio::test]
    async fn encodings() {
        let (limits, budget) = (Limits::default(), Budget::unlimited());
        let two_members = [gzip(b"m f=1\n"), gzip(b"m f=2\n")].concat();
        let long = b"cpu f=1i 1700000000\n".repeat(50_000);
        let mut bad_sum = gzip(b"m f=1");
        let at = bad_sum.len() - 8;
        bad_sum[at] ^= 1;
        let broken = |text: &str| Err(BodyError::Broken(text.to_owned()));
        let cases: [Case<'_>; 10] = [
            (None, b"m f=1", Ok(b"m f=1")),
            (Some("identity"), b"m f=1", Ok(b"m f=1")),
            (Some("gzip"), &gzip(b"m f=1"), Ok(b"m f=1")),
            (Some("X-GZIP"), &two_members, Ok(b"m f=1\nm f=2\n")),
            (Some("gzip"), &gzip(&long), Ok(&long)),
            (Some("gzip"), b"", Ok(b"")),
            (Some("gzip"), b"not gzip at all", broken("gzip: invalid header")),
            (Some("gzip"), &gzip(&long)[..40], broken("unexpected EOF")),
            (
                Some("gzip"),
                &bad_sum,
                broken("gzip: corrupt gzip stream does not have a matching checksum"),
            ),
            (Some("br"), b"x", Err(BodyError::Encoding("br".to_owned()))),
        ];
        for (encoding, body, expected) in cases {
            let got = text_of(encoding, body, &limits, &budget).await;
            assert_eq!(got.as_deref(), expected.as_deref(), "{encoding:?}");
        }
        assert_eq!(budget.total_bytes(), 0, "all memory given back");
    }

    #[tokio::test]
    async fn limits_hold_on_both_sizes() {
        let budget = Budget::unlimited();
        let limits = Limits { body_bytes_max: 1000, text_bytes_max: 100_000 };
        for (encoding, body, fits) in [
            (None, vec![b'x'; 1000], true),
            (None, vec![b'x'; 1001], false),
            (Some("gzip"), gzip(&vec![b'x'; 100_000]), true),
            (Some("gzip"), gzip(&vec![b'x'; 100_001]), false),
        ] {
            let got = text_of(encoding, &body, &limits, &budget).await;
            assert_eq!(got.is_ok(), fits, "{encoding:?} {}", body.len());
            assert!(got.is_ok() || got == Err(BodyError::TooLarge));
        }
        assert_eq!(budget.total_bytes(), 0, "all memory given back");
    }

    #[tokio::test]
    async fn a_spent_budget_refuses() {
        let limits = Limits::default();
        let bomb = gzip(&vec![b'x'; 50_000_000]);
        let budget = Budget::new(4 << 20);
        let got = text_of(Some("gzip"), &bomb, &limits, &budget).await;
        assert_eq!(got, Err(BodyError::Overloaded));
        let got = text_of(None, &vec![b'x'; 5 << 20], &limits, &budget).await;
        assert_eq!(got, Err(BodyError::Overloaded));
        assert_eq!(budget.total_bytes(), 0, "all memory given back");
    }
}
