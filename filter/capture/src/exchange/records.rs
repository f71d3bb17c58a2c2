//! From what was seen of an exchange to the records of its halves.

use std::borrow::Cow;

use dossier_wire::{Completion, Half, HeaderField, Record, SessionRule};
use uuid::Uuid;

use super::SWITCHING_PROTOCOLS;
use super::completion::{self, Ending};
use super::group;
use super::head::Head;
use super::side::{FinishedSide, Side};
use crate::config::Plan;
use crate::host::Stream;
use crate::outbox::Entry;
use crate::text;

const MAX_DETAILS_BYTES: usize = 256;
const MAX_ADDRESS_BYTES: usize = 256;
/// What Envoy says of a response that came from the upstream in the usual way.
const USUAL_DETAILS: &[u8] = b"via_upstream";

/// The proxy's own account of how an exchange went.
#[derive(Debug)]
pub(super) struct Account {
    completion: Completion,
    status: Option<u16>,
    flags: u64,
    details: Option<String>,
    upstream_host: Option<String>,
}

/// What both halves share.
pub(super) struct Facts<'a> {
    pub(super) exchange_id: Uuid,
    pub(super) plan: &'a Plan,
    pub(super) head: &'a Head,
    pub(super) account: &'a Account,
    pub(super) workload: Option<&'a String>,
    pub(super) started_at: u64,
}

impl Account {
    pub(super) fn read(stream: &impl Stream, response: &Side, status: Option<u16>) -> Self {
        let details = stream.attribute(&["response", "code_details"]);
        let details = details.unwrap_or_default();
        let flags = number(stream, &["response", "flags"]).unwrap_or(0);
        let ending = Ending {
            flags,
            details: &details,
            response_began: response.began_at.is_some(),
            response_ended: response.ended,
            upgraded: status == Some(SWITCHING_PROTOCOLS),
        };
        let worth_telling = !details.is_empty() && details != USUAL_DETAILS;
        Self {
            completion: completion::completion(ending),
            status,
            flags,
            details: worth_telling.then(|| text::bounded(&details, MAX_DETAILS_BYTES)),
            upstream_host: stream
                .attribute(&["upstream", "address"])
                .filter(|address| !address.is_empty())
                .map(|address| text::bounded(&address, MAX_ADDRESS_BYTES)),
        }
    }
}

impl Facts<'_> {
    /// The record of a half, which gives its body away.
    pub(super) fn entry<'a>(&'a self, side: &'a mut FinishedSide) -> Entry<'a> {
        let body = std::mem::take(&mut side.kept);
        Entry {
            body,
            lost: side.lost,
            record: self.record(side),
        }
    }

    fn record<'a>(&'a self, side: &'a FinishedSide) -> Record<'a> {
        let Self {
            plan,
            head,
            account,
            ..
        } = self;
        Record {
            exchange_id: self.exchange_id,
            half: side.half,
            user_id: Cow::Borrowed(&head.user_id),
            endpoint: Cow::Borrowed(&head.endpoint),
            method: Cow::Borrowed(&head.method),
            path: Cow::Borrowed(&head.path),
            query: borrowed(head.query.as_ref()),
            host: borrowed(head.host.as_ref()),
            route: borrowed(head.route.as_ref()),
            status: account.status,
            metadata: head.metadata.clone(),
            session: self.session(),
            session_group: self.session_group(),
            ttl_days: plan.ttl_days,
            body_ttl_days: plan.body_ttl_days,
            compress: plan.compress,
            started_at: self.started_at,
            first_byte_at: side.first_byte_at,
            ended_at: side.ended_at,
            body_size: side.size,
            body_xxh3: borrowed(side.hash.as_ref()),
            content_type: borrowed(side.content_type.as_ref()),
            content_encoding: borrowed(side.content_encoding.as_ref()),
            body_decoded: side.decoded,
            truncated: side.truncated,
            body_missing: side.missing,
            redactions: side
                .redactions
                .iter()
                .map(|(rule, count)| (Cow::Borrowed(rule), count))
                .collect(),
            headers: pairs(&side.headers),
            trailers: pairs(&side.trailers),
            completion: account.completion,
            response_flags: account.flags,
            response_details: borrowed(account.details.as_ref()),
            upstream_host: borrowed(account.upstream_host.as_ref()),
            workload: borrowed(self.workload),
            request_id: borrowed(head.request_id.as_ref()),
            traceparent: borrowed(head.traceparent.as_ref()),
        }
    }

    fn session(&self) -> Option<SessionRule<'_>> {
        let named = self.head.session.as_deref();
        let named = named.map(|id| SessionRule::Id(Cow::Borrowed(id)));
        let timeout = self.plan.session_timeout_minutes;
        named.or_else(|| timeout.map(SessionRule::TimeoutMinutes))
    }

    /// Sessions that are named, and exchanges without one, have no group.
    fn session_group(&self) -> Option<Cow<'_, str>> {
        matches!(self.session(), Some(SessionRule::TimeoutMinutes(_)))
            .then(|| group::name(&self.plan.session_by, self.head))
            .flatten()
            .map(Cow::Owned)
    }
}

/// Status of the response by the proxy's account, where no response was seen.
pub(super) fn status(stream: &impl Stream) -> Option<u16> {
    number(stream, &["response", "code"]).and_then(|code| u16::try_from(code).ok())
}

/// Size of the response's body by the proxy's account, where no response was seen: a filter before
/// ours answered.
pub(super) fn response_size(stream: &impl Stream) -> u64 {
    number(stream, &["response", "size"]).unwrap_or(0)
}

/// The sides that the plan records. What was redacted in the head counts for the request, or for
/// the response if that alone is recorded.
pub(super) fn recorded(sides: [FinishedSide; 2], plan: &Plan) -> Vec<FinishedSide> {
    let [request, mut response] = sides;
    if !plan.storage.has(Half::Request) {
        response.head_redactions_of(&request);
    }
    [request, response]
        .into_iter()
        .filter(|side| plan.storage.has(side.half))
        .collect()
}

fn borrowed(text: Option<&String>) -> Option<Cow<'_, str>> {
    text.map(|text| Cow::Borrowed(text.as_str()))
}

fn pairs(headers: &[(String, String)]) -> Vec<HeaderField<'_>> {
    headers
        .iter()
        .map(|(name, value)| (Cow::Borrowed(name.as_str()), Cow::Borrowed(value.as_str())))
        .collect()
}

/// A number attribute: the host writes eight bytes, the lowest first.
fn number(stream: &impl Stream, path: &[&str]) -> Option<u64> {
    stream
        .attribute(path)?
        .try_into()
        .ok()
        .map(u64::from_le_bytes)
}
