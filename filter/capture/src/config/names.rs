//! Names of headers, as they stand in many places of the configuration.

use super::reader::Node;

/// What is expected where a header is named.
const HEADER_NAME: &str = "the name of a header";

/// The name of a header, in lower case.
pub(super) fn header(node: &Node<'_>) -> Option<String> {
    node.text(HEADER_NAME, is_header_name)
        .map(str::to_ascii_lowercase)
}

/// A list of headers' names, in lower case.
pub(super) fn headers(node: &Node<'_>, most: usize) -> Option<Vec<String>> {
    node.each(most, "names of headers", header)
}

/// A `token` of RFC 9110, at a length that no real header reaches.
fn is_header_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(allowed)
}
