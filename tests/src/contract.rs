//! Checks every response of the collector against the API's description in docs/openapi.json.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use crate::error::HarnessError;

/// Compiled in from the sources, so that an outdated collector fails the check too.
static CONTRACT: LazyLock<Result<Contract, serde_json::Error>> = LazyLock::new(Contract::read);
const DESCRIPTION: &str = include_str!("../../docs/openapi.json");

struct Contract {
    document: Value,
    /// Built when first needed, by method, path and status.
    validators: Mutex<BTreeMap<String, Validator>>,
}

/// A response and the request that it answers.
#[derive(Debug)]
pub struct ObservedResponse<'a> {
    /// Method of the request.
    pub method: &'a Method,
    /// Path of the request, with its query.
    pub path: &'a str,
    /// HTTP status.
    pub status: u16,
    /// `content-type` of the response.
    pub content_type: &'a str,
    /// Its body; null if that is not JSON.
    pub json: &'a Value,
}

/// Checks a response.
///
/// # Errors
/// [`HarnessError::Unexpected`] with what differs, without the response's body.
pub fn check_response(response: &ObservedResponse<'_>) -> Result<(), HarnessError> {
    let outcome = match &*CONTRACT {
        Ok(contract) => contract.check(response),
        Err(error) => Err(format!("docs/openapi.json is invalid: {error}")),
    };
    outcome.map_err(|answer| HarnessError::Unexpected {
        doing: format!(
            "check the response {} to {} {} against docs/openapi.json",
            response.status, response.method, response.path
        ),
        answer,
    })
}

impl Contract {
    fn read() -> Result<Self, serde_json::Error> {
        let mut document = serde_json::from_str(DESCRIPTION)?;
        forbid_unknown_fields(&mut document);
        Ok(Self {
            document,
            validators: Mutex::default(),
        })
    }

    fn check(&self, response: &ObservedResponse<'_>) -> Result<(), String> {
        let Some((path, methods)) = self.find_path(response.path) else {
            return expect_error(response, 404, "NOT_FOUND");
        };
        let method = response.method.as_str().to_ascii_lowercase();
        let Some(operation) = methods.get(&method) else {
            return expect_error(response, 405, "METHOD_NOT_ALLOWED");
        };
        let status = response.status.to_string();
        let content = operation
            .pointer(&format!("/responses/{status}/content"))
            .and_then(Value::as_object)
            .ok_or("this status is not described")?;
        let essence = response.content_type.split(';').next().unwrap_or_default();
        if content.contains_key("*/*") {
            return Ok(());
        }
        let described = content
            .get(essence)
            .ok_or_else(|| format!("the content type {essence:?} is not described"))?;
        if essence != "application/json" {
            return Ok(());
        }
        let key = format!("{method} {path} {status}");
        let schema = described.get("schema").unwrap_or(&Value::Null);
        self.validate(&key, schema, response.json)
    }

    /// The described path that this path matches, with its methods.
    fn find_path(&self, path: &str) -> Option<(&str, &Value)> {
        let path = path.split('?').next().unwrap_or_default();
        let path = match path.strip_prefix("/v1") {
            Some(rest) if rest.starts_with("/storage/") => rest,
            _ => path,
        };
        let paths = self.document.get("paths")?.as_object()?;
        let mut paths = paths.iter().map(|(path, methods)| (path.as_str(), methods));
        paths.find(|(template, _)| {
            let (mut described, mut given) = (template.split('/'), path.split('/'));
            loop {
                match (described.next(), given.next()) {
                    (None, None) => return true,
                    (Some(part), Some(given)) if part == given => {}
                    (Some(part), Some(given)) if part.starts_with('{') && !given.is_empty() => {}
                    _ => return false,
                }
            }
        })
    }

    fn validate(&self, key: &str, schema: &Value, json: &Value) -> Result<(), String> {
        let mut validators = self
            .validators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !validators.contains_key(key) {
            let validator = self.build_validator(schema)?;
            validators.insert(key.to_owned(), validator);
        }
        let Some(validator) = validators.get(key) else {
            return Ok(());
        };
        let faults: Vec<_> = validator
            .iter_errors(json)
            .map(|fault| {
                let masked = fault.masked().to_string();
                format!("{}: {masked}", fault.instance_path())
            })
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }

    fn build_validator(&self, schema: &Value) -> Result<Validator, String> {
        let mut schema = schema.clone();
        if let Some(schema) = schema.as_object_mut() {
            let components = self.document.get("components").cloned();
            schema.insert("components".to_owned(), components.unwrap_or_default());
        }
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schema)
            .map_err(|error| format!("invalid schema: {error}"))
    }
}

/// Clients must accept unknown fields; this check must not.
fn forbid_unknown_fields(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let is_schema = object.get("properties").is_some_and(Value::is_object);
            if is_schema && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            object.values_mut().for_each(forbid_unknown_fields);
        }
        Value::Array(items) => items.iter_mut().for_each(forbid_unknown_fields),
        _ => {}
    }
}

fn expect_error(response: &ObservedResponse<'_>, status: u16, code: &str) -> Result<(), String> {
    let found = response.json.pointer("/error/code").and_then(Value::as_str);
    if response.status == status && found == Some(code) {
        Ok(())
    } else {
        Err(format!(
            "neither described nor {status} with the code {code}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, path: &str, status: u16, json: &Value) -> Result<(), String> {
        let response = ObservedResponse {
            method,
            path,
            status,
            content_type: "application/json",
            json,
        };
        check_response(&response).map_err(|error| error.to_string())
    }

    fn healthy() -> Value {
        json!({
            "success": true,
            "message": "The collector is alive",
            "data": {"version": "0.1.0"},
            "warnings": [],
            "metadata": {"request_id": "x", "took_ms": 1.0},
        })
    }

    #[test]
    fn accepts_described_response() {
        check(&Method::GET, "/healthz?x=1", 200, &healthy()).unwrap();
    }

    #[test]
    fn rejects_undescribed_response() {
        let with = |name: &str, value: Value| {
            let mut answer = healthy();
            answer[name] = value;
            answer
        };
        for (path, status, json, expected) in [
            ("/healthz", 418, healthy(), "status is not described"),
            ("/healthz", 200, with("more", json!(1)), "more"),
            ("/healthz", 200, with("success", json!(false)), "/success"),
            ("/healthz", 200, with("data", json!({})), "version"),
            ("/nowhere", 200, healthy(), "neither described nor 404"),
            (
                "/storage/query",
                200,
                healthy(),
                "neither described nor 405",
            ),
            ("/v1/storage/sessions", 200, healthy(), "/data"),
        ] {
            let error = check(&Method::GET, path, status, &json).unwrap_err();
            assert!(error.contains(expected), "{path}: {error}");
        }
    }
}
