//! One configuration of the filter: checked by the filter's own code, and against the clusters and variables around it.

use dossier_capture::config::{Config, IdleRule, Rules};

use super::clusters::Clusters;
use super::finding::{Finding, Findings};
use super::node::{Node, join};

/// The name of the filter in configurations.
pub(super) const NAME: &str = "dossier";

/// The environment variables that a plugin can see.
#[derive(Debug)]
pub(super) struct Variables {
    /// Where they are listed, or should be.
    pub(super) path: String,
    /// Their names.
    pub(super) names: Vec<String>,
}

/// Checks a configuration; without variables or clusters, what it says of them is not checked.
pub(super) fn check(
    configuration: &Node<'_>,
    variables: Option<&Variables>,
    clusters: Option<&Clusters>,
    findings: &mut Findings,
) {
    findings.count_configuration();
    match Config::from_value(configuration.value, &configuration.path) {
        Ok(config) => find_idle_rules(&config.rules, &configuration.path, findings),
        Err(problems) => findings.refuse(&problems),
    }
    // Read from the value itself, so that all errors are reported even if the checker refused it.
    if let Some(clusters) = clusters {
        check_cluster(configuration, clusters, findings);
    }
    if let Some(variables) = variables {
        check_token(configuration, variables, findings);
    }
}

fn find_idle_rules(rules: &Rules, at: &str, findings: &mut Findings) {
    let path = join(at, "routes");
    if rules.only_routes_record() {
        findings.add(Finding::NoRules { path: path.clone() });
    }
    for IdleRule { number, reason } in rules.find_idle() {
        findings.add(Finding::Idle {
            path: format!("{path}[{number}]"),
            reason,
        });
    }
}

fn check_cluster(configuration: &Node<'_>, clusters: &Clusters, findings: &mut Findings) {
    let Some(node) = configuration.find(&["collector", "cluster"]) else {
        return;
    };
    let Some(cluster) = node.value.as_str() else {
        return;
    };
    if clusters.names.iter().any(|name| name == cluster) {
        return;
    }
    let (path, cluster) = (node.path, cluster.to_owned());
    findings.add(if clusters.has_discovery {
        Finding::DiscoveredCluster { path, cluster }
    } else {
        Finding::UnknownCluster { path, cluster }
    });
}

fn check_token(configuration: &Node<'_>, variables: &Variables, findings: &mut Findings) {
    let token = configuration.find(&["collector", "token"]);
    let name = token
        .and_then(|node| node.value.as_str())
        .and_then(|text| text.strip_prefix("${")?.strip_suffix('}'));
    if let Some(name) = name
        && !variables.names.iter().any(|known| known == name)
    {
        findings.add(Finding::HiddenVariable {
            path: variables.path.clone(),
            name: name.to_owned(),
        });
    }
}
