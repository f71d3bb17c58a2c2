//! Reads header names, which occur in many keys.

use super::reader::ConfigNode;

/// In lower case.
pub(super) fn read_name(node: &ConfigNode<'_>) -> Option<String> {
    node.as_text("the name of a header", is_header_name)
        .map(str::to_ascii_lowercase)
}

/// In lower case.
pub(super) fn read_list(node: &ConfigNode<'_>, max: usize) -> Option<Vec<String>> {
    node.read_each(max, "names of headers", read_name)
}

/// A `token` of RFC 9110, with a limit that no real header reaches.
pub(super) fn is_header_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= 128 && name.bytes().all(allowed)
}
