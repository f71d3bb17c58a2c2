//! The fields of records that come from the request's headers, limited in length and redacted.

use serde_json::{Map, Value};

use super::redactor::Redactor;
use super::{extract, session_group, user};
use crate::config::{CapturePlan, UserSource};
use crate::headers::Headers;
use crate::host::Stream;
use crate::memory_budget::MemoryReservation;
use crate::redact::RedactionCounts;
use crate::text;

/// In bytes; longer texts are truncated.
mod max {
    pub(super) const METHOD: usize = 32;
    pub(super) const PATH: usize = 8 << 10;
    pub(super) const QUERY: usize = 8 << 10;
    pub(super) const ENDPOINT: usize = 1 << 10;
    pub(super) const HOST: usize = 256;
    pub(super) const ROUTE: usize = 256;
    pub(super) const ID: usize = 128;
}

/// The redacted fields, with their memory reservation.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) user_id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) endpoint: String,
    pub(super) host: Option<String>,
    pub(super) route: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) traceparent: Option<String>,
    /// The session id of the client.
    pub(super) session: Option<String>,
    /// Digests of the headers in [`CapturePlan::session_by`].
    pub(super) group_headers: Vec<Option<u128>>,
    /// Constants, and values extracted so far.
    pub(super) metadata: Map<String, Value>,
    _reservation: MemoryReservation,
}

/// The inputs of [`RequestHead::read`].
pub(super) struct HeadContext<'a> {
    pub(super) plan: &'a CapturePlan,
    pub(super) user: &'a [UserSource],
    pub(super) headers: &'a Headers,
    pub(super) route: Option<&'a [u8]>,
    pub(super) redactor: Redactor<'a>,
}

impl RequestHead {
    /// None if the memory budget is exhausted.
    pub(super) fn read(
        context: &HeadContext<'_>,
        stream: &impl Stream,
        counts: &mut RedactionCounts,
        mut reservation: MemoryReservation,
    ) -> Option<Self> {
        let HeadContext {
            plan,
            headers,
            redactor,
            ..
        } = *context;
        let header =
            |name: &str, max: usize| headers.get(name).map(|value| text::truncate(value, max));
        let target = headers.get(":path").unwrap_or_default();
        let (path, query) = text::split_query(target);
        let path = redactor.redact_text((path, max::PATH), counts);
        let query = query.filter(|_| !plan.minimal);
        let query = query.map(|query| redactor.redact_query((query, max::QUERY), counts));
        let endpoint = plan.endpoint.clone().unwrap_or_else(|| {
            let endpoint = text::normalize_path(&path);
            text::truncate(endpoint.as_bytes(), max::ENDPOINT)
        });
        let lengths = path.len() + endpoint.len() + query.as_ref().map_or(0, String::len);
        let cost = size_of::<Self>() + lengths + 256;
        if !reservation.budget().fits_record(cost) {
            return None;
        }
        reservation.grow(cost);
        Some(Self {
            user_id: user::identify(context.user, headers, stream),
            method: header(":method", max::METHOD).unwrap_or_default(),
            host: header(":authority", max::HOST).or_else(|| header("host", max::HOST)),
            route: context
                .route
                .filter(|name| !name.is_empty())
                .map(|name| text::truncate(name, max::ROUTE)),
            request_id: header("x-request-id", max::ID),
            traceparent: header("traceparent", max::ID),
            session: plan
                .session
                .as_ref()
                .and_then(|source| extract::find_session(source, headers)),
            group_headers: session_group::digest_headers(&plan.session_by, headers, redactor),
            metadata: plan.metadata.clone(),
            query,
            endpoint,
            path,
            _reservation: reservation,
        })
    }
}
