//! Holds every answer of the collector against the API's description: an answer that is not described
//! is a fault of one or the other.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use crate::error::HarnessError;

/// The description is that of the collector's sources, so that an old collector is noticed too.
static CONTRACT: LazyLock<Result<Contract, serde_json::Error>> = LazyLock::new(Contract::read);
const DESCRIPTION: &str = include_str!("../../docs/openapi.json");

struct Contract {
    document: Value,
    /// Made as they are needed, by the place of the schema.
    validators: Mutex<BTreeMap<String, Validator>>,
}

/// An answer, and to what.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Method of the request.
    pub method: &'a Method,
    /// Path of the request, with its query.
    pub path: &'a str,
    /// HTTP status.
    pub status: u16,
    /// `content-type` of the answer.
    pub content_type: &'a str,
    /// Its body, null if that is not JSON.
    pub json: &'a Value,
}

/// Checks an answer.
///
/// # Errors
/// [`HarnessError::Unexpected`] with what differs; never with the answer itself.
pub fn check(answered: &Answered<'_>) -> Result<(), HarnessError> {
    let outcome = match &*CONTRACT {
        Ok(contract) => contract.check(answered),
        Err(error) => Err(format!("docs/openapi.json cannot be read: {error}")),
    };
    outcome.map_err(|answer| HarnessError::Unexpected {
        doing: format!(
            "hold the answer {} to {} {} against docs/openapi.json",
            answered.status, answered.method, answered.path
        ),
        answer,
    })
}

impl Contract {
    fn read() -> Result<Self, serde_json::Error> {
        let mut document = serde_json::from_str(DESCRIPTION)?;
        close(&mut document);
        Ok(Self {
            document,
            validators: Mutex::default(),
        })
    }

    fn check(&self, answered: &Answered<'_>) -> Result<(), String> {
        let Some((path, methods)) = self.path_of(answered.path) else {
            return expect_error(answered, 404, "NOT_FOUND");
        };
        let method = answered.method.as_str().to_ascii_lowercase();
        let Some(operation) = methods.get(&method) else {
            return expect_error(answered, 405, "METHOD_NOT_ALLOWED");
        };
        let status = answered.status.to_string();
        let content = operation
            .pointer(&format!("/responses/{status}/content"))
            .and_then(Value::as_object)
            .ok_or("this status is not described")?;
        let essence = answered.content_type.split(';').next().unwrap_or_default();
        if content.contains_key("*/*") {
            return Ok(());
        }
        let described = content
            .get(essence)
            .ok_or_else(|| format!("the content type {essence:?} is not described"))?;
        if essence != "application/json" {
            return Ok(());
        }
        let place = format!("{method} {path} {status}");
        let schema = described.get("schema").unwrap_or(&Value::Null);
        self.validate(&place, schema, answered.json)
    }

    /// The described path that a path is, with its methods.
    fn path_of(&self, asked: &str) -> Option<(&str, &Value)> {
        let asked = asked.split('?').next().unwrap_or_default();
        let asked = match asked.strip_prefix("/v1") {
            Some(rest) if rest.starts_with("/storage/") => rest,
            _ => asked,
        };
        let paths = self.document.get("paths")?.as_object()?;
        let mut paths = paths.iter().map(|(path, methods)| (path.as_str(), methods));
        paths.find(|(path, _)| {
            let (mut described, mut given) = (path.split('/'), asked.split('/'));
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

    fn validate(&self, place: &str, schema: &Value, json: &Value) -> Result<(), String> {
        let mut validators = self
            .validators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !validators.contains_key(place) {
            let validator = self.validator(schema)?;
            validators.insert(place.to_owned(), validator);
        }
        let Some(validator) = validators.get(place) else {
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

    fn validator(&self, schema: &Value) -> Result<Validator, String> {
        let mut schema = schema.clone();
        if let Some(schema) = schema.as_object_mut() {
            let components = self.document.get("components").cloned();
            schema.insert("components".to_owned(), components.unwrap_or_default());
        }
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schema)
            .map_err(|error| format!("the schema cannot be used: {error}"))
    }
}

/// Clients must put up with fields that are new to them; here each must be described.
fn close(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let is_schema = object.get("properties").is_some_and(Value::is_object);
            if is_schema && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn expect_error(answered: &Answered<'_>, status: u16, code: &str) -> Result<(), String> {
    let told = answered.json.pointer("/error/code").and_then(Value::as_str);
    if answered.status == status && told == Some(code) {
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

    fn checked(method: &Method, path: &str, status: u16, json: &Value) -> Result<(), String> {
        let answered = Answered {
            method,
            path,
            status,
            content_type: "application/json",
            json,
        };
        check(&answered).map_err(|error| error.to_string())
    }

    fn alive() -> Value {
        json!({
            "success": true,
            "message": "The collector is alive",
            "data": {"version": "0.1.0"},
            "warnings": [],
            "metadata": {"request_id": "x", "took_ms": 1.0},
        })
    }

    #[test]
    fn a_described_answer_passes() {
        checked(&Method::GET, "/healthz?x=1", 200, &alive()).unwrap();
    }

    #[test]
    fn an_answer_that_is_not_described_is_told() {
        let with = |name: &str, value: Value| {
            let mut answer = alive();
            answer[name] = value;
            answer
        };
        for (path, status, json, told) in [
            ("/healthz", 418, alive(), "status is not described"),
            ("/healthz", 200, with("more", json!(1)), "more"),
            ("/healthz", 200, with("success", json!(false)), "/success"),
            ("/healthz", 200, with("data", json!({})), "version"),
            ("/nowhere", 200, alive(), "neither described nor 404"),
            ("/storage/query", 200, alive(), "neither described nor 405"),
            ("/v1/storage/sessions", 200, alive(), "/data"),
        ] {
            let error = checked(&Method::GET, path, status, &json).unwrap_err();
            assert!(error.contains(told), "{path}: {error}");
        }
    }
}
