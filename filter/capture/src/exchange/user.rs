//! Determines the user of an exchange.

use std::fmt::Write as _;

use dossier_content::whitespace::trim;
use dossier_wire::limits::MAX_USER_BYTES;
use sha2::{Digest, Sha256};

use crate::config::{UserSource, find_claim};
use crate::headers::Headers;
use crate::host::Stream;

const ANONYMOUS: &str = "anonymous";
/// Of the ids of users whose own id cannot be taken. No source can give one: it could not be taken.
const INVALID_PREFIX: &str = "invalid:";
/// Enough that different ids stay different.
const HASH_BYTES: usize = 16;

/// Whose exchange it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user_id: String,
    /// The source gave an id that cannot be taken: `user_id` stands for it.
    pub(super) invalid: bool,
}

/// The first source that has a value decides, whether or not it can be taken: what follows may be set by the client.
pub(super) fn identify(
    sources: &[UserSource],
    headers: &Headers,
    stream: &impl Stream,
) -> Identity {
    let present = sources.iter().find_map(|source| {
        let value = match source {
            UserSource::Header(name) => headers.get(name)?.to_vec(),
            UserSource::JwtClaim(names) => {
                find_claim(&stream.attribute(&["metadata"])?, names)?.into_bytes()
            }
            UserSource::PeerCertificate(part) => stream.attribute(&["connection", part])?,
        };
        let is_empty = value.iter().all(|byte| matches!(byte, b' ' | b'\t'));
        (!is_empty).then_some(value)
    });
    let Some(value) = present else {
        return Identity {
            user_id: ANONYMOUS.to_owned(),
            invalid: false,
        };
    };
    let valid = validate(&value);
    Identity {
        invalid: valid.is_none(),
        user_id: valid.unwrap_or_else(|| stand_in(&value)),
    }
}

/// Longer ids are not truncated: two users with a common prefix are not one.
fn validate(value: &[u8]) -> Option<String> {
    let value = trim(std::str::from_utf8(value).ok()?);
    let fits = value.len() <= MAX_USER_BYTES && !value.contains('\0');
    (fits && !value.starts_with(INVALID_PREFIX)).then(|| value.to_owned())
}

/// An id for the user of an id that cannot be taken: the same for the same bytes.
fn stand_in(value: &[u8]) -> String {
    let mut text = INVALID_PREFIX.to_owned();
    for byte in Sha256::digest(value).iter().take(HASH_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
