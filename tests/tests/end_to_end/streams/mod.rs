//! How streams end, and what is recorded of each: all of what passed, how it ended, and when.

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::{Bootstrap, UPSTREAM_CLUSTER, set};
use dossier_tests::clock;
use dossier_tests::harness::Harness;
use dossier_tests::stub_collector::ReceivedHalf;
use dossier_tests::testing::TestHarness;
use serde_json::{Value, json};

use crate::support::TIMEOUT;

mod bodies;
mod grpc;
mod interruptions;
mod local_replies;
mod stored;
mod upgrades;

/// Both halves of an exchange as they left the filter.
struct Exchange {
    request: ReceivedHalf,
    response: ReceivedHalf,
}

/// How an exchange should have ended.
struct Expected<'a> {
    completion: &'a str,
    /// 0: no response began.
    status: u64,
    sent: &'a [u8],
    answered: &'a [u8],
}

impl Exchange {
    /// Waits for it; `since` is when its request was about to be sent.
    async fn of(harness: &Harness, path: &str, since: u64) -> Self {
        let halves = harness
            .stub_collector
            .halves(path, 2, TIMEOUT)
            .await
            .unwrap();
        let [request, response] = halves.as_slice() else {
            panic!("not two halves of {path}: {halves:?}")
        };
        assert_eq!(
            (request.text("type"), response.text("type")),
            ("request", "response")
        );
        assert_eq!(request.text("exchange_id"), response.text("exchange_id"));
        let exchange = Self {
            request: request.clone(),
            response: response.clone(),
        };
        exchange.expect_sane_times(since);
        exchange
    }

    fn expect(&self, expected: &Expected<'_>) {
        for (half, body) in [
            (&self.request, expected.sent),
            (&self.response, expected.answered),
        ] {
            let record = &half.record;
            assert_eq!(half.text("completion"), expected.completion, "{record}");
            assert_eq!(half.number("status"), expected.status, "{record}");
            assert_eq!(
                String::from_utf8_lossy(&half.body),
                String::from_utf8_lossy(body),
                "{record}"
            );
            assert_eq!(half.body, body, "{record}");
            assert_eq!(half.number("body_size"), body.len() as u64, "{record}");
            assert_eq!(record["truncated"], json!(null), "{record}");
            assert_eq!(half.text("body_xxh3").is_empty(), body.is_empty());
        }
    }

    /// All moments lie between the request's and now, and none before what must precede it.
    fn expect_sane_times(&self, since: u64) {
        let moments = |half: &ReceivedHalf| {
            ["started_at", "first_byte_at", "ended_at"].map(|it| half.number(it))
        };
        let (request, response) = (moments(&self.request), moments(&self.response));
        let order = [
            since,
            request[0],
            request[1],
            request[2],
            clock::now_micros(),
        ];
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(request[0], response[0], "one start");
        let order = [response[0], response[1], response[2], clock::now_micros()];
        assert!(order.is_sorted(), "{order:?}");
    }
}

/// Envoy with everything on that streams may need.
async fn start() -> TestHarness {
    start_with(|_| Ok(())).await
}

async fn start_with(
    change: impl FnOnce(&mut Bootstrap) -> Result<(), HarnessError>,
) -> TestHarness {
    let started = TestHarness::start_with(|bootstrap| {
        let manager = bootstrap.connection_manager()?;
        set(
            manager,
            "http_protocol_options",
            json!({"enable_trailers": true}),
        );
        set(
            manager,
            "upgrade_configs",
            json!([{"upgrade_type": "websocket"}]),
        );
        let options = json!({"http_protocol_options": {"enable_trailers": true}});
        set_http_protocol(bootstrap, UPSTREAM_CLUSTER, &options)?;
        change(bootstrap)
    });
    started.await.unwrap()
}

/// Sets how Envoy speaks to a cluster.
pub(crate) fn set_http_protocol(
    bootstrap: &mut Bootstrap,
    cluster: &str,
    options: &Value,
) -> Result<(), HarnessError> {
    let options = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": options,
    }});
    set(
        bootstrap.cluster(cluster)?,
        "typed_extension_protocol_options",
        options,
    );
    Ok(())
}

/// The head of a request of the user alice's; `fields` are lines, each with its end.
fn head(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: example\r\nx-user-id: alice\r\n{fields}\r\n")
}
