//! Names the group of sessions that an exchange belongs to.
//!
//! The name is a digest: its length is fixed, and it reveals no header or value.

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_128;

use super::redactor::Redactor;
use crate::config::SessionGroupPart;
use crate::headers::Headers;
use crate::redact::RedactionCounts;

/// Digests of the headers in a group's parts, in order; none for absent headers. They are redacted
/// first: what may not be recorded must not be guessable from a digest either.
pub(super) fn digest_headers(
    parts: &[SessionGroupPart],
    headers: &Headers,
    redactor: Redactor<'_>,
) -> Vec<Option<u128>> {
    let digest = |name: &str| {
        let sent = headers.get(name)?;
        // These redactions do not affect the record, so they are not counted.
        let value =
            redactor.redact_header(name, (sent, usize::MAX), &mut RedactionCounts::default());
        Some(xxh3_128(value.text.as_bytes()))
    };
    parts
        .iter()
        .filter_map(|part| match part {
            SessionGroupPart::Header(name) => Some(digest(name)),
            _ => None,
        })
        .collect()
}

/// What the parts of a group are computed from.
pub(super) struct GroupValues<'a> {
    pub(super) endpoint: &'a str,
    pub(super) route: Option<&'a str>,
    /// In the order of the header parts, as [`digest_headers`] returns them.
    pub(super) header_digests: &'a [Option<u128>],
    pub(super) metadata: &'a Map<String, Value>,
}

/// None without parts. Exchanges share a group if they agree in every part.
pub(super) fn name_group(parts: &[SessionGroupPart], values: &GroupValues<'_>) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    let digest = |text: &str| Some(xxh3_128(text.as_bytes()));
    let mut headers = values.header_digests.iter();
    let mut all = Vec::new();
    for part in parts {
        let digest = match part {
            SessionGroupPart::Endpoint => digest(values.endpoint),
            SessionGroupPart::Route => values.route.and_then(digest),
            SessionGroupPart::Header(_) => headers.next().copied().flatten(),
            SessionGroupPart::Metadata(key) => {
                let value = values.metadata.get(key);
                value.and_then(|value| digest(&value.to_string()))
            }
        };
        all.push(u8::from(digest.is_some()));
        all.extend(digest.unwrap_or_default().to_le_bytes());
    }
    Some(format!("{:032x}", xxh3_128(&all)))
}
