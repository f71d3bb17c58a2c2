//! Typical exchanges: calls of a language model, about a kilobyte of JSON each way. Each differs from the
//! others by its number, or they would compress too well.

use std::collections::BTreeMap;

use miniz_oxide::deflate::compress_to_vec;
use serde_json::{Value, json};

use crate::metadata::metadata;

/// Names and values, in order.
pub type Pairs = Vec<(String, String)>;

/// One exchange as the proxy shows it to the filter.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Headers of the request, with `:method`, `:path` and `:authority`.
    pub request_headers: Pairs,
    /// Body of the request.
    pub request_body: Vec<u8>,
    /// Headers of the response, with `:status`.
    pub response_headers: Pairs,
    /// Body of the response.
    pub response_body: Vec<u8>,
    /// Attributes, by their path with its parts joined by dots.
    pub attributes: BTreeMap<String, Vec<u8>>,
}

impl Exchange {
    /// The exchange of this number.
    #[must_use]
    pub fn json(number: u64) -> Self {
        let id = format!("{number:08x}-3c1d-4b6a-9f27-{:012x}", number * 0x9e37);
        let request_body = request(number).to_string().into_bytes();
        let response_body = response(number).to_string().into_bytes();
        Self {
            request_headers: pairs(&[
                (":method", "POST"),
                (":path", "/api/v1/ai/chat?verbose=1&token=s3cr3t"),
                (":authority", "api.example.com"),
                (":scheme", "https"),
                ("user-agent", "example-client/4.2"),
                ("accept", "application/json"),
                ("content-type", "application/json"),
                ("content-length", &request_body.len().to_string()),
                ("authorization", "Bearer mF_9.B5f-4.1JqM"),
                ("cookie", &format!("theme=dark; sid=c{}", number % 16)),
                ("x-user-id", &format!("user-{}", number % 64)),
                ("x-session-id", &format!("s{}", number % 16)),
                ("x-tier", "gold"),
                ("x-api-key", "k-1234567890"),
                ("x-forwarded-for", "203.0.113.7"),
                ("x-request-id", &id),
            ]),
            response_headers: pairs(&[
                (":status", "200"),
                ("content-type", "application/json"),
                ("content-length", &response_body.len().to_string()),
                ("date", "Tue, 24 Nov 2026 18:00:00 GMT"),
                ("server", "example"),
                ("x-region", "eu-west-1"),
                ("cache-control", "no-store"),
            ]),
            request_body,
            response_body,
            attributes: attributes(),
        }
    }

    /// The same through a route with these capture keys of its own.
    #[must_use]
    pub fn with_route_keys(self, keys: &Value) -> Self {
        self.with_attribute("xds.route_metadata", metadata("dossier", keys))
    }

    /// The same with a token that the proxy has verified.
    #[must_use]
    pub fn with_claims(self, claims: &Value) -> Self {
        let payload = json!({"payload": claims});
        self.with_attribute(
            "metadata",
            metadata("envoy.filters.http.jwt_authn", &payload),
        )
    }

    /// The same with bodies in this content encoding, if it is gzip; others are only named.
    #[must_use]
    pub fn with_encoding(mut self, encoding: &str) -> Self {
        let header = ("content-encoding".to_owned(), encoding.to_owned());
        self.request_headers.push(header.clone());
        self.response_headers.push(header);
        if encoding == "gzip" {
            self.request_body = gzip(&self.request_body);
            self.response_body = gzip(&self.response_body);
        }
        self
    }

    fn with_attribute(mut self, path: &str, value: Vec<u8>) -> Self {
        self.attributes.insert(path.to_owned(), value);
        self
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    const HEADER: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
    // The checksum at the end is not looked at.
    [HEADER, &compress_to_vec(bytes, 6), &[0; 8]].concat()
}

fn request(number: u64) -> Value {
    json!({
        "model": "gpt-4",
        "temperature": 0.7,
        "session_id": format!("s{}", number % 16),
        "user": {"name": format!("Customer {number}"), "email": format!("c{number}@example.com"),
                 "password": format!("hunter-{number}"), "phone": "+49 170 555 7788"},
        "messages": [
            {"role": "system", "content": "You are a helpful assistant of a shop for bicycles. Answer in \
                one paragraph, be polite, and never promise a date of delivery."},
            {"role": "user", "content": text(number)},
        ],
    })
}

fn response(number: u64) -> Value {
    json!({
        "id": format!("chatcmpl-{number:x}"),
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": text(number ^ 0x5555)}}],
        "usage": {"prompt_tokens": 60 + number % 90, "completion_tokens": 150, "total_tokens": 210 + number % 90},
    })
}

/// About 620 bytes of words in an order of their own.
fn text(number: u64) -> String {
    const WORDS: [&str; 16] = [
        "order",
        "bicycle",
        "please",
        "the",
        "delivery",
        "of",
        "my",
        "wheel",
        "arrived",
        "with",
        "a",
        "broken",
        "spoke",
        "yesterday",
        "and",
        "refund",
    ];
    let mut state = number;
    let mut text = String::new();
    while text.len() < 620 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let word = usize::try_from(state >> 60).unwrap_or_default();
        text.push_str(WORDS.get(word).unwrap_or(&"?"));
        text.push(' ');
    }
    text
}

fn attributes() -> BTreeMap<String, Vec<u8>> {
    let number = |value: u64| value.to_le_bytes().to_vec();
    [
        ("xds.route_name", b"ai-chat".to_vec()),
        ("response.code", number(200)),
        ("response.flags", number(0)),
        ("response.code_details", b"via_upstream".to_vec()),
        ("upstream.address", b"10.0.3.7:8080".to_vec()),
        (
            "connection.uri_san_peer_certificate",
            b"spiffe://example/orders".to_vec(),
        ),
    ]
    .map(|(path, value)| (path.to_owned(), value))
    .into()
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}
