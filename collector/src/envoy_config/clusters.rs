//! The clusters of an Envoy bootstrap.

use super::node::Node;

/// The clusters of a bootstrap.
#[derive(Debug)]
pub(super) struct Clusters {
    /// Those that the bootstrap defines.
    pub(super) names: Vec<String>,
    /// Whether it discovers others (CDS).
    pub(super) has_discovery: bool,
}

impl Clusters {
    /// The clusters of a document, if it is a whole bootstrap.
    pub(super) fn of(document: &Node<'_>) -> Option<Self> {
        let static_resources = document.get("static_resources")?;
        let clusters = static_resources.get("clusters");
        let clusters = clusters.iter().flat_map(Node::items);
        Some(Self {
            names: clusters
                .filter_map(|cluster| cluster.text("name").map(str::to_owned))
                .collect(),
            has_discovery: document
                .find(&["dynamic_resources", "cds_config"])
                .is_some(),
        })
    }
}
