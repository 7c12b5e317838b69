//! Bodies whose sender falls silent: what they hold is given back.
//!
//! A client that announces 25 MB, sends a few bytes and then nothing would keep the memory that its
//! request was admitted with, for ever; some hundreds of them would keep all of it. So a body that
//! nothing comes from for `http.body_idle_timeout` ends with an error of the kind
//! [`ErrorKind::TimedOut`], and who reads it answers 408. A slow sender that goes on sending is
//! never cut off, however long it takes.
//!
//! Steps: no timer runs while bytes are there. The first time that a reader has to wait, the time
//! begins; the next bytes end it.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

/// The request with a body that waits for its sender `patience` at most; `None`: for ever.
pub fn limit(request: Request, patience: Option<Duration>) -> Request {
    let Some(patience) = patience else { return request };
    request.map(|body| Body::new(Patient { body, patience, timer: None, has_ended: false }))
}

struct Patient {
    body: Body,
    patience: Duration,
    /// Runs while a reader waits.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether its sender was given up.
    has_ended: bool,
}

impl http_body::Body for Patient {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.timer = None;
            return Poll::Ready(frame);
        }
        let patience = self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(timer.as_mut().poll(context));
        self.has_ended = true;
        let silent = io::Error::new(ErrorKind::TimedOut, "the sender of the body fell silent");
        Poll::Ready(Some(Err(axum::Error::new(silent))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
