//! The real Envoy sends its batches by TLS, with the shipped configuration and a certificate of its own.

use std::path::Path;

use dossier_tests::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, read_yaml, set};
use dossier_tests::certificate_authority::{CertificateAuthority, IssuedCertificate};
use dossier_tests::load::LoadGenerator;
use dossier_tests::stack::StackPlan;
use dossier_tests::testing::TestStack;
use dossier_tests::traffic::Call;
use dossier_tests::{HarnessError, paths, wait};
use serde_json::{Value, json};

use super::{HOST, Mounted, files, handshakes, settings, value, wait_for};
use crate::secure_client;
use crate::support::{TIMEOUT, expect_stored, wait_for_records};

const CLIENTS: usize = 4;
const REQUESTS: u64 = 60;
const CONTEXT: &str = "/transport_socket/typed_config/common_tls_context";

/// Files of the collector and of Envoy.
struct Mounts {
    collector: Mounted,
    envoy: Mounted,
}

/// Everything by TLS. Envoy has the certificate that is given, and takes the collector's.
fn configure_tls(
    plan: &mut StackPlan,
    authority: &CertificateAuthority,
    client: &IssuedCertificate,
) -> Result<Mounts, HarnessError> {
    let folder = &plan.folder;
    let collector = files(&authority.issue_server_certificate()?, authority);
    let mounts = Mounts {
        collector: Mounted::new(folder.join("collector-tls"), &collector),
        envoy: Mounted::new(folder.join("envoy-tls"), &files(client, authority)),
    };
    plan.collector_environment = settings(&mounts.collector);
    plan.collector_tls = Some(authority.client_tls(None));
    let mut bootstrap = Bootstrap::read(&paths::find_envoy_config("tls.yaml")?)?;
    let cluster = bootstrap.cluster(COLLECTOR_CLUSTER)?;
    let context = cluster.pointer_mut(CONTEXT).unwrap();
    let client = secret("client.yaml", folder, &mounts.envoy);
    context["tls_certificate_sds_secret_configs"][0]["sds_config"]["path_config_source"]["path"] =
        json!(client);
    let collector = secret("collector.yaml", folder, &mounts.envoy);
    context["validation_context_sds_secret_config"]["sds_config"]["path_config_source"]["path"] =
        json!(collector);
    // So that connections are made all the time.
    set(
        cluster,
        "typed_extension_protocol_options",
        json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "common_http_protocol_options": {"max_requests_per_connection": 2},
            "explicit_http_config": {"http_protocol_options": {}},
        }}),
    );
    let plugin = bootstrap.plugin()?;
    set(plugin, "user", json!([{"header": "x-user-id"}]));
    set(plugin, "batch", json!({"max_delay": "50ms"}));
    plan.bootstrap = bootstrap;
    Ok(mounts)
}

/// A shipped file, with the paths of the test's files in it.
fn secret(name: &str, folder: &Path, mounted: &Mounted) -> String {
    let mut tree = read_yaml(&paths::find_envoy_config(&format!("tls/{name}")).unwrap()).unwrap();
    let resource = &mut tree["resources"][0];
    for (pointer, file) in [
        ("/tls_certificate/certificate_chain/filename", "tls.crt"),
        ("/tls_certificate/private_key/filename", "tls.key"),
        ("/validation_context/trusted_ca/filename", "ca.crt"),
    ] {
        if let Some(path) = resource.pointer_mut(pointer) {
            assert_eq!(*path, format!("tls/{file}"), "in {name}");
            *path = json!(mounted.path(file));
        }
    }
    let path = folder.join(name);
    std::fs::write(&path, tree.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_renewal_loses_no_records() {
    let authority = CertificateAuthority::new().unwrap();
    let mut mounts = None;
    let stack = TestStack::start_with(|plan| {
        mounts = Some(configure_tls(
            plan,
            &authority,
            &authority.issue_client_certificate()?,
        )?);
        Ok(())
    });
    let stack = stack.await.unwrap();
    let Mounts {
        mut collector,
        mut envoy,
    } = mounts.unwrap();
    let address = stack.backend.collector.address;
    let client = std::sync::Arc::new(secure_client::config(&authority, None));
    let shown = async || {
        let connection = secure_client::connect(&client, address, HOST).await;
        secure_client::presented_certificate(&connection.unwrap())
    };
    let load = LoadGenerator::start(&stack.traffic, CLIENTS);
    let mut last = None;
    for round in 1..=3 {
        load.wait_for_answers(REQUESTS, TIMEOUT).await.unwrap();
        let server = authority.issue_server_certificate().unwrap();
        collector.swap(&files(&server, &authority));
        let done = "dossier_reloads_total{what=\"tls\"}";
        wait_for(&stack.backend, done, round).await;
        assert_eq!(shown().await, *server.certificate().der());
        envoy.swap(&files(
            &authority.issue_client_certificate().unwrap(),
            &authority,
        ));
        wait_for_renewals(&stack.envoy, round).await;
        expect_new_connections(&stack).await;
        last = Some(server);
    }
    let last = last.unwrap();
    let mut broken = files(&authority.issue_server_certificate().unwrap(), &authority);
    broken[1].1.clear();
    collector.swap(&broken);
    let failed = "dossier_reload_failures_total{what=\"tls\"}";
    wait_for(&stack.backend, failed, 1).await;
    expect_new_connections(&stack).await;
    load.wait_for_answers(REQUESTS, TIMEOUT).await.unwrap();
    assert_eq!(shown().await, *last.certificate().der());

    let outcome = load.stop().await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    wait_for_records(&stack.envoy, 2 * outcome.answered.len() as u64).await;
    expect_stored(&stack, &outcome.answered, 0).await;
}

/// Waits until Envoy has made so many contexts of renewed certificates.
async fn wait_for_renewals(envoy: &dossier_tests::envoy::Envoy, times: u64) {
    let waited = wait::until("Envoy to take its new certificate", TIMEOUT, async || {
        let updates = envoy.stat("client_ssl_socket_factory.ssl_context_update_by_sds");
        let updates = updates.await.map_err(|error| error.to_string())?;
        // The first two were those of the start.
        (updates >= times)
            .then_some(())
            .ok_or_else(|| updates.to_string())
    });
    waited.await.unwrap();
}

/// Waits until more connections have been made.
async fn expect_new_connections(stack: &TestStack) {
    let made = handshakes("done");
    let before = value(&stack.backend, &made).await.unwrap();
    wait_for(&stack.backend, &made, before + 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_certificate_keeps_records_buffered() {
    let authority = CertificateAuthority::new().unwrap();
    let stack = TestStack::start_with(|plan| {
        configure_tls(plan, &authority, &authority.issue_client_certificate()?)?;
        let cluster = plan.bootstrap.cluster(COLLECTOR_CLUSTER)?;
        let context = cluster.pointer_mut(CONTEXT).and_then(Value::as_object_mut);
        context
            .unwrap()
            .remove("tls_certificate_sds_secret_configs");
        Ok(())
    });
    let stack = stack.await.unwrap();
    record_one(&stack).await;
    let refused = "dossier_ingest_batches_total{outcome=\"refused\"}";
    wait_for(&stack.backend, refused, 2).await;
    let answered = "dossier_http_requests_total{route=\"/ingest/v1/batches\",status=\"403\"}";
    wait_for(&stack.backend, answered, 2).await;
    assert!(stack.envoy.stat("dossier.outbox_bytes").await.unwrap() > 0);
    assert_eq!(stored(&stack).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_certificate_defers_records() {
    let (authority, other) = (
        CertificateAuthority::new().unwrap(),
        CertificateAuthority::new().unwrap(),
    );
    let mut mounts = None;
    let stack = TestStack::start_with(|plan| {
        mounts = Some(configure_tls(
            plan,
            &authority,
            &other.issue_client_certificate()?,
        )?);
        Ok(())
    });
    let stack = stack.await.unwrap();
    record_one(&stack).await;
    wait_for(&stack.backend, &handshakes("certificate_refused"), 2).await;
    assert_eq!(stored(&stack).await, 0);
    let better = files(&authority.issue_client_certificate().unwrap(), &authority);
    mounts.unwrap().envoy.swap(&better);
    wait_for_records(&stack.envoy, 2).await;
    assert_eq!(stored(&stack).await, 2);
}

async fn record_one(stack: &TestStack) {
    let call = Call::json("alice", "/api/x", &json!({}));
    assert_eq!(stack.traffic.send(&call).await.unwrap().status, 200);
}

async fn stored(stack: &TestStack) -> u64 {
    let alice = &stack.backend.keys.users.alice;
    stack.backend.client.count(alice, &json!({})).await.unwrap()
}
