//! The key `session`: where the client may name the session, and what else than the user divides
//! sessions that are found by time.

use super::capture::MAX_METADATA_KEY_BYTES;
use super::names;
use super::reader::Node;
use super::source::SessionSource;

/// The key as one place wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionKeys {
    pub(super) source: Option<SessionSource>,
    pub(super) by: Option<Vec<GroupPart>>,
}

/// Exchanges of a user that differ in this do not share a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupPart {
    /// What they are filed under.
    Endpoint,
    /// The proxy's route.
    Route,
    /// The first value of a request header.
    Header(String),
    /// A value of the metadata.
    Metadata(String),
}

/// Most parts of a group.
const MAX_PARTS: usize = 4;
const PART: &str = "endpoint, route, {header: …} or {metadata: …}";

impl SessionKeys {
    pub(super) fn read(node: &Node<'_>) -> Self {
        let Some(object) = node.object("header, cookie, query, request_json or by") else {
            return Self::default();
        };
        let by = object.get("by");
        // With `by` alone, no client names its sessions.
        let source = SessionSource::is_in(&object)
            .then(|| SessionSource::read(&object))
            .flatten();
        let by = by.and_then(|node| node.each(MAX_PARTS, "parts", GroupPart::read));
        object.refuse_unknown();
        Self { source, by }
    }

    /// These keys, and the base's where these say nothing.
    pub(super) fn over(&self, base: &Self) -> Self {
        Self {
            source: self.source.clone().or_else(|| base.source.clone()),
            by: self.by.clone().or_else(|| base.by.clone()),
        }
    }
}

impl GroupPart {
    fn read(node: &Node<'_>) -> Option<Self> {
        match node.value.as_str() {
            Some("endpoint") => return Some(Self::Endpoint),
            Some("route") => return Some(Self::Route),
            Some(_) => {
                node.expected(PART);
                return None;
            }
            None => {}
        }
        let object = node.object("header or metadata")?;
        let part = object
            .one_of(&["header", "metadata"])
            .and_then(|(key, node)| match key {
                "header" => names::header(&node).map(Self::Header),
                _ => metadata_key(&node).map(Self::Metadata),
            });
        object.refuse_unknown();
        part
    }
}

fn metadata_key(node: &Node<'_>) -> Option<String> {
    let fits = |text: &str| (1..=MAX_METADATA_KEY_BYTES).contains(&text.len());
    let expectation = "a name in the metadata, of 1 to 64 bytes";
    node.text(expectation, fits).map(str::to_owned)
}
