//! What the collector tells of everything that is stored, held against what was sent.

use std::collections::{BTreeMap, BTreeSet};

use dossier_tests::client::{CollectorClient, CollectorResponse};
use dossier_tests::clock;
use serde_json::{Value, json};

use super::record::{Expected, Session};
use super::{SESSION_MINUTES, producers, traffic};
use crate::support::{ExpectedBody, expected_body, text};

/// Entries as far as they are needed once their bodies were compared.
pub struct Stored {
    produced: producers::ProducedRecords,
    /// Path and type of each.
    halves: BTreeSet<(String, String)>,
    /// Exchange and type of each.
    ids: BTreeSet<(String, String)>,
    /// Bodies that were given up by the filter, in bytes.
    pub dropped_bytes: u64,
    pub dropped_bodies: u64,
    placed: Vec<Placed>,
}

/// An entry in a session.
struct Placed {
    user: String,
    asked: Session,
    exchange: String,
    session: String,
    /// When its exchange began, which requests tell.
    started_at: Option<u64>,
}

/// The session that an exchange belongs to, by the definition: the name, or when it opened.
type Defined<'a> = (&'a str, &'a Session, u64);

impl Stored {
    /// Reads all entries, and compares each with what was sent.
    pub async fn read(
        client: &CollectorClient,
        admin: &str,
        produced: producers::ProducedRecords,
    ) -> Self {
        let mut stored = Self {
            produced,
            halves: BTreeSet::new(),
            ids: BTreeSet::new(),
            dropped_bytes: 0,
            dropped_bodies: 0,
            placed: Vec::new(),
        };
        let filters = json!({"order": "asc"});
        let pages = client.for_each_page(admin, &filters, |page| stored.check_page(&page));
        pages.await.unwrap();
        stored
    }

    fn check_page(&mut self, page: &CollectorResponse) {
        let raw = page.raw_data();
        assert_eq!(raw.len(), page.items().len());
        for (entry, raw) in page.items().iter().zip(raw) {
            self.check_entry(entry, raw);
        }
    }

    fn check_entry(&mut self, entry: &Value, raw: String) {
        let (path, half) = (text(entry, "path"), text(entry, "type"));
        let exchange = text(entry, "exchange_id").to_owned();
        let expected = traffic::expected(path).or_else(|| self.produced.get(path).cloned());
        let expected = expected.unwrap_or_else(|| panic!("never sent: {path}"));
        let first = self.halves.insert((path.to_owned(), half.to_owned()))
            && self.ids.insert((exchange.clone(), half.to_owned()));
        assert!(first, "twice: the {half} of {path}");
        assert_eq!(entry["user_id"], expected.user, "{path}");
        self.compare_body(entry, raw, &expected);
        let started_at =
            (half == "request").then(|| clock::parse_rfc3339(text(entry, "created_at")));
        self.placed.push(Placed {
            user: expected.user,
            asked: expected.session,
            exchange,
            session: entry["storage_info"]["session_id"]
                .as_str()
                .unwrap_or_else(|| panic!("no session: {path}"))
                .to_owned(),
            started_at: started_at.map(|at| at.unwrap()),
        });
    }

    fn compare_body(&mut self, entry: &Value, raw: String, expected: &Expected) {
        let (path, half) = (text(entry, "path"), text(entry, "type"));
        let (content_type, body) = match half {
            "request" => &expected.request,
            _ => expected.response.as_ref().unwrap(),
        };
        let content = &entry["content"];
        assert_eq!(content["size"], body.len(), "the {half} of {path}");
        if content["missing"] == "dropped" {
            assert!(
                !self.produced.contains_key(path),
                "{path} was not the filter's"
            );
            self.dropped_bodies += 1;
            self.dropped_bytes += body.len() as u64;
            return;
        }
        let wanted = expected_body(content_type, body);
        let found = ExpectedBody {
            form: wanted.form,
            raw,
        };
        // Bodies are long: they are not printed.
        assert!(found == wanted, "another body: the {half} of {path}");
        assert_eq!(content["form"], wanted.form, "the {half} of {path}");
    }

    /// Checks that all is there that was acknowledged to producers, and returns how many exchanges of
    /// those through Envoy are not. Of none is only one half there.
    pub fn missing(&self, answered: &[String]) -> u64 {
        let has =
            |path: &str, half: &str| self.halves.contains(&(path.to_owned(), half.to_owned()));
        for path in self.produced.keys() {
            assert!(has(path, "request"), "acknowledged, and lost: {path}");
            assert!(has(path, "response"), "acknowledged, and lost: {path}");
        }
        let mut missing = 0;
        for path in answered {
            let halves = (has(path, "request"), has(path, "response"));
            assert_eq!(halves.0, halves.1, "half of {path} is missing");
            missing += u64::from(!halves.0);
        }
        let exchanges = (answered.len() + self.produced.len()) as u64 - missing;
        assert_eq!(self.entries(), 2 * exchanges, "nothing else is stored");
        missing
    }

    /// How many entries there are.
    pub fn entries(&self) -> u64 {
        self.halves.len() as u64
    }

    /// How many entries producers that are not Envoy have sent.
    pub fn produced_entries(&self) -> u64 {
        2 * self.produced.len() as u64
    }

    /// Checks that the sessions are those of the definition, and returns how many there are.
    pub async fn check_sessions(&self, client: &CollectorClient, admin: &str) -> usize {
        let opened = self.opened();
        let mut ids = BTreeMap::<Defined<'_>, &str>::new();
        let mut sizes = BTreeMap::<&str, u64>::new();
        for entry in &self.placed {
            let at = opened.get(entry.exchange.as_str()).copied();
            let defined = (entry.user.as_str(), &entry.asked, at.unwrap_or_default());
            let session = ids.entry(defined).or_insert(&entry.session);
            assert_eq!(*session, entry.session, "two sessions of {defined:?}");
            *sizes.entry(&entry.session).or_default() += 1;
        }
        assert_eq!(sizes.len(), ids.len(), "one session of what are two");
        let listed = list_session_sizes(client, admin).await;
        let sizes: BTreeMap<_, _> = sizes
            .into_iter()
            .map(|(id, it)| (id.to_owned(), it))
            .collect();
        assert!(listed == sizes, "{listed:?} instead of {sizes:?}");
        sizes.len()
    }

    /// When the session of each exchange opened that is found by time.
    fn opened(&self) -> BTreeMap<&str, u64> {
        let mut timelines = BTreeMap::<&str, Vec<(u64, &str)>>::new();
        for entry in &self.placed {
            if let (Session::ByTime, Some(at)) = (&entry.asked, entry.started_at) {
                let timeline = timelines.entry(&entry.user).or_default();
                timeline.push((at, &entry.exchange));
            }
        }
        let mut opened = BTreeMap::new();
        for timeline in timelines.values_mut() {
            timeline.sort_unstable();
            let mut now: Option<(u64, u64)> = None;
            for (at, exchange) in timeline {
                let session = match now {
                    Some((session, last)) if *at - last <= TIMEOUT_MICROS => session,
                    _ => *at,
                };
                now = Some((session, *at));
                opened.insert(*exchange, session);
            }
        }
        opened
    }
}

const TIMEOUT_MICROS: u64 = SESSION_MINUTES as u64 * 60_000_000;

/// The sessions that the API lists, and how many entries it says they have.
async fn list_session_sizes(client: &CollectorClient, admin: &str) -> BTreeMap<String, u64> {
    let path = "/storage/sessions?page_size=100";
    let answer = client.get(path, Some(admin)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json);
    let data = &answer.json["data"];
    assert_eq!(data["has_more"], false, "more than a page of sessions");
    let sessions = data["sessions"].as_array().unwrap();
    let listed = sessions.iter().map(|session| {
        let total = session["total_entries"].as_u64().unwrap();
        (text(session, "session_id").to_owned(), total)
    });
    listed.collect()
}
