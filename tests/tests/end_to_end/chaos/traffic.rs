//! Requests through Envoy, each unlike all others, so that every byte of every body can be identified.

use dossier_tests::load::Exchange;
use dossier_tests::traffic::{Call, Reply};
use dossier_tests::upstream::{BodyKind, echo, generate_body};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;

use super::record::{Expected, Session};

pub const SESSION_HEADER: &str = "x-session-id";
/// All requests are below this.
const PREFIX: &str = "/api/chaos/";
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const NAMES: usize = 4;
const MAX_BODY: usize = 4 << 10;
const MAX_LARGE_BODY: usize = 48 << 10;

/// What a client does at its so manieth request.
pub fn exchange(client: usize, number: usize) -> Exchange {
    let mut rng = seeded_rng(client, number);
    let path = format!("{PREFIX}{client}/{number}");
    let kind = [
        BodyKind::Json,
        BodyKind::Json,
        BodyKind::Text,
        BodyKind::Binary,
    ][rng.random_range(0..4)];
    let sent = generate_body(kind, size(&mut rng), rng.random());
    let is_echo = kind == BodyKind::Json && rng.random_bool(0.5);
    let (query, content_type, answer) = if is_echo {
        (
            String::new(),
            BodyKind::Json.content_type(),
            echo("", &sent),
        )
    } else {
        let (kind, length) = (
            [BodyKind::Json, BodyKind::Text][rng.random_range(0..2)],
            size(&mut rng),
        );
        let seed: u64 = rng.random();
        let query = format!("?bytes={length}&type={}&seed={seed}", kind.as_str());
        let answer = generate_body(kind, length, seed);
        (query, kind.content_type(), answer)
    };
    let session = session(client, number);
    Exchange {
        call: Call {
            body: Some((kind.content_type().to_owned(), sent)),
            headers: session
                .map(|name| (SESSION_HEADER.to_owned(), name))
                .into_iter()
                .collect(),
            ..Call::new(Method::POST, user(client), &format!("{path}{query}"))
        },
        reply: Reply {
            status: 200,
            content_type: content_type.to_owned(),
            body: answer,
        },
    }
}

/// What should be recorded of the exchange with this path; none if it is another's.
pub fn expected(path: &str) -> Option<Expected> {
    let (client, number) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let (client, number) = (client.parse().ok()?, number.parse().ok()?);
    let Exchange { call, reply } = exchange(client, number);
    Some(Expected {
        user: user(client).to_owned(),
        session: session(client, number).map_or(Session::ByTime, Session::Named),
        request: call.body?,
        response: Some((reply.content_type, reply.body)),
    })
}

fn user(client: usize) -> &'static str {
    USERS[client % USERS.len()]
}

/// Every third request names its session, the others are found by time.
fn session(client: usize, number: usize) -> Option<String> {
    let named = number.is_multiple_of(3);
    named.then(|| format!("chat {}", (client + number / 3) % NAMES))
}

fn size(rng: &mut SmallRng) -> usize {
    let most = if rng.random_ratio(1, 50) {
        MAX_LARGE_BODY
    } else {
        MAX_BODY
    };
    rng.random_range(2..most)
}

fn seeded_rng(client: usize, number: usize) -> SmallRng {
    SmallRng::seed_from_u64(((client as u64) << 32) + number as u64)
}
