//! A gRPC service and client without a library, for streams that a library would not send: messages in
//! frames and statuses in trailers, directly over HTTP/2.
//!
//! The service echoes each message; the last part of the path decides how the stream ends:
//!
//! | path ends in | the service |
//! |---|---|
//! | `/Echo` | echoes every message, then sends `grpc-status: 0` |
//! | `/Unimplemented` | sends headers only, with `grpc-status: 12` |
//! | `/Break` | echoes the first message, then resets the stream |

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listener::listen_on_free_port;

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
    response: ResponseState,
    connection: JoinHandle<()>,
}

/// The response, before and after its headers have arrived.
#[derive(Debug)]
enum ResponseState {
    Awaited(ResponseFuture),
    Started {
        /// `grpc-status` in the headers, which may be the whole response.
        status: Option<String>,
        body: RecvStream,
    },
}

/// A message in its frame, uncompressed.
#[must_use]
pub fn encode_frame(message: &[u8]) -> Vec<u8> {
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
        let (address, listener) = listen_on_free_port("listen as a gRPC service").await?;
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
            // The client sends its next message once it has the echo, so the echo arrives before the reset.
            messages.data().await;
            sending.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
    }
    messages.trailers().await?;
    sending.send_trailers(trailers("grpc-status", "0"))
}

/// Trailers with one field.
#[must_use]
pub fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )])
}

impl GrpcCall {
    /// Connects and sends the request's headers.
    ///
    /// # Errors
    /// [`HarnessError`] if no HTTP/2 connection can be made.
    pub async fn start(to: SocketAddr, path: &str, user: &str) -> Result<Self, HarnessError> {
        let connection = TcpStream::connect(to)
            .await
            .map_err(HarnessError::io(format!("connect to {to}")))?;
        let (mut requests, connection) = h2::client::handshake(connection)
            .await
            .map_err(grpc_error("start HTTP/2"))?;
        // This task ends with the call.
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let request = Request::post(format!("http://{to}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-user-id", user)
            .body(())
            .map_err(grpc_error("build a request"))?;
        let (awaited, sending) = requests
            .send_request(request, false)
            .map_err(grpc_error("send a request"))?;
        Ok(Self {
            sending,
            response: ResponseState::Awaited(awaited),
            connection,
        })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if the stream has ended.
    pub fn send(&mut self, message: &[u8]) -> Result<(), HarnessError> {
        let sent = self.sending.send_data(encode_frame(message).into(), false);
        sent.map_err(grpc_error("send a message"))
    }

    /// Reads at least this many bytes of the response.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if the response ends before.
    pub async fn receive(&mut self, bytes: usize) -> Result<Vec<u8>, HarnessError> {
        let mut received = Vec::new();
        while received.len() < bytes {
            let Some(chunk) = self.read_chunk().await? else {
                return Err(grpc_error("receive a message")("the stream has ended"));
            };
            received.extend(chunk);
        }
        Ok(received)
    }

    /// Ends the request, and returns the rest of the response with its `grpc-status`.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if the stream is reset.
    pub async fn finish(
        mut self,
        trailers: HeaderMap,
    ) -> Result<(Vec<u8>, Option<String>), HarnessError> {
        // A service may have answered without waiting for the end.
        let _ = self.sending.send_trailers(trailers);
        let mut rest = Vec::new();
        while let Some(chunk) = self.read_chunk().await? {
            rest.extend(chunk);
        }
        let (in_headers, body) = self.response_body().await?;
        let trailers = body
            .trailers()
            .await
            .map_err(grpc_error("receive trailers"))?
            .unwrap_or_default();
        let status = grpc_status(&trailers).or_else(|| in_headers.clone());
        Ok((rest, status))
    }

    /// Resets the stream without waiting for the response.
    pub async fn cancel(mut self) {
        self.sending.send_reset(Reason::CANCEL);
        drop((self.sending, self.response));
        let _ = self.connection.await;
    }

    async fn read_chunk(&mut self) -> Result<Option<Bytes>, HarnessError> {
        let (_, body) = self.response_body().await?;
        let Some(chunk) = body.data().await else {
            return Ok(None);
        };
        let chunk = chunk.map_err(grpc_error("receive a message"))?;
        let released = body.flow_control().release_capacity(chunk.len());
        released.map_err(grpc_error("receive a message"))?;
        Ok(Some(chunk))
    }

    async fn response_body(&mut self) -> Result<(&Option<String>, &mut RecvStream), HarnessError> {
        if let ResponseState::Awaited(awaited) = &mut self.response {
            let response = awaited.await.map_err(grpc_error("receive a response"))?;
            let (head, body) = response.into_parts();
            let status = grpc_status(&head.headers);
            self.response = ResponseState::Started { status, body };
        }
        match &mut self.response {
            ResponseState::Started { status, body } => Ok((status, body)),
            ResponseState::Awaited(_) => Err(grpc_error("receive a response")("there is none")),
        }
    }
}

fn grpc_status(fields: &HeaderMap) -> Option<String> {
    let status = fields.get("grpc-status")?.to_str().ok()?;
    Some(status.to_owned())
}

/// For `map_err` on results of HTTP/2.
fn grpc_error<E: ToString>(doing: &'static str) -> impl FnOnce(E) -> HarnessError {
    move |error| HarnessError::Unexpected {
        doing: doing.to_owned(),
        answer: error.to_string(),
    }
}
