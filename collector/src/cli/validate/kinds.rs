//! What a document is, and where a configuration of ours can stand in it.

use serde_json::Value;

use super::envoy::{self, Clusters, Holder};
use super::finding::Findings;
use super::istio;
use super::node::Node;
use super::plugin;

/// Checks everything of ours in a document.
pub(super) fn check(document: &Value, found: &mut Findings) {
    resource(&Node::document(document), found);
}

fn resource(node: &Node<'_>, found: &mut Findings) {
    if let (Some(kind), true) = (node.text("kind"), node.has("apiVersion")) {
        return kubernetes(kind, node, found);
    }
    if is_bare(node) {
        return plugin::check(node, None, None, found);
    }
    let clusters = Clusters::of(node);
    envoy::walk(node, Holder::ByShape, clusters.as_ref(), found);
}

/// Kinds that cannot hold anything of ours are passed over: a file may deploy a whole service.
fn kubernetes(kind: &str, node: &Node<'_>, found: &mut Findings) {
    let name = node.find(&["metadata", "name"]);
    let name = name.and_then(|name| name.value.as_str());
    match (kind, node.get("spec")) {
        ("WasmPlugin", Some(spec)) => istio::wasm(&spec, name, found),
        ("TrafficExtension", Some(spec)) => {
            if let Some(wasm) = spec.get("wasm") {
                istio::wasm(&wasm, name, found);
            }
        }
        ("EnvoyFilter", Some(spec)) => istio::envoy_filter(&spec, found),
        // kubectl prints several as one.
        (list, None) if list.ends_with("List") => {
            for item in node.get("items").iter().flat_map(Node::items) {
                resource(&item, found);
            }
        }
        _ => {}
    }
}

/// Whether a document is our configuration alone. Routes of Envoy stand beside their domains.
fn is_bare(node: &Node<'_>) -> bool {
    node.has("collector") || (node.has("routes") && !node.has("domains") && !node.has("@type"))
}
