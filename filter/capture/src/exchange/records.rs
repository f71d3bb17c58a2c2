//! Builds the records of an exchange from its recorded halves.

use std::borrow::Cow;

use dossier_wire::limits::STATUSES;
use dossier_wire::limits::filter::{MAX_RESPONSE_DETAILS_BYTES, MAX_UPSTREAM_HOST_BYTES};
use dossier_wire::{
    Completion, Half, HeaderField, Record, SessionRule, TruncatedField, TruncatedFields,
};
use uuid::Uuid;

use super::completion::{self, EndState};
use super::half_recorder::{FinishedHalf, HalfRecorder};
use super::request_head::RequestHead;
use super::session_group::{self, GroupValues};
use crate::config::CapturePlan;
use crate::host::Stream;
use crate::outbox::PendingRecord;
use crate::text;

/// The status of an upgrade.
pub(super) const SWITCHING_PROTOCOLS: u16 = 101;
/// Envoy's details of a regular response from the upstream.
const REGULAR_DETAILS: &[u8] = b"via_upstream";

/// What the proxy knows about an exchange at its end.
#[derive(Debug)]
pub(super) struct ProxyInfo {
    completion: Completion,
    status: Option<u16>,
    flags: u64,
    details: Option<String>,
    upstream_host: Option<String>,
    /// Of the fields above.
    truncated: TruncatedFields,
}

/// What the records of both halves have in common.
pub(super) struct ExchangeContext<'a> {
    pub(super) exchange_id: Uuid,
    pub(super) plan: &'a CapturePlan,
    pub(super) head: &'a RequestHead,
    pub(super) proxy_info: &'a ProxyInfo,
    pub(super) workload: Option<&'a String>,
    pub(super) started_at: u64,
}

impl ProxyInfo {
    pub(super) fn read(stream: &impl Stream, response: &HalfRecorder, status: Option<u16>) -> Self {
        let details = stream.attribute(&["response", "code_details"]);
        let details = details.unwrap_or_default();
        let flags = read_number(stream, &["response", "flags"]).unwrap_or(0);
        let end_state = EndState {
            flags,
            details: &details,
            response_began: response.began_at.is_some(),
            response_ended: response.ended,
            upgraded: status == Some(SWITCHING_PROTOCOLS),
        };
        let has_details = !details.is_empty() && details != REGULAR_DETAILS;
        let address = stream.attribute(&["upstream", "address"]);
        let mut truncated = TruncatedFields::default();
        Self {
            completion: completion::classify(end_state),
            status,
            flags,
            details: has_details.then(|| {
                text::truncate(&details, MAX_RESPONSE_DETAILS_BYTES)
                    .mark(TruncatedField::ResponseDetails, &mut truncated)
            }),
            upstream_host: address
                .filter(|address| !address.is_empty())
                .map(|address| {
                    text::truncate(&address, MAX_UPSTREAM_HOST_BYTES)
                        .mark(TruncatedField::UpstreamHost, &mut truncated)
                }),
            truncated,
        }
    }
}

impl ExchangeContext<'_> {
    /// Moves the body out of the half.
    pub(super) fn pending_record<'a>(&'a self, half: &'a mut FinishedHalf) -> PendingRecord<'a> {
        let body = std::mem::take(&mut half.bytes);
        PendingRecord {
            body,
            lost_bytes: half.lost_bytes,
            record: self.record(half),
        }
    }

    fn record<'a>(&'a self, half: &'a FinishedHalf) -> Record<'a> {
        let Self {
            plan,
            head,
            proxy_info,
            ..
        } = self;
        Record {
            exchange_id: self.exchange_id,
            half: half.half,
            user_id: Cow::Borrowed(&head.user_id),
            endpoint: Cow::Borrowed(&head.endpoint),
            method: Cow::Borrowed(&head.method),
            path: Cow::Borrowed(&head.path),
            query: borrow(head.query.as_ref()),
            host: borrow(head.host.as_ref()),
            route: borrow(head.route.as_ref()),
            status: proxy_info.status,
            metadata: head.metadata.values.clone(),
            metadata_paths: half
                .metadata_paths
                .iter()
                .map(|(name, path)| (name.into(), path.into()))
                .collect(),
            session: self.session(),
            session_group: self.session_group(),
            ttl_days: plan.ttl_days,
            body_ttl_days: plan.body_ttl_days,
            compress: plan.compress,
            started_at: self.started_at,
            first_byte_at: half.first_byte_at,
            ended_at: half.ended_at,
            body_size: half.size,
            body_xxh3: borrow(half.hash.as_ref()),
            content_type: borrow(half.content_type.as_ref()),
            content_encoding: borrow(half.content_encoding.as_ref()),
            body_decoded: half.decoded,
            truncated: half.truncated,
            body_missing: half.missing,
            redactions: half
                .redactions
                .iter()
                .map(|(rule, count)| (Cow::Borrowed(rule), count))
                .collect(),
            headers: borrow_pairs(&half.headers),
            trailers: borrow_pairs(&half.trailers),
            completion: proxy_info.completion,
            response_flags: proxy_info.flags,
            response_details: borrow(proxy_info.details.as_ref()),
            upstream_host: borrow(proxy_info.upstream_host.as_ref()),
            workload: borrow(self.workload),
            request_id: borrow(head.request_id.as_ref()),
            traceparent: borrow(head.traceparent.as_ref()),
            truncated_fields: self.truncated_fields(half),
        }
    }

    fn truncated_fields(&self, half: &FinishedHalf) -> TruncatedFields {
        let Self {
            head, proxy_info, ..
        } = self;
        let of_both = head.truncated.union(proxy_info.truncated);
        let mut fields = of_both.union(half.truncated_fields);
        fields.insert_if(head.metadata.truncated, TruncatedField::Metadata);
        fields
    }

    fn session(&self) -> Option<SessionRule<'_>> {
        let named = self.head.session.as_deref();
        let named = named.map(|id| SessionRule::Id(Cow::Borrowed(id)));
        let timeout = self.plan.session_timeout_minutes;
        named.or_else(|| timeout.map(SessionRule::TimeoutMinutes))
    }

    /// Only sessions found by time have a group.
    fn session_group(&self) -> Option<Cow<'_, str>> {
        if !matches!(self.session(), Some(SessionRule::TimeoutMinutes(_))) {
            return None;
        }
        let values = GroupValues {
            endpoint: &self.head.endpoint,
            route: self.head.route.as_deref(),
            header_digests: &self.head.group_headers,
            metadata: &self.head.metadata.values,
        };
        session_group::name_group(&self.plan.session_by, &values).map(Cow::Owned)
    }
}

/// The status according to the proxy, if no response was seen.
pub(super) fn read_status(stream: &impl Stream) -> Option<u16> {
    read_number(stream, &["response", "code"])
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| STATUSES.contains(code))
}

/// The size of the response's body according to the proxy, if no response was seen because an earlier
/// filter responded.
pub(super) fn read_response_size(stream: &impl Stream) -> u64 {
    read_number(stream, &["response", "size"]).unwrap_or(0)
}

/// The halves that the plan includes. Redactions in the request's head count for the response if the
/// request is not recorded.
pub(super) fn select_recorded(halves: [FinishedHalf; 2], plan: &CapturePlan) -> Vec<FinishedHalf> {
    let [request, mut response] = halves;
    if !plan.storage.includes(Half::Request) {
        response.add_redactions_of(&request);
    }
    [request, response]
        .into_iter()
        .filter(|half| plan.storage.includes(half.half))
        .collect()
}

fn borrow(text: Option<&String>) -> Option<Cow<'_, str>> {
    text.map(|text| Cow::Borrowed(text.as_str()))
}

fn borrow_pairs(headers: &[(String, String)]) -> Vec<HeaderField<'_>> {
    headers
        .iter()
        .map(|(name, value)| (Cow::Borrowed(name.as_str()), Cow::Borrowed(value.as_str())))
        .collect()
}

/// The host serialises numbers as eight bytes, little-endian.
fn read_number(stream: &impl Stream, path: &[&str]) -> Option<u64> {
    stream
        .attribute(path)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}
