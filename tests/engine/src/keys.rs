//! What each configuration key costs: exchanges with and without it, in a batch of the usual size, so that
//! the numbers include encoding and compression.

use serde_json::{Value, json};

use crate::error::EngineError;
use crate::filter::{ExecutionCost, Filter};
use crate::traffic::Exchange;

/// A configuration with some keys, and the one that it is compared with.
#[derive(Debug, Clone)]
pub struct Case {
    /// The keys as docs/configuration.md names them, with the prefix `match.` where they are in `match`.
    /// Empty for a route's own keys.
    pub keys: Vec<&'static str>,
    /// Their values, for the table.
    pub set: &'static str,
    with: Run,
    without: Run,
}

/// A configuration and its traffic.
#[derive(Debug, Clone)]
struct Run {
    configuration: Value,
    traffic: Traffic,
}

/// Returns the exchange with this number.
pub type Traffic = fn(u64) -> Exchange;

/// What a case costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Instructions for each exchange without the keys.
    pub without: u64,
    /// Instructions for each exchange with them.
    pub with: u64,
}

/// Fill one batch of 512 records.
const EXCHANGES: u64 = 256;

/// Instructions and hostcalls of an exchange, including its share of the batch.
///
/// # Errors
/// [`EngineError`] if the filter refuses the configuration or crashes.
pub fn measure_exchange(
    filter: &Filter,
    configuration: &Value,
    traffic: Traffic,
) -> Result<ExecutionCost, EngineError> {
    let mut vm = filter.start(configuration)?;
    // The first batch is the slower one: memory grows, and routes are seen for the first time.
    for batch in 0..2 {
        vm.take_cost();
        for number in 0..EXCHANGES {
            vm.exchange(&traffic(batch * EXCHANGES + number))?;
        }
        vm.flush()?;
    }
    let cost = vm.take_cost();
    Ok(ExecutionCost {
        instructions: cost.instructions / EXCHANGES,
        calls: cost.calls / EXCHANGES,
    })
}

impl Case {
    /// Measures the cost with and without the keys.
    ///
    /// # Errors
    /// [`EngineError`] if the filter refuses the configuration or crashes.
    pub fn measure(&self, filter: &Filter) -> Result<Cost, EngineError> {
        Ok(Cost {
            without: self.without.instructions(filter)?,
            with: self.with.instructions(filter)?,
        })
    }

    fn new(keys: &[&'static str], set: &'static str, with: Value) -> Self {
        Self {
            keys: keys.to_vec(),
            set,
            with: Run::of(with),
            without: Run::of(minimal()),
        }
    }

    /// One capture key, set in the defaults.
    fn capture(keys: &[&'static str], set: &'static str, capture: Value) -> Self {
        Self::new(keys, set, recording(capture))
    }

    /// One part of a rule's match, which fits.
    fn matching(key: &'static str, set: &'static str, matcher: &Value) -> Self {
        let rule = json!([{"match": matcher, "capture": {"storage_type": "both"}}]);
        Self::new(&[key], set, plugin(json!({"routes": rule}))).over(plugin(json!({
            "routes": [{"match": {}, "capture": {"storage_type": "both"}}],
        })))
    }

    fn over(mut self, without: Value) -> Self {
        self.without.configuration = without;
        self
    }

    /// With this traffic, also where it is compared with.
    fn through(mut self, traffic: Traffic) -> Self {
        self.with.traffic = traffic;
        self.without.traffic = traffic;
        self
    }
}

impl Run {
    fn of(configuration: Value) -> Self {
        Self {
            configuration,
            traffic: Exchange::json,
        }
    }

    fn instructions(&self, filter: &Filter) -> Result<u64, EngineError> {
        Ok(measure_exchange(filter, &self.configuration, self.traffic)?.instructions)
    }
}

/// Both halves of everything, and nothing else.
#[must_use]
pub fn minimal() -> Value {
    recording(json!({}))
}

/// Nothing is recorded.
#[must_use]
pub fn unrecorded() -> Value {
    plugin(json!({"defaults": {"storage_type": "none"}}))
}

/// The smallest configuration, with these keys besides.
pub(crate) fn plugin(keys: Value) -> Value {
    merged(json!({"collector": {"cluster": "c"}}), keys)
}

/// Records both halves, unless these capture keys say otherwise.
pub(crate) fn recording(capture: Value) -> Value {
    let defaults = merged(json!({"storage_type": "both"}), capture);
    plugin(json!({"defaults": defaults}))
}

fn merged(mut base: Value, keys: Value) -> Value {
    if let (Value::Object(base), Value::Object(keys)) = (&mut base, keys) {
        base.extend(keys);
    }
    base
}

/// All cases, in the order of docs/configuration.md.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        plugin_cases(),
        match_cases(),
        capture_cases(),
        redact_cases(),
        vec![route_case()],
    ]
    .concat()
}

fn plugin_cases() -> Vec<Case> {
    let batch = |batch: Value| merged(minimal(), json!({"batch": batch}));
    let user = |source: Value| merged(minimal(), json!({"user": [source]}));
    let nine = json!({"match": {"path": {"prefix": "/elsewhere/"}}, "capture": {}});
    let mut rules = vec![nine; 9];
    rules.push(json!({"match": {}, "capture": {"storage_type": "both"}}));
    vec![
        Case::new(
            &[
                "collector.cluster",
                "collector.authority",
                "collector.path",
                "collector.token",
                "collector.timeout",
                "batch.max_delay",
                "buffer.max_bytes",
            ],
            "all of them",
            json!({
                "collector": {"cluster": "c", "authority": "a", "path": "/p", "token": "t", "timeout": "1s"},
                "batch": {"max_delay": "2s"}, "buffer": {"max_bytes": "32MiB"},
                "defaults": {"storage_type": "both"},
            }),
        ),
        Case::new(&["batch.max_records"], "`64` instead of `512`", batch(json!({"max_records": 64}))),
        Case::new(&["batch.max_bytes"], "`64KiB` instead of `1MiB`", batch(json!({"max_bytes": "64KiB"}))),
        Case::new(&["batch.compression"], "`none` instead of `fast`", batch(json!({"compression": "none"}))),
        Case::new(&["batch.compression"], "`best` instead of `fast`", batch(json!({"compression": "best"}))),
        Case::new(&["user", "user[].header"], "one header", user(json!({"header": "x-user-id"}))),
        Case::new(&["user[].jwt_claim"], "`sub`", user(json!({"jwt_claim": "sub"}))).through(|number| {
            let claims = json!({"sub": "user-7", "iss": "https://identity.example.com", "exp": 2e9, "scope": "a b"});
            Exchange::json(number).with_claims(&claims)
        }),
        Case::new(&["invalid_user"], "`drop`", merged(minimal(), json!({"invalid_user": "drop"}))),
        Case::new(
            &["user[].peer_certificate"],
            "`uri_san`",
            user(json!({"peer_certificate": "uri_san"})),
        ),
        Case::new(
            &["defaults", "routes", "routes[].match", "routes[].capture"],
            "ten rules, the last fits",
            plugin(json!({"routes": rules})),
        ),
    ]
}

fn match_cases() -> Vec<Case> {
    let header = |value: Value| json!({"headers": [merged(json!({"name": "x-tier"}), value)]});
    vec![
        Case::matching("match.route", "`ai-*`", &json!({"route": "ai-*"})),
        Case::matching(
            "match.host",
            "`*.example.com`",
            &json!({"host": "*.example.com"}),
        ),
        Case::matching(
            "match.path.prefix",
            "`/api/v1/ai/`",
            &json!({"path": {"prefix": "/api/v1/ai/"}}),
        ),
        Case::matching(
            "match.path.exact",
            "`/api/v1/ai/chat`",
            &json!({"path": {"exact": "/api/v1/ai/chat"}}),
        ),
        Case::matching(
            "match.path.regex",
            "`/api/v[0-9]+/.*`",
            &json!({"path": {"regex": "/api/v[0-9]+/.*"}}),
        ),
        Case::matching(
            "match.path.template",
            "`/api/{version}/ai/{call}`",
            &json!({"path": {"template": "/api/{version}/ai/{call}"}}),
        ),
        Case::matching("match.methods", "`POST`", &json!({"methods": ["POST"]})),
        Case {
            keys: vec![
                "match.headers",
                "match.headers[].name",
                "match.headers[].exact",
            ],
            ..Case::matching("", "one header", &header(json!({"exact": "gold"})))
        },
        Case::matching(
            "match.headers[].prefix",
            "one header",
            &header(json!({"prefix": "go"})),
        ),
        Case::matching(
            "match.headers[].regex",
            "one header",
            &header(json!({"regex": "go.*"})),
        ),
        Case::matching(
            "match.headers[].present",
            "one header",
            &header(json!({"present": true})),
        ),
    ]
}

fn capture_cases() -> Vec<Case> {
    let session = |source: Value| json!({"session": source});
    let metadata = |source: Value| json!({"metadata": {"it": source}});
    vec![
        Case::capture(
            &["storage_type"],
            "`request` instead of `both`",
            json!({"storage_type": "request"}),
        ),
        Case::capture(&["ttl_days"], "`30`", json!({"ttl_days": 30})),
        Case::capture(&["body_ttl_days"], "`7`", json!({"body_ttl_days": 7})),
        Case::capture(
            &["session_timeout_minutes"],
            "`30`",
            json!({"session_timeout_minutes": 30}),
        ),
        Case::capture(
            &["session.header"],
            "`x-session-id`",
            session(json!({"header": "x-session-id"})),
        ),
        Case::capture(
            &["session.cookie"],
            "`sid`",
            session(json!({"cookie": "sid"})),
        ),
        Case::capture(
            &["session.query"],
            "`verbose`",
            session(json!({"query": "verbose"})),
        ),
        Case::capture(
            &["session.request_json"],
            "`$.session_id`",
            session(json!({"request_json": "$.session_id"})),
        ),
        Case::capture(
            &["session.by", "session.by[].header", "session.by[].metadata"],
            "a header and metadata",
            json!({
                "session_timeout_minutes": 30,
                "session": {"by": [{"header": "x-tier"}, {"metadata": "purpose"}]},
                "metadata": {"purpose": "training"},
            }),
        ),
        Case::capture(&["compress"], "`true`", json!({"compress": true})),
        Case::capture(&["endpoint"], "`/ai`", json!({"endpoint": "/ai"})),
        Case::capture(
            &["metadata", "metadata.NAME"],
            "one constant",
            metadata(json!("training")),
        ),
        Case::capture(
            &["metadata.NAME.request_json"],
            "`$.model`",
            metadata(json!({"request_json": "$.model"})),
        ),
        Case::capture(
            &["metadata.NAME.response_json"],
            "`$.usage.total_tokens`",
            metadata(json!({"response_json": "$.usage.total_tokens"})),
        ),
        Case::capture(
            &["metadata.NAME.request_header"],
            "`x-tier`",
            metadata(json!({"request_header": "x-tier"})),
        ),
        Case::capture(
            &["metadata.NAME.response_header"],
            "`x-region`",
            metadata(json!({"response_header": "x-region"})),
        ),
        Case::capture(
            &["headers.request"],
            "two headers",
            json!({"headers": {"request": ["content-type", "user-agent"]}}),
        ),
        Case::capture(
            &["headers.response"],
            "one header",
            json!({"headers": {"response": ["content-type"]}}),
        ),
        Case::capture(
            &["content_types"],
            "two ranges",
            json!({"content_types": ["text/*", "application/json"]}),
        ),
        Case::capture(
            &["max_body_bytes"],
            "`256` instead of `64KiB`",
            json!({"max_body_bytes": 256}),
        ),
        Case::capture(
            &["sample"],
            "so near to 1 that all are taken",
            json!({"sample": 0.999_999}),
        ),
        Case::capture(&["sample"], "`0`: none is taken", json!({"sample": 0})),
        Case::capture(
            &["when.status"],
            "`200-299`: all fit",
            json!({"when": {"status": ["200-299"]}}),
        ),
        Case::capture(
            &["when.status"],
            "`5xx`: none fits",
            json!({"when": {"status": ["5xx"]}}),
        ),
        Case::capture(
            &["when.min_duration"],
            "`1ms`: all fit",
            json!({"when": {"min_duration": "1ms"}}),
        ),
    ]
}

/// Keys that stand in the route's metadata.
fn route_case() -> Case {
    let case = Case::capture(&[], "`ttl_days` in the metadata of its route", json!({}));
    Case {
        with: Run {
            traffic: |number| Exchange::json(number).with_route_keys(&json!({"ttl_days": 30})),
            ..case.with
        },
        ..case
    }
}

fn redact_cases() -> Vec<Case> {
    let redact = |keys: Value| json!({"redact": keys});
    let pattern = |set: &'static str, pattern: Value| {
        Case::capture(
            &["redact.patterns"],
            set,
            redact(json!({"patterns": [pattern]})),
        )
    };
    let one_path = || redact(json!({"json": ["$.user.password"]}));
    let seven = json!([
        "email",
        "credit_card",
        "bearer_token",
        "aws_key",
        "jwt",
        "iban",
        "phone"
    ]);
    vec![
        Case::capture(&["redact.json"], "`$.user.password`", one_path()),
        Case::capture(
            &["redact.json"],
            "`$..password`",
            redact(json!({"json": ["$..password"]})),
        ),
        Case::capture(
            &["redact.json"],
            "ten paths",
            redact(
                json!({"json": (0..9).map(|n| format!("$.a.b{n}")).chain(["$..password".to_owned()]).collect::<Vec<_>>()}),
            ),
        ),
        Case::capture(
            &["redact.json"],
            "`$.user.password`, bodies in gzip",
            one_path(),
        )
        .through(|number| Exchange::json(number).with_encoding("gzip")),
        Case::capture(
            &["redact.headers"],
            "one that is recorded",
            json!({"headers": {"request": ["x-api-key"]}, "redact": {"headers": ["x-api-key"]}}),
        )
        .over(recording(json!({"headers": {"request": ["x-api-key"]}}))),
        Case::capture(
            &["redact.query"],
            "`token`",
            redact(json!({"query": ["token"]})),
        ),
        pattern("`email`", json!("email")),
        pattern("`credit_card`", json!("credit_card")),
        pattern("`bearer_token`", json!("bearer_token")),
        pattern("`aws_key`", json!("aws_key")),
        pattern("`jwt`", json!("jwt")),
        pattern("`iban`", json!("iban")),
        pattern("`phone`", json!("phone")),
        Case::capture(
            &["redact.patterns"],
            "all seven",
            redact(json!({"patterns": seven})),
        ),
        Case::capture(
            &["redact.patterns[].name", "redact.patterns[].regex"],
            "`ORD-[0-9]{8}`",
            redact(json!({"patterns": [{"name": "order", "regex": "ORD-[0-9]{8}"}]})),
        ),
        Case::new(
            &["redact.with", "hash_key"],
            "`hash` instead of a text, one value",
            merged(
                recording(redact(json!({"json": ["$.user.password"], "with": "hash"}))),
                json!({"hash_key": "a-key-of-some-length"}),
            ),
        )
        .over(recording(one_path())),
        Case::capture(
            &["redact.unreadable"],
            "`keep` instead of `drop_body`, bodies in br",
            redact(json!({"json": ["$.user.password"], "unreadable": "keep"})),
        )
        .over(recording(one_path()))
        .through(|number| Exchange::json(number).with_encoding("br")),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CONFIGURATION: &str = include_str!("../../../docs/configuration.md");

    /// The first cells of the tables of the filter's keys. A table with flags is of the collector's.
    fn documented() -> BTreeSet<String> {
        let mut prefix = None;
        let mut keys = BTreeSet::new();
        for line in CONFIGURATION.lines() {
            let mut cells = line.split('|').skip(1).map(str::trim);
            match (cells.next(), cells.next(), prefix) {
                (None, ..) | (Some("key"), Some("flag"), _) => prefix = None,
                (Some("key" | "capture key"), ..) => prefix = Some(""),
                (Some("match key"), ..) => prefix = Some("match."),
                (Some(key), _, Some(prefix)) if key.starts_with('`') => {
                    keys.insert(format!("{prefix}{}", key.trim_matches('`')));
                }
                _ => {}
            }
        }
        keys
    }

    #[test]
    fn covers_every_documented_key() {
        let cases = cases();
        let measured: BTreeSet<_> = cases
            .iter()
            .flat_map(|case| &case.keys)
            .map(|key| (*key).to_owned())
            .collect();
        assert!(measured.len() > 60, "{measured:?}");
        assert_eq!(measured, documented());
    }

    #[test]
    fn every_case_runs_at_expected_cost() {
        let filter = Filter::load().unwrap();
        for case in cases() {
            for run in [&case.with, &case.without] {
                let mut vm = filter.start(&run.configuration).unwrap();
                vm.exchange(&(run.traffic)(1)).unwrap();
            }
        }
        let cost = |configuration: &Value| {
            let mut vm = filter.start(configuration).unwrap();
            vm.take_cost();
            vm.exchange(&Exchange::json(1)).unwrap();
            vm.take_cost().instructions
        };
        let redacting = recording(json!({"redact": {"patterns": ["email"]}}));
        assert!(cost(&unrecorded()) < cost(&minimal()));
        assert!(cost(&minimal()) < cost(&redacting));
        assert_eq!(cost(&redacting), cost(&redacting));
    }
}
