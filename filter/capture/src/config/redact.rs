//! The keys of `redact`: read, merged, compiled into a [`Redaction`].

use std::rc::Rc;

use serde_json::Value;

use super::header_names::is_header_name;
use super::reader::{ConfigNode, KeyPath, ProblemCollector, Problems};
use crate::json::{JsonPath, MAX_PATH_BYTES};
use crate::redact::{
    CustomRegex, MAX_REGEX_BYTES, NameRules, PathRules, Pattern, Redaction, Replacement,
    UnreadablePolicy,
};

/// The keys of one place in the configuration. Absent keys are inherited. Paths and regular expressions
/// are compiled here, so that merging is cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RedactKeys {
    json: Option<Rc<PathRules>>,
    headers: Option<Rc<NameRules>>,
    query: Option<Rc<NameRules>>,
    patterns: Option<Rc<[Pattern]>>,
    with: Option<Replacement>,
    unreadable: Option<UnreadablePolicy>,
}

const MAX_JSON_PATHS: usize = 64;
const MAX_NAMES: usize = 64;
const MAX_NAME_BYTES: usize = 128;
const MAX_PATTERNS: usize = 32;
const MAX_PATTERN_NAME_BYTES: usize = 64;
const MAX_REPLACEMENT_BYTES: usize = 64;
const DEFAULT_REPLACEMENT: &str = "[REDACTED]";

/// Reads the keys of a single `redact`; none if nothing is to be redacted. The paths of all problems
/// begin with `at`.
///
/// # Errors
/// All problems, each with the path of its key.
pub fn parse(value: &Value, at: &str) -> Result<Option<Redaction>, Problems> {
    let problems = ProblemCollector::default();
    let keys = RedactKeys::read(&ConfigNode {
        value,
        path: KeyPath::Root(at),
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
    pub(super) fn read(node: &ConfigNode<'_>) -> Self {
        let Some(object) = node.as_object("json, headers, query, patterns, with and unreadable")
        else {
            return Self::default();
        };
        let keys = Self {
            json: object.get("json").map(|node| Rc::new(read_json(&node))),
            headers: object
                .get("headers")
                .map(|node| Rc::new(read_names(&node, "header", is_header_name))),
            query: object
                .get("query")
                .map(|node| Rc::new(read_names(&node, "query", |name| !name.is_empty()))),
            patterns: object.get("patterns").map(|node| read_patterns(&node)),
            with: object.get("with").and_then(|node| read_with(&node)),
            unreadable: object.get("unreadable").and_then(|node| {
                node.as_choice(&[
                    ("drop_body", UnreadablePolicy::DropBody),
                    ("keep", UnreadablePolicy::Keep),
                ])
            }),
        };
        object.reject_unknown();
        keys
    }

    /// Adds the inherited keys of `base`.
    #[must_use]
    pub fn merged_over(&self, base: &Self) -> Self {
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

    /// None if nothing is to be redacted.
    #[must_use]
    pub fn compile(&self) -> Option<Redaction> {
        let keys = self.clone();
        let redaction = Redaction {
            paths: keys.json.unwrap_or_default(),
            headers: keys.headers.unwrap_or_default(),
            query: keys.query.unwrap_or_default(),
            patterns: keys.patterns.unwrap_or_default(),
            replacement: keys
                .with
                .unwrap_or_else(|| Replacement::Text(DEFAULT_REPLACEMENT.into())),
            unreadable: keys.unreadable.unwrap_or_default(),
        };
        let nothing = redaction.paths.is_empty()
            && redaction.headers.is_empty()
            && redaction.query.is_empty()
            && redaction.patterns.is_empty();
        (!nothing).then_some(redaction)
    }
}

/// Reads the items of a list; invalid ones are reported and skipped.
fn read_valid_items<T>(
    node: &ConfigNode<'_>,
    max: usize,
    what: &str,
    mut read: impl FnMut(&ConfigNode<'_>) -> Option<T>,
) -> Vec<T> {
    let items = node.as_list(max, what).unwrap_or_default();
    let read = |(index, value)| {
        let path = KeyPath::Index(&node.path, index);
        let problems = node.problems;
        read(&ConfigNode {
            value,
            path,
            problems,
        })
    };
    items.iter().enumerate().filter_map(read).collect()
}

fn read_json(node: &ConfigNode<'_>) -> PathRules {
    PathRules::new(read_valid_items(
        node,
        MAX_JSON_PATHS,
        "JSON paths",
        |node| {
            let expectation =
                format!("a JSON path of at most {MAX_PATH_BYTES} bytes, such as $.password");
            let text = node.as_text(&expectation, |_| true)?;
            JsonPath::parse(text)
                .inspect_err(|error| node.report_expected(error))
                .ok()
        },
    ))
}

fn read_names(node: &ConfigNode<'_>, kind: &str, accept: fn(&str) -> bool) -> NameRules {
    let names = read_valid_items(node, MAX_NAMES, "names", |node| {
        let expectation = format!("a {kind} name of 1 to {MAX_NAME_BYTES} bytes");
        let fits = |name: &str| name.len() <= MAX_NAME_BYTES && accept(name);
        node.as_text(&expectation, fits).map(str::to_owned)
    });
    NameRules::new(kind, names.iter().map(String::as_str))
}

fn read_patterns(node: &ConfigNode<'_>) -> Rc<[Pattern]> {
    read_valid_items(node, MAX_PATTERNS, "patterns", read_pattern).into()
}

fn read_pattern(node: &ConfigNode<'_>) -> Option<Pattern> {
    match node.value {
        Value::Object(_) => read_custom_pattern(node),
        Value::String(name) => {
            let pattern = Pattern::built_in(name);
            if pattern.is_none() {
                node.report_expected(format_args!(
                    "one of {}, or an object with name and regex",
                    pattern_names()
                ));
            }
            pattern
        }
        _ => {
            node.report_expected("the name of a pattern, or an object with name and regex");
            None
        }
    }
}

fn pattern_names() -> String {
    Pattern::names().collect::<Vec<_>>().join(", ")
}

fn read_custom_pattern(node: &ConfigNode<'_>) -> Option<Pattern> {
    let object = node.as_object("name and regex")?;
    let name = object.require("name", "a name").and_then(|node| {
        let expectation = format!(
            "a name of 1 to {MAX_PATTERN_NAME_BYTES} lower-case letters, digits, _ or -, other than {}",
            pattern_names()
        );
        node.as_text(&expectation, is_custom_pattern_name).map(str::to_owned)
    });
    let regex = object
        .require("regex", "a regular expression")
        .and_then(|node| {
            let expectation = format!("a regular expression of at most {MAX_REGEX_BYTES} bytes");
            let text = node.as_text(&expectation, |_| true)?;
            CustomRegex::compile(text)
                .inspect_err(|error| node.report_expected(error))
                .ok()
        });
    object.reject_unknown();
    Some(Pattern::custom(&name?, regex?))
}

fn is_custom_pattern_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    (1..=MAX_PATTERN_NAME_BYTES).contains(&name.len())
        && name.bytes().all(fits)
        && Pattern::names().all(|known| known != name)
}

/// Quotes and backslashes would need escapes inside JSON.
fn read_with(node: &ConfigNode<'_>) -> Option<Replacement> {
    let expectation = format!(
        "\"hash\", or a string of 1 to {MAX_REPLACEMENT_BYTES} printable ASCII characters without quotes and backslashes"
    );
    let printable = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    let fits = |text: &str| {
        (1..=MAX_REPLACEMENT_BYTES).contains(&text.len()) && text.bytes().all(printable)
    };
    node.as_text(&expectation, fits).map(|text| match text {
        "hash" => Replacement::Hash,
        text => Replacement::Text(text.into()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(value: &Value) -> RedactKeys {
        let problems = ProblemCollector::default();
        let keys = RedactKeys::read(&ConfigNode {
            value,
            path: KeyPath::Root("redact"),
            problems: &problems,
        });
        assert!(problems.into_problems().is_empty());
        keys
    }

    fn problem(value: &Value) -> String {
        parse(value, "redact").unwrap_err().to_string()
    }

    #[test]
    fn reads_every_key() {
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
        assert_eq!(redaction.replacement, Replacement::Hash);
        assert_eq!(redaction.unreadable, UnreadablePolicy::Keep);
        assert_eq!(redaction.patterns.len(), 2);
        assert!(!redaction.paths.is_empty());
        assert!(!redaction.headers.is_empty() && !redaction.query.is_empty());
        let plain = read(&json!({"patterns": ["email"]})).compile().unwrap();
        assert_eq!(plain.replacement, Replacement::Text("[REDACTED]".into()));
        assert_eq!(plain.unreadable, UnreadablePolicy::DropBody);
    }

    #[test]
    fn empty_lists_give_no_redaction() {
        for value in [
            json!({}),
            json!({"with": "hash", "unreadable": "keep"}),
            json!({"json": [], "headers": [], "query": [], "patterns": []}),
        ] {
            assert_eq!(parse(&value, "redact").unwrap(), None);
        }
    }

    #[test]
    fn inner_keys_override_outer_ones() {
        let outer = read(&json!({"json": ["$.a"], "patterns": ["email"], "with": "X"}));
        let inner = read(&json!({"json": [], "with": "Y", "query": ["t"]}));
        let merged = read(&json!({
            "json": [], "patterns": ["email"], "with": "Y", "query": ["t"],
        }));
        assert_eq!(inner.merged_over(&outer), merged);
        assert_eq!(RedactKeys::default().merged_over(&outer), outer);
        assert_eq!(outer.merged_over(&RedactKeys::default()), outer);
        assert_ne!(merged, outer);
    }

    #[test]
    fn problems_name_path_expectation_and_value() {
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
                "redact.with: expected \"hash\", or a string of 1 to 64 printable ASCII characters without quotes and backslashes, got \"a\\\"b\"",
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
            assert_eq!(problem(&value), expected);
        }
    }

    #[test]
    fn enforces_limits_of_lists_and_strings() {
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
