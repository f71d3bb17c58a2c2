//! Every field and parameter that the API describes, with values at and beyond each of its bounds: no 5xx, no panic, and
//! an answer as described.

use std::collections::BTreeMap;

use dossier_tests::client::CollectorResponse;
use dossier_tests::clock::minutes_ago;
use dossier_tests::paths;
use dossier_tests::producer::Sample;
use dossier_tests::testing::TestBackend;
use futures_util::{StreamExt, stream};
use reqwest::Url;
use serde_json::{Value, json};

use crate::support::store;

const CONCURRENCY: usize = 8;
/// Fewer would mean that the description was not understood.
const LEAST_QUESTIONS: usize = 1_000;

/// A request with one value.
#[derive(Debug)]
struct Question {
    path: String,
    /// None for a `GET`.
    body: Option<String>,
}

/// Values by kind: `tests/fuzz-api/extremes.json`. Integers are written there as JSON spells them.
struct Extremes(BTreeMap<String, Vec<String>>);

impl Extremes {
    fn read() -> Self {
        let path = paths::find_repository().unwrap();
        let text = std::fs::read(path.join("tests/fuzz-api/extremes.json")).unwrap();
        Self(serde_json::from_slice(&text).unwrap())
    }

    /// The values to try for a field, as JSON.
    fn of(&self, name: &str, schema: &Value) -> Vec<String> {
        let described = |kind: &str| schema["type"].to_string().contains(&format!("\"{kind}\""));
        let quoted = |kind: &str| {
            let values = self.0[kind].iter();
            values.map(|value| json!(value).to_string()).collect()
        };
        let mut values = vec![
            "null".to_owned(),
            "true".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
        ];
        values.extend(match name {
            "cursor" => quoted("cursors"),
            _ if name.ends_with("_date") => quoted("dates"),
            _ if schema["format"] == "uuid" => quoted("ids"),
            _ if described("integer") => self.0["integers"].clone(),
            _ if described("array") => {
                let integers = self.0["integers"].iter();
                integers.map(|value| format!("[{value},{value}]")).collect()
            }
            _ => Vec::new(),
        });
        if described("string") {
            values.extend(texts(schema).iter().map(|text| json!(text).to_string()));
            values.extend([r#""\u0000""#, r#""\ud800""#, r#""\udc00\ud800""#].map(str::to_owned));
        }
        values
    }
}

/// As long as a text may be, a byte less and more, of characters of one byte and of four.
fn texts(schema: &Value) -> Vec<String> {
    let bound = usize::try_from(schema["maxLength"].as_u64().unwrap_or(64)).unwrap();
    let lengths = [0, 1, bound - 1, bound, bound + 1, 2 * bound];
    let of = |character: &str| lengths.map(|length| character.repeat(length));
    let mut texts = [of("a"), of("%"), of("\u{1f600}")].concat();
    texts.extend(
        [
            "\u{7f}",
            "\u{a0}",
            "\u{202e}",
            "a\nb",
            "' or 1=1 --",
            "\\",
            "$.a[*]",
        ]
        .map(str::to_owned),
    );
    texts
}

/// All questions that the API's description allows to ask.
fn questions(document: &Value, extremes: &Extremes) -> Vec<Question> {
    let mut questions = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let schema = &methods["post"]["requestBody"]["content"]["application/json"]["schema"];
        let schema = resolve(document, schema);
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let values = extremes.of(name, schema).into_iter();
            questions.extend(values.map(|value| Question {
                path: path.clone(),
                body: Some(format!("{{\"{name}\":{value}}}")),
            }));
        }
        let parameters = methods["get"]["parameters"].as_array();
        for parameter in parameters.into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            for value in extremes.of(name, &parameter["schema"]) {
                questions.extend(question_of(path, name, parameter["in"] == "path", &value));
            }
        }
    }
    questions
}

/// A question with a value in the URL; none for what no URL can hold.
fn question_of(path: &str, name: &str, is_in_path: bool, json: &str) -> Option<Question> {
    let text = match serde_json::from_str(json) {
        Ok(Value::String(text)) => text,
        _ => json.to_owned(),
    };
    let mut url = Url::parse("http://collector/").unwrap();
    if is_in_path {
        if ["", ".", ".."].contains(&text.as_str()) {
            return None;
        }
        let (before, behind) = path.split_once(&format!("{{{name}}}"))?;
        let segments = [before, behind].map(|it| it.split('/').filter(|it| !it.is_empty()));
        let [before, behind] = segments;
        let mut all = url.path_segments_mut().unwrap();
        all.clear().extend(before).push(&text).extend(behind);
    } else {
        url.set_path(path);
        url.query_pairs_mut().append_pair(name, &text);
    }
    let query = url.query().map(|query| format!("?{query}"));
    Some(Question {
        path: format!("{}{}", url.path(), query.unwrap_or_default()),
        body: None,
    })
}

fn resolve<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    let reference = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
    reference.map_or(schema, |pointer| document.pointer(pointer).unwrap())
}

async fn ask(backend: &TestBackend, key: &str, question: &Question) -> CollectorResponse {
    let answer = match &question.body {
        Some(body) => {
            backend
                .client
                .post_text(&question.path, Some(key), body)
                .await
        }
        None => backend.client.get(&question.path, Some(key)).await,
    };
    // The client also checks that answers are as described.
    answer.unwrap_or_else(|error| panic!("{question:?}: {error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_at_every_bound_are_answered() {
    let unlimited = [("DOSSIER_RATE_LIMIT", "0")];
    let backend = TestBackend::start_with_env(&unlimited).await.unwrap();
    let sample = Sample::request("alice", "/api/x", minutes_ago(1), "{}").with_session_timeout(30);
    store(&backend, &[sample.clone(), sample.response("{}")]).await;
    let document = backend
        .client
        .get("/openapi.json", None)
        .await
        .unwrap()
        .json;
    let questions = questions(&document, &Extremes::read());
    assert!(questions.len() > LEAST_QUESTIONS, "{}", questions.len());
    let key = &backend.keys.users.admin;
    let faults: Vec<String> = stream::iter(&questions)
        .map(|question| {
            let asked = ask(&backend, key, question);
            async move { (question, asked.await) }
        })
        .buffer_unordered(CONCURRENCY)
        // Searching bodies is refused with 501, as the document says.
        .filter(|(_, answer)| std::future::ready(answer.status >= 500 && answer.status != 501))
        .map(|(question, answer)| format!("{question:?}: {}", answer.json))
        .collect()
        .await;
    assert!(faults.is_empty(), "{faults:#?}");
    expect_no_panic(&backend);
}

/// A panic in a task answers 500 or nothing, but it is always logged.
pub(super) fn expect_no_panic(backend: &TestBackend) {
    let log = std::fs::read_to_string(backend.folder().join("collector.log")).unwrap();
    assert!(log.contains("listening"), "this is the collector's log");
    let panics: Vec<_> = log
        .lines()
        .filter(|line| line.contains("panicked"))
        .collect();
    assert!(panics.is_empty(), "{panics:#?}");
}
