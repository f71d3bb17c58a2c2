//! Whatever a collector and a network do, every record and every byte of a body either arrives
//! exactly once or is told as lost, and the budget holds at every moment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dossier_wire::compression::inflate;
use dossier_wire::{Compression, FrameContent, Half};
use proptest::prelude::*;

use super::*;
use crate::testing::FakeHost;

const SECOND: u64 = 1_000_000;
const STORED: Answer = Answer {
    status: Some(200),
    retry_after: None,
};

#[derive(Debug, Clone)]
enum Step {
    /// An exchange with bodies of these sizes.
    Add(Vec<usize>),
    /// An exchange for whose head there was no room.
    Lost(u64),
    Wait(u64),
    /// The newest call but so many ends like this; if it fails, the batch may be stored even so.
    Answer {
        call: usize,
        stored: bool,
        answer: Answer,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let status = |status: u16| Answer {
        status: Some(status),
        retry_after: None,
    };
    let failure = prop::sample::select(vec![400, 413, 415, 422, 401, 404, 500, 503]);
    let answer = prop_oneof![
        3 => Just(STORED),
        1 => Just(Answer::default()),
        1 => failure.prop_map(status),
        1 => (0..400_u64).prop_map(|wait| Answer { status: Some(429), retry_after: Some(wait) }),
    ];
    prop_oneof![
        6 => prop::collection::vec(0..6_000_usize, 1..=2).prop_map(Step::Add),
        1 => (0..5_000_u64).prop_map(Step::Lost),
        3 => (0..3 * SECOND).prop_map(Step::Wait),
        3 => (0..4_usize, any::<bool>(), answer)
            .prop_map(|(call, stored, answer)| Step::Answer { call, stored, answer }),
    ]
}

/// The collector stores a batch once and acknowledges it from then on. What it refused once it
/// refuses always: its judgement depends on the bytes alone.
#[derive(Debug, Default)]
struct Ledger(BTreeMap<String, (Box<[u8]>, Answer)>);

impl Ledger {
    /// What the producer hears.
    fn answer(&mut self, sealed: &Sealed, stored: bool, answer: Answer) -> Answer {
        let judgement = match answer.status {
            Some(200 | 400 | 413 | 415 | 422) => Some(answer),
            None | Some(500..) if stored => Some(STORED),
            _ => None,
        };
        let Some(judgement) = judgement else {
            return answer;
        };
        let first = || (sealed.bytes.clone(), judgement);
        let (bytes, first) = self.0.entry(sealed.id.clone()).or_insert_with(first);
        assert_eq!(*bytes, sealed.bytes, "the bytes of a batch never change");
        if matches!(answer.status, None | Some(500..)) {
            answer
        } else {
            *first
        }
    }

    fn has(&self, sealed: &Sealed) -> bool {
        self.0
            .get(&sealed.id)
            .is_some_and(|(_, first)| *first == STORED)
    }
}

/// An outbox whose calls are kept.
struct Bench {
    host: FakeHost,
    shared: Rc<Shared>,
    outbox: Outbox,
    calls: Vec<Rc<Sealed>>,
}

impl Bench {
    fn new(budget: usize, max_records: usize, compression: Compression) -> Self {
        let collector = Collector {
            cluster: "collector".into(),
            authority: "dossier".into(),
            path: "/".into(),
            token: None,
            timeout: Duration::from_secs(5),
        };
        let max_delay = Duration::from_secs(1);
        let batch = Batch {
            max_records,
            max_bytes: 16 << 10,
            max_delay,
            compression,
        };
        let target = Rc::new(Target {
            collector,
            authorization: None,
            batch,
        });
        let shared = Rc::new(Shared::new(budget));
        let outbox = Outbox::new(Rc::clone(&shared), target);
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
            .add(&self.host, &Now::of(&self.host), &mut entries);
    }

    fn wait(&mut self, micros: u64) {
        self.host.advance(micros);
        let now = Now::of(&self.host);
        self.outbox.tick(&self.host, &now);
        while let Some(sealed) = self.outbox.next(&now) {
            let token = u32::try_from(self.calls.len()).unwrap();
            self.calls.push(Rc::clone(&sealed));
            self.outbox.began(&self.host, &now, sealed, Some(token));
        }
    }

    fn answer(&mut self, call: usize, answer: Answer) {
        let token = u32::try_from(call).unwrap();
        self.outbox
            .answered(&self.host, &Now::of(&self.host), token, answer);
    }
}

fn entry(half: Half, size: usize) -> Entry<'static> {
    let record = Record {
        status: Some(200),
        body_size: size as u64,
        ..Record::new(Uuid::nil(), half, "alice", "/a", 0)
    };
    // Bytes that compress badly, so that the sealed batches fill the budget too.
    let body = (0..size).map(|n| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()).to_le_bytes()[0]);
    Entry {
        record,
        body: body.collect(),
        lost: 0,
    }
}

/// Records and bytes in a batch, those it tells as lost included.
fn told(sealed: &Sealed) -> (u64, u64) {
    let raw = match sealed.encoding {
        Some(_) => inflate(&sealed.bytes, 1 << 25).unwrap(),
        None => sealed.bytes.to_vec(),
    };
    let mut told = (0, 0);
    for frame in dossier_wire::Batch::parse(&raw).unwrap().frames() {
        match frame.decode().unwrap() {
            FrameContent::Record(record, body) => {
                assert_eq!(
                    record.body_missing.is_some(),
                    body.len() as u64 != record.body_size
                );
                told = (told.0 + 1, told.1 + body.len() as u64);
            }
            FrameContent::Gap(gap) => told = (told.0 + gap.records, told.1 + gap.bytes),
        }
    }
    told
}

proptest! {
    #[test]
    fn nothing_is_lost_silently_and_nothing_arrives_twice(
        budget in 8_000..80_000_usize,
        max_records in 2..12_usize,
        compression in prop::sample::select(vec![Compression::None, Compression::Fast]),
        busy in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut bench = Bench::new(budget, max_records, compression);
        if busy {
            // Some seconds' worth: the first batches are not compressed, later ones are.
            bench.shared.allowance.spend(40 << 20);
        }
        let (mut ledger, mut answered) = (Ledger::default(), BTreeSet::new());
        let (mut records, mut bytes) = (0, 0);
        for step in steps {
            match step {
                Step::Add(bodies) => {
                    records += bodies.len() as u64;
                    bytes += bodies.iter().sum::<usize>() as u64;
                    bench.add(&bodies);
                }
                Step::Lost(lost) => {
                    records += 1;
                    bytes += lost;
                    bench.outbox.lost(&Now::of(&bench.host), 1, lost);
                }
                Step::Wait(micros) => bench.wait(micros),
                // A call that was given up may be answered later still, but no call twice.
                Step::Answer { call, stored, answer } => {
                    if let Some(call) = bench.calls.len().checked_sub(1 + call)
                        && answered.insert(call)
                    {
                        let answer = ledger.answer(&bench.calls[call], stored, answer);
                        bench.answer(call, answer);
                    }
                }
            }
            prop_assert!(bench.shared.budget.held() <= budget);
            prop_assert!(bench.outbox.in_flight.len() <= 2);
        }
        // The collector comes back for good.
        for _ in 0..1_000 {
            bench.wait(20 * SECOND);
            let under_way: Vec<_> = bench.outbox.in_flight.iter().map(|call| call.token).collect();
            for call in under_way {
                let call = usize::try_from(call).unwrap();
                let answer = ledger.answer(&bench.calls[call], true, STORED);
                bench.answer(call, answer);
            }
            if bench.outbox.is_idle() {
                break;
            }
        }
        prop_assert!(bench.outbox.is_idle());
        prop_assert_eq!(bench.shared.budget.held(), 0);
        let stored = bench.calls.iter().filter(|sealed| ledger.has(sealed));
        let distinct: BTreeMap<_, _> = stored.map(|sealed| (&sealed.id, sealed)).collect();
        let sums = distinct.values().map(|sealed| told(sealed)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        prop_assert_eq!(sums, (records, bytes));
    }
}
