//! The key `session`: where clients send a session id, and what divides sessions found by time.

use super::header_names;
use super::metadata::MAX_KEY_BYTES;
use super::reader::ConfigNode;
use super::source::SessionSource;

/// The keys of one place in the configuration. Absent keys are inherited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionKeys {
    pub(super) source: Option<SessionSource>,
    pub(super) by: Option<Vec<SessionGroupPart>>,
}

/// Exchanges of a user that differ in this part do not share a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionGroupPart {
    /// Of the entry.
    Endpoint,
    /// The name of Envoy's route.
    Route,
    /// The first value of a request header.
    Header(String),
    /// A metadata value of the entry.
    Metadata(String),
}

const MAX_PARTS: usize = 4;
const PART_EXPECTATION: &str = "endpoint, route, {header: …} or {metadata: …}";

impl SessionKeys {
    pub(super) fn read(node: &ConfigNode<'_>) -> Self {
        let Some(object) = node.as_object("header, cookie, query, request_json or by") else {
            return Self::default();
        };
        let by = object.get("by");
        // With `by` alone, clients send no session ids.
        let source = SessionSource::is_present(&object)
            .then(|| SessionSource::read(&object))
            .flatten();
        let by = by.and_then(|node| node.read_each(MAX_PARTS, "parts", SessionGroupPart::read));
        object.reject_unknown();
        Self { source, by }
    }

    /// Adds the inherited keys of `base`.
    pub(super) fn merged_over(&self, base: &Self) -> Self {
        Self {
            source: self.source.clone().or_else(|| base.source.clone()),
            by: self.by.clone().or_else(|| base.by.clone()),
        }
    }
}

impl SessionGroupPart {
    fn read(node: &ConfigNode<'_>) -> Option<Self> {
        match node.value.as_str() {
            Some("endpoint") => return Some(Self::Endpoint),
            Some("route") => return Some(Self::Route),
            Some(_) => {
                node.report_expected(PART_EXPECTATION);
                return None;
            }
            None => {}
        }
        let object = node.as_object("header or metadata")?;
        let part = object
            .get_one_of(&["header", "metadata"])
            .and_then(|(key, node)| match key {
                "header" => header_names::read_name(&node).map(Self::Header),
                _ => read_metadata_key(&node).map(Self::Metadata),
            });
        object.reject_unknown();
        part
    }
}

fn read_metadata_key(node: &ConfigNode<'_>) -> Option<String> {
    let fits = |text: &str| (1..=MAX_KEY_BYTES).contains(&text.len());
    let expectation = "a name in the metadata, of 1 to 64 bytes";
    node.as_text(expectation, fits).map(str::to_owned)
}
