//! Each key of the filter's configuration, as it works in Envoy: what is recorded because of it, and
//! what is not.

use std::net::SocketAddr;

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::{Bootstrap, UPSTREAM_CLUSTER, set};
use dossier_tests::echo_service::EchoService;
use dossier_tests::stub_collector::ReceivedHalf;
use dossier_tests::testing::TestHarness;
use dossier_tests::traffic::{Call, Reply, Traffic};
use miniz_oxide::deflate::compress_to_vec;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TIMEOUT;

mod certificates;
mod conditions;
mod headers;
mod matches;
mod metadata;
mod overrides;
mod redaction;
mod sampling;
mod sessions;
mod sizes;
mod users;

/// Envoy with a configuration of the filter, before a service that answers with what it got.
struct Setup {
    harness: TestHarness,
    traffic: Traffic,
    _echo_service: EchoService,
}

impl Setup {
    /// Starts it with these keys of the filter in the place of the example's.
    async fn start(keys: &Value) -> Self {
        Self::start_with(keys, |_| Ok(())).await
    }

    async fn start_with(
        keys: &Value,
        change: impl FnOnce(&mut Bootstrap) -> Result<(), HarnessError>,
    ) -> Self {
        let echo_service = EchoService::start().await.unwrap();
        let harness = TestHarness::start_with(|bootstrap| {
            bootstrap.set_cluster(UPSTREAM_CLUSTER, echo_service.address)?;
            configure(bootstrap, keys)?;
            change(bootstrap)
        });
        let harness = harness.await.unwrap();
        Self {
            traffic: Traffic::new(harness.envoy.address).unwrap(),
            harness,
            _echo_service: echo_service,
        }
    }

    /// Sends a request, which the service must answer.
    async fn send(&self, call: &Call) -> Reply {
        let reply = self.traffic.send(call).await.unwrap();
        assert_eq!(reply.status, 200, "{call:?}");
        reply
    }

    /// Sends a request and waits for both halves of what is recorded of it: nothing else of its
    /// path may be.
    async fn record(&self, call: &Call) -> [ReceivedHalf; 2] {
        self.send(call).await;
        let path = call.target.split('?').next().unwrap();
        both(
            self.harness
                .stub_collector
                .halves(path, 2, TIMEOUT)
                .await
                .unwrap(),
        )
    }

    /// Waits for so many halves of a user's.
    async fn of_user(&self, user: &str, count: usize) -> Vec<ReceivedHalf> {
        let what = format!("{count} halves of {user}");
        let stub_collector = &self.harness.stub_collector;
        let is_meant = |half: &ReceivedHalf| half.text("user_id") == user;
        stub_collector
            .wait_for_halves(&what, count, TIMEOUT, is_meant)
            .await
            .unwrap()
    }
}

/// Puts these keys in the place of the filter's.
pub fn configure(bootstrap: &mut Bootstrap, keys: &Value) -> Result<(), HarnessError> {
    for (key, value) in keys.as_object().unwrap() {
        set(bootstrap.plugin()?, key, value.clone());
    }
    Ok(())
}

/// Has every route lead to this service, for a stack, which has a service of its own.
pub fn route_to_service(
    bootstrap: &mut Bootstrap,
    service: SocketAddr,
) -> Result<(), HarnessError> {
    const NAME: &str = "mirror";
    bootstrap.add_cluster(NAME, service)?;
    for route in bootstrap.routes()? {
        set(route, "route", json!({"cluster": NAME}));
    }
    Ok(())
}

/// Exactly a request and its response.
fn both(halves: Vec<ReceivedHalf>) -> [ReceivedHalf; 2] {
    let types: Vec<_> = halves.iter().map(|half| half.text("type")).collect();
    assert_eq!(types, ["request", "response"], "{halves:?}");
    assert_eq!(halves[0].text("exchange_id"), halves[1].text("exchange_id"));
    halves.try_into().unwrap()
}

/// A `POST` of alice's with a body of this type.
fn post(target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Call {
    Call {
        body: Some((content_type.to_owned(), body.into())),
        ..Call::new(Method::POST, "alice", target)
    }
}

/// The same call, whose body is in this encoding.
fn encoded(call: Call, encoding: Option<&str>) -> Call {
    match encoding {
        Some(encoding) => with(call, "content-encoding", encoding),
        None => call,
    }
}

/// One file of `gzip`, without a checksum that anybody would look at.
fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut member = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    member.extend(compress_to_vec(plain, 6));
    member.extend([0; 8]);
    member
}

/// The same call with one more header.
fn with(mut call: Call, name: &str, value: &str) -> Call {
    call.headers.push((name.to_owned(), value.to_owned()));
    call
}

/// One rule for everything.
pub fn everything(capture: &Value) -> Value {
    json!({"routes": [{"match": {}, "capture": capture}]})
}
