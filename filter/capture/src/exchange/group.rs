//! The group of a user's sessions that an exchange belongs to.
//!
//! It is named by a digest, so that nothing of a header or a value is told by it, and always fits.

use xxhash_rust::xxh3::xxh3_128;

use super::head::Head;
use super::redactor::Redactor;
use crate::config::GroupPart;
use crate::headers::Headers;
use crate::redact::Counts;

/// Digests of the headers among the parts of a group, one by one; none for one that is absent.
/// Redacted first: what may not be kept may not be guessed from a digest either.
pub(super) fn headers(
    parts: &[GroupPart],
    headers: &Headers,
    redactor: Redactor<'_>,
) -> Vec<Option<u128>> {
    let digest = |name: &str| {
        let sent = headers.get(name)?;
        // What is redacted here does not reach the record, so it is not counted.
        let value = redactor.header(name, (sent, usize::MAX), &mut Counts::default());
        Some(xxh3_128(value.as_bytes()))
    };
    parts
        .iter()
        .filter_map(|part| match part {
            GroupPart::Header(name) => Some(digest(name)),
            _ => None,
        })
        .collect()
}

/// The name of the group; none without parts. Exchanges share it if they agree in every part.
pub(super) fn name(parts: &[GroupPart], head: &Head) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    let digest = |text: &str| Some(xxh3_128(text.as_bytes()));
    let mut headers = head.group_headers.iter();
    let mut all = Vec::new();
    for part in parts {
        let digest = match part {
            GroupPart::Endpoint => digest(&head.endpoint),
            GroupPart::Route => head.route.as_deref().and_then(digest),
            GroupPart::Header(_) => headers.next().copied().flatten(),
            GroupPart::Metadata(key) => {
                let value = head.metadata.get(key);
                value.and_then(|value| digest(&value.to_string()))
            }
        };
        all.push(u8::from(digest.is_some()));
        all.extend(digest.unwrap_or_default().to_le_bytes());
    }
    Some(format!("{:032x}", xxh3_128(&all)))
}
