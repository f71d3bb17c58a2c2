use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{DOCUMENT, PAGE, text};
use crate::api::{query, sessions};

/// A validator of a schema of the document.
fn validator(schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = DOCUMENT["components"].clone();
    jsonschema::draft202012::options().build(&schema).unwrap()
}

/// Every schema that has an example beside it, with the example and where it stands.
fn examples() -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    gather("#", &DOCUMENT, &mut found);
    found
}

fn gather(place: &str, value: &Value, found: &mut Vec<(String, Value, Value)>) {
    match value {
        Value::Object(object) => {
            let is_schema = place.starts_with("#/components/schemas/");
            let schema = object.get("schema").or(is_schema.then_some(value));
            if let Some(schema) = schema {
                let one = object.get("example").into_iter();
                let several = object.get("examples").and_then(Value::as_object);
                let several = several.into_iter().flatten().map(|(_, it)| &it["value"]);
                for example in one.chain(several) {
                    found.push((place.to_owned(), schema.clone(), example.clone()));
                }
            }
            for (name, value) in object {
                if name != "example" && name != "examples" {
                    gather(&format!("{place}/{name}"), value, found);
                }
            }
        }
        Value::Array(items) => {
            for (number, value) in items.iter().enumerate() {
                gather(&format!("{place}/{number}"), value, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_example_is_valid_against_its_schema() {
    let examples = examples();
    assert!(examples.len() > 80, "{}", examples.len());
    for (place, schema, example) in examples {
        let validator = validator(&schema);
        let errors: Vec<_> = validator
            .iter_errors(&example)
            .map(|it| it.to_string())
            .collect();
        assert!(errors.is_empty(), "{place}: {errors:?}\n{example:#}");
    }
}

#[test]
fn every_request_and_answer_has_an_example() {
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(answers) = operation["responses"].as_object() else {
                continue;
            };
            let request = operation.get("requestBody").into_iter();
            for message in answers.values().chain(request) {
                for (media_type, content) in message["content"].as_object().unwrap() {
                    let case = format!("{method} {path} {media_type}: {content}");
                    let given = content.get("example").or(content.get("examples"));
                    assert!(given.is_some_and(|it| *it != json!({})), "{case}");
                }
            }
        }
    }
}

#[test]
fn the_document_tells_the_fields_that_are_read() {
    let told = |schema: &str| -> BTreeSet<String> {
        let fields = &DOCUMENT["components"]["schemas"][schema]["properties"];
        fields.as_object().unwrap().keys().cloned().collect()
    };
    let read = |more: &[&str]| -> BTreeSet<String> {
        let fields = [query::filter::FIELDS, query::PAGE_FIELDS, more].concat();
        fields.into_iter().map(str::to_owned).collect()
    };
    assert_eq!(told("EntryQuery"), read(&["user_id", "search"]));
    assert_eq!(
        told("SessionQuery"),
        read(&["user_id", "search", "entries_per_session"])
    );
    let parameters = &DOCUMENT["paths"]["/storage/sessions"]["get"]["parameters"];
    let parameters = parameters.as_array().unwrap().iter();
    let parameters: Vec<_> = parameters.map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(parameters, sessions::LIST_FIELDS);
}

#[test]
fn the_file_in_the_repository_is_this_document() {
    let file = include_str!("../../../../docs/openapi.json");
    let file: Value = serde_json::from_str(file).unwrap_or_default();
    let now: Value = serde_json::from_str(text()).unwrap();
    assert!(
        file == now,
        "docs/openapi.json is not the API any more. Rewrite it: make openapi"
    );
}

#[test]
fn the_page_shows_all_operations_and_names_no_other_place() {
    for methods in DOCUMENT["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            if let Some(id) = operation["operationId"].as_str() {
                assert!(
                    PAGE.html.contains(&format!("<section id=\"{id}\">")),
                    "{id}"
                );
            }
        }
    }
    assert!(!PAGE.html.contains("<script") && !PAGE.html.contains("https://"));
    assert!(
        PAGE.policy
            .starts_with("default-src 'none'; style-src 'sha256-")
    );
}
