//! Backslashes, both directions.
//!
//! ```text
//! element                     read as the second byte   must be written with a backslash
//! measurement                 \,  \SP  \=               ,  SP
//! tag key, value, field key   \,  \SP  \=               ,  SP  =
//! string value                \"  \\                    "  \
//! ```
//!
//! Before any other byte a backslash stands for itself. `\\` is no escape in names: it stays two
//! backslashes, and the second still escapes what follows. So a name cannot end in a backslash.

use std::borrow::Cow;

use memchr::memchr;

/// A name (measurement, tag key, tag value, field key) without its escapes.
#[inline]
pub(super) fn unescape_name(text: &str) -> Cow<'_, str> {
    match memchr(b'\\', text.as_bytes()) {
        None => Cow::Borrowed(text),
        Some(first) => unescape(text, first, |byte| matches!(byte, b',' | b' ' | b'=')),
    }
}

/// A string value, without its quotes, without its escapes.
pub(super) fn unescape_string(text: &str) -> Cow<'_, str> {
    match memchr(b'\\', text.as_bytes()) {
        None => Cow::Borrowed(text),
        Some(first) => unescape(text, first, |byte| matches!(byte, b'"' | b'\\')),
    }
}

/// `text`, whose first backslash is at `at`, without the backslashes before bytes `is_escaped`.
#[cold]
fn unescape(text: &str, mut at: usize, is_escaped: impl Fn(u8) -> bool) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    loop {
        if bytes.get(at + 1).copied().is_some_and(&is_escaped) {
            // Only ASCII is escaped, so both cuts lie between characters.
            out.push_str(&text[copied..at]);
            copied = at + 1;
            at += 2;
        } else {
            at += 1;
        }
        match bytes.get(at..).and_then(|rest| memchr(b'\\', rest)) {
            Some(more) => at += more,
            None => break,
        }
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// Writes a measurement. A `=` needs its backslash only after a backslash: readers take `\=` for
/// `=`, so that the name `a\=b` must go out as `a\\=b`.
pub(super) fn escape_measurement(name: &str, out: &mut Vec<u8>) {
    let mut before = 0;
    for byte in name.bytes() {
        if matches!(byte, b',' | b' ') || (byte == b'=' && before == b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
        before = byte;
    }
}

/// Writes a tag key, tag value or field key.
pub(super) fn escape_name(name: &str, out: &mut Vec<u8>) {
    for byte in name.bytes() {
        if matches!(byte, b',' | b' ' | b'=') {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// Writes a string value with its quotes.
pub(super) fn escape_string(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
