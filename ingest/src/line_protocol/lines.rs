//! Where a line ends.
//!
//! A LF ends a line unless a backslash precedes it or it lies within a quoted field value. Nearly
//! every LF does end its line, so the caller first cuts at the next LF and asks for the rules only
//! when that cut does not parse.
//!
//! The rules, from the first byte that is not a blank:
//! - up to the first SP without a backslash before it, quotes are ordinary bytes;
//! - from there on, a quote right after a `=` without a backslash before it opens a string, and
//!   the next quote without a backslash closes it;
//! - a backslash takes the next byte with it, a LF included. (`\\` before SP, `,` or `=`: see
//!   [`super::escape`]; the second backslash still escapes.)
//!
//! An unclosed quote takes the rest of the text into its line.

use memchr::{memchr, memchr2};

/// A text that is cut into lines.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    /// The text, if all of it is UTF-8: one check at 30 GB/s instead of one per line.
    utf8: Option<&'a str>,
}

/// A line: byte positions in the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    /// First byte that is not a blank.
    pub(super) start: usize,
    /// End, before a CR and the LF.
    pub(super) end: usize,
    /// Start of the next line.
    pub(super) next: usize,
    first: Option<u8>,
}

impl Line {
    /// Whether the line is neither blank nor a comment.
    pub(super) fn is_point(&self) -> bool {
        !matches!(self.first, None | Some(b'#'))
    }
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Lines { bytes, utf8: std::str::from_utf8(bytes).ok() }
    }

    /// The line that starts at `at` and ends at the next LF, whatever that LF is.
    #[inline]
    pub(super) fn cut_at_lf(&self, at: usize) -> Line {
        let lf = memchr(b'\n', &self.bytes[at..]).map_or(self.bytes.len(), |n| at + n);
        let blanks = self.bytes[at..lf].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        self.line(at + blanks, lf)
    }

    /// `line` with the end that the rules give it.
    #[cold]
    pub(super) fn cut(&self, line: &Line) -> Line {
        self.line(line.start, end(self.bytes, line.start))
    }

    fn line(&self, start: usize, lf: usize) -> Line {
        let has_cr = lf > start && self.bytes[lf - 1] == b'\r';
        let end = if has_cr { lf - 1 } else { lf };
        Line { start, end, next: lf + 1, first: (start < end).then(|| self.bytes[start]) }
    }

    /// The text of a line, or the byte of the line at which it stops being UTF-8.
    #[inline]
    pub(super) fn text_of(&self, line: &Line) -> Result<&'a str, usize> {
        if let Some(text) = self.utf8
            && let Some(text) = text.get(line.start..line.end)
        {
            return Ok(text);
        }
        std::str::from_utf8(&self.bytes[line.start..line.end]).map_err(|e| e.valid_up_to())
    }

    /// Number of LFs within a line.
    pub(super) fn count_lf(&self, line: &Line) -> u32 {
        memchr::memchr_iter(b'\n', &self.bytes[line.start..line.end]).count() as u32
    }
}

/// Start of the line after the one that starts at `at`, by the rules; the length of the text when
/// there is none.
pub(super) fn next_line(bytes: &[u8], at: usize) -> usize {
    let blanks = bytes[at..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let start = at + blanks;
    let lf = match bytes.get(start) {
        Some(b'#') => memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |n| start + n),
        _ => end(bytes, start),
    };
    (lf + 1).min(bytes.len())
}

/// Position of the LF that ends the line starting at `start`, or of the end of the text.
fn end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    let mut in_fields = false;
    while at < bytes.len() {
        let escaped = at > start && bytes[at - 1] == b'\\';
        match bytes[at] {
            b'\n' => return at,
            b'\\' if at + 1 < bytes.len() && !matches!(bytes[at + 1], b' ' | b'=') => at += 2,
            b' ' if !escaped => {
                in_fields = true;
                at += 1;
            }
            b'=' if in_fields && !escaped && bytes.get(at + 1) == Some(&b'"') => {
                match string_end(bytes, at + 2) {
                    Some(after) => at = after,
                    None => return bytes.len(),
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The byte after the quote that closes the string whose first byte is at `at`.
pub(super) fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}
