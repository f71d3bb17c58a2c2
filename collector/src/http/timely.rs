//! A request's body that must come in time, so that a client who trickles it cannot hold its connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A body that breaks off when its time is over.
struct Timely {
    body: Body,
    time: Pin<Box<Sleep>>,
}

/// The body's time is over.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
struct TooSlow;

/// The same body, which breaks off if it does not come within `time`.
pub(super) fn timely(body: Body, time: Duration) -> Body {
    Body::new(Timely {
        body,
        time: Box::pin(sleep(time)),
    })
}

impl HttpBody for Timely {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.time.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(TooSlow.into())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    const TIME: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_body_in_time_is_whole_and_a_slow_one_breaks_off() {
        let whole = timely(Body::from("x"), TIME).collect().await.unwrap();
        assert_eq!(whole.to_bytes(), "x");
        let first = stream::iter([Ok::<_, BoxError>(Bytes::from("x"))]);
        let body = timely(Body::from_stream(first.chain(stream::pending())), TIME);
        let broken = body.collect().await.unwrap_err().to_string();
        assert!(broken.contains("in time"), "{broken}");
    }
}
