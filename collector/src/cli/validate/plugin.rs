//! One configuration, checked by the filter's own code and against what stands around it.

use dossier_capture::config::Config;

use super::envoy::Clusters;
use super::finding::{Finding, Findings};
use super::node::Node;

/// What our plugin is called where it has a name.
pub(super) const NAME: &str = "dossier";

/// The environment variables that a plugin can see.
#[derive(Debug)]
pub(super) struct Variables {
    /// Where they are named, or should be.
    pub(super) path: String,
    /// Their names.
    pub(super) names: Vec<String>,
}

/// Checks a configuration; what is not known of its surroundings is not checked.
pub(super) fn check(
    configuration: &Node<'_>,
    variables: Option<&Variables>,
    clusters: Option<&Clusters>,
    found: &mut Findings,
) {
    found.count_configuration();
    if let Err(problems) = Config::from_value(configuration.value, &configuration.path) {
        for line in problems.lines() {
            found.add(Finding::Refused(line.to_owned()));
        }
    }
    // Read from the value itself, so that all errors are told even if the checker refused it.
    if let Some(clusters) = clusters {
        check_cluster(configuration, clusters, found);
    }
    if let Some(variables) = variables {
        check_token(configuration, variables, found);
    }
}

fn check_cluster(configuration: &Node<'_>, clusters: &Clusters, found: &mut Findings) {
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
    found.add(if clusters.more_may_come {
        Finding::DiscoveredCluster { path, cluster }
    } else {
        Finding::UnknownCluster { path, cluster }
    });
}

fn check_token(configuration: &Node<'_>, variables: &Variables, found: &mut Findings) {
    let token = configuration.find(&["collector", "token"]);
    let name = token
        .and_then(|node| node.value.as_str())
        .and_then(|text| text.strip_prefix("${")?.strip_suffix('}'));
    if let Some(name) = name
        && !variables.names.iter().any(|known| known == name)
    {
        found.add(Finding::HiddenVariable {
            path: variables.path.clone(),
            name: name.to_owned(),
        });
    }
}
