//! A request's body with a deadline, so that a client who sends it slowly cannot hold its connection.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A body that fails at its deadline.
struct DeadlineBody {
    body: Body,
    deadline: Pin<Box<Sleep>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the body was not received in time")]
struct DeadlineExceeded;

/// The same body, which fails if it is not complete within `time`.
pub(super) fn with_deadline(body: Body, time: Duration) -> Body {
    Body::new(DeadlineBody {
        body,
        deadline: Box::pin(sleep(time)),
    })
}

impl HttpBody for DeadlineBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(DeadlineExceeded.into())));
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

    #[tokio::test]
    async fn passes_body_received_in_time() {
        let whole = with_deadline(Body::from("x"), TIME).collect().await;
        assert_eq!(whole.unwrap().to_bytes(), "x");
    }

    #[tokio::test(start_paused = true)]
    async fn fails_body_past_deadline() {
        let first = stream::iter([Ok::<_, BoxError>(Bytes::from("x"))]);
        let slow = Body::from_stream(first.chain(stream::pending()));
        let error = with_deadline(slow, TIME).collect().await.unwrap_err();
        assert!(error.to_string().contains("in time"), "{error}");
    }
}
