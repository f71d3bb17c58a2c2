//! A proxy and a collector in memory, for tests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use dossier_wire::compression::inflate;
use dossier_wire::{BATCH_ID_HEADER, Batch, FrameContent, Gap, Half, Record};
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::headers::Headers;
use crate::headers::tests::headers;
use crate::host::CollectorResponse;
use crate::host::{CollectorRequest, Dispatch, Host, Level, Stream};
use crate::metrics::Counter;
use crate::vm::{Plugin, Vm};

/// A host whose clocks only move with [`Self::advance`].
#[derive(Debug)]
pub(crate) struct FakeHost {
    pub(crate) wall: Cell<u64>,
    pub(crate) steady: Cell<u64>,
    pub(crate) has_random: Cell<bool>,
    pub(crate) random_calls: Cell<u32>,
    pub(crate) lines: RefCell<Vec<String>>,
    pub(crate) counts: RefCell<BTreeMap<Counter, u64>>,
    pub(crate) outbox_bytes: Cell<i64>,
    seed: Cell<u64>,
}

impl FakeHost {
    pub(crate) fn new() -> Self {
        Self {
            wall: Cell::new(1_700_000_000_000_000),
            steady: Cell::new(1_000_000),
            has_random: Cell::new(true),
            random_calls: Cell::new(0),
            lines: RefCell::default(),
            counts: RefCell::default(),
            outbox_bytes: Cell::new(0),
            seed: Cell::new(1),
        }
    }

    pub(crate) fn advance(&self, micros: u64) {
        self.wall.set(self.wall.get() + micros);
        self.steady.set(self.steady.get() + micros);
    }

    pub(crate) fn counted(&self, counter: Counter) -> u64 {
        self.counts.borrow().get(&counter).copied().unwrap_or(0)
    }
}

impl Host for FakeHost {
    fn wall_clock(&self) -> u64 {
        self.wall.get()
    }

    fn steady_clock(&self) -> u64 {
        self.steady.get()
    }

    fn random(&self, buffer: &mut [u8]) -> bool {
        self.random_calls.set(self.random_calls.get() + 1);
        if self.has_random.get() {
            for byte in buffer {
                // SplitMix64: well distributed and reproducible.
                let mut next = self.seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
                self.seed.set(next);
                next = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                next = (next ^ (next >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                *byte = next.to_le_bytes()[7];
            }
        }
        self.has_random.get()
    }

    fn log(&self, _: Level, line: &str) {
        self.lines.borrow_mut().push(line.to_owned());
    }

    fn increment(&self, counter: Counter, by: u64) {
        *self.counts.borrow_mut().entry(counter).or_default() += by;
    }

    fn adjust_outbox_bytes(&self, by: i64) {
        self.outbox_bytes.set(self.outbox_bytes.get() + by);
    }
}

/// The data that a stream's callbacks can read.
#[derive(Debug, Default)]
pub(crate) struct FakeStream {
    pub(crate) request: Option<Headers>,
    pub(crate) response: Option<Headers>,
    pub(crate) trailers: Option<Headers>,
    pub(crate) chunk: Vec<u8>,
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    /// How often all headers of the request were fetched.
    pub(crate) heads: Cell<u32>,
}

impl FakeStream {
    pub(crate) fn request(pairs: &[(&str, &str)]) -> Self {
        Self {
            request: Some(headers(pairs)),
            ..Self::default()
        }
    }

    pub(crate) fn respond(&mut self, pairs: &[(&str, &str)]) {
        self.response = Some(headers(pairs));
    }

    pub(crate) fn set(&mut self, path: &str, value: &[u8]) {
        self.attributes.insert(path.to_owned(), value.to_vec());
    }
}

impl Stream for FakeStream {
    fn headers(&self, half: Half) -> Option<Headers> {
        match half {
            Half::Request => {
                self.heads.set(self.heads.get() + 1);
                self.request.clone()
            }
            Half::Response => self.response.clone(),
        }
    }

    fn header(&self, half: Half, name: &str) -> Option<Vec<u8>> {
        let headers = match half {
            Half::Request => self.request.as_ref(),
            Half::Response => self.response.as_ref(),
        };
        Some(headers?.get(name)?.to_vec())
    }

    fn trailers(&self, _: Half) -> Option<Headers> {
        self.trailers.clone()
    }

    fn body(&self, _: Half, start: usize, length: usize) -> Option<Vec<u8>> {
        self.chunk.get(start..start + length).map(<[u8]>::to_vec)
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.attributes.get(&path.join(".")).cloned()
    }
}

/// The calls that were started, in order.
#[derive(Debug, Default)]
pub(crate) struct FakeDispatch {
    pub(crate) calls: RefCell<Vec<Call>>,
    pub(crate) fails: Cell<bool>,
    tokens: Cell<u32>,
}

/// A call as the proxy got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) token: u32,
    pub(crate) cluster: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Dispatch for FakeDispatch {
    fn send(&self, request: &CollectorRequest<'_>) -> Option<u32> {
        if self.fails.get() {
            return None;
        }
        let token = self.tokens.get();
        self.tokens.set(token + 1);
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.calls.borrow_mut().push(Call {
            token,
            cluster: request.cluster.to_owned(),
            headers: request.headers.iter().map(owned).collect(),
            body: request.body.to_vec(),
        });
        Some(token)
    }
}

/// A configured VM with a collector in memory.
pub(crate) struct Harness {
    pub(crate) vm: Vm<FakeHost>,
    pub(crate) plugin: Rc<Plugin>,
    pub(crate) dispatch: FakeDispatch,
}

/// The root context that a [`Harness`] configures.
pub(crate) const ROOT: u32 = 1;

impl Harness {
    /// Records everything; `extra` extends or overrides the configuration.
    pub(crate) fn new(extra: &Value) -> Self {
        let vm = Vm::new(FakeHost::new());
        let plugin = vm
            .configure(ROOT, &configuration(extra), |_| None, None)
            .unwrap();
        Self {
            vm,
            plugin,
            dispatch: FakeDispatch::default(),
        }
    }

    /// One whole exchange with the same body in both halves.
    pub(crate) fn exchange(&self, body: &[u8]) {
        let host = self.vm.host();
        let mut stream = FakeStream::request(&[
            (":method", "POST"),
            (":path", "/api/x?a=1"),
            (":authority", "example"),
            ("x-user-id", "alice"),
        ]);
        let mut exchange = Exchange::new(Rc::clone(&self.plugin));
        exchange.on_request_headers(host, &stream, body.is_empty());
        stream.chunk = body.to_vec();
        if !body.is_empty() {
            exchange.on_request_body(host, &stream, body.len(), true);
        }
        stream.respond(&[(":status", "200")]);
        exchange.on_response_headers(host, &stream, body.is_empty());
        if !body.is_empty() {
            exchange.on_response_body(host, &stream, body.len(), true);
        }
        exchange.finish(host, &stream);
    }

    /// Advances the clocks and wakes the root context.
    pub(crate) fn tick(&self, micros: u64) {
        self.vm.host().advance(micros);
        self.vm.tick(ROOT, &self.dispatch);
    }

    /// Lets the collector respond to a call.
    pub(crate) fn respond(&self, call: &Call, status: Option<u16>, retry_after: Option<u64>) {
        let answer = CollectorResponse {
            status,
            retry_after,
        };
        self.vm
            .handle_response(ROOT, call.token, answer, &self.dispatch);
    }

    /// The calls since the last time.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.dispatch.calls.borrow_mut().drain(..).collect()
    }

    /// Bytes that count against the budget.
    pub(crate) fn used_bytes(&self) -> usize {
        self.plugin.shared.budget.used()
    }
}

/// A configuration that records everything, extended or overridden by `extra`.
pub(crate) fn configuration(extra: &Value) -> Vec<u8> {
    let mut whole = json!({
        "collector": {"cluster": "collector"},
        "user": [{"header": "x-user-id"}],
        "defaults": {"storage_type": "both", "ttl_days": 30},
    });
    for (key, value) in extra.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole.to_string().into_bytes()
}

impl Call {
    /// The batch's id.
    pub(crate) fn id(&self) -> String {
        self.headers[BATCH_ID_HEADER].clone()
    }

    /// The batch's records with their bodies, and its gaps.
    pub(crate) fn content(&self) -> (Vec<(Record<'static>, Vec<u8>)>, Vec<Gap>) {
        let raw = match self.headers.get("content-encoding") {
            Some(_) => inflate(&self.body, 1 << 26).unwrap(),
            None => self.body.clone(),
        };
        // Leaked so that records can borrow from it; tests end soon.
        let raw: &'static [u8] = raw.leak();
        let (mut records, mut gaps) = (Vec::new(), Vec::new());
        for frame in Batch::parse(raw).unwrap().frames() {
            match frame.decode().unwrap() {
                FrameContent::Record(record, body) => records.push((*record, body.to_vec())),
                FrameContent::Gap(gap) => gaps.push(gap),
            }
        }
        (records, gaps)
    }
}
