//! Istio's resources that load a filter: plugins, and patches of Envoy's configuration.

use super::envoy::{self, MetadataOwner};
use super::finding::{Finding, Findings};
use super::node::{Node, join};
use super::plugin::{self, NAME, Variables};

/// Checks the `spec` of a `WasmPlugin`, or its like in a `TrafficExtension`, if it loads Dossier's filter.
/// `name` is that of the resource.
pub(super) fn wasm(spec: &Node<'_>, name: Option<&str>, findings: &mut Findings) {
    let configuration = spec.get("pluginConfig");
    let has_collector = configuration
        .as_ref()
        .is_some_and(|configuration| configuration.has("collector"));
    let is_named = [name, spec.text("pluginName")].contains(&Some(NAME));
    let is_dossier = has_collector || is_named || spec.text("url").is_some_and(is_dossier_image);
    if !is_dossier {
        return;
    }
    let strategy = spec.text("failStrategy");
    if !matches!(strategy, Some("FAIL_RELOAD" | "FAIL_OPEN")) {
        findings.add(Finding::FailsClosed {
            path: join(&spec.path, "failStrategy"),
            expected: "FAIL_RELOAD or FAIL_OPEN",
        });
    }
    if let Some(configuration) = configuration {
        plugin::check(&configuration, Some(&variables(spec)), None, findings);
    } else {
        findings.count_configuration();
        findings.add(Finding::NoConfiguration {
            path: join(&spec.path, "pluginConfig"),
            expected: "an object with collector and routes",
            found: "nothing",
        });
    }
}

/// Whether an address such as `oci://ghcr.io/example/dossier-filter:1.0` is that of Dossier's filter.
fn is_dossier_image(url: &str) -> bool {
    url.rsplit('/')
        .next()
        .is_some_and(|image| image.starts_with(NAME))
}

fn variables(spec: &Node<'_>) -> Variables {
    let list = spec.find(&["vmConfig", "env"]);
    let list = list.iter().flat_map(Node::items);
    Variables {
        path: join(&spec.path, "vmConfig.env"),
        names: list
            .filter_map(|variable| variable.text("name").map(str::to_owned))
            .collect(),
    }
}

/// Checks Dossier's parts in the patches of an `EnvoyFilter`.
pub(super) fn envoy_filter(spec: &Node<'_>, findings: &mut Findings) {
    for patch in spec.get("configPatches").iter().flat_map(Node::items) {
        let owner = match patch.text("applyTo") {
            Some("HTTP_ROUTE") => MetadataOwner::Route,
            _ => MetadataOwner::Other,
        };
        if let Some(value) = patch.find(&["patch", "value"]) {
            envoy::walk(&value, owner, None, findings);
        }
    }
}
