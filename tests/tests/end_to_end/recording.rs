//! Which exchanges are recorded, and how much of them: users, routes, the cap on bodies.

use dossier_tests::testing::TestStack;
use dossier_tests::traffic::{Call, Protocol};
use dossier_tests::upstream::{BodyKind, generate_body};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TIMEOUT, text, wait_for_records};

/// What the example configuration keeps of a body.
const CAP: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_without_user_is_anonymous() {
    let stack = TestStack::start().await.unwrap();
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    let call = Call {
        user: None,
        ..Call::json("", "/api/orders", &json!({"item": "telescope"}))
    };
    assert_eq!(stack.traffic.send(&call).await.unwrap().status, 200);
    client
        .wait_for_entries(admin, &json!({"user_id": "anonymous"}), 2, TIMEOUT)
        .await
        .unwrap();
    let entries = client.query_all(admin, &json!({})).await.unwrap();
    assert_eq!(entries.len(), 2);
    assert!(
        entries.iter().all(|entry| entry["user_id"] == "anonymous"),
        "{entries:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_without_rule_are_not_recorded() {
    let stack = TestStack::start().await.unwrap();
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for target in [
            "/",
            "/health",
            "/apiary/x",
            "/API/orders",
            "/internal/api/orders",
            "/api",
        ] {
            let call = Call {
                protocol,
                ..Call::json("alice", target, &json!({"secret": 1}))
            };
            assert_eq!(stack.traffic.send(&call).await.unwrap().status, 200);
        }
        // On the same connection, so through the same filter, and after all the others.
        let sentinel = Call {
            protocol,
            ..Call::json("alice", "/api/sentinel", &json!({}))
        };
        stack.traffic.send(&sentinel).await.unwrap();
    }
    client
        .wait_for_entries(admin, &json!({}), 4, TIMEOUT)
        .await
        .unwrap();
    wait_for_records(&stack.envoy, 4).await;
    let entries = client.query_all(admin, &json!({})).await.unwrap();
    let endpoints: Vec<_> = entries
        .iter()
        .map(|entry| text(entry, "endpoint"))
        .collect();
    assert_eq!(endpoints, ["/api/sentinel"; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn route_metadata_overrides_filter_rules() {
    let stack = TestStack::start().await.unwrap();
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    let call = Call::json("alice", "/webhooks/payment", &json!({"paid": true}));
    stack.traffic.send(&call).await.unwrap();
    client
        .wait_for_entries(admin, &json!({}), 1, TIMEOUT)
        .await
        .unwrap();
    wait_for_records(&stack.envoy, 1).await;
    let entries = client.query_all(admin, &json!({})).await.unwrap();
    let [entry] = entries.as_slice() else {
        panic!("not one entry: {entries:?}")
    };
    assert_eq!(entry["type"], "request");
    assert_eq!(entry["data"], json!({"paid": true}));
    assert_eq!(entry["storage_info"]["source"], "webhook");
    assert_eq!(days_to_live(entry), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn route_metadata_changes_named_keys_only() {
    let stack = TestStack::start_with(|plan| {
        let routes = plan.bootstrap.routes()?;
        let route = json!({
            "name": "ai-answers-only",
            "match": {"prefix": "/api/v1/ai/answers/"},
            "route": {"cluster": "example_upstream"},
            "metadata": {"filter_metadata": {"dossier": {"storage_type": "response"}}},
        });
        routes.insert(0, route);
        Ok(())
    });
    let stack = stack.await.unwrap();
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    stack
        .traffic
        .send(&Call::json(
            "alice",
            "/api/v1/ai/answers/1",
            &json!({"q": 1}),
        ))
        .await
        .unwrap();
    client
        .wait_for_entries(admin, &json!({}), 1, TIMEOUT)
        .await
        .unwrap();
    wait_for_records(&stack.envoy, 1).await;
    let entries = client.query_all(admin, &json!({})).await.unwrap();
    let [entry] = entries.as_slice() else {
        panic!("not one entry: {entries:?}")
    };
    assert_eq!(entry["type"], "response");
    assert_eq!(
        entry["storage_info"]["model"], "gpt-4",
        "from the filter's rule"
    );
    assert_eq!(days_to_live(entry), 30, "from the filter's rule");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_body_keeps_true_size() {
    let stack = TestStack::start().await.unwrap();
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    let sent = generate_body(BodyKind::Text, CAP + 1, 1);
    let answered = generate_body(BodyKind::Text, 3 * CAP, 2);
    let call = Call {
        body: Some(("text/plain".to_owned(), sent.clone())),
        ..Call::new(
            Method::POST,
            "alice",
            &format!("/api/long?type=text&seed=2&bytes={}", 3 * CAP),
        )
    };
    let reply = stack.traffic.send(&call).await.unwrap();
    assert_eq!(reply.body, answered, "the client gets everything");
    client
        .wait_for_entries(alice, &json!({}), 2, TIMEOUT)
        .await
        .unwrap();
    for (half, whole) in [("request", &sent), ("response", &answered)] {
        let entries = client
            .query_all(alice, &json!({"storage_type": half}))
            .await
            .unwrap();
        let [entry] = entries.as_slice() else {
            panic!("not one {half}: {entries:?}")
        };
        assert_eq!(entry["content"]["truncated"], true, "{half}");
        assert_eq!(entry["content"]["size"], whole.len(), "{half}");
        assert_eq!(text(entry, "data").as_bytes(), &whole[..CAP], "{half}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_at_limit_is_whole() {
    let stack = TestStack::start().await.unwrap();
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    let target = format!("/api/full?type=binary&seed=3&bytes={CAP}");
    stack
        .traffic
        .send(&Call::new(Method::GET, "alice", &target))
        .await
        .unwrap();
    client
        .wait_for_entries(alice, &json!({}), 2, TIMEOUT)
        .await
        .unwrap();
    let entries = client
        .query_all(alice, &json!({"storage_type": "response"}))
        .await
        .unwrap();
    assert_eq!(entries[0]["content"]["truncated"], false);
    assert_eq!(entries[0]["content"]["size"], CAP);
}

fn days_to_live(entry: &Value) -> i64 {
    let time = |field| {
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(text(entry, field), format).unwrap()
    };
    // Counted from the start of the request; an answer is created a little later.
    let left = time("ttl") - time("created_at") + time::Duration::minutes(1);
    left.whole_days()
}
