//! What the request's head says that the records carry, bounded in length and redacted.

use serde_json::{Map, Value};

use super::redactor::Redactor;
use super::{group, user, values};
use crate::budget::Lease;
use crate::config::{Plan, UserSource};
use crate::headers::Headers;
use crate::host::Stream;
use crate::redact::Counts;
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

/// The request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) user_id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) endpoint: String,
    pub(super) host: Option<String>,
    pub(super) route: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) traceparent: Option<String>,
    /// As the client names it.
    pub(super) session: Option<String>,
    /// Digests of the headers that its group of sessions depends on.
    pub(super) group_headers: Vec<Option<u128>>,
    /// Constants, and what was taken from the traffic so far.
    pub(super) metadata: Map<String, Value>,
    _lease: Lease,
}

/// What a head is read with.
pub(super) struct Reading<'a> {
    pub(super) plan: &'a Plan,
    pub(super) user: &'a [UserSource],
    pub(super) headers: &'a Headers,
    pub(super) route: Option<&'a [u8]>,
    pub(super) redactor: Redactor<'a>,
}

impl Head {
    /// Reads the head; none if the memory budget has no room for it.
    pub(super) fn read(
        reading: &Reading<'_>,
        stream: &impl Stream,
        counts: &mut Counts,
        mut lease: Lease,
    ) -> Option<Self> {
        let Reading {
            plan,
            headers,
            redactor,
            ..
        } = *reading;
        let header =
            |name: &str, most: usize| headers.get(name).map(|value| text::bounded(value, most));
        let target = headers.get(":path").unwrap_or_default();
        let (path, query) = text::split_query(target);
        let path = redactor.text((path, most::PATH), counts);
        let query = query.filter(|_| !plan.bare);
        let query = query.map(|query| redactor.query((query, most::QUERY), counts));
        let endpoint = plan.endpoint.clone().unwrap_or_else(|| {
            let endpoint = text::endpoint(&path);
            text::bounded(endpoint.as_bytes(), most::ENDPOINT)
        });
        let lengths = path.len() + endpoint.len() + query.as_ref().map_or(0, String::len);
        let cost = size_of::<Self>() + lengths + 256;
        if !lease.budget().has_room(cost) {
            return None;
        }
        lease.add(cost);
        Some(Self {
            user_id: user::name(reading.user, headers, stream),
            method: header(":method", most::METHOD).unwrap_or_default(),
            host: header(":authority", most::HOST).or_else(|| header("host", most::HOST)),
            route: reading
                .route
                .filter(|name| !name.is_empty())
                .map(|name| text::bounded(name, most::ROUTE)),
            request_id: header("x-request-id", most::ID),
            traceparent: header("traceparent", most::ID),
            session: plan
                .session
                .as_ref()
                .and_then(|source| values::session(source, headers)),
            group_headers: group::headers(&plan.session_by, headers, redactor),
            metadata: plan.metadata.clone(),
            query,
            endpoint,
            path,
            _lease: lease,
        })
    }
}
