//! What the request's head says that the records carry, bounded in length.

use crate::budget::Lease;
use crate::headers::Headers;
use crate::text;

/// Longest texts, in bytes; what is longer is cut.
mod most {
    pub(super) const METHOD: usize = 32;
    pub(super) const PATH: usize = 8 << 10;
    pub(super) const QUERY: usize = 8 << 10;
    pub(super) const ENDPOINT: usize = 1 << 10;
    pub(super) const HOST: usize = 256;
    pub(super) const ROUTE: usize = 256;
    pub(super) const ID: usize = 128;
}

/// A user's name is never cut: two users whose names begin alike are not one.
const MAX_USER_BYTES: usize = 256;
const ANONYMOUS: &str = "anonymous";

/// The request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) user_id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) host: Option<String>,
    pub(super) route: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) traceparent: Option<String>,
    _lease: Lease,
}

impl Head {
    /// Reads the head; none if the memory budget has no room for it.
    pub(super) fn read(
        headers: &Headers,
        route: Option<&[u8]>,
        user_headers: &[String],
        has_endpoint: bool,
        mut lease: Lease,
    ) -> Option<Self> {
        let header =
            |name: &str, most: usize| headers.get(name).map(|value| text::bounded(value, most));
        let target = headers.get(":path").unwrap_or_default();
        let (path, query) = text::split_query(target);
        let path = text::bounded(path, most::PATH);
        let endpoint = (!has_endpoint).then(|| {
            let endpoint = text::endpoint(&path);
            text::bounded(endpoint.as_bytes(), most::ENDPOINT)
        });
        let cost = size_of::<Self>() + path.len() * 2 + query.map_or(0, <[u8]>::len) + 256;
        if !lease.budget().has_room(cost) {
            return None;
        }
        lease.add(cost);
        Some(Self {
            user_id: user_headers
                .iter()
                .find_map(|name| user(headers.get(name)?))
                .unwrap_or(ANONYMOUS)
                .to_owned(),
            method: header(":method", most::METHOD).unwrap_or_default(),
            query: query.map(|query| text::bounded(query, most::QUERY)),
            endpoint,
            path,
            host: header(":authority", most::HOST).or_else(|| header("host", most::HOST)),
            route: route
                .filter(|name| !name.is_empty())
                .map(|name| text::bounded(name, most::ROUTE)),
            request_id: header("x-request-id", most::ID),
            traceparent: header("traceparent", most::ID),
            _lease: lease,
        })
    }
}

fn user(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok()?.trim();
    (!value.is_empty() && value.len() <= MAX_USER_BYTES).then_some(value)
}
