//! Where configurations of the filter are found, and what is wrong with them.

use serde_json::{Value, json};

use super::finding::Finding;
use super::{Findings, Severity, document, kinds};

fn check_text(text: &str) -> Findings {
    let mut found = Findings::default();
    for document in document::parse(text).unwrap() {
        kinds::check(&document, &mut found);
    }
    found.end();
    found
}

fn check_value(value: &Value) -> Findings {
    check_text(&value.to_string())
}

fn findings(found: &Findings) -> Vec<&Finding> {
    found.all().iter().map(|(_, finding)| finding).collect()
}

fn lines(found: &Findings) -> Vec<String> {
    findings(found).iter().map(ToString::to_string).collect()
}

/// One fault, at `collector.path`.
fn faulty() -> Value {
    json!({"collector": {"cluster": "c", "path": "no-slash"}, "routes": []})
}

fn plugin(configuration: &Value) -> Value {
    json!({"name": "x", "failure_policy": "FAIL_RELOAD", "configuration": configuration})
}

fn wasm_filter(plugin: &Value) -> Value {
    json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": plugin})
}

fn as_struct(configuration: &Value) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": configuration})
}

fn as_text(text: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text})
}

/// Asserts that there is one configuration with the one fault of [`faulty`], at this path.
fn assert_reported_at(path: &str, found: &Findings) {
    let lines = lines(found);
    assert_eq!(found.configurations(), 1, "{path}: {lines:?}");
    assert_eq!(lines.len(), 1, "{path}: {lines:?}");
    let begins = format!("{path}collector.path: expected ");
    assert!(lines[0].starts_with(&begins), "{path}: {lines:?}");
}

#[test]
fn configuration_is_found_in_every_place() {
    let filter = wasm_filter(&plugin(&as_struct(&faulty())));
    let filters =
        json!([{"name": "other", "typed_config": {"@type": "x"}}, {"typed_config": filter}]);
    let typed_struct = |name: &str| {
        let plugin = plugin(&as_struct(&faulty()));
        json!({"typed_config": {
            "@type": format!("type.googleapis.com/{name}"),
            "type_url": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "value": {"config": plugin},
        }})
    };
    let istio = |kind: &str, spec: Value| json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec});
    let wasm = json!({"url": "oci://x", "failStrategy": "FAIL_RELOAD", "pluginConfig": faulty()});
    let wasm_plugin = istio("WasmPlugin", wasm.clone());
    for (path, document) in [
        ("", faulty()),
        (
            "http_filters[1].typed_config.config.configuration.value.",
            json!({"http_filters": filters}),
        ),
        (
            "resources[0].config.configuration.value.",
            json!({"resources": [wasm_filter(&plugin(&as_struct(&faulty())))]}),
        ),
        (
            "config.configuration.value.",
            wasm_filter(&plugin(&as_text(&faulty().to_string()))),
        ),
        (
            "typed_config.value.config.configuration.value.",
            typed_struct("udpa.type.v1.TypedStruct"),
        ),
        (
            "typed_config.value.config.configuration.value.",
            typed_struct("xds.type.v3.TypedStruct"),
        ),
        ("spec.pluginConfig.", wasm_plugin.clone()),
        (
            "spec.wasm.pluginConfig.",
            istio("TrafficExtension", json!({"wasm": wasm})),
        ),
        (
            "items[1].spec.pluginConfig.",
            json!({"apiVersion": "v1", "kind": "List", "items": [istio("WasmPlugin", json!({})), wasm_plugin]}),
        ),
        (
            "spec.configPatches[0].patch.value.typed_config.config.configuration.value.",
            istio(
                "EnvoyFilter",
                json!({"configPatches": [{
                    "applyTo": "HTTP_FILTER",
                    "patch": {"operation": "INSERT_BEFORE", "value": {"name": "dossier", "typed_config": filter}},
                }]}),
            ),
        ),
    ] {
        assert_reported_at(path, &check_value(&document));
    }
}

#[test]
fn plugin_is_recognized_by_name_or_configuration() {
    let empty = as_struct(&json!({}));
    for key in ["name", "root_id", "rootId"] {
        let plugin = json!({key: "dossier", "fail_open": true, "configuration": empty});
        let found = check_value(&wasm_filter(&plugin));
        assert_eq!(found.configurations(), 1, "{key}");
        assert_eq!(
            lines(&found),
            ["config.configuration.value.collector: expected an object with cluster, got nothing"]
        );
    }
    let by_vm = json!({"vmConfig": {"vmId": "dossier"}, "failOpen": true});
    let found = check_value(&wasm_filter(&by_vm));
    assert!(
        lines(&found)[0].starts_with("config.configuration: expected a google.protobuf.Struct"),
        "{:?}",
        lines(&found)
    );
    for (ours, name, url) in [
        (true, "dossier", "oci://x/y"),
        (true, "x", "oci://ghcr.io/example/dossier-filter:1.0"),
        (false, "x", "oci://ghcr.io/dossier-team/other"),
    ] {
        let manifest = json!({
            "apiVersion": "x", "kind": "WasmPlugin", "metadata": {"name": name},
            "spec": {"url": url, "failStrategy": "FAIL_OPEN"},
        });
        let found = check_value(&manifest);
        assert_eq!(found.configurations(), usize::from(ours), "{name} {url}");
        let expected = if ours {
            "spec.pluginConfig: expected an object with collector and routes, got nothing"
        } else {
            "expected a configuration of Dossier, got none"
        };
        assert!(
            lines(&found)[0].starts_with(expected),
            "{:?}",
            lines(&found)
        );
    }
}

#[test]
fn other_plugins_are_ignored() {
    let others = wasm_filter(&plugin(&as_struct(&json!({"rules": []}))));
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "data": {"envoy": wasm_filter(&plugin(&as_struct(&faulty())))},
    });
    let virtual_host =
        json!({"name": "x", "domains": ["*"], "routes": [{"match": {"prefix": "/"}}]});
    for document in [
        json!({}),
        json!([]),
        json!(7),
        others,
        config_map,
        virtual_host,
    ] {
        let found = check_value(&document);
        assert_eq!(
            findings(&found),
            [&Finding::NoConfigurationFound],
            "{document}"
        );
    }
    assert_eq!(findings(&check_text("")), [&Finding::NoConfigurationFound]);
}

#[test]
fn text_that_is_not_json_is_refused() {
    let mut plugin = plugin(&as_text("{}\ncollector: hunter2"));
    plugin["name"] = json!("dossier");
    let found = check_value(&wasm_filter(&plugin));
    let reported = lines(&found);
    assert!(
        reported[0]
            .starts_with("config.configuration.value: expected JSON, got other text at its line 2"),
        "{reported:?}"
    );
    assert!(!reported[0].contains("hunter2"));
}

#[test]
fn route_keys_outside_routes_are_refused() {
    let keys = json!({"filter_metadata": {"dossier": {"ttl_days": 0}}});
    let routes = json!({"route_config": {
        "metadata": keys,
        "virtualHosts": [{
            "domains": ["*"],
            "metadata": {"filterMetadata": {"dossier": {"ttl_days": 7}}},
            "routes": [{"match": {"prefix": "/"}, "metadata": keys}],
        }],
    }});
    let found = check_value(&routes);
    assert_eq!(found.configurations(), 3);
    let reported = lines(&found);
    assert_eq!(reported.len(), 3, "{reported:?}");
    let elsewhere = "Envoy shows filters the metadata of routes only: move it to the routes";
    assert_eq!(
        reported[0],
        format!("route_config.metadata.filter_metadata.dossier: {elsewhere}")
    );
    assert_eq!(
        reported[1],
        format!("route_config.virtualHosts[0].metadata.filterMetadata.dossier: {elsewhere}")
    );
    let at_route =
        "route_config.virtualHosts[0].routes[0].metadata.filter_metadata.dossier.ttl_days: ";
    assert!(reported[2].starts_with(at_route), "{reported:?}");
    // A patch of a route need not say what it matches.
    let patch = |apply_to: &str| {
        check_value(
            &json!({"apiVersion": "x", "kind": "EnvoyFilter", "spec": {"configPatches": [
                {"applyTo": apply_to, "patch": {"value": {"metadata": keys}}},
            ]}}),
        )
    };
    let of_route = lines(&patch("HTTP_ROUTE"));
    assert!(of_route[0].contains("dossier.ttl_days: "), "{of_route:?}");
    assert!(lines(&patch("VIRTUAL_HOST"))[0].ends_with(elsewhere));
}

#[test]
fn clusters_and_variables_must_exist() {
    let collector = json!({"cluster": "c", "token": "${TOKEN}"});
    let configuration = json!({"collector": collector, "routes": [{"match": {}}]});
    let bootstrap = |dynamic: Value, cluster: &str, environment: Value| {
        let mut plugin = plugin(&as_struct(&configuration));
        plugin["vm_config"] = json!({"environment_variables": environment});
        check_value(&json!({
            "dynamic_resources": dynamic,
            "static_resources": {
                "clusters": [{"name": cluster}],
                "listeners": [{"typed_config": wasm_filter(&plugin)}],
            },
        }))
    };
    let named = json!({"host_env_keys": ["TOKEN"]});
    for environment in [named.clone(), json!({"keyValues": {"TOKEN": "x"}})] {
        assert!(findings(&bootstrap(json!({}), "c", environment)).is_empty());
    }
    let at = "static_resources.listeners[0].typed_config.config.".to_owned();
    let cluster = (
        at.clone() + "configuration.value.collector.cluster",
        "c".to_owned(),
    );
    assert_eq!(
        findings(&bootstrap(json!({}), "other", named.clone())),
        [&Finding::UnknownCluster {
            path: cluster.0.clone(),
            cluster: cluster.1.clone(),
        }]
    );
    let discovered = bootstrap(json!({"cds_config": {}}), "other", named);
    assert_eq!(
        findings(&discovered),
        [&Finding::DiscoveredCluster {
            path: cluster.0,
            cluster: cluster.1,
        }]
    );
    assert_eq!(findings(&discovered)[0].severity(), Severity::Warning);
    let hidden = bootstrap(json!({}), "c", json!({"host_env_keys": ["OTHER"]}));
    assert_eq!(
        findings(&hidden),
        [&Finding::HiddenVariable {
            path: at + "vm_config.environment_variables",
            name: "TOKEN".to_owned(),
        }]
    );
    assert_eq!(findings(&hidden)[0].severity(), Severity::Error);
}

#[test]
fn mesh_plugin_must_list_its_variables() {
    let manifest = |environment: Value| {
        check_value(&json!({"apiVersion": "x", "kind": "WasmPlugin", "spec": {
            "failStrategy": "FAIL_RELOAD",
            "vmConfig": {"env": environment},
            "pluginConfig": {
                "collector": {"cluster": "outbound|8686||dossier", "token": "${TOKEN}"},
                "routes": [{"match": {}}],
            },
        }}))
    };
    assert!(findings(&manifest(json!([{"name": "TOKEN", "valueFrom": "HOST"}]))).is_empty());
    assert_eq!(
        findings(&manifest(json!([]))),
        [&Finding::HiddenVariable {
            path: "spec.vmConfig.env".to_owned(),
            name: "TOKEN".to_owned(),
        }]
    );
}

#[test]
fn failing_closed_is_a_warning() {
    let configuration = json!({"collector": {"cluster": "c"}, "routes": [{"match": {}}]});
    let configuration = as_struct(&configuration);
    for (policy, warned) in [
        (json!({}), true),
        (json!({"failure_policy": "FAIL_CLOSED"}), true),
        (json!({"fail_open": false}), true),
        (json!({"fail_open": true}), false),
        (json!({"failurePolicy": "FAIL_OPEN"}), false),
        (json!({"failure_policy": "FAIL_RELOAD"}), false),
    ] {
        let mut plugin = policy.clone();
        plugin["configuration"] = configuration.clone();
        let found = check_value(&wasm_filter(&plugin));
        let severities: Vec<_> = findings(&found).iter().map(|it| it.severity()).collect();
        let expected = if warned {
            vec![Severity::Warning]
        } else {
            vec![]
        };
        assert_eq!(severities, expected, "{policy}");
    }
    let manifest = json!({"apiVersion": "x", "kind": "WasmPlugin",
        "spec": {"pluginConfig": {"collector": {"cluster": "c"}}}});
    let reported = lines(&check_value(&manifest));
    assert!(
        reported[0].starts_with("spec.failStrategy: "),
        "{reported:?}"
    );
}

#[test]
fn discovered_filter_is_a_warning() {
    let filter = json!({"name": "dossier", "config_discovery": {"type_urls": ["x"]}});
    let found =
        check_value(&json!({"static_resources": {"listeners": [{"http_filters": [filter]}]}}));
    let findings = findings(&found);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity(), Severity::Warning);
    let line = findings[0].to_string();
    assert!(
        line.contains("http_filters[0].config_discovery: Envoy discovers"),
        "{line}"
    );
}

#[test]
fn rule_that_records_nothing_is_pointed_at() {
    let configuration = json!({"collector": {"cluster": "c"}, "routes": [
        {"match": {"path": {"prefix": "/health"}}, "capture": {"storage_type": "none"}},
        {"match": {}, "capture": {"sample": 0}},
        {"match": {"path": {"prefix": "/api/"}}},
    ]});
    let found = check_value(&configuration);
    assert_eq!(
        lines(&found),
        [
            "routes[0]: records nothing: storage_type is none",
            "routes[1]: records nothing: sample is 0",
            "routes[2]: records nothing: routes[1] before it matches all that it matches",
        ]
    );
    let severities: Vec<_> = findings(&found).iter().map(|it| it.severity()).collect();
    assert_eq!(
        severities,
        [Severity::Note, Severity::Warning, Severity::Warning]
    );
    let route = json!({"match": {}, "metadata": {"filter_metadata": {"dossier": {"sample": 0}}}});
    assert_eq!(
        lines(&check_value(
            &json!({"virtual_hosts": [{"routes": [route]}]})
        )),
        [
            "virtual_hosts[0].routes[0].metadata.filter_metadata.dossier: records nothing: sample is 0"
        ]
    );
}

#[test]
fn configuration_without_rules_is_noted() {
    let found = check_value(&json!({"collector": {"cluster": "c"}}));
    assert!(
        lines(&found)[0].starts_with("routes: no rule: "),
        "{:?}",
        lines(&found)
    );
    assert_eq!(findings(&found)[0].severity(), Severity::Note);
    let records = json!({"collector": {"cluster": "c"}, "defaults": {"storage_type": "both"}});
    assert_eq!(lines(&check_value(&records)), [""; 0]);
}
