//! Where writers put bytes: a buffer that leaves in pieces, indented and compressed on its way.
//!
//! An answer that fits one piece is handed over whole, so that it can carry its length; a longer
//! one is handed over piece by piece, and a writer waits while nobody takes them.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::mpsc;

use super::indent::Indent;

/// Bytes that are gathered before they leave: enough that system calls do not show, little enough
/// that many answers at once are no matter.
pub const PIECE_BYTES: usize = 64 * 1024;

/// Nobody takes the pieces any more: the client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// A piece of an answer.
#[derive(Debug)]
pub struct Piece {
    /// Some bytes; may be none.
    pub bytes: Bytes,
    /// Whether the answer ends here.
    pub last: bool,
}

/// A buffer that writers fill and that empties itself.
#[derive(Debug)]
pub struct Output {
    /// What was written and has not left yet.
    pub buffer: Vec<u8>,
    indent: Option<(Indent, Vec<u8>)>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    pieces: mpsc::Sender<Piece>,
}

impl Output {
    /// An output whose pieces go to `pieces`.
    pub fn new(pieces: mpsc::Sender<Piece>, pretty: bool, gzip: bool) -> Output {
        Output {
            buffer: Vec::with_capacity(4096),
            indent: pretty.then(|| (Indent::default(), Vec::new())),
            gzip: gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast())),
            pieces,
        }
    }

    /// Lets a piece go when there is enough of it.
    #[inline]
    pub fn checkpoint(&mut self) -> Result<(), Closed> {
        if self.buffer.len() < PIECE_BYTES { Ok(()) } else { self.flush() }
    }

    /// Lets go of what there is.
    pub fn flush(&mut self) -> Result<(), Closed> {
        let bytes = self.take();
        self.buffer.reserve(PIECE_BYTES + PIECE_BYTES / 8); // a row may reach past the mark
        if bytes.is_empty() {
            return Ok(());
        }
        self.send(Piece { bytes: bytes.into(), last: false })
    }

    /// Ends the answer.
    pub fn finish(mut self) -> Result<(), Closed> {
        let mut bytes = self.take();
        if let Some(gzip) = self.gzip.take() {
            // The encoder writes to memory, which does not fail.
            bytes.extend(gzip.finish().unwrap_or_default());
        }
        self.send(Piece { bytes: bytes.into(), last: true })
    }

    fn send(&mut self, piece: Piece) -> Result<(), Closed> {
        self.pieces.blocking_send(piece).map_err(|_| Closed)
    }

    /// What was written, indented and compressed.
    fn take(&mut self) -> Vec<u8> {
        if let Some((indent, indented)) = &mut self.indent {
            indent.push(&self.buffer, indented);
            self.buffer.clear();
            std::mem::swap(&mut self.buffer, indented);
            indented.clear();
        }
        match &mut self.gzip {
            None => std::mem::take(&mut self.buffer),
            Some(gzip) => {
                // As above: memory does not fail.
                let _ = gzip.write_all(&self.buffer);
                self.buffer.clear();
                std::mem::take(gzip.get_mut())
            }
        }
    }
}
