//! gRPC without a library: messages in frames, statuses in trailers, straight over HTTP/2.
//!
//! The service sends each message back as it comes; the last part of the path says how it ends:
//!
//! | path ends in | the service |
//! |---|---|
//! | `/Echo` | answers every message, ends with `grpc-status: 0` |
//! | `/Unimplemented` | answers with nothing but a head that ends the stream and says `grpc-status: 12` |
//! | `/Break` | answers the first message, then resets the stream |

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listening::on_free_port;

/// The running service; it ends when this is dropped.
#[derive(Debug)]
pub struct GrpcService {
    /// Where it listens.
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

/// One call on a connection of its own.
#[derive(Debug)]
pub struct GrpcCall {
    sending: SendStream<Bytes>,
    receiving: Receiving,
    connection: JoinHandle<()>,
}

/// The answer as far as it has come.
#[derive(Debug)]
enum Receiving {
    Awaited(ResponseFuture),
    Running {
        /// `grpc-status` of a head that may be all there is.
        status: Option<String>,
        body: RecvStream,
    },
}

/// A message in its frame: not compressed, its length, its bytes.
#[must_use]
pub fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = vec![0];
    frame.extend(length.to_be_bytes());
    frame.extend(message);
    frame
}

impl GrpcService {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start() -> Result<Self, HarnessError> {
        let (address, listener) = on_free_port("listen as a gRPC service").await?;
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection));
            }
        });
        Ok(Self { address, server })
    }
}

impl Drop for GrpcService {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(connection: TcpStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(connection).await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        tokio::spawn(answer(request, respond));
    }
    Ok(())
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let (head, mut messages) = request.into_parts();
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    if head.uri.path().ends_with("/Unimplemented") {
        headers.insert("grpc-status", HeaderValue::from_static("12"));
        respond.send_response(response, true)?;
        return Ok(());
    }
    let mut sending = respond.send_response(response, false)?;
    while let Some(message) = messages.data().await {
        let message = message?;
        messages.flow_control().release_capacity(message.len())?;
        sending.send_data(message, false)?;
        if head.uri.path().ends_with("/Break") {
            // The client goes on once it has the answer, so the answer gets through before.
            messages.data().await;
            sending.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
    }
    messages.trailers().await?;
    sending.send_trailers(fields("grpc-status", "0"))
}

/// One field, as trailers.
#[must_use]
pub fn fields(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )])
}

impl GrpcCall {
    /// Begins a call.
    ///
    /// # Errors
    /// [`HarnessError`] if there is no HTTP/2 to be had.
    pub async fn begin(to: SocketAddr, path: &str, user: &str) -> Result<Self, HarnessError> {
        let connection = TcpStream::connect(to)
            .await
            .map_err(HarnessError::io(format!("connect to {to}")))?;
        let (mut requests, connection) = h2::client::handshake(connection)
            .await
            .map_err(broken("begin HTTP/2"))?;
        // It ends when the call is over or dropped.
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = Request::post(format!("http://{to}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-user-id", user)
            .body(())
            .map_err(broken("make a request"))?;
        let (awaited, sending) = requests
            .send_request(request, false)
            .map_err(broken("send a request"))?;
        Ok(Self {
            sending,
            receiving: Receiving::Awaited(awaited),
            connection,
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if the stream has ended.
    pub fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        let sent = self.sending.send_data(frame(message).into(), false);
        sent.map_err(broken("send a message"))
    }

    /// Reads at least so many bytes of the answer, which must not end before.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if it does.
    pub async fn receive(&mut self, bytes: usize) -> Result<Vec<u8>, HarnessError> {
        let mut received = Vec::new();
        while received.len() < bytes {
            let Some(chunk) = self.chunk().await? else {
                return Err(broken("receive a message")("the stream has ended"));
            };
            received.extend(chunk);
        }
        Ok(received)
    }

    /// Ends the request, reads the rest of the answer, and gives it with the `grpc-status`.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if the stream is broken off.
    pub async fn finish(
        mut self,
        trailers: HeaderMap,
    ) -> Result<(Vec<u8>, Option<String>), HarnessError> {
        // A service may have answered without waiting for the end.
        let _ = self.sending.send_trailers(trailers);
        let mut rest = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            rest.extend(chunk);
        }
        let (in_head, body) = self.running().await?;
        let trailers = body
            .trailers()
            .await
            .map_err(broken("receive trailers"))?
            .unwrap_or_default();
        let status = status_of(&trailers).or_else(|| in_head.clone());
        Ok((rest, status))
    }

    /// Leaves without waiting for the answer.
    pub async fn cancel(mut self) {
        self.sending.send_reset(Reason::CANCEL);
        drop((self.sending, self.receiving));
        let _ = self.connection.await;
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, HarnessError> {
        let (_, body) = self.running().await?;
        let Some(chunk) = body.data().await else {
            return Ok(None);
        };
        let chunk = chunk.map_err(broken("receive a message"))?;
        let released = body.flow_control().release_capacity(chunk.len());
        released.map_err(broken("receive a message"))?;
        Ok(Some(chunk))
    }

    async fn running(&mut self) -> Result<(&Option<String>, &mut RecvStream), HarnessError> {
        if let Receiving::Awaited(awaited) = &mut self.receiving {
            let response = awaited.await.map_err(broken("receive an answer"))?;
            let (head, body) = response.into_parts();
            let status = status_of(&head.headers);
            self.receiving = Receiving::Running { status, body };
        }
        match &mut self.receiving {
            Receiving::Running { status, body } => Ok((status, body)),
            Receiving::Awaited(_) => Err(broken("receive an answer")("none came")),
        }
    }
}

fn status_of(fields: &HeaderMap) -> Option<String> {
    let status = fields.get("grpc-status")?.to_str().ok()?;
    Some(status.to_owned())
}

/// For `map_err` on results of HTTP/2.
fn broken<E: ToString>(doing: &'static str) -> impl FnOnce(E) -> HarnessError {
    move |error| HarnessError::Unexpected {
        doing: doing.to_owned(),
        answer: error.to_string(),
    }
}
