//! Answers that Envoy writes itself: for want of a route, or because a filter says no, be it before
//! ours (which then hears of the stream only when it is over) or after it.

use dossier_tests::clock;
use dossier_tests::harness::Harness;
use dossier_tests::scripted_service::send;
use dossier_tests::testing::TestHarness;
use serde_json::{Value, json};

use super::{Exchange, Expected, head, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_without_route_is_recorded() {
    let harness = start().await;
    let exchange = send_and_record(&harness, "/api/nowhere", 404, "").await;
    exchange.expect(&refused(404, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_response_is_recorded() {
    let harness = start().await;
    let words = "straight from Envoy";
    let exchange = send_and_record(&harness, "/api/direct", 200, words).await;
    exchange.expect(&refused(200, words));
    let exchange = send_and_record(&harness, "/api/moved", 301, "").await;
    exchange.expect(&refused(301, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_by_later_filter_is_recorded_whole() {
    let harness = start().await;
    for (kind, status, words) in REFUSALS {
        let path = format!("/api/{kind}/behind");
        if kind == "limited" {
            exhaust_rate_limit(&harness, &path).await;
        }
        let exchange = send_and_record(&harness, &path, status, words).await;
        exchange.expect(&refused(status, words));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_by_earlier_filter_is_recorded_partly() {
    let harness = start().await;
    for (kind, status, words) in REFUSALS {
        let path = format!("/api/{kind}/before");
        if kind == "limited" {
            exhaust_rate_limit(&harness, &path).await;
        }
        let exchange = send_and_record(&harness, &path, status, words).await;
        for half in [&exchange.request, &exchange.response] {
            let record = &half.record;
            assert_eq!(half.text("completion"), "local_reply", "{record}");
            assert_eq!(half.number("status"), status, "{record}");
            assert_eq!(half.text("user_id"), "alice", "{record}");
            assert!(half.body.is_empty(), "{record}");
        }
        // Envoy does not show its answer to a filter that it has not shown the request, only how
        // long it was.
        let record = &exchange.response.record;
        let size = exchange.response.number("body_size");
        assert_eq!(size, words.len() as u64, "{record}");
        assert_eq!(
            exchange.response.text("body_missing"),
            "not_captured",
            "{record}"
        );
    }
}

/// What refuses, and how Envoy then answers.
const REFUSALS: [(&str, u64, &str); 3] = [
    ("limited", 429, "local_rate_limited"),
    ("denied", 403, "RBAC: access denied"),
    ("unknown", 401, "Jwt is missing"),
];

/// Envoy answers before it reads the body, so none of it has passed.
const fn refused(status: u64, words: &str) -> Expected<'_> {
    Expected {
        completion: "local_reply",
        status,
        sent: b"",
        answered: words.as_bytes(),
    }
}

/// The limit lets one request pass.
async fn exhaust_rate_limit(harness: &Harness, path: &str) {
    let path = format!("{path}/first");
    harness.service.add_script(
        &path,
        [send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")],
    );
    let mut client = harness.client().await.unwrap();
    client.send(head("GET", &path, "")).await.unwrap();
    client.read_until("\r\n\r\nok").await.unwrap();
}

/// Sends a request with a body, checks the answer, and gives what was recorded.
async fn send_and_record(harness: &Harness, path: &str, status: u64, words: &str) -> Exchange {
    let since = clock::now_micros();
    let mut client = harness.client().await.unwrap();
    let request = head("POST", path, "content-length: 8\r\n") + "question";
    client.send(request).await.unwrap();
    let answer = client.read_until(&format!("\r\n\r\n{words}")).await;
    let answer = answer.unwrap();
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")),
        "{answer}"
    );
    Exchange::of(harness, path, since).await
}

async fn start() -> TestHarness {
    let harness = start_with(|bootstrap| {
        let routes = bootstrap.routes()?;
        routes.clear();
        routes.push(json!({
            "match": {"prefix": "/api/direct"},
            "direct_response": {"status": 200, "body": {"inline_string": "straight from Envoy"}},
        }));
        routes.push(json!({
            "match": {"prefix": "/api/moved"},
            "redirect": {"path_redirect": "/elsewhere"},
        }));
        for place in ["before", "behind"] {
            for (kind, configuration) in refusals() {
                routes.push(json!({
                    "match": {"prefix": format!("/api/{kind}/{place}")},
                    "route": {"cluster": "example_upstream"},
                    "typed_per_filter_config": {format!("{kind}-{place}"): configuration},
                }));
            }
        }
        let filters = bootstrap.http_filters()?;
        for (kind, configuration) in refusing_filters() {
            let filter = |place: &str| json!({"name": format!("{kind}-{place}"), "typed_config": configuration});
            filters.insert(0, filter("before"));
            let last = filters.len() - 1;
            filters.insert(last, filter("behind"));
        }
        Ok(())
    });
    harness.await
}

fn typed(kind: &str, mut configuration: Value) -> Value {
    configuration["@type"] = json!(format!(
        "type.googleapis.com/envoy.extensions.filters.http.{kind}"
    ));
    configuration
}

/// The filters, which let everything pass unless a route says otherwise.
fn refusing_filters() -> [(&'static str, Value); 3] {
    let key = r#"{"keys": [{"kty": "oct", "alg": "HS256", "kid": "1", "k": "c2VjcmV0"}]}"#;
    let provider = json!({"local_jwks": {"inline_string": key}});
    let requirement = json!({"known": {"provider_name": "example"}});
    [
        (
            "limited",
            typed(
                "local_ratelimit.v3.LocalRateLimit",
                json!({"stat_prefix": "limit"}),
            ),
        ),
        ("denied", typed("rbac.v3.RBAC", json!({}))),
        (
            "unknown",
            typed(
                "jwt_authn.v3.JwtAuthentication",
                json!({"providers": {"example": provider}, "requirement_map": requirement}),
            ),
        ),
    ]
}

/// What a route says to have its requests refused.
fn refusals() -> [(&'static str, Value); 3] {
    let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    let nobody = json!({"action": "ALLOW", "policies": {}});
    [
        (
            "limited",
            typed(
                "local_ratelimit.v3.LocalRateLimit",
                json!({
                    "stat_prefix": "limit",
                    "token_bucket": {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s"},
                    "filter_enabled": always,
                    "filter_enforced": always,
                }),
            ),
        ),
        (
            "denied",
            typed("rbac.v3.RBACPerRoute", json!({"rbac": {"rules": nobody}})),
        ),
        (
            "unknown",
            typed(
                "jwt_authn.v3.PerRouteConfig",
                json!({"requirement_name": "known"}),
            ),
        ),
    ]
}
