//! A service that streams events, each of which says when it was sent. Client and service are one
//! program and share a clock, so an event's delay can be measured one by one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use dossier_tests::HarnessError;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Events of a stream. The first is sent at once.
pub(crate) const EVENTS: u32 = 20;
/// About as fast as a language model speaks, and then some.
const BETWEEN_EVENTS: Duration = Duration::from_millis(2);
/// What an event carries besides its time.
const PADDING: &str = "Lorem ipsum dolor sit amet, consetetur sadipscing elitr, sed diam nonumy";

/// The running service; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Service {
    /// Starts it; `origin` is when its clock began.
    pub(crate) async fn start(origin: Instant) -> Result<Self, HarnessError> {
        let listening = async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listening
            .await
            .map_err(HarnessError::io("listen as a streaming service"))?;
        let service = Router::new().fallback(async move || events(origin));
        let listener = listener.tap_io(|connection| {
            // Else small writes wait for each other.
            let _ = connection.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { address, server })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn events(origin: Instant) -> Response {
    let body = Body::from_stream(stream::unfold(0, move |number| async move {
        if number == EVENTS {
            return None;
        }
        if number > 0 {
            tokio::time::sleep(BETWEEN_EVENTS).await;
        }
        Some((Ok::<_, Infallible>(event(origin)), number + 1))
    }));
    ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn event(origin: Instant) -> String {
    let sent = origin.elapsed().as_nanos();
    format!("data: {{\"sent\":{sent},\"text\":\"{PADDING}\"}}\n\n")
}

/// When the event in this line was sent, in nanoseconds; none if it is no event.
pub(crate) fn sent(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("data: {\"sent\":")?;
    rest.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_contains_its_sending_time() {
        let origin = Instant::now();
        let text = event(origin);
        let sent = sent(text.trim_end()).unwrap();
        assert!(u128::from(sent) <= origin.elapsed().as_nanos());
        assert_eq!(super::sent("data: {}"), None);
    }
}
