//! Checks docs/configuration.md and README.md against the code: examples are valid, tables list the
//! known keys, defaults and limits equal those of the code.

mod bounds;
mod examples;
mod keys;
mod links;
mod tables;

use std::collections::BTreeSet;

use dossier_capture::config::{Config, RequestView};
use dossier_capture::headers::Headers;
use serde_json::{Value, json};

use bounds::Bound;
use keys::{CAPTURE, Key};
use tables::{Default, Row};

const CONFIGURATION: &str = include_str!("../../../../../docs/configuration.md");
const README: &str = include_str!("../../../../../README.md");

#[test]
fn tables_list_exactly_the_known_keys() {
    let known: BTreeSet<_> = keys::known().into_iter().collect();
    let rows = tables::rows(CONFIGURATION);
    let documented: BTreeSet<_> = rows.iter().map(|row| row.key.clone()).collect();
    assert_eq!(documented.len(), rows.len(), "a key stands twice");
    let leaves: BTreeSet<_> = keys::leaves(&known).cloned().collect();
    let missing: Vec<_> = leaves.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty(),
        "not in docs/configuration.md: {missing:?}"
    );
    assert!(unknown.is_empty(), "the filter does not know {unknown:?}");
}

#[test]
fn rules_defaults_and_routes_share_keys() {
    let under = |root: &str, known: Vec<Key>| -> BTreeSet<String> {
        let texts = known.into_iter().map(|key| key.to_string());
        let inside = texts.filter_map(|key| Some(key.strip_prefix(root)?.to_owned()));
        inside.filter(|key| !key.is_empty()).collect()
    };
    let defaults = under(CAPTURE, keys::known());
    assert!(defaults.len() > 30, "{defaults:?}");
    assert_eq!(under("routes[].capture", keys::known_to_rules()), defaults);
    assert_eq!(under(CAPTURE, keys::known_to_routes()), defaults);
}

#[test]
fn documented_limits_equal_code() {
    for row in tables::rows(CONFIGURATION) {
        for bound in &row.bounds {
            for candidates in bound.inside() {
                let accepted = candidates.iter().any(|value| accepts(&row.key, value));
                assert!(accepted, "{}: refused within {bound:?}", row.key);
            }
            for candidates in bound.outside() {
                let accepted = candidates.iter().find(|value| accepts(&row.key, value));
                assert_eq!(accepted, None, "{}: accepted beyond {bound:?}", row.key);
            }
            if let Bound::Choice(words) = bound {
                assert_eq!(choices(&row.key).unwrap_or_else(|| words.clone()), *words);
            }
        }
    }
}

#[test]
fn documented_defaults_equal_code() {
    for row in tables::rows(CONFIGURATION) {
        let Row { key, default, .. } = &row;
        let absent = read(&key.absent());
        match default {
            Default::Required => {
                let problems = absent.unwrap_err();
                assert!(problems.contains("got nothing"), "{key}: {problems}");
            }
            Default::OneOf => {
                let problems = absent.unwrap_err();
                let group = problems
                    .lines()
                    .find(|line| line.contains("exactly one of"));
                assert!(group.unwrap().contains(key.name()), "{key}: {problems}");
            }
            Default::Nothing => assert_eq!(absent.err(), None, "{key}"),
            Default::Value(value) => {
                let absent = seen(&absent.unwrap());
                assert_eq!(seen(&read(&key.with(value)).unwrap()), absent, "{key}");
                let inside = row.bounds.iter().flat_map(Bound::inside).flatten();
                let others = inside.filter_map(|value| read(&key.with(&value)).ok());
                // Otherwise the comparison above could never fail.
                assert!(others.map(|it| seen(&it)).any(|it| it != absent), "{key}");
            }
        }
    }
}

#[test]
fn documented_patterns_equal_code() {
    let patterns = Key::parse("defaults.redact.patterns");
    let rows = tables::rows(CONFIGURATION);
    let row = rows.iter().find(|row| row.key == patterns).unwrap();
    let documented = tables::quoted(&row.what);
    let problems = read(&patterns.with(&json!(["zzz"]))).unwrap_err();
    let (_, list) = problems.split_once("expected one of ").unwrap();
    let (list, _) = list.split_once(", or an object").unwrap();
    assert_eq!(documented, list.split(", ").collect::<Vec<_>>());
}

#[test]
fn examples_are_valid_configurations() {
    for (file, text, fewest) in [
        ("configuration.md", CONFIGURATION, 4),
        ("README.md", README, 1),
    ] {
        let examples = examples::of(text);
        assert!(examples.len() >= fewest, "{file}: {}", examples.len());
        for example in examples {
            let problems = example.problems();
            assert!(
                problems.is_empty(),
                "{file}: {problems:#?} in\n{}",
                example.text
            );
        }
    }
}

#[test]
fn every_key_has_an_example() {
    let shown: BTreeSet<_> = examples::of(CONFIGURATION)
        .iter()
        .flat_map(examples::Example::keys)
        .collect();
    let known = keys::known().into_iter().collect();
    let missing: Vec<_> = keys::leaves(&known)
        .filter(|key| !shown.contains(*key))
        .collect();
    assert!(missing.is_empty(), "without an example: {missing:?}");
}

/// With a rule that says nothing itself, unless there are others: defaults are what rules inherit.
fn read(value: &Value) -> Result<Config, String> {
    let mut value = value.clone();
    if let Some(keys) = value.as_object_mut() {
        keys.entry("routes")
            .or_insert_with(|| json!([{"match": {}}]));
    }
    Config::from_value(&value, "").map_err(|problems| problems.to_string())
}

fn accepts(key: &Key, value: &Value) -> bool {
    read(&key.with(value)).is_ok()
}

/// The choices that the code lists, if any.
fn choices(key: &Key) -> Option<Vec<String>> {
    let problems = read(&key.with(&json!("zzz"))).err()?;
    let (_, list) = problems.split_once("expected one of ")?;
    let (list, _) = list.split_once(", got ")?;
    Some(list.split(", ").map(str::to_owned).collect())
}

/// All that is visible of a configuration from outside, except the users.
fn seen(config: &Config) -> String {
    let headers = Headers::default();
    let tell = |problems: &dossier_capture::config::Problems| panic!("{problems}");
    let plan = config
        .rules
        .choose_plan(&RequestView::new(&headers, None), None, tell);
    let Config {
        collector,
        batch,
        buffer_bytes,
        hash_key,
        invalid_user,
        ..
    } = config;
    format!("{collector:?} {batch:?} {buffer_bytes} {hash_key:?} {invalid_user:?} {plan:?}")
}
