//! `session`: the client names it in one of several ways; where it does not, time decides. A name is
//! its user's own.

use std::collections::{BTreeMap, BTreeSet};

use dossier_tests::echo_service::EchoService;
use dossier_tests::testing::TestStack;
use dossier_tests::traffic::Call;
use reqwest::Method;
use serde_json::json;

use super::{configure, route_to_service, with};
use crate::support::{TIMEOUT, text};

/// Where the client may name its session, each under a path of its own.
const PLACES: [&str; 4] = ["header", "cookie", "query", "body"];

/// A request that names its session in this place, or none.
fn call(user: &str, place: &str, session: Option<&str>) -> Call {
    let target = format!("/{place}");
    let plain = Call::json(user, &target, &json!({"session": {"name": "x"}}));
    let Some(session) = session else {
        return plain;
    };
    match place {
        "header" => with(plain, "x-session-id", session),
        "cookie" => with(plain, "cookie", &format!("a=1; sid={session}; b=2")),
        "query" => Call::new(Method::GET, user, &format!("{target}?a=1&sid={session}")),
        _ => Call::json(
            user,
            &target,
            &json!({"a": [1], "session": {"id": session}}),
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_comes_from_client_or_time() {
    let rule = |place: &str, session| {
        json!({
            "match": {"path": {"exact": format!("/{place}")}},
            "capture": {"session": session},
        })
    };
    let keys = json!({
        "defaults": {"storage_type": "both", "session_timeout_minutes": 30},
        "routes": [
            rule("header", json!({"header": "X-Session-Id"})),
            rule("cookie", json!({"cookie": "sid"})),
            rule("query", json!({"query": "sid"})),
            rule("body", json!({"request_json": "$.session.id"})),
        ],
    });
    let echo_service = EchoService::start().await.unwrap();
    let stack = TestStack::start_with(|plan| {
        route_to_service(&mut plan.bootstrap, echo_service.address)?;
        configure(&mut plan.bootstrap, &keys)
    });
    let stack = stack.await.unwrap();
    let mut sent = 0;
    for place in PLACES {
        for (user, session) in [
            ("alice", Some("chat-1")),
            ("alice", Some("chat-2")),
            ("bob", Some("chat-1")),
            ("carol", None),
            ("dave", None),
        ] {
            let reply = stack.traffic.send(&call(user, place, session)).await;
            assert_eq!(reply.unwrap().status, 200);
            sent += 2;
        }
    }
    let (client, admin) = (&stack.backend.client, &stack.backend.keys.users.admin);
    client
        .wait_for_entries(admin, &json!({}), sent, TIMEOUT)
        .await
        .unwrap();
    let entries = client.query_all(admin, &json!({})).await.unwrap();
    let mut sessions = BTreeMap::<_, BTreeMap<_, usize>>::new();
    for entry in &entries {
        let of_user = sessions.entry(text(entry, "user_id")).or_default();
        let session = text(&entry["storage_info"], "session_id");
        *of_user.entry(session).or_default() += 1;
    }
    // Each place, both halves.
    let whole = 2 * PLACES.len();
    let counts = |user: &str| sessions[user].values().copied().collect::<Vec<_>>();
    assert_eq!(counts("alice"), [whole, whole], "two names");
    for user in ["bob", "carol", "dave"] {
        assert_eq!(counts(user), [whole], "{user}: one name, or none");
    }
    let distinct: BTreeSet<_> = sessions.values().flat_map(BTreeMap::keys).collect();
    assert_eq!(distinct.len(), 5, "no session is two users'");
}
