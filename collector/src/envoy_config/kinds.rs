//! What a document is, and where a configuration of the filter can be in it.

use serde_json::Value;

use super::clusters::Clusters;
use super::envoy::{self, MetadataOwner};
use super::finding::Findings;
use super::istio;
use super::node::Node;
use super::plugin;

/// Checks Dossier's parts in a document.
pub(super) fn check(document: &Value, findings: &mut Findings) {
    resource(&Node::document(document), findings);
}

fn resource(node: &Node<'_>, findings: &mut Findings) {
    if let (Some(kind), true) = (node.text("kind"), node.has("apiVersion")) {
        return kubernetes(kind, node, findings);
    }
    if is_bare(node) {
        return plugin::check(node, None, None, findings);
    }
    let clusters = Clusters::of(node);
    envoy::walk(node, MetadataOwner::Unknown, clusters.as_ref(), findings);
}

/// Kinds that cannot contain a configuration of the filter are skipped: a file may deploy a whole service.
fn kubernetes(kind: &str, node: &Node<'_>, findings: &mut Findings) {
    let name = node.find(&["metadata", "name"]);
    let name = name.and_then(|name| name.value.as_str());
    match (kind, node.get("spec")) {
        ("WasmPlugin", Some(spec)) => istio::wasm(&spec, name, findings),
        ("TrafficExtension", Some(spec)) => {
            if let Some(wasm) = spec.get("wasm") {
                istio::wasm(&wasm, name, findings);
            }
        }
        ("EnvoyFilter", Some(spec)) => istio::envoy_filter(&spec, findings),
        // kubectl prints several as one.
        (list, None) if list.ends_with("List") => {
            for item in node.get("items").iter().flat_map(Node::items) {
                resource(&item, findings);
            }
        }
        _ => {}
    }
}

/// Whether a document is the filter's configuration alone. Envoy's objects with routes have domains, too.
fn is_bare(node: &Node<'_>) -> bool {
    node.has("collector") || (node.has("routes") && !node.has("domains") && !node.has("@type"))
}
