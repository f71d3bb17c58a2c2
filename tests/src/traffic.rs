//! Sends requests through Envoy, as the recorded service's clients do.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Method;

use crate::error::HarnessError;

const REQUEST_LIMIT: Duration = Duration::from_mins(1);

/// The HTTP version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
}

/// Clients of one Envoy.
#[derive(Debug, Clone)]
pub struct Traffic {
    base: String,
    http1: reqwest::Client,
    http2: reqwest::Client,
}

/// A request to send.
#[derive(Debug, Clone)]
pub struct Call {
    /// HTTP version.
    pub protocol: Protocol,
    /// HTTP method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// `x-user-id`.
    pub user: Option<String>,
    /// `content-type` and the body.
    pub body: Option<(String, Vec<u8>)>,
    /// Additional headers.
    pub headers: Vec<(String, String)>,
}

/// The response to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Call {
    /// A `POST` of JSON over HTTP/1.1.
    #[must_use]
    pub fn json(user: &str, target: &str, body: &serde_json::Value) -> Self {
        let body = ("application/json".to_owned(), body.to_string().into_bytes());
        Self {
            body: Some(body),
            ..Self::new(Method::POST, user, target)
        }
    }

    /// A request without a body over HTTP/1.1.
    #[must_use]
    pub fn new(method: Method, user: &str, target: &str) -> Self {
        Self {
            protocol: Protocol::Http1,
            method,
            target: target.to_owned(),
            user: Some(user.to_owned()),
            body: None,
            headers: Vec::new(),
        }
    }
}

impl Traffic {
    /// Builds clients of the Envoy at this address.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if no HTTP client can be built.
    pub fn new(address: SocketAddr) -> Result<Self, HarnessError> {
        let builder = || reqwest::Client::builder().timeout(REQUEST_LIMIT);
        let doing = || HarnessError::http("build an HTTP client");
        Ok(Self {
            base: format!("http://{address}"),
            http1: builder().http1_only().build().map_err(doing())?,
            http2: builder().http2_prior_knowledge().build().map_err(doing())?,
        })
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no complete response.
    pub async fn send(&self, call: &Call) -> Result<Reply, HarnessError> {
        let client = match call.protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let mut request =
            client.request(call.method.clone(), format!("{}{}", self.base, call.target));
        if let Some(user) = &call.user {
            request = request.header("x-user-id", user);
        }
        if let Some((content_type, body)) = &call.body {
            request = request
                .header("content-type", content_type)
                .body(body.clone());
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let doing = || format!("{} {} through Envoy", call.method, call.target);
        let response = request.send().await.map_err(HarnessError::http(doing()))?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|it| it.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let body = response
            .bytes()
            .await
            .map_err(HarnessError::http(doing()))?
            .to_vec();
        Ok(Reply {
            status,
            content_type,
            body,
        })
    }
}
