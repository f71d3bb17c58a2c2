//! The fields of records that come from the request's headers, limited in length and redacted.

use dossier_wire::limits::MAX_ENDPOINT_BYTES;
use dossier_wire::limits::filter::{
    MAX_HOST_BYTES, MAX_METHOD_BYTES, MAX_PATH_BYTES, MAX_QUERY_BYTES, MAX_REQUEST_ID_BYTES,
    MAX_ROUTE_BYTES,
};
use dossier_wire::{TruncatedField, TruncatedFields};

use super::metadata::Metadata;
use super::redactor::Redactor;
use super::{extract, session_group};
use crate::config::CapturePlan;
use crate::headers::Headers;
use crate::memory_budget::MemoryReservation;
use crate::redact::RedactionCounts;
use crate::text::{self, Truncated};

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
    pub(super) metadata: Metadata,
    /// Of the fields above, except the metadata.
    pub(super) truncated: TruncatedFields,
    _reservation: MemoryReservation,
}

/// The inputs of [`RequestHead::read`].
pub(super) struct HeadContext<'a> {
    pub(super) plan: &'a CapturePlan,
    pub(super) user_id: String,
    pub(super) headers: &'a Headers,
    pub(super) route: Option<&'a [u8]>,
    pub(super) redactor: Redactor<'a>,
}

impl RequestHead {
    /// None if the memory budget is exhausted.
    pub(super) fn read(
        context: HeadContext<'_>,
        counts: &mut RedactionCounts,
        mut reservation: MemoryReservation,
    ) -> Option<Self> {
        let HeadContext {
            plan,
            user_id,
            headers,
            route,
            redactor,
        } = context;
        let mut truncated = TruncatedFields::default();
        let (path, query) = text::split_query(headers.get(":path").unwrap_or_default());
        let path = redactor.redact_text((path, MAX_PATH_BYTES), counts);
        let endpoint = match &plan.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => file_under(&path).mark(TruncatedField::Endpoint, &mut truncated),
        };
        let path = path.mark(TruncatedField::Path, &mut truncated);
        let query = query.filter(|_| !plan.minimal).map(|query| {
            let query = redactor.redact_query((query, MAX_QUERY_BYTES), counts);
            query.mark(TruncatedField::Query, &mut truncated)
        });
        let lengths = path.len() + endpoint.len() + query.as_ref().map_or(0, String::len);
        let cost = size_of::<Self>() + lengths + 256;
        if !reservation.budget().fits_record(cost) {
            return None;
        }
        reservation.grow(cost);
        let mut keep =
            |bytes: &[u8], max, field| text::truncate(bytes, max).mark(field, &mut truncated);
        let mut header =
            |name: &str, max, field| headers.get(name).map(|value| keep(value, max, field));
        let method = header(":method", MAX_METHOD_BYTES, TruncatedField::Method);
        let host = header(":authority", MAX_HOST_BYTES, TruncatedField::Host)
            .or_else(|| header("host", MAX_HOST_BYTES, TruncatedField::Host));
        let (request_id, traceparent) = (
            header(
                "x-request-id",
                MAX_REQUEST_ID_BYTES,
                TruncatedField::RequestId,
            ),
            header(
                "traceparent",
                MAX_REQUEST_ID_BYTES,
                TruncatedField::Traceparent,
            ),
        );
        let route = route.filter(|name| !name.is_empty());
        let route = route.map(|name| keep(name, MAX_ROUTE_BYTES, TruncatedField::Route));
        Some(Self {
            user_id,
            method: method.unwrap_or_default(),
            host,
            route,
            request_id,
            traceparent,
            session: plan
                .session
                .as_ref()
                .and_then(|source| extract::find_session(source, headers)),
            group_headers: session_group::digest_headers(&plan.session_by, headers, redactor),
            metadata: Metadata::new(plan.metadata.clone()),
            truncated,
            query,
            endpoint,
            path,
            _reservation: reservation,
        })
    }
}

/// The endpoint of a path.
fn file_under(path: &Truncated) -> Truncated {
    let endpoint = Truncated {
        text: text::normalize_path(&path.text),
        was_longer: path.was_longer,
    };
    endpoint.again(MAX_ENDPOINT_BYTES)
}
