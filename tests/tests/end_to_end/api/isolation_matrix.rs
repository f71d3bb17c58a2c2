//! Every endpoint × every parameter that can name another user's resource × every role.
//!
//! A new endpoint is a row of [`ENDPOINTS`]; a new way to name a resource, a row of [`PARAMETERS`].

use std::collections::BTreeMap;

use dossier_tests::client::CollectorResponse;
use dossier_tests::clock::minutes_ago;
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{store, text};

const ROLES: [&str; 4] = ["ingest", "user", "readonly", "admin"];
const READERS: &[&str] = &["user", "readonly", "admin"];
const WRITERS: &[&str] = &["ingest", "admin"];
const ADMINS: &[&str] = &["admin"];
/// There is no entry of this number.
const NO_ENTRY: i64 = i64::MAX;
/// Nor is there a rejected record of this id.
const NO_RECORD: &str = "00000000-0000-0000-0000-000000000000:0";

/// What is asked.
enum Ask {
    Get(String),
    Post(&'static str, Value),
    Delete(String),
}

/// A request of its own kind, and the roles that may send it.
struct Endpoint {
    roles: &'static [&'static str],
    ask: fn() -> Ask,
}

const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        roles: READERS,
        ask: || Ask::Post("/storage/query", json!({})),
    },
    Endpoint {
        roles: READERS,
        ask: || Ask::Post("/v1/storage/query", json!({})),
    },
    Endpoint {
        roles: READERS,
        ask: || Ask::Get(format!("/storage/entries/{NO_ENTRY}")),
    },
    Endpoint {
        roles: READERS,
        ask: || Ask::Get(format!("/storage/entries/{NO_ENTRY}/body")),
    },
    Endpoint {
        roles: READERS,
        ask: || Ask::Get(format!("/storage/exchanges/{}", Uuid::nil())),
    },
    Endpoint {
        roles: READERS,
        ask: || Ask::Get("/storage/sessions".to_owned()),
    },
    Endpoint {
        roles: READERS,
        ask: || Ask::Post("/storage/sessions/query", json!({})),
    },
    Endpoint {
        roles: ADMINS,
        ask: || Ask::Post("/storage/delete", json!({"storage_ids": [NO_ENTRY]})),
    },
    Endpoint {
        roles: ADMINS,
        ask: || Ask::Get("/admin/rejected".to_owned()),
    },
    Endpoint {
        roles: ADMINS,
        ask: || Ask::Get(format!("/admin/rejected/{NO_RECORD}")),
    },
    Endpoint {
        roles: ADMINS,
        ask: || Ask::Delete(format!("/admin/rejected/{NO_RECORD}")),
    },
    Endpoint {
        roles: ADMINS,
        ask: || {
            let path = "/admin/rejected/00000000-0000-0000-0000-000000000000:0/retry";
            Ask::Post(path, Value::Null)
        },
    },
    Endpoint {
        roles: ADMINS,
        ask: || Ask::Get("/admin/gaps".to_owned()),
    },
    Endpoint {
        roles: WRITERS,
        ask: || Ask::Post("/ingest/v1/batches", json!({})),
    },
];

/// A way for readers to name a resource.
struct Parameter {
    name: &'static str,
    ask: fn(&Resource) -> Ask,
}

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "session_id",
        ask: |resource| Ask::Post("/storage/query", json!({"session_id": resource.session})),
    },
    Parameter {
        name: "exchange_id",
        ask: |resource| Ask::Post("/storage/query", json!({"exchange_id": resource.exchange})),
    },
    Parameter {
        name: "user_id",
        ask: |resource| Ask::Post("/storage/query", json!({"user_id": resource.user})),
    },
    Parameter {
        name: "endpoint",
        ask: |resource| Ask::Post("/storage/query", json!({"endpoint": resource.endpoint})),
    },
    Parameter {
        name: "endpoint, spelled otherwise",
        ask: |resource| {
            Ask::Post(
                "/storage/query",
                json!({"endpoint": format!("{}//", resource.endpoint)}),
            )
        },
    },
    Parameter {
        name: "session_id among the metadata",
        ask: |resource| {
            Ask::Post(
                "/storage/query",
                json!({"metadata_filters": {"session_id": resource.session}}),
            )
        },
    },
    Parameter {
        name: "number of an entry",
        ask: |resource| Ask::Get(format!("/storage/entries/{}", resource.entry)),
    },
    Parameter {
        name: "number of an entry with a body",
        ask: |resource| Ask::Get(format!("/storage/entries/{}/body", resource.entry)),
    },
    Parameter {
        name: "id of an exchange",
        ask: |resource| Ask::Get(format!("/storage/exchanges/{}", resource.exchange)),
    },
    Parameter {
        name: "session_id of a list of sessions",
        ask: |resource| Ask::Get(format!("/storage/sessions?session_id={}", resource.session)),
    },
    Parameter {
        name: "user_id of a list of sessions",
        ask: |resource| Ask::Get(format!("/storage/sessions?user_id={}", resource.user)),
    },
    Parameter {
        name: "endpoint of a list of sessions",
        ask: |resource| Ask::Get(format!("/storage/sessions?endpoint={}", resource.endpoint)),
    },
    Parameter {
        name: "session_id of sessions",
        ask: |resource| {
            Ask::Post(
                "/storage/sessions/query",
                json!({"session_id": resource.session}),
            )
        },
    },
    Parameter {
        name: "exchange_id of sessions",
        ask: |resource| {
            Ask::Post(
                "/storage/sessions/query",
                json!({"exchange_id": resource.exchange}),
            )
        },
    },
    Parameter {
        name: "user_id of sessions",
        ask: |resource| Ask::Post("/storage/sessions/query", json!({"user_id": resource.user})),
    },
    Parameter {
        name: "endpoint of sessions, spelled otherwise",
        ask: |resource| {
            Ask::Post(
                "/storage/sessions/query",
                json!({"endpoint": format!("{}//", resource.endpoint)}),
            )
        },
    },
];

/// The names under which a user's data can be requested.
struct Resource {
    user: String,
    entry: i64,
    session: String,
    exchange: String,
    endpoint: String,
}

impl Resource {
    /// Names of nothing that exists.
    fn missing() -> Self {
        Self {
            user: "nobody".to_owned(),
            entry: NO_ENTRY,
            session: Uuid::now_v7().to_string(),
            exchange: Uuid::now_v7().to_string(),
            endpoint: "/of/nobody".to_owned(),
        }
    }

    /// Both halves of an exchange of this user's.
    async fn store(backend: &TestBackend, user: &str) -> Self {
        let endpoint = format!("/of/{user}");
        let sample =
            Sample::request(user, &endpoint, minutes_ago(1), "{}").with_session_timeout(30);
        store(backend, &[sample.clone(), sample.response("{}")]).await;
        let admin = &backend.keys.users.admin;
        let filters = json!({"user_id": user});
        let entry = &backend.client.query_all(admin, &filters).await.unwrap()[0];
        Self {
            user: user.to_owned(),
            entry: entry["id"].as_i64().unwrap(),
            session: text(&entry["storage_info"], "session_id").to_owned(),
            exchange: text(entry, "exchange_id").to_owned(),
            endpoint,
        }
    }

    /// An answer without what differs from request to request, and with the names masked, so
    /// that it can be compared to the answer about another.
    fn mask_names(&self, answer: &CollectorResponse) -> (u16, String) {
        let mut json = answer.json.clone();
        if let Some(envelope) = json.as_object_mut() {
            envelope.remove("metadata");
        }
        let names = [&self.session, &self.exchange, &self.endpoint, &self.user];
        let shown = names.into_iter().fold(json.to_string(), |shown, name| {
            shown.replace(name.as_str(), "…")
        });
        (answer.status, shown)
    }
}

/// A key of each role for one user.
async fn keys(backend: &TestBackend, user: &str) -> BTreeMap<&'static str, String> {
    let mut keys = BTreeMap::new();
    for role in ROLES {
        let key = backend.collector.create_key(user, role, "").await.unwrap();
        keys.insert(role, key);
    }
    keys
}

async fn send(backend: &TestBackend, key: Option<&str>, ask: Ask) -> CollectorResponse {
    let answer = match ask {
        Ask::Get(path) => backend.client.get(&path, key).await,
        Ask::Post(path, body) => backend.client.post(path, key, &body).await,
        Ask::Delete(path) => backend.client.delete(&path, key).await,
    };
    answer.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_accept_permitted_roles_only() {
    let backend = TestBackend::start().await.unwrap();
    let keys = keys(&backend, "alice").await;
    for (number, endpoint) in ENDPOINTS.iter().enumerate() {
        for (role, key) in &keys {
            let answer = send(&backend, Some(key), (endpoint.ask)()).await;
            let case = format!("endpoint {number}, role {role}: {}", answer.json);
            if endpoint.roles.contains(role) {
                assert!(!matches!(answer.status, 401 | 403), "{case}");
            } else {
                assert_eq!(answer.status, 403, "{case}");
                assert_eq!(
                    answer.error_code(),
                    "AUTH_INSUFFICIENT_PERMISSIONS",
                    "{case}"
                );
                let required = &answer.json["error"]["details"]["required_roles"];
                assert_eq!(required, &json!(endpoint.roles), "{case}");
            }
        }
        let unknown = format!("dsk_{}", "A".repeat(43));
        for (key, code) in [
            (None, "AUTH_MISSING_TOKEN"),
            (Some(unknown.as_str()), "AUTH_INVALID_TOKEN"),
            (Some("a.b.c"), "AUTH_INVALID_TOKEN"),
        ] {
            let answer = send(&backend, key, (endpoint.ask)()).await;
            assert_eq!(
                (answer.status, answer.error_code()),
                (401, code),
                "endpoint {number}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_resources_are_not_found() {
    let backend = TestBackend::start().await.unwrap();
    let of_alice = Resource::store(&backend, "alice").await;
    let of_bob = Resource::store(&backend, "bob").await;
    let missing = Resource::missing();
    let (alice, bob) = (keys(&backend, "alice").await, keys(&backend, "bob").await);
    for parameter in PARAMETERS {
        for role in READERS {
            let ask = async |keys: &BTreeMap<_, String>, resource: &Resource| {
                let answer = send(&backend, Some(&keys[role]), (parameter.ask)(resource)).await;
                resource.mask_names(&answer)
            };
            let case = format!("{}, role {role}", parameter.name);
            let nothing = ask(&bob, &missing).await;
            let owner_sees = ask(&alice, &of_alice).await;
            assert_ne!(owner_sees, nothing, "{case}: the owner finds it");
            let stranger_sees = ask(&bob, &of_alice).await;
            if *role == "admin" {
                assert_eq!(stranger_sees, owner_sees, "{case}: an admin finds it");
            } else {
                assert_eq!(stranger_sees, nothing, "{case}: a stranger does not");
                // Suggestions near a missing name are the caller's own resources.
                let nothing = ask(&alice, &missing).await;
                let other_way = ask(&alice, &of_bob).await;
                assert_eq!(other_way, nothing, "{case}: nor the other way");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_cursor_shows_own_entries_only() {
    let backend = TestBackend::start().await.unwrap();
    let (client, people) = (&backend.client, &backend.keys.users);
    for user in ["alice", "bob", "alice", "bob"] {
        Resource::store(&backend, user).await;
    }
    let page = client
        .query(&people.alice, &json!({"page_size": 1}))
        .await
        .unwrap();
    let cursor = &page.json["data"]["next_cursor"];
    assert!(cursor.is_string());
    let seen = client
        .query(&people.bob, &json!({"cursor": cursor}))
        .await
        .unwrap();
    assert!(!seen.items().is_empty());
    for entry in seen.items() {
        assert_eq!(entry["user_id"], "bob");
    }
}
