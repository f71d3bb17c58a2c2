//! `dossier validate` as it is run: its lines, its exit codes, and the shipped example.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::program;

fn example() -> PathBuf {
    PathBuf::from("../envoy/example.yaml")
}

fn command(files: &[&Path]) -> Command {
    let mut command = Command::new(program());
    command.arg("validate").args(files);
    command
}

fn validate(files: &[&Path]) -> Output {
    command(files).output().unwrap()
}

fn lines(bytes: &[u8]) -> Vec<&str> {
    std::str::from_utf8(bytes).unwrap().lines().collect()
}

/// The example, each text replaced by another.
fn broken(folder: &TempDir, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = std::fs::read_to_string(example()).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "the example has no {from}");
        text = text.replace(from, to);
    }
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn shipped_example_is_valid() {
    let output = validate(&[&example()]);
    assert_eq!(
        lines(&output.stdout),
        ["1 file, 2 configurations, 0 errors, 0 warnings"]
    );
    assert_eq!(lines(&output.stderr), [""; 0]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_shipped_configuration_is_valid() {
    let folder = Path::new("../envoy");
    let files = [
        "ecds.yaml",
        "ecds/dossier.yaml",
        "example.yaml",
        "full.yaml",
        "istio/wasmplugin.yaml",
        "minimal.yaml",
    ];
    for file in files {
        let output = validate(&[&folder.join(file)]);
        let lines = lines(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{file}: {lines:?}");
    }
}

#[test]
fn reports_all_errors_of_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let first = broken(
        &folder,
        "first.yaml",
        &[
            ("storage_type: request", "storage_type: requests"),
            ("failure_policy: FAIL_RELOAD", "allow_precompiled: true"),
            ("host_env_keys: [DOSSIER_INGEST_TOKEN]", "host_env_keys: []"),
            ("cluster: dossier_collector #", "cluster: colector #"),
            ("metadata: {service: example}", "metadata: [service]"),
        ],
    );
    let second = broken(&folder, "second.yaml", &[("user:\n", "users:\n")]);
    let output = validate(&[&first, &example(), &second]);
    let output_lines = lines(&output.stdout);
    let filter = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config";
    let plugin = format!("{filter}.http_filters[0].typed_config.config");
    let route = format!(
        "{filter}.route_config.virtual_hosts[0].routes[0].metadata.filter_metadata.dossier"
    );
    let (first, second) = (first.display(), second.display());
    let mut begins = [
        format!("{first}: {route}.storage_type: expected "),
        format!("{first}: warning: {plugin}.failure_policy: expected "),
        format!("{first}: {plugin}.vm_config.environment_variables: expected DOSSIER_INGEST_TOKEN"),
        format!(
            "{first}: {plugin}.configuration.value.collector.cluster: expected one of static_resources.clusters, got \"colector\""
        ),
        format!("{first}: {plugin}.configuration.value.routes[1].capture.metadata: expected "),
        format!("{second}: {plugin}.configuration.value.users: "),
        "3 files, 6 configurations, 5 errors, 1 warning".to_owned(),
    ];
    begins.sort_unstable();
    let mut sorted = output_lines.clone();
    sorted.sort_unstable();
    assert_eq!(sorted.len(), begins.len(), "{output_lines:#?}");
    for (line, begin) in sorted.iter().zip(&begins) {
        assert!(line.starts_with(begin), "{begin}: {output_lines:#?}");
    }
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn unreadable_file_does_not_stop_other_checks() {
    let folder = tempfile::tempdir().unwrap();
    let cut_off = folder.path().join("cut_off.yaml");
    std::fs::write(&cut_off, "collector:\n  token: [hunter2\n").unwrap();
    let output = validate(&[&cut_off, Path::new("/no/such/file"), &example()]);
    let output_lines = lines(&output.stderr);
    assert_eq!(output_lines.len(), 2, "{output_lines:?}");
    let begins = format!("dossier: {}: line ", cut_off.display());
    assert!(output_lines[0].starts_with(&begins), "{output_lines:?}");
    assert!(
        output_lines[1].starts_with("dossier: /no/such/file: "),
        "{output_lines:?}"
    );
    assert!(!output_lines[0].contains("hunter2"), "{output_lines:?}");
    assert_eq!(
        lines(&output.stdout),
        ["3 files, 2 configurations, 2 errors, 0 warnings"]
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn standard_input_and_several_documents_are_read() {
    let mut child = command(&[Path::new("-")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let documents = "collector: {cluster: c}\nroutes: [{match: {}}]\n---\n# empty\n---\ncollector: {cluster: 7}\n";
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(documents.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let output_lines = lines(&output.stdout);
    assert!(
        output_lines[0].starts_with("-, document 2: collector.cluster: expected "),
        "{output_lines:?}"
    );
    assert_eq!(
        output_lines[1],
        "1 file, 2 configurations, 1 error, 0 warnings"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn help_has_examples() {
    let output = command(&[Path::new("--help")]).output().unwrap();
    let help = std::str::from_utf8(&output.stdout).unwrap();
    assert!(help.contains("dossier validate envoy.yaml"), "{help}");
    assert!(help.contains("Exit codes"), "{help}");
    assert_eq!(output.status.code(), Some(0));
}
