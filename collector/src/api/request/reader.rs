//! Reads the fields of one request and collects every error in them.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use serde_json::{Map, Value};

use super::field::{AnyField, Field, FieldKind, InvalidValue, OrDefault, ToJson};
use super::schema::Request;
use crate::http::error::{ApiError, FieldError, MORE_ERRORS};
use crate::model::sha256::sha256;
use crate::model::similar_name::most_similar;

/// Errors that a response lists; of more it says how many.
const MAX_ERRORS: usize = 50;
/// Longest name of a field in an error, which the caller chose. A longer one is cut.
const MAX_ERROR_FIELD_BYTES: usize = 256;

/// The fields of one request. A field that is null counts as absent.
#[derive(Debug)]
pub struct FieldReader {
    given: Map<String, Value>,
    errors: Vec<FieldError>,
    /// Errors beyond [`MAX_ERRORS`].
    unlisted_errors: usize,
}

impl FieldReader {
    /// Reads a body. Unknown fields are errors of [`FieldReader::finish`].
    ///
    /// # Errors
    /// [`ApiError::NotJsonObject`]
    pub fn from_json(body: &[u8], request: &Request) -> Result<Self, ApiError> {
        let Ok(Value::Object(mut given)) = serde_json::from_slice(body) else {
            return Err(ApiError::NotJsonObject);
        };
        given.retain(|_, value| !value.is_null());
        Ok(Self::new(given, request))
    }

    /// Reads the parameters of a URL. Unknown and repeated parameters are errors of
    /// [`FieldReader::finish`].
    pub fn from_parameters(parameters: Vec<(String, String)>, request: &Request) -> Self {
        let (mut given, mut repeated) = (Map::new(), Vec::new());
        for (name, text) in parameters {
            let field = request.fields().find(|field| field.name() == name);
            let value = field.map_or_else(|| text.as_str().into(), |it| it.json_of_text(&text));
            if given.insert(name.clone(), value).is_some() {
                repeated.push(name);
            }
        }
        let mut reader = Self::new(given, request);
        for name in repeated {
            reader.reject(name, InvalidValue::value("expected at most once"));
        }
        reader
    }

    fn new(given: Map<String, Value>, request: &Request) -> Self {
        let known: Vec<_> = request.fields().map(AnyField::name).collect();
        let unknown = given.keys().filter(|name| !known.contains(&name.as_str()));
        let unknown: Vec<_> = unknown.cloned().collect();
        let mut reader = Self {
            given,
            errors: Vec::new(),
            unlisted_errors: 0,
        };
        for name in unknown {
            let invalid = unknown_field(&name, &known);
            reader.reject(name, invalid);
        }
        reader
    }

    /// The value of a field that is given and valid.
    pub fn read<K: FieldKind>(&mut self, field: &Field<K>) -> Option<K::Value> {
        let parsed = match self.given.get(field.name) {
            Some(value) => field.kind.parse(value),
            None if K::IS_REQUIRED => Err(InvalidValue::new("this field is required", "missing")),
            None => return None,
        };
        parsed
            .map_err(|invalid| self.reject(field.name, invalid))
            .ok()
    }

    /// The value of a field, or its default if it is absent or invalid.
    pub fn read_or_default<K: ToJson<Value: Copy + Sync>>(
        &mut self,
        field: &Field<OrDefault<K>>,
    ) -> K::Value {
        self.read(field).unwrap_or(field.kind.default)
    }

    /// Adds an error.
    pub fn reject(&mut self, field: impl Into<String>, invalid: InvalidValue) {
        if self.errors.len() < MAX_ERRORS {
            let mut field = field.into();
            shorten(&mut field);
            self.errors.push(invalid.of_field(field));
        } else {
            self.unlisted_errors += 1;
        }
    }

    /// Whether a field is given, valid or not.
    #[must_use]
    pub fn is_given(&self, field: &dyn AnyField) -> bool {
        self.given.contains_key(field.name())
    }

    /// Equal for requests that are equal in all fields but those of these names.
    #[must_use]
    pub fn fingerprint_without(&self, ignored: &[&str]) -> u64 {
        let mut compared = self.given.clone();
        compared.retain(|name, _| !ignored.contains(&name.as_str()));
        let digest = sha256([Value::Object(compared).to_string().as_bytes()]);
        digest
            .iter()
            .take(8)
            .fold(0, |all, &byte| all << 8 | u64::from(byte))
    }

    /// # Errors
    /// [`ApiError::Invalid`] with every error found, or with the first and how many more there are.
    pub fn finish(mut self) -> Result<(), ApiError> {
        if self.unlisted_errors > 0 {
            let message = format!("and {} more", self.unlisted_errors);
            let more = InvalidValue::new(message, MORE_ERRORS).of_field("");
            self.errors.push(more);
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(ApiError::Invalid(self.errors))
        }
    }
}

/// The value of a parameter in the path.
///
/// # Errors
/// [`ApiError::NotFound`], [`ApiError::Invalid`]
pub fn read_path<K: FieldKind>(
    field: &Field<K>,
    path: Result<Path<String>, PathRejection>,
) -> Result<K::Value, ApiError> {
    let Path(text) = path.map_err(|_| ApiError::NotFound)?;
    let parsed = field.kind.parse(&field.kind.json_of_text(&text));
    parsed.map_err(|invalid| {
        // In a path everything is text: a word where a number is expected is a wrong value.
        ApiError::Invalid(vec![FieldError {
            kind: "value_error",
            ..invalid.of_field(field.name)
        }])
    })
}

/// Cuts a name that is too long, between two characters.
fn shorten(name: &mut String) {
    if name.len() > MAX_ERROR_FIELD_BYTES {
        name.truncate(name.floor_char_boundary(MAX_ERROR_FIELD_BYTES));
        name.push('…');
    }
}

fn unknown_field(name: &str, known: &[&str]) -> InvalidValue {
    let message = match most_similar(name, known) {
        Some(similar) => format!("unknown field; did you mean {similar}?"),
        None => format!("unknown field; expected {}", known.join(", ")),
    };
    InvalidValue::new(message, "unknown_field")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::request::{DayEdge, Instant, Integer, Text};

    static PAGE: Field<Integer<i64>> = Field {
        name: "page",
        kind: Integer::new(1, 100),
        description: "Which page.",
        example: || json!(1),
    };
    static PAGE_SIZE: Field<Integer<i64>> = Field {
        name: "page_size",
        kind: Integer::new(1, 100),
        description: "How many.",
        example: || json!(20),
    };
    static ENDPOINT: Field<Text> = Field {
        name: "endpoint",
        kind: Text { max_bytes: 100 },
        description: "Which endpoint.",
        example: || json!("/x"),
    };
    static START_DATE: Field<Instant> = Field {
        name: "start_date",
        kind: Instant(DayEdge::Start),
        description: "From when.",
        example: || json!("2026-03-01"),
    };
    static REQUEST: Request = Request {
        name: "Test",
        groups: &[&[&PAGE, &PAGE_SIZE, &ENDPOINT, &START_DATE]],
        example: &[&PAGE],
    };

    fn reader(body: &str) -> FieldReader {
        FieldReader::from_json(body.as_bytes(), &REQUEST).unwrap()
    }

    fn parameters(parameters: &[(&str, &str)]) -> FieldReader {
        let parameters = parameters.iter();
        let parameters = parameters.map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        FieldReader::from_parameters(parameters.collect(), &REQUEST)
    }

    fn errors(reader: FieldReader) -> Vec<FieldError> {
        match reader.finish() {
            Err(ApiError::Invalid(errors)) => errors,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn errors_beyond_limit_are_only_counted() {
        let fields = |count: usize| {
            let fields =
                (0..count).map(|number| (format!("{number}{}", "é".repeat(300)), json!(1)));
            Value::Object(fields.collect()).to_string()
        };
        assert_eq!(errors(reader(&fields(MAX_ERRORS))).len(), MAX_ERRORS);
        let error = reader(&fields(6000)).finish().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("More than 50 fields are invalid")
        );
        let errors = errors(reader(&fields(6000)));
        let (more, listed) = errors.split_last().unwrap();
        assert_eq!(listed.len(), MAX_ERRORS);
        assert_eq!(more.message, format!("and {} more", 6000 - MAX_ERRORS));
        let longest = MAX_ERROR_FIELD_BYTES + '…'.len_utf8();
        assert!(listed.iter().all(|it| it.field.len() <= longest));
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        let mut reader =
            reader(r#"{"page": 0, "pagesize": 5, "endpoint": 7, "start_date": "yesterday"}"#);
        reader.read(&PAGE);
        reader.read(&ENDPOINT);
        reader.read(&START_DATE);
        let errors = errors(reader);
        let reported: Vec<_> = errors
            .iter()
            .map(|error| (error.field.as_str(), error.kind))
            .collect();
        assert_eq!(
            reported,
            [
                ("pagesize", "unknown_field"),
                ("page", "value_error"),
                ("endpoint", "type_error"),
                ("start_date", "value_error")
            ]
        );
        assert!(
            errors[0].message.contains("page_size"),
            "{}",
            errors[0].message
        );
    }

    #[test]
    fn null_counts_as_absent() {
        let mut reader = reader(r#"{"page": null}"#);
        assert_eq!(reader.read(&PAGE), None);
        assert!(!reader.is_given(&PAGE));
        assert!(reader.finish().is_ok());
    }

    #[test]
    fn fingerprint_ignores_only_the_named_fields() {
        let print = |body: &str| reader(body).fingerprint_without(&["page"]);
        let same = print(r#"{"endpoint": "/x", "page": 1}"#);
        assert_eq!(same, print(r#"{"page": 2, "endpoint": "/x"}"#));
        assert_ne!(same, print(r#"{"page": 1, "endpoint": "/y"}"#));
        assert_ne!(same, print("{}"));
    }

    #[test]
    fn url_parameters_are_strings_and_numbers() {
        let mut reader = parameters(&[("page", "2"), ("page_size", "x"), ("endpoint", "7")]);
        assert_eq!(reader.read(&PAGE), Some(2));
        assert_eq!(reader.read(&ENDPOINT).as_deref(), Some("7"));
        assert_eq!(reader.read(&PAGE_SIZE), None);
        assert_eq!(errors(reader)[0].field, "page_size");
    }

    #[test]
    fn repeated_and_unknown_parameters_are_rejected() {
        let reader = parameters(&[("page", "1"), ("page", "1"), ("pag", "1")]);
        let fields: Vec<_> = errors(reader).into_iter().map(|it| it.field).collect();
        assert_eq!(fields, ["pag", "page"]);
    }

    #[test]
    fn only_an_object_is_a_request() {
        for body in ["", "[]", "7", "{", "null"] {
            let read = FieldReader::from_json(body.as_bytes(), &REQUEST);
            assert!(matches!(read, Err(ApiError::NotJsonObject)), "{body}");
        }
    }
}
