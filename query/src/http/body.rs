//! The body of an answer that is longer than one piece.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

use crate::exec::Cancel;
use crate::format::output::Piece;

/// Stops a query when whoever waits for its answer is gone.
pub struct CancelOnDrop(pub Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Pieces as they come.
pub struct Pieces {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Piece>,
    /// Whether the last piece was seen; an answer that breaks off before is an error.
    ended: bool,
    _guard: CancelOnDrop,
}

/// The thread that wrote the answer is gone before its end.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub struct BrokeOff;

impl Pieces {
    /// A body that begins with `first`.
    pub fn new(first: Bytes, rest: mpsc::Receiver<Piece>, guard: CancelOnDrop) -> Pieces {
        Pieces { first: Some(first), rest, ended: false, _guard: guard }
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.rest.poll_recv(context).map(|piece| match piece {
            Some(piece) => {
                self.ended = piece.last;
                Some(Ok(Frame::data(piece.bytes)))
            }
            None => {
                self.ended = true;
                Some(Err(BrokeOff))
            }
        })
    }
}
