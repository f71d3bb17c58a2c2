//! Determines the user of an exchange.

use dossier_content::whitespace::trim;
use dossier_wire::limits::MAX_USER_BYTES;

use crate::config::{UserSource, find_claim};
use crate::headers::Headers;
use crate::host::Stream;

const ANONYMOUS: &str = "anonymous";

/// The first source with a valid id wins.
pub(super) fn identify(sources: &[UserSource], headers: &Headers, stream: &impl Stream) -> String {
    sources
        .iter()
        .find_map(|source| match source {
            UserSource::Header(name) => validate(headers.get(name)?),
            UserSource::JwtClaim(names) => {
                validate(find_claim(&stream.attribute(&["metadata"])?, names)?.as_bytes())
            }
            UserSource::PeerCertificate(part) => {
                validate(&stream.attribute(&["connection", part])?)
            }
        })
        .unwrap_or_else(|| ANONYMOUS.to_owned())
}

/// Longer ids are ignored, not truncated: two users with a common prefix are not one.
fn validate(value: &[u8]) -> Option<String> {
    let value = trim(std::str::from_utf8(value).ok()?);
    let fits = !value.is_empty() && value.len() <= MAX_USER_BYTES && !value.contains('\0');
    fits.then(|| value.to_owned())
}
