//! Whose data an exchange is.

use crate::config::{UserSource, claim};
use crate::headers::Headers;
use crate::host::Stream;

/// A user's name is never cut: two users whose names begin alike are not one.
const MAX_USER_BYTES: usize = 256;
const ANONYMOUS: &str = "anonymous";

/// The first source that yields a name wins.
pub(super) fn name(sources: &[UserSource], headers: &Headers, stream: &impl Stream) -> String {
    sources
        .iter()
        .find_map(|source| match source {
            UserSource::Header(name) => sound(headers.get(name)?),
            UserSource::JwtClaim(names) => {
                sound(claim(&stream.attribute(&["metadata"])?, names)?.as_bytes())
            }
            UserSource::PeerCertificate(part) => sound(&stream.attribute(&["connection", part])?),
        })
        .unwrap_or_else(|| ANONYMOUS.to_owned())
}

fn sound(value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let fits = !value.is_empty() && value.len() <= MAX_USER_BYTES && !value.contains('\0');
    fits.then(|| value.to_owned())
}
