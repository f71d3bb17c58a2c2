use std::collections::BTreeMap;

use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const START: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

fn minute(n: i64) -> OffsetDateTime {
    START + Duration::minutes(n)
}

/// An exchange: when it began and its timeout, both in minutes.
type Exchange = (i64, i64);

/// The sessions of some exchanges, by the definition: each instant, with the one at which its session opened.
fn by_definition(exchanges: &[Exchange]) -> BTreeMap<i64, i64> {
    let mut timeouts = BTreeMap::new();
    for (at, timeout) in exchanges {
        let longest = timeouts.entry(*at).or_insert(*timeout);
        *longest = (*longest).max(*timeout);
    }
    let mut sessions = BTreeMap::new();
    let mut previous: Option<(i64, i64)> = None;
    for (at, timeout) in timeouts {
        let opened = match previous {
            Some((before, opened)) if at - before <= timeout => opened,
            _ => at,
        };
        sessions.insert(at, opened);
        previous = Some((at, opened));
    }
    sessions
}

/// A store in memory.
#[derive(Default)]
struct Memory {
    sessions: Vec<TimedSession>,
    entries: Vec<(i64, SessionId)>,
    lookups: usize,
}

impl Memory {
    fn add(&mut self, batch: &[Exchange]) {
        let mut events: Vec<_> = batch
            .iter()
            .map(|(at, timeout)| Event {
                at: minute(*at),
                timeout: Duration::minutes(*timeout),
                previous: None,
            })
            .collect();
        let (near, far) = self.near(&events);
        for event in &mut events {
            if near.iter().any(|session| needs_lookup(session, event)) {
                event.previous = self.before(event.at);
                self.lookups += 1;
            }
        }
        let merged = merge_sessions(&near, &events);
        for it in moves(&near, &merged) {
            for (at, session) in &mut self.entries {
                let is_within = (it.since..=it.until).contains(&minute(*at));
                if *session == it.from && is_within {
                    *session = it.to;
                }
            }
        }
        for (begun, _) in batch {
            let session = session_at(&merged, minute(*begun)).unwrap();
            self.entries.push((*begun, session.id));
        }
        self.sessions = [far, merged].concat();
        self.sessions.sort_by_key(|session| session.created_at);
    }

    /// The sessions that can change with a batch, and the others.
    fn near(&self, events: &[Event]) -> (Vec<TimedSession>, Vec<TimedSession>) {
        let since = events.iter().map(|it| it.at - it.timeout).min().unwrap();
        let until = events.iter().map(|it| it.at).max().unwrap();
        let next = self.sessions.iter().filter(|it| it.last_activity > until);
        let next: Vec<_> = next.take(2).map(|session| session.id).collect();
        self.sessions.iter().cloned().partition(|session| {
            (since..=until).contains(&session.last_activity) || next.contains(&session.id)
        })
    }

    fn before(&self, at: OffsetDateTime) -> Option<OffsetDateTime> {
        let begun = self.entries.iter().map(|(begun, _)| minute(*begun));
        begun.filter(|begun| *begun <= at).max()
    }

    /// Each instant, with the one at which its session opened.
    fn found(&self) -> BTreeMap<i64, i64> {
        let mut opened = BTreeMap::new();
        for (at, session) in &self.entries {
            let first = opened.entry(*session).or_insert(*at);
            *first = (*first).min(*at);
        }
        let entries = self.entries.iter();
        entries
            .map(|(at, session)| (*at, opened[session]))
            .collect()
    }

    /// Checks the sessions against their entries.
    fn check(&self, exchanges: &[Exchange]) {
        for session in &self.sessions {
            let own = self.entries.iter().filter(|(_, id)| *id == session.id);
            let mut times: Vec<_> = own.map(|(at, _)| minute(*at)).collect();
            times.sort();
            assert_eq!(times.first(), Some(&session.created_at));
            assert_eq!(times.last(), Some(&session.last_activity));
            let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(
                pauses
                    .max()
                    .is_none_or(|pause| pause <= session.longest_pause)
            );
            let opening = exchanges
                .iter()
                .filter(|(at, _)| minute(*at) == session.created_at);
            let opening = opening
                .map(|(_, timeout)| Duration::minutes(*timeout))
                .max();
            assert_eq!(opening, Some(session.opening_timeout));
        }
    }
}

fn found(batches: &[&[Exchange]]) -> BTreeMap<i64, i64> {
    let mut memory = Memory::default();
    for batch in batches {
        memory.add(batch);
    }
    memory.found()
}

#[test]
fn exchanges_within_the_timeout_share_a_session() {
    let batches = [&[(0, 30)][..], &[(30, 30)], &[(60, 30)], &[(91, 30)]];
    assert_eq!(
        found(&batches),
        BTreeMap::from([(0, 0), (30, 0), (60, 0), (91, 91)])
    );
}

#[test]
fn each_exchange_has_its_own_timeout() {
    // The short timeout does not end the session for the long one.
    let batches = [&[(0, 60)][..], &[(3, 5)], &[(50, 60)], &[(60, 5)]];
    assert_eq!(
        found(&batches),
        BTreeMap::from([(0, 0), (3, 0), (50, 0), (60, 60)])
    );
}

#[test]
fn late_exchange_joins_session_of_its_time() {
    let batches = [&[(0, 30)][..], &[(120, 30)], &[(10, 30)], &[(100, 30)]];
    assert_eq!(
        found(&batches),
        BTreeMap::from([(0, 0), (10, 0), (100, 100), (120, 100)])
    );
}

#[test]
fn late_exchange_merges_two_sessions() {
    let batches = [&[(0, 30), (50, 30)][..], &[(25, 30)]];
    assert_eq!(found(&batches), BTreeMap::from([(0, 0), (25, 0), (50, 0)]));
}

#[test]
fn late_exchange_with_short_timeout_splits_session() {
    let batches = [&[(0, 60), (50, 60)][..], &[(40, 5)]];
    assert_eq!(
        found(&batches),
        BTreeMap::from([(0, 0), (40, 40), (50, 40)])
    );
}

#[test]
fn longest_timeout_counts_at_one_instant() {
    for batches in [
        [&[(0, 9)][..], &[(20, 5)], &[(20, 30)]],
        [&[(0, 9)][..], &[(20, 30)], &[(20, 5)]],
    ] {
        assert_eq!(found(&batches), BTreeMap::from([(0, 0), (20, 0)]));
    }
}

#[test]
fn merged_session_keeps_earliest_id() {
    let mut memory = Memory::default();
    memory.add(&[(0, 30)]);
    memory.add(&[(50, 30)]);
    let first = memory.sessions[0].id;
    memory.add(&[(25, 30)]);
    assert_eq!(memory.sessions.len(), 1);
    assert_eq!(memory.sessions[0].id, first);
}

#[test]
fn equal_timeouts_need_no_lookup() {
    let mut memory = Memory::default();
    for at in [0, 300, 20, 40, 10, 30, 35, 310, 305, 60] {
        memory.add(&[(at, 30)]);
    }
    assert_eq!(memory.lookups, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn sessions_match_definition_in_any_order(
        exchanges in prop::collection::vec((0_i64..120, 1_i64..40), 1..24).prop_shuffle(),
        sizes in prop::collection::vec(1_usize..5, 24),
    ) {
        let mut memory = Memory::default();
        let mut rest = exchanges.as_slice();
        for size in sizes {
            let (batch, after) = rest.split_at(size.min(rest.len()));
            if !batch.is_empty() {
                memory.add(batch);
            }
            rest = after;
        }
        // An exchange that is sent again, or its other half, changes nothing.
        memory.add(&exchanges[..1]);
        prop_assert_eq!(memory.found(), by_definition(&exchanges));
        memory.check(&exchanges);
    }
}
