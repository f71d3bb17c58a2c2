//! Envoy's configuration, whole or in parts: finds Dossier's filters, and its keys in the metadata of routes.

use std::borrow::Cow;

use dossier_capture::config::check_route_keys;
use serde_json::Value;

use super::clusters::Clusters;
use super::finding::{Finding, Findings};
use super::node::{Node, is_type, join};
use super::plugin::{self, NAME, Variables};

const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";
/// These contain another type as a struct, under `value`, and its name in `type_url`.
const TYPED_STRUCTS: [&str; 2] = ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"];

/// The kind of an object that has metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetadataOwner {
    /// A route, whose metadata filters see.
    Route,
    /// Any other object.
    Other,
    /// Recognized by its keys.
    Unknown,
}

/// Checks Dossier's parts in a value and all that it contains. The parser bounds the depth.
pub(super) fn walk(
    node: &Node<'_>,
    owner: MetadataOwner,
    clusters: Option<&Clusters>,
    findings: &mut Findings,
) {
    if let Some(plugin) = wasm(node) {
        return filter(&plugin, clusters, findings);
    }
    if node.text("name") == Some(NAME) && node.has("config_discovery") {
        let path = join(&node.path, "config_discovery");
        return findings.add(Finding::DiscoveredFilter { path });
    }
    if let Some(keys) = node.find(&["metadata", "filter_metadata", NAME]) {
        metadata(node, owner, &keys, findings);
    }
    for child in node.fields().chain(node.items()) {
        walk(&child, MetadataOwner::Unknown, clusters, findings);
    }
}

/// The plugin of a Wasm filter.
fn wasm<'v>(node: &Node<'v>) -> Option<Node<'v>> {
    if node.is_of_type(WASM) {
        return node.get("config");
    }
    let is_typed_struct = TYPED_STRUCTS.iter().any(|name| node.is_of_type(name));
    let is_wasm = node.text("type_url").is_some_and(|url| is_type(url, WASM));
    (is_typed_struct && is_wasm).then(|| node.find(&["value", "config"]))?
}

fn filter(plugin: &Node<'_>, clusters: Option<&Clusters>, findings: &mut Findings) {
    let configuration = configuration(plugin);
    let is_named = [
        plugin.text("name"),
        plugin.text("root_id"),
        plugin.get("vm_config").and_then(|vm| vm.text("vm_id")),
    ]
    .contains(&Some(NAME));
    let has_collector =
        matches!(&configuration, Ok((value, _)) if value.get("collector").is_some());
    if !is_named && !has_collector {
        return;
    }
    if !fails_open(plugin) {
        findings.add(Finding::FailsClosed {
            path: join(&plugin.path, "failure_policy"),
            expected: "FAIL_RELOAD or FAIL_OPEN",
        });
    }
    match configuration {
        Ok((value, path)) => {
            let configuration = Node {
                value: &value,
                path,
            };
            plugin::check(&configuration, Some(&variables(plugin)), clusters, findings);
        }
        Err(finding) => {
            findings.count_configuration();
            findings.add(finding);
        }
    }
}

/// The filter's configuration as Envoy passes it, and its path.
fn configuration<'v>(plugin: &Node<'v>) -> Result<(Cow<'v, Value>, String), Finding> {
    let missing = |found| Finding::NoConfiguration {
        path: join(&plugin.path, "configuration"),
        expected: "a google.protobuf.Struct, or a google.protobuf.StringValue of JSON",
        found,
    };
    let any = plugin
        .get("configuration")
        .ok_or_else(|| missing("nothing"))?;
    let node = any
        .get("value")
        .ok_or_else(|| missing("one without value"))?;
    if any.is_of_type("google.protobuf.Struct") {
        return Ok((Cow::Borrowed(node.value), node.path));
    }
    match node.value.as_str() {
        Some(text) if any.is_of_type("google.protobuf.StringValue") => from_text(text, node.path),
        _ => Err(missing("something else")),
    }
}

/// The filter reads text as JSON only.
fn from_text<'v>(text: &str, path: String) -> Result<(Cow<'v, Value>, String), Finding> {
    match serde_json::from_str(text) {
        Ok(value) => Ok((Cow::Owned(value), path)),
        Err(error) => Err(Finding::NotJson {
            path,
            line: error.line(),
            column: error.column(),
        }),
    }
}

fn fails_open(plugin: &Node<'_>) -> bool {
    let policy = plugin.text("failure_policy");
    matches!(policy, Some("FAIL_RELOAD" | "FAIL_OPEN"))
        || plugin
            .get("fail_open")
            .is_some_and(|open| open.value == &Value::Bool(true))
}

fn variables(plugin: &Node<'_>) -> Variables {
    let environment = plugin.find(&["vm_config", "environment_variables"]);
    let part = |key| environment.as_ref().and_then(|node| node.get(key));
    let from_host = part("host_env_keys");
    let from_host = from_host.iter().flat_map(Node::items);
    let given = part("key_values");
    let given = given.iter().filter_map(|node| node.value.as_object());
    Variables {
        path: join(&plugin.path, "vm_config.environment_variables"),
        names: from_host
            .filter_map(|key| key.value.as_str().map(str::to_owned))
            .chain(given.flat_map(|map| map.keys().cloned()))
            .collect(),
    }
}

fn metadata(node: &Node<'_>, owner: MetadataOwner, keys: &Node<'_>, findings: &mut Findings) {
    let is_route = match owner {
        MetadataOwner::Route => true,
        MetadataOwner::Other => false,
        MetadataOwner::Unknown => node.has("match"),
    };
    findings.count_configuration();
    if !is_route {
        let path = keys.path.clone();
        return findings.add(Finding::MetadataNotOnRoute { path });
    }
    match check_route_keys(keys.value, &keys.path) {
        Ok(None) => {}
        Ok(Some(reason)) => findings.add(Finding::Idle {
            path: keys.path.clone(),
            reason,
        }),
        Err(problems) => findings.refuse(&problems),
    }
}
