//! Request ids, and what the span of a request shows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tracing::Dispatch;
use tracing::dispatcher::{get_default, with_default};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};
use uuid::uuid;

use super::*;
use crate::limits::blocking_pool::{BlockingPool, PoolError};
use crate::model::ids::{KeyId, UserId};
use crate::model::key::Role;

const KEY_ID: Uuid = uuid!("0198a3c5-7f00-7000-8000-000000000001");
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The spans of one test by name: the name of the parent, and the fields.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<BTreeMap<&'static str, RecordedSpan>>>);

#[derive(Default)]
struct RecordedSpan {
    parent: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let parent = context.span(id).unwrap().parent();
        let mut recorded = RecordedSpan {
            parent: parent.map(|parent| parent.name()),
            ..RecordedSpan::default()
        };
        attributes.record(&mut recorded);
        let name = attributes.metadata().name();
        self.0.lock().unwrap().insert(name, recorded);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let name = context.span(id).unwrap().name();
        values.record(self.0.lock().unwrap().get_mut(name).unwrap());
    }
}

impl Visit for RecordedSpan {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        self.fields.insert(field.name(), text);
    }
}

/// As a handler does: records its caller, and does work on another thread.
async fn handler() -> &'static str {
    record_caller(&Caller {
        credential: Credential::Key(KeyId(KEY_ID)),
        user: UserId::new("alice").unwrap(),
        role: Role::User,
    });
    // The recorder is the subscriber of the test's own thread only.
    let dispatch = get_default(Dispatch::clone);
    let work = move || {
        with_default(&dispatch, || drop(info_span!("work")));
        Ok::<_, PoolError>("done")
    };
    BlockingPool::new(1).run(work).await.unwrap()
}

/// The spans of a request with this URI and these headers.
async fn spans(uri: &str, headers: &[(&str, &str)]) -> BTreeMap<&'static str, RecordedSpan> {
    let recorder = Recorder::default();
    let subscriber = Registry::default().with(recorder.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let layer = RequestLayer {
        metrics: Arc::new(Metrics::new()),
        clients: ClientSettings {
            max_clients: 1,
            client_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
        },
    };
    let router = Router::new()
        .route("/things/{id}", get(handler))
        .layer(from_fn_with_state(layer, handle_request));
    let mut request = axum::http::Request::builder().uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let service = TowerToHyperService::new(router);
    service.call(request).await.unwrap();
    std::mem::take(&mut *recorder.0.lock().unwrap())
}

#[tokio::test]
async fn span_shows_route_caller_and_status() {
    let spans = spans("/things/7?secret=hunter2", &[("x-request-id", "mine")]).await;
    let request = &spans["request"];
    let shown: Vec<_> = request
        .fields
        .iter()
        .map(|(k, v)| (*k, v.as_str()))
        .collect();
    let expected = [
        ("key_id", "0198a3c5-7f00-7000-8000-000000000001"),
        ("method", "GET"),
        ("otel.kind", "server"),
        ("request_id", "mine"),
        ("route", "/things/{id}"),
        ("status", "200"),
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn work_on_other_threads_belongs_to_span() {
    let spans = spans("/things/7", &[]).await;
    assert_eq!(spans["work"].parent, Some("request"));
}

#[tokio::test]
async fn span_continues_incoming_trace() {
    let header = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
    let spans = spans("/things/7", &[("traceparent", &header)]).await;
    assert_eq!(spans["request"].fields["trace_id"], TRACE_ID);
}

#[tokio::test]
async fn span_of_unknown_path_shows_no_path() {
    let spans = spans("/hunter2", &[("authorization", "Bearer hunter2")]).await;
    let fields = &spans["request"].fields;
    assert_eq!(
        (fields["route"].as_str(), fields["status"].as_str()),
        ("none", "404")
    );
    assert!(fields.values().all(|value| !value.contains("hunter2")));
}

fn keeps(id: &str) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
    request_id(&headers) == id
}

#[test]
fn keeps_well_formed_request_id() {
    assert!(keeps("0198a3c5-7f00-7000-8000-000000000001"));
    assert!(keeps("1-67891233:abc_def.0"));
    assert!(keeps(&"x".repeat(MAX_REQUEST_ID_BYTES)));
}

#[test]
fn replaces_malformed_or_missing_request_id() {
    for id in [
        "",
        "a b",
        "a\"b",
        "a\tb",
        &"x".repeat(MAX_REQUEST_ID_BYTES + 1),
    ] {
        assert!(!keeps(id), "{id}");
    }
    let made = request_id(&HeaderMap::new());
    assert_ne!(made, request_id(&HeaderMap::new()));
}
