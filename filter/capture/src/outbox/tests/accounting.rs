//! Whatever collector and network do, every record and every byte of a body arrives exactly once or is
//! reported as lost, and the budget holds at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dossier_wire::compression::inflate;
use dossier_wire::{Compression, FrameContent, Half, Record};
use proptest::prelude::*;

use crate::config::{BatchSettings, CollectorSettings};
use crate::outbox::*;
use crate::testing::FakeHost;

const SECOND: u64 = 1_000_000;
const STORED: CollectorResponse = CollectorResponse {
    status: Some(200),
    retry_after: None,
};

#[derive(Debug, Clone)]
enum Step {
    /// Add an exchange with bodies of these sizes.
    Add(Vec<usize>),
    /// Drop an exchange with a body of this size.
    Lost(u64),
    Wait(u64),
    /// End a call, counted from the newest; if it fails, the batch may be stored nevertheless.
    CollectorResponse {
        call: usize,
        stored: bool,
        answer: CollectorResponse,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let status = |status: u16| CollectorResponse {
        status: Some(status),
        retry_after: None,
    };
    let failure = prop::sample::select(vec![400, 413, 415, 422, 401, 404, 500, 503]);
    let answer = prop_oneof![
        3 => Just(STORED),
        1 => Just(CollectorResponse::default()),
        1 => failure.prop_map(status),
        1 => (0..400_u64).prop_map(|wait| CollectorResponse { status: Some(429), retry_after: Some(wait) }),
    ];
    prop_oneof![
        6 => prop::collection::vec(0..6_000_usize, 1..=2).prop_map(Step::Add),
        1 => (0..5_000_u64).prop_map(Step::Lost),
        3 => (0..3 * SECOND).prop_map(Step::Wait),
        3 => (0..4_usize, any::<bool>(), answer)
            .prop_map(|(call, stored, answer)| Step::CollectorResponse { call, stored, answer }),
    ]
}

/// A collector that stores a batch once and acknowledges it from then on. A rejected batch is rejected
/// again: that depends on its bytes alone.
#[derive(Debug, Default)]
struct Ledger(BTreeMap<String, (Box<[u8]>, CollectorResponse)>);

impl Ledger {
    /// The response that the producer gets.
    fn answer(
        &mut self,
        sealed: &SealedBatch,
        stored: bool,
        answer: CollectorResponse,
    ) -> CollectorResponse {
        let verdict = match answer.status {
            Some(200 | 400 | 413 | 415 | 422) => Some(answer),
            None | Some(500..) if stored => Some(STORED),
            _ => None,
        };
        let Some(verdict) = verdict else {
            return answer;
        };
        let first = || (sealed.bytes.clone(), verdict);
        let (bytes, first) = self.0.entry(sealed.id.clone()).or_insert_with(first);
        assert_eq!(*bytes, sealed.bytes, "the bytes of a batch never change");
        if matches!(answer.status, None | Some(500..)) {
            answer
        } else {
            *first
        }
    }

    fn has(&self, sealed: &SealedBatch) -> bool {
        self.0
            .get(&sealed.id)
            .is_some_and(|(_, first)| *first == STORED)
    }
}

/// An outbox whose calls are remembered.
struct OutboxHarness {
    host: FakeHost,
    shared: Rc<SharedState>,
    outbox: Outbox,
    calls: Vec<Rc<SealedBatch>>,
}

impl OutboxHarness {
    fn new(budget: usize, max_records: usize, compression: Compression) -> Self {
        let collector = CollectorSettings {
            cluster: "collector".into(),
            authority: "dossier".into(),
            path: "/".into(),
            token: None,
            timeout: Duration::from_secs(5),
        };
        let max_delay = Duration::from_secs(1);
        let batch = BatchSettings {
            max_records,
            max_bytes: 16 << 10,
            max_delay,
            compression,
        };
        let destination = Rc::new(Destination {
            collector,
            authorization: None,
            batch,
        });
        let shared = Rc::new(SharedState::new(budget));
        let outbox = Outbox::new(Rc::clone(&shared), destination);
        Self {
            host: FakeHost::new(),
            shared,
            outbox,
            calls: Vec::new(),
        }
    }

    fn add(&mut self, bodies: &[usize]) {
        let halves = [Half::Request, Half::Response].into_iter().zip(bodies);
        let mut entries: Vec<_> = halves.map(|(half, size)| entry(half, *size)).collect();
        self.outbox
            .add(&self.host, &Now::new(&self.host), &mut entries);
    }

    fn wait(&mut self, micros: u64) {
        self.host.advance(micros);
        let now = Now::new(&self.host);
        self.outbox.tick(&self.host, &now);
        while let Some(sealed) = self.outbox.next_batch(&now) {
            let token = u32::try_from(self.calls.len()).unwrap();
            self.calls.push(Rc::clone(&sealed));
            self.outbox
                .record_call(&self.host, &now, sealed, Some(token));
        }
    }

    fn respond(&mut self, call: usize, answer: CollectorResponse) {
        let token = u32::try_from(call).unwrap();
        self.outbox
            .handle_response(&self.host, &Now::new(&self.host), token, answer);
    }
}

fn entry(half: Half, size: usize) -> PendingRecord<'static> {
    let record = Record {
        status: Some(200),
        body_size: size as u64,
        ..Record::new(Uuid::nil(), half, "alice", "/a", 0)
    };
    // Bytes that compress badly, so that the sealed batches fill the budget too.
    let body = (0..size).map(|n| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()).to_le_bytes()[0]);
    PendingRecord {
        record,
        body: body.collect(),
        lost_bytes: 0,
    }
}

/// Records and body bytes of a batch, including those it reports as lost.
fn count(sealed: &SealedBatch) -> (u64, u64) {
    let raw = match sealed.encoding {
        Some(_) => inflate(&sealed.bytes, 1 << 25).unwrap(),
        None => sealed.bytes.to_vec(),
    };
    let mut total = (0, 0);
    for frame in dossier_wire::Batch::parse(&raw).unwrap().frames() {
        match frame.decode().unwrap() {
            FrameContent::Record(record, body) => {
                assert_eq!(
                    record.body_missing.is_some(),
                    body.len() as u64 != record.body_size
                );
                total = (total.0 + 1, total.1 + body.len() as u64);
            }
            FrameContent::Gap(gap) => total = (total.0 + gap.records, total.1 + gap.bytes),
        }
    }
    total
}

proptest! {
    #[test]
    fn everything_arrives_once_or_is_reported(
        budget in 8_000..80_000_usize,
        max_records in 2..12_usize,
        compression in prop::sample::select(vec![Compression::None, Compression::Fast]),
        busy in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut harness = OutboxHarness::new(budget, max_records, compression);
        if busy {
            // The first batches are not compressed, later ones are.
            harness.shared.compression_limiter.charge(40 << 20);
        }
        let (mut ledger, mut answered) = (Ledger::default(), BTreeSet::new());
        let (mut records, mut bytes) = (0, 0);
        for step in steps {
            match step {
                Step::Add(bodies) => {
                    records += bodies.len() as u64;
                    bytes += bodies.iter().sum::<usize>() as u64;
                    harness.add(&bodies);
                }
                Step::Lost(lost_bytes) => {
                    records += 1;
                    bytes += lost_bytes;
                    harness.outbox.drop_exchange(&Now::new(&harness.host), 1, lost_bytes);
                }
                Step::Wait(micros) => harness.wait(micros),
                // Expired calls may still get a response, but no call gets two.
                Step::CollectorResponse { call, stored, answer } => {
                    if let Some(call) = harness.calls.len().checked_sub(1 + call)
                        && answered.insert(call)
                    {
                        let answer = ledger.answer(&harness.calls[call], stored, answer);
                        harness.respond(call, answer);
                    }
                }
            }
            prop_assert!(harness.shared.budget.used() <= budget);
            prop_assert!(harness.outbox.in_flight.len() <= 2);
        }
        // The collector recovers for good.
        for _ in 0..1_000 {
            harness.wait(20 * SECOND);
            let in_flight: Vec<_> = harness.outbox.in_flight.iter().map(|call| call.token).collect();
            for call in in_flight {
                let call = usize::try_from(call).unwrap();
                let answer = ledger.answer(&harness.calls[call], true, STORED);
                harness.respond(call, answer);
            }
            if harness.outbox.is_idle() {
                break;
            }
        }
        prop_assert!(harness.outbox.is_idle());
        prop_assert_eq!(harness.shared.budget.used(), 0);
        let stored = harness.calls.iter().filter(|sealed| ledger.has(sealed));
        let distinct: BTreeMap<_, _> = stored.map(|sealed| (&sealed.id, sealed)).collect();
        let sums = distinct.values().map(|sealed| count(sealed)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        prop_assert_eq!(sums, (records, bytes));
    }
}
