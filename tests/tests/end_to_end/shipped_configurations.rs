//! The configurations in `envoy/`: Envoy finds nothing wrong with any, and each records.
//! (`ecds.yaml` runs in the tests of live updates, `tls.yaml` in those of TLS, `example.yaml` in all others.)

use std::os::unix::fs::symlink;

use dossier_tests::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, read_yaml, set};
use dossier_tests::certificate_authority::CertificateAuthority;
use dossier_tests::envoy::validate;
use dossier_tests::identity_provider::{ALICE_TOKEN, IdentityProvider};
use dossier_tests::paths;
use dossier_tests::scripted_service::send;
use dossier_tests::stack::Stack;
use dossier_tests::testing::{TestFolder, TestHarness, TestStack, acquire_stack_permit};
use dossier_tests::traffic::Call;
use serde_json::{Value, json};

use crate::support::{TIMEOUT, text, wait_for_records};

/// Its cluster for the keys.
const IDENTITY_CLUSTER: &str = "identity_provider";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_accepts_every_one_unchanged() {
    let _permit = acquire_stack_permit().await.unwrap();
    let folder = folder_like_the_repository();
    let mut checked = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("envoy")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|it| it == "yaml") {
            validate(&file, folder.path()).await.unwrap();
            checked.push(file.file_name().unwrap().to_owned());
        }
    }
    checked.sort();
    assert_eq!(
        checked,
        [
            "ecds.yaml",
            "example.yaml",
            "full.yaml",
            "minimal.yaml",
            "tls.yaml"
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minimal_one_records_one_prefix() {
    let stack = TestStack::start_with(|plan| {
        plan.bootstrap = Bootstrap::read(&paths::find_envoy_config("minimal.yaml")?)?;
        Ok(())
    });
    let stack = stack.await.unwrap();
    for target in ["/elsewhere", "/api/orders"] {
        let call = Call::json("alice", target, &json!({"item": "telescope"}));
        assert_eq!(stack.traffic.send(&call).await.unwrap().status, 200);
    }
    let [request, response] = both_halves(&stack, "anonymous").await;
    assert_eq!(request["data"], json!({"item": "telescope"}));
    assert_eq!(response["data"]["echo"], json!({"item": "telescope"}));
    assert_eq!(request["path"], "/api/orders");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_one_records_users_and_metadata() {
    let identity = IdentityProvider::start().await.unwrap();
    let stack = TestStack::start_with(|plan| {
        plan.bootstrap = Bootstrap::read(&paths::find_envoy_config("full.yaml")?)?;
        plan.bootstrap
            .set_cluster(IDENTITY_CLUSTER, identity.address)
    });
    let stack = stack.await.unwrap();
    let body = json!({"model": "gpt-4", "password": "hunter2"});
    let stranger = Call::json("mallory", "/api/v1/ai/generate", &body);
    assert_eq!(stack.traffic.send(&stranger).await.unwrap().status, 401);
    for half in both_halves(&stack, "anonymous").await {
        assert_eq!(half["status"], 401);
        assert_eq!(half["content"]["completion"], "local_reply");
    }

    let mut call = stranger.clone();
    let token = format!("Bearer {ALICE_TOKEN}");
    call.headers.push(("authorization".to_owned(), token));
    assert_eq!(stack.traffic.send(&call).await.unwrap().status, 200);
    // By the token, whatever another header says.
    let [request, response] = both_halves(&stack, "alice").await;
    assert_eq!(
        request["data"],
        json!({"model": "gpt-4", "password": "[REDACTED]"})
    );
    for half in [request, response] {
        assert_eq!(half["status"], 200);
        assert_eq!(half["storage_info"]["purpose"], "training");
        assert_eq!(half["storage_info"]["requested_model"], "gpt-4");
    }
    wait_for_records(&stack.envoy, 4).await;
}

/// No Istio runs here, but what Istio hands to a proxy does: the plugin's configuration, and the
/// collector under the name that Istio gives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filter_accepts_istio_manifest() {
    let manifest = read_yaml(&paths::find_envoy_config("istio/wasmplugin.yaml").unwrap()).unwrap();
    let configuration = &manifest["spec"]["pluginConfig"];
    let harness = TestHarness::start_with(|bootstrap| {
        bootstrap.plugin()?.clone_from(configuration);
        let name = configuration["collector"]["cluster"].clone();
        set(bootstrap.cluster(COLLECTOR_CLUSTER)?, "name", name);
        Ok(())
    });
    let harness = harness.await.unwrap();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
    harness.service.add_script("/api/orders", [send(answer)]);
    let mut client = harness.client().await.unwrap();
    client
        .send("GET /api/orders HTTP/1.1\r\nhost: orders\r\nx-user-id: alice\r\n\r\n")
        .await
        .unwrap();
    client.read_until("done").await.unwrap();
    for half in harness
        .stub_collector
        .halves("/api/orders", 2, TIMEOUT)
        .await
        .unwrap()
    {
        assert_eq!(half.text("user_id"), "alice");
        assert_eq!(half.record["metadata"], json!({"workload": "orders"}));
    }
}

async fn both_halves(stack: &Stack, user: &str) -> [Value; 2] {
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    let of_user = json!({"user_id": user, "order": "asc"});
    client
        .wait_for_entries(admin, &of_user, 2, TIMEOUT)
        .await
        .unwrap();
    let mut entries = client.query_all(admin, &of_user).await.unwrap();
    // Both may bear the same time.
    entries.sort_by_key(|entry| text(entry, "type").to_owned());
    entries.try_into().unwrap()
}

/// Its own paths begin in the repository's folder, but the filter may have been built elsewhere.
fn folder_like_the_repository() -> TestFolder {
    let folder = TestFolder::create().unwrap();
    let here = |name: &str| folder.path().join(name);
    symlink(
        paths::find_repository().unwrap().join("envoy"),
        here("envoy"),
    )
    .unwrap();
    std::fs::create_dir(here("target")).unwrap();
    let filter = paths::find_filter().unwrap();
    symlink(filter, here("target/dossier-filter.wasm")).unwrap();
    std::fs::create_dir(here("tls")).unwrap();
    let authority = CertificateAuthority::new().unwrap();
    authority
        .issue_client_certificate()
        .unwrap()
        .write(&here("tls"))
        .unwrap();
    std::fs::write(here("tls/ca.crt"), authority.certificate().pem()).unwrap();
    folder
}
