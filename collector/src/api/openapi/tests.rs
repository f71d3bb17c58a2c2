use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{DOCUMENT, PAGE, text};
use crate::api::deletion::DELETION;
use crate::api::query::fields::ENTRY_QUERY;
use crate::api::request::AnyField;
use crate::api::sessions::fields::{SESSION_LIST, SESSION_QUERY};

fn validator(schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = DOCUMENT["components"].clone();
    jsonschema::draft202012::options().build(&schema).unwrap()
}

/// Every example, with its location in the document and its schema.
fn examples() -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    gather("#", &DOCUMENT, &mut found);
    found
}

fn gather(location: &str, value: &Value, found: &mut Vec<(String, Value, Value)>) {
    match value {
        Value::Object(object) => {
            let is_schema = location.starts_with("#/components/schemas/");
            let schema = object.get("schema").or(is_schema.then_some(value));
            if let Some(schema) = schema {
                let one = object.get("example").into_iter();
                let several = object.get("examples").and_then(Value::as_object);
                let several = several.into_iter().flatten().map(|(_, it)| &it["value"]);
                for example in one.chain(several) {
                    found.push((location.to_owned(), schema.clone(), example.clone()));
                }
            }
            for (name, value) in object {
                if name != "example" && name != "examples" {
                    gather(&format!("{location}/{name}"), value, found);
                }
            }
        }
        Value::Array(items) => {
            for (number, value) in items.iter().enumerate() {
                gather(&format!("{location}/{number}"), value, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_example_matches_its_schema() {
    let examples = examples();
    assert!(examples.len() > 80, "{}", examples.len());
    for (location, schema, example) in examples {
        let validator = validator(&schema);
        let errors: Vec<_> = validator
            .iter_errors(&example)
            .map(|it| it.to_string())
            .collect();
        assert!(errors.is_empty(), "{location}: {errors:?}\n{example:#}");
    }
}

#[test]
fn every_request_and_response_has_an_example() {
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(responses) = operation["responses"].as_object() else {
                continue;
            };
            let request = operation.get("requestBody").into_iter();
            for message in responses.values().chain(request) {
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
fn documents_every_field_of_each_request() {
    let documented = |schema: &str| -> BTreeSet<String> {
        let fields = &DOCUMENT["components"]["schemas"][schema]["properties"];
        fields.as_object().unwrap().keys().cloned().collect()
    };
    for request in [&ENTRY_QUERY, &SESSION_QUERY, &DELETION] {
        let names = request.fields().map(|field| field.name().to_owned());
        assert_eq!(documented(request.name), names.collect());
    }
    let parameters = &DOCUMENT["paths"]["/storage/sessions"]["get"]["parameters"];
    let parameters = parameters.as_array().unwrap().iter();
    let parameters: Vec<_> = parameters.map(|it| it["name"].as_str().unwrap()).collect();
    let names: Vec<_> = SESSION_LIST.fields().map(AnyField::name).collect();
    assert_eq!(parameters, names);
}

#[test]
fn committed_document_is_current() {
    let file = include_str!("../../../../docs/openapi.json");
    let file: Value = serde_json::from_str(file).unwrap_or_default();
    let now: Value = serde_json::from_str(text()).unwrap();
    assert!(
        file == now,
        "docs/openapi.json is out of date: run make openapi"
    );
}

#[test]
fn page_shows_every_operation() {
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
}

#[test]
fn page_loads_nothing() {
    assert!(!PAGE.html.contains("<script") && !PAGE.html.contains("https://"));
    assert!(
        PAGE.policy
            .starts_with("default-src 'none'; style-src 'sha256-")
    );
}
