//! `match`: the first rule that fits decides, and says what the exchange is filed under.

use dossier_tests::bootstrap::UPSTREAM_CLUSTER;
use dossier_tests::traffic::Call;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Setup, both, with};
use crate::support::wait_for_records;

/// The rules in their order; the last takes what the others leave.
fn rules() -> Value {
    let rule = |name: &str, matcher: Value| json!({"match": matcher, "capture": {"metadata": {"rule": name}}});
    json!([
        rule("route", json!({"route": "ai-*"})),
        rule("host", json!({"host": "*.Example.com"})),
        rule("exact", json!({"path": {"exact": "/exact"}})),
        rule(
            "template",
            json!({"path": {"template": "/users/{id}/orders"}})
        ),
        rule("regex", json!({"path": {"regex": "/v[0-9]+/.*"}})),
        rule(
            "all",
            json!({"path": {"prefix": "/all/"}, "methods": ["PUT"], "host": "all.test"})
        ),
        rule("methods", json!({"methods": ["PUT", "PATCH"]})),
        rule(
            "value",
            json!({"headers": [{"name": "X-Debug", "exact": "1"}]})
        ),
        rule(
            "team",
            json!({"headers": [
                {"name": "x-team", "prefix": "pay"},
                {"name": "x-team", "regex": ".*-eu"},
                {"name": "x-quiet", "present": false},
            ]})
        ),
        rule("rest", json!({})),
    ])
}

fn get(target: &str) -> Call {
    Call::new(Method::GET, "", target)
}

fn put(target: &str) -> Call {
    Call::new(Method::PUT, "", target)
}

/// Requests, the rule that decides for each, and what it is filed under.
fn cases() -> Vec<(Call, &'static str, &'static str)> {
    let at = |host: &str, call: Call| with(call, "host", host);
    let debug = |value: &str| with(get("/x"), "x-debug", value);
    let team = |value: &str| with(get("/x"), "x-team", value);
    vec![
        (get("/chat/1"), "route", "/chat/1"),
        (get("/chatter"), "rest", "/chatter"),
        (at("api.example.com", get("/x")), "host", "/x"),
        (at("A.B.EXAMPLE.COM:8443", get("/x")), "host", "/x"),
        (at("example.com", get("/x")), "rest", "/x"),
        (at("api.example.com.evil.test", get("/x")), "rest", "/x"),
        (get("/exact"), "exact", "/exact"),
        (get("/exact?a=1"), "exact", "/exact"),
        (get("/exact/no"), "rest", "/exact/no"),
        (get("/Exact"), "rest", "/Exact"),
        (get("/users/7/orders"), "template", "/users/{id}/orders"),
        (get("/users/8/orders/"), "template", "/users/{id}/orders"),
        (get("/users/7/orders/1"), "rest", "/users/7/orders/1"),
        (get("/users/orders"), "rest", "/users/orders"),
        (get("/v12/x"), "regex", "/v12/x"),
        (get("/av12/x"), "rest", "/av12/x"),
        (get("/v/x"), "rest", "/v/x"),
        (at("all.test", put("/all/1")), "all", "/all/1"),
        (at("other.test", put("/all/1")), "methods", "/all/1"),
        (at("all.test", get("/all/1")), "rest", "/all/1"),
        (at("all.test", put("/none/1")), "methods", "/none/1"),
        (
            Call::new(Method::PATCH, "", "/anything"),
            "methods",
            "/anything",
        ),
        (
            Call::new(Method::POST, "", "/anything"),
            "rest",
            "/anything",
        ),
        (debug("1"), "value", "/x"),
        (debug("11"), "rest", "/x"),
        (with(debug("0"), "x-debug", "1"), "value", "/x"),
        (team("pay-eu"), "team", "/x"),
        (with(team("pay"), "x-team", "ops-eu"), "team", "/x"),
        (team("pay-us"), "rest", "/x"),
        (with(team("pay-eu"), "x-quiet", ""), "rest", "/x"),
        // Several fit: the first of them decides.
        (at("api.example.com", put("/chat/1")), "route", "/chat/1"),
        (at("api.example.com", get("/exact")), "host", "/exact"),
        (put("/exact"), "exact", "/exact"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_matching_rule_applies() {
    let keys = json!({"defaults": {"storage_type": "both"}, "routes": rules()});
    let setup = Setup::start_with(&keys, |bootstrap| {
        let route = json!({
            "name": "ai-chat",
            "match": {"prefix": "/chat/"},
            "route": {"cluster": UPSTREAM_CLUSTER},
        });
        bootstrap.routes()?.insert(0, route);
        Ok(())
    });
    let setup = setup.await;
    for (number, (mut call, rule, endpoint)) in cases().into_iter().enumerate() {
        let user = format!("case-{number}");
        call.user = Some(user.clone());
        setup.send(&call).await;
        for half in both(setup.of_user(&user, 2).await) {
            assert_eq!(half.record["metadata"], json!({"rule": rule}), "{call:?}");
            assert_eq!(half.text("endpoint"), endpoint, "{call:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_can_exclude_exchange() {
    let keys = json!({
        "defaults": {"storage_type": "both"},
        "routes": [
            {"match": {"path": {"exact": "/health"}}, "capture": {"storage_type": "none"}},
            {"match": {"path": {"prefix": "/up"}}, "capture": {"storage_type": "request"}},
            {"match": {"path": {"prefix": "/down"}}, "capture": {"storage_type": "response"}},
        ],
    });
    let setup = Setup::start(&keys).await;
    for target in ["/health", "/up", "/down", "/other"] {
        setup
            .send(&Call::json("alice", target, &json!({"a": 1})))
            .await;
    }
    wait_for_records(&setup.harness.envoy, 4).await;
    let halves = setup.harness.stub_collector.all_halves();
    let mut recorded: Vec<_> = halves
        .iter()
        .map(|half| (half.text("path"), half.text("type")))
        .collect();
    recorded.sort_unstable();
    let expected = [
        ("/down", "response"),
        ("/other", "request"),
        ("/other", "response"),
        ("/up", "request"),
    ];
    assert_eq!(recorded, expected);
}
