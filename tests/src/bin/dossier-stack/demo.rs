//! Sends a few requests through Envoy, and prints what the collector has stored of them.

use std::time::Duration;

use dossier_tests::HarnessError;
use dossier_tests::clock;
use dossier_tests::stack::Stack;
use dossier_tests::traffic::{Call, Protocol};
use reqwest::Method;
use serde_json::{Value, json};

use crate::terminal::print_line;

const STORED_LIMIT: Duration = Duration::from_secs(30);
/// Both halves of alice's recorded requests.
const ENTRIES_OF_ALICE: u64 = 4;

/// Sends the requests, waits until they can be found, and prints what is stored.
pub async fn run(stack: &Stack) -> Result<(), HarnessError> {
    let since = clock::format_rfc3339(clock::now_micros());
    for call in example_calls() {
        let reply = stack.traffic.send(&call).await?;
        let user = call.user.as_deref().unwrap_or("nobody");
        print_line(&format!(
            "{user:>5}: {} {} → {}",
            call.method, call.target, reply.status
        ));
    }
    let client = &stack.backend.client;
    let alice = &stack.backend.keys.users.alice;
    client
        .wait_for_entries(
            alice,
            &json!({"start_date": since}),
            ENTRIES_OF_ALICE,
            STORED_LIMIT,
        )
        .await?;
    let question = json!({"endpoint": "/api/v1/ai/generate", "page_size": 2});
    let answer = client.query(alice, &question).await?;
    print_line(&format!(
        "\nalice asks for what was recorded: POST /storage/query {question}\n{:#}",
        answer.json
    ));
    print_line(&format!(
        "\nTo try it yourself:\n{}",
        format_example_commands(stack, alice)
    ));
    Ok(())
}

fn example_calls() -> Vec<Call> {
    let prompt = json!({"prompt": "Why is the sky blue?", "temperature": 0.2});
    let order = json!({"item": "telescope", "quantity": 1});
    let streamed = json!({"prompt": "Count to three", "stream": true});
    vec![
        Call::json("alice", "/api/v1/ai/generate", &prompt),
        Call {
            protocol: Protocol::Http2,
            ..Call::json("alice", "/api/orders", &order)
        },
        Call::json("bob", "/api/v1/ai/generate?stream=3", &streamed),
        Call::new(Method::GET, "bob", "/health"),
    ]
}

fn format_example_commands(stack: &Stack, key: &str) -> String {
    let (envoy, collector) = (stack.envoy.address, stack.backend.collector.address);
    let (prompt, question): (Value, Value) = (json!({"prompt": "hello"}), json!({"page_size": 5}));
    format!(
        "curl -s http://{envoy}/api/v1/ai/generate -H 'x-user-id: alice' \
         -H 'content-type: application/json' -d '{prompt}'\n\
         curl -s http://{collector}/storage/query -H 'authorization: Bearer {key}' \
         -H 'content-type: application/json' -d '{question}'\n"
    )
}
