//! The `redact` keys: as one place wrote them, merged key by key, compiled into a [`Redaction`].

use std::rc::Rc;

use serde_json::Value;

use super::reader::{Collected, Node, Path, Problems};
use crate::json::{JsonPath, MAX_PATH_BYTES};
use crate::redact::{
    MAX_REGEX_BYTES, NameRules, Own, PathRules, Pattern, Redaction, Unreadable, With,
};

/// The keys as one place wrote them; what is absent is left to the next place. Paths and regular
/// expressions are compiled here, so that merging is cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RedactKeys {
    json: Option<Rc<PathRules>>,
    headers: Option<Rc<NameRules>>,
    query: Option<Rc<NameRules>>,
    patterns: Option<Rc<[Pattern]>>,
    with: Option<With>,
    unreadable: Option<Unreadable>,
}

const MAX_JSON_PATHS: usize = 64;
const MAX_NAMES: usize = 64;
const MAX_NAME_BYTES: usize = 128;
const MAX_PATTERNS: usize = 32;
const MAX_PATTERN_NAME_BYTES: usize = 64;
const MAX_REPLACEMENT_BYTES: usize = 64;
const DEFAULT_REPLACEMENT: &str = "[REDACTED]";

/// Reads the keys of one `redact` alone; `at` is the way to it, with which the paths of all faults
/// begin. None: nothing is to be redacted.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(value: &Value, at: &str) -> Result<Option<Redaction>, Problems> {
    let problems = Collected::default();
    let keys = RedactKeys::read(&Node {
        value,
        path: Path::Root(at),
        problems: &problems,
    });
    let problems = problems.into_problems();
    if problems.is_empty() {
        Ok(keys.compile())
    } else {
        Err(problems)
    }
}

impl RedactKeys {
    pub(super) fn read(node: &Node<'_>) -> Self {
        let Some(object) = node.object("json, headers, query, patterns, with and unreadable")
        else {
            return Self::default();
        };
        let keys = Self {
            json: object.get("json").map(|node| Rc::new(json(&node))),
            headers: object
                .get("headers")
                .map(|node| Rc::new(names(&node, "header", is_header_name))),
            query: object
                .get("query")
                .map(|node| Rc::new(names(&node, "query", |name| !name.is_empty()))),
            patterns: object.get("patterns").map(|node| patterns(&node)),
            with: object.get("with").and_then(|node| with(&node)),
            unreadable: object.get("unreadable").and_then(|node| {
                node.choice(&[
                    ("drop_body", Unreadable::DropBody),
                    ("keep", Unreadable::Keep),
                ])
            }),
        };
        object.refuse_unknown();
        keys
    }

    /// These keys, and the base's where these say nothing.
    #[must_use]
    pub fn over(&self, base: &Self) -> Self {
        let (inner, outer) = (self.clone(), base.clone());
        Self {
            json: inner.json.or(outer.json),
            headers: inner.headers.or(outer.headers),
            query: inner.query.or(outer.query),
            patterns: inner.patterns.or(outer.patterns),
            with: inner.with.or(outer.with),
            unreadable: inner.unreadable.or(outer.unreadable),
        }
    }

    /// What is to be redacted; none if that is nothing.
    #[must_use]
    pub fn compile(&self) -> Option<Redaction> {
        let keys = self.clone();
        let redaction = Redaction {
            paths: keys.json.unwrap_or_default(),
            headers: keys.headers.unwrap_or_default(),
            query: keys.query.unwrap_or_default(),
            patterns: keys.patterns.unwrap_or_default(),
            with: keys
                .with
                .unwrap_or_else(|| With::Text(DEFAULT_REPLACEMENT.into())),
            unreadable: keys.unreadable.unwrap_or_default(),
        };
        let nothing = redaction.paths.is_empty()
            && redaction.headers.is_empty()
            && redaction.query.is_empty()
            && redaction.patterns.is_empty();
        (!nothing).then_some(redaction)
    }
}

/// Reads each item of a list; items that are wrong are told and left out.
fn items<T>(
    node: &Node<'_>,
    most: usize,
    what: &str,
    mut read: impl FnMut(&Node<'_>) -> Option<T>,
) -> Vec<T> {
    let items = node.list(most, what).unwrap_or_default();
    let read = |(index, value)| {
        let path = Path::Index(&node.path, index);
        let problems = node.problems;
        read(&Node {
            value,
            path,
            problems,
        })
    };
    items.iter().enumerate().filter_map(read).collect()
}

fn json(node: &Node<'_>) -> PathRules {
    PathRules::new(items(node, MAX_JSON_PATHS, "JSON paths", |node| {
        let expectation =
            format!("a JSON path of at most {MAX_PATH_BYTES} bytes, such as $.password");
        let text = node.text(&expectation, |_| true)?;
        JsonPath::parse(text)
            .inspect_err(|error| node.expected(error))
            .ok()
    }))
}

fn names(node: &Node<'_>, kind: &str, accept: fn(&str) -> bool) -> NameRules {
    let names = items(node, MAX_NAMES, "names", |node| {
        let expectation = format!("a {kind} name of 1 to {MAX_NAME_BYTES} bytes");
        let fits = |name: &str| name.len() <= MAX_NAME_BYTES && accept(name);
        node.text(&expectation, fits).map(str::to_owned)
    });
    NameRules::new(kind, names.iter().map(String::as_str))
}

fn is_header_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token)
}

fn patterns(node: &Node<'_>) -> Rc<[Pattern]> {
    items(node, MAX_PATTERNS, "patterns", pattern).into()
}

fn pattern(node: &Node<'_>) -> Option<Pattern> {
    match node.value {
        Value::Object(_) => own_pattern(node),
        Value::String(name) => {
            let pattern = Pattern::named(name);
            if pattern.is_none() {
                node.expected(format_args!(
                    "one of {}, or an object with name and regex",
                    known()
                ));
            }
            pattern
        }
        _ => {
            node.expected("the name of a pattern, or an object with name and regex");
            None
        }
    }
}

fn known() -> String {
    Pattern::names().collect::<Vec<_>>().join(", ")
}

fn own_pattern(node: &Node<'_>) -> Option<Pattern> {
    let object = node.object("name and regex")?;
    let name = object.require("name", "a name").and_then(|node| {
        let expectation = format!(
            "a name of 1 to {MAX_PATTERN_NAME_BYTES} lower-case letters, digits, _ or -, other than {}",
            known()
        );
        node.text(&expectation, is_own_name).map(str::to_owned)
    });
    let regex = object
        .require("regex", "a regular expression")
        .and_then(|node| {
            let expectation = format!("a regular expression of at most {MAX_REGEX_BYTES} bytes");
            let text = node.text(&expectation, |_| true)?;
            Own::compile(text)
                .inspect_err(|error| node.expected(error))
                .ok()
        });
    object.refuse_unknown();
    Some(Pattern::own(&name?, regex?))
}

fn is_own_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    (1..=MAX_PATTERN_NAME_BYTES).contains(&name.len())
        && name.bytes().all(fits)
        && Pattern::names().all(|known| known != name)
}

/// Quotes and backslashes would need an escape where the replacement stands in JSON.
fn with(node: &Node<'_>) -> Option<With> {
    let expectation = format!(
        "\"hash\", or a text of 1 to {MAX_REPLACEMENT_BYTES} printable ASCII characters without quotes and backslashes"
    );
    let printable = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    let fits = |text: &str| {
        (1..=MAX_REPLACEMENT_BYTES).contains(&text.len()) && text.bytes().all(printable)
    };
    node.text(&expectation, fits).map(|text| match text {
        "hash" => With::Hash,
        text => With::Text(text.into()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(value: &Value) -> RedactKeys {
        let problems = Collected::default();
        let keys = RedactKeys::read(&Node {
            value,
            path: Path::Root("redact"),
            problems: &problems,
        });
        assert!(problems.into_problems().is_empty());
        keys
    }

    fn fault(value: &Value) -> String {
        parse(value, "redact").unwrap_err().to_string()
    }

    #[test]
    fn every_key_is_read() {
        let redaction = parse(
            &json!({
                "json": ["$.password", "$..ssn"], "headers": ["X-Api-Key"], "query": ["token"],
                "patterns": ["email", {"name": "order", "regex": "ORD-[0-9]{8}"}],
                "with": "hash", "unreadable": "keep",
            }),
            "redact",
        )
        .unwrap()
        .unwrap();
        assert_eq!(redaction.with, With::Hash);
        assert_eq!(redaction.unreadable, Unreadable::Keep);
        assert_eq!(redaction.patterns.len(), 2);
        assert!(!redaction.paths.is_empty());
        assert!(!redaction.headers.is_empty() && !redaction.query.is_empty());
        let plain = read(&json!({"patterns": ["email"]})).compile().unwrap();
        assert_eq!(plain.with, With::Text("[REDACTED]".into()));
        assert_eq!(plain.unreadable, Unreadable::DropBody);
    }

    #[test]
    fn nothing_to_redact_is_no_redaction() {
        for value in [
            json!({}),
            json!({"with": "hash", "unreadable": "keep"}),
            json!({"json": [], "headers": [], "query": [], "patterns": []}),
        ] {
            assert_eq!(parse(&value, "redact").unwrap(), None);
        }
    }

    #[test]
    fn inner_keys_win_one_by_one() {
        let outer = read(&json!({"json": ["$.a"], "patterns": ["email"], "with": "X"}));
        let inner = read(&json!({"json": [], "with": "Y", "query": ["t"]}));
        let merged = read(&json!({
            "json": [], "patterns": ["email"], "with": "Y", "query": ["t"],
        }));
        assert_eq!(inner.over(&outer), merged);
        assert_eq!(RedactKeys::default().over(&outer), outer);
        assert_eq!(outer.over(&RedactKeys::default()), outer);
        assert_ne!(merged, outer);
    }

    #[test]
    fn faults_name_the_path_the_expectation_and_what_was_found() {
        for (value, expected) in [
            (
                json!({"json": ["$.a", "password"]}),
                "redact.json[1]: expected a JSON path that begins with $, such as $.user.password, got \"password\"",
            ),
            (
                json!({"json": [1]}),
                "redact.json[0]: expected a JSON path of at most 256 bytes, such as $.password, got 1",
            ),
            (
                json!({"json": "$.a"}),
                "redact.json: expected a list of JSON paths, got \"$.a\"",
            ),
            (
                json!({"headers": ["a b"]}),
                "redact.headers[0]: expected a header name of 1 to 128 bytes, got \"a b\"",
            ),
            (
                json!({"query": [""]}),
                "redact.query[0]: expected a query name of 1 to 128 bytes, got \"\"",
            ),
            (
                json!({"patterns": ["ssn"]}),
                "redact.patterns[0]: expected one of email, credit_card, bearer_token, aws_key, jwt, iban, phone, or an object with name and regex, got \"ssn\"",
            ),
            (
                json!({"patterns": [{"name": "a", "regex": "(x"}]}),
                "redact.patterns[0].regex: expected a regular expression (unclosed group), got \"(x\"",
            ),
            (
                json!({"patterns": [{"name": "a"}]}),
                "redact.patterns[0].regex: expected a regular expression, got nothing",
            ),
            (
                json!({"patterns": [{"name": "a", "regex": "x", "flags": "i"}]}),
                "redact.patterns[0].flags: unknown key, expected one of name, regex",
            ),
            (
                json!({"with": "a\"b"}),
                "redact.with: expected \"hash\", or a text of 1 to 64 printable ASCII characters without quotes and backslashes, got \"a\\\"b\"",
            ),
            (
                json!({"unreadable": "drop"}),
                "redact.unreadable: expected one of drop_body, keep, got \"drop\"",
            ),
            (
                json!({"patern": []}),
                "redact.patern: unknown key, did you mean patterns?",
            ),
            (
                json!(["$.a"]),
                "redact: expected an object with json, headers, query, patterns, with and unreadable, got a list of 1",
            ),
        ] {
            assert_eq!(fault(&value), expected);
        }
    }

    #[test]
    fn lists_and_texts_are_bounded() {
        let fits = |value: &Value| parse(value, "redact").is_ok();
        let paths = |count: usize| json!({"json": vec!["$.a"; count]});
        assert!(fits(&paths(64)) && !fits(&paths(65)));
        let patterns = |count: usize| json!({"patterns": vec!["email"; count]});
        assert!(fits(&patterns(32)) && !fits(&patterns(33)));
        for key in ["headers", "query"] {
            let names = |count: usize| json!({key: vec!["a"; count]});
            assert!(fits(&names(64)) && !fits(&names(65)));
            let name = |bytes: usize| json!({key: ["a".repeat(bytes)]});
            assert!(fits(&name(128)) && !fits(&name(129)));
        }
        let with = |bytes: usize| json!({"with": "a".repeat(bytes)});
        assert!(fits(&with(64)) && !fits(&with(65)) && !fits(&with(0)));
        let own = |name: &str| json!({"patterns": [{"name": name, "regex": "x"}]});
        assert!(fits(&own(&"a".repeat(64))) && !fits(&own(&"a".repeat(65))));
        assert!(!fits(&own("email")) && !fits(&own("A")) && !fits(&own("")));
    }
}
