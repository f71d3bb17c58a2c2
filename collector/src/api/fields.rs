//! Reads the fields of a JSON request and gathers everything that is wrong with them.

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, time};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::http::error::{ApiError, FieldError};
use crate::model::sha256::sha256;

/// Names closer than this are worth suggesting.
const SIMILAR: f64 = 0.7;

/// Longest text of a time. With an offset and nanoseconds it has 35 bytes.
pub(super) const MAX_TIME_BYTES: usize = 64;

/// The fields of one request. A field that is null counts as absent.
#[derive(Debug)]
pub struct Fields {
    given: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// Which end of a day a bare date stands for.
#[derive(Debug, Clone, Copy)]
pub enum DayEdge {
    /// Its first instant.
    Start,
    /// Its last microsecond.
    End,
}

impl Fields {
    /// Reads a body. Fields that are not in `known` are errors, told by [`Fields::finish`].
    ///
    /// # Errors
    /// [`ApiError::NotJsonObject`]
    pub fn parse(body: &[u8], known: &[&str]) -> Result<Self, ApiError> {
        let Ok(Value::Object(mut given)) = serde_json::from_slice(body) else {
            return Err(ApiError::NotJsonObject);
        };
        given.retain(|_, value| !value.is_null());
        Ok(Self::of(given, known))
    }

    /// Reads the parameters of a URL. Those in `numbers` are numbers; a parameter that is not in `known`,
    /// or given twice, is an error.
    pub fn of_parameters(
        parameters: Vec<(String, String)>,
        known: &[&str],
        numbers: &[&str],
    ) -> Self {
        let (mut given, mut twice) = (Map::new(), Vec::new());
        for (name, text) in parameters {
            let number = text.parse::<i64>().ok();
            let value = match number.filter(|_| numbers.contains(&name.as_str())) {
                Some(number) => Value::from(number),
                None => Value::from(text),
            };
            if given.insert(name.clone(), value).is_some() {
                twice.push(name);
            }
        }
        let mut fields = Self::of(given, known);
        for name in twice {
            fields.error(&name, "expected at most once", "value_error");
        }
        fields
    }

    fn of(given: Map<String, Value>, known: &[&str]) -> Self {
        let mut fields = Self {
            given,
            errors: Vec::new(),
        };
        let unknown: Vec<_> = fields
            .given
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .cloned()
            .collect();
        for name in unknown {
            let message = match nearest(&name, known) {
                Some(near) => format!("there is no such field; did you mean {near}?"),
                None => format!("there is no such field; there are {}", known.join(", ")),
            };
            fields.error(&name, message, "unknown_field");
        }
        fields
    }

    /// Notes that a field is wrong.
    pub fn error(&mut self, field: &str, message: impl Into<String>, kind: &'static str) {
        self.errors.push(FieldError {
            field: field.to_owned(),
            message: message.into(),
            kind,
        });
    }

    /// Whether a field is given, valid or not.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.given.contains_key(field)
    }

    /// A text of 1 to `most` bytes, without NUL, which Postgres cannot hold.
    pub fn text(&mut self, field: &str, most: usize) -> Option<String> {
        let expected = || format!("expected a text of 1 to {most} bytes without NUL");
        match self.given.get(field)? {
            Value::String(text) if (1..=most).contains(&text.len()) && !text.contains('\0') => {
                Some(text.clone())
            }
            Value::String(_) => self.refuse(field, expected(), "value_error"),
            _ => self.refuse(field, expected(), "type_error"),
        }
    }

    /// A whole number within bounds.
    pub fn integer(&mut self, field: &str, least: i64, most: i64) -> Option<i64> {
        let value = self.given.get(field)?;
        let expected = format!("expected a whole number from {least} to {most}");
        match value.as_i64() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(_) => self.refuse(field, expected, "value_error"),
            None => self.refuse(field, expected, "type_error"),
        }
    }

    /// A list of 1 to `most` whole numbers above zero.
    pub fn positive_integers(&mut self, field: &str, most: usize) -> Option<Vec<i64>> {
        let value = self.given.get(field)?;
        let expected = format!("expected a list of 1 to {most} whole numbers above zero");
        let numbers = value.as_array().and_then(|items| {
            let numbers = items.iter().map(Value::as_i64);
            numbers.collect::<Option<Vec<_>>>()
        });
        match numbers {
            Some(numbers)
                if (1..=most).contains(&numbers.len()) && numbers.iter().all(|it| *it > 0) =>
            {
                Some(numbers)
            }
            Some(_) => self.refuse(field, expected, "value_error"),
            None => self.refuse(field, expected, "type_error"),
        }
    }

    /// True or false.
    pub fn boolean(&mut self, field: &str) -> Option<bool> {
        match self.given.get(field)? {
            Value::Bool(value) => Some(*value),
            _ => self.refuse(field, "expected true or false", "type_error"),
        }
    }

    /// A UUID.
    pub fn uuid(&mut self, field: &str) -> Option<Uuid> {
        match self.given.get(field)?.as_str().map(Uuid::try_parse) {
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => self.refuse(field, "expected a UUID", "value_error"),
            None => self.refuse(field, "expected a UUID", "type_error"),
        }
    }

    /// An object of names and values.
    pub fn object(&mut self, field: &str) -> Option<Map<String, Value>> {
        match self.given.get(field)? {
            Value::Object(map) => Some(map.clone()),
            _ => self.refuse(field, "expected an object", "type_error"),
        }
    }

    /// One of several words, in any case.
    pub fn choice<T: Copy>(&mut self, field: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.given.get(field)?;
        let chosen = value.as_str().and_then(|text| {
            choices
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(text))
                .map(|(_, choice)| *choice)
        });
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            return self.refuse(
                field,
                format!("expected one of {}", names.join(", ")),
                "value_error",
            );
        }
        chosen
    }

    /// A list of words, each one of several.
    pub fn choices<T: Copy>(&mut self, field: &str, choices: &[(&str, T)]) -> Option<Vec<T>> {
        let value = self.given.get(field)?;
        let chosen = value.as_array().and_then(|items| {
            items
                .iter()
                .map(|item| {
                    let text = item.as_str()?;
                    choices
                        .iter()
                        .find(|(name, _)| *name == text)
                        .map(|(_, choice)| *choice)
                })
                .collect::<Option<Vec<T>>>()
        });
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            return self.refuse(
                field,
                format!("expected a list of {}", names.join(", ")),
                "value_error",
            );
        }
        chosen
    }

    /// An RFC 3339 instant with any offset, or a bare date, which stands for an edge of that UTC day.
    pub fn instant(&mut self, field: &str, edge: DayEdge) -> Option<OffsetDateTime> {
        let expected =
            "expected an RFC 3339 time such as 2026-01-31T12:00:00Z, or a date such as 2026-01-31";
        let Some(text) = self.given.get(field)?.as_str() else {
            return self.refuse(field, expected, "type_error");
        };
        if text.len() > MAX_TIME_BYTES {
            return self.refuse(field, expected, "value_error");
        }
        // A plus sign that stands unescaped in a URL is a space by the time that it comes here.
        let with_plus = text.replace(' ', "+");
        let parsed = OffsetDateTime::parse(text, &Rfc3339)
            .or_else(|_| OffsetDateTime::parse(&with_plus, &Rfc3339));
        if let Ok(instant) = parsed {
            return Some(instant);
        }
        let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) else {
            return self.refuse(field, expected, "value_error");
        };
        Some(match edge {
            DayEdge::Start => day.midnight().assume_utc(),
            DayEdge::End => day.with_time(time!(23:59:59.999_999)).assume_utc(),
        })
    }

    /// The same for requests that give the same, apart from some fields.
    #[must_use]
    pub fn fingerprint(&self, apart_from: &[&str]) -> u64 {
        let mut asked = self.given.clone();
        asked.retain(|name, _| !apart_from.contains(&name.as_str()));
        let digest = sha256([Value::Object(asked).to_string().as_bytes()]);
        digest
            .iter()
            .take(8)
            .fold(0, |all, &byte| all << 8 | u64::from(byte))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] with every fault found.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(ApiError::Invalid(self.errors))
        }
    }

    fn refuse<T>(
        &mut self,
        field: &str,
        message: impl Into<String>,
        kind: &'static str,
    ) -> Option<T> {
        self.error(field, message, kind);
        None
    }
}

/// The most similar of several names, if it is similar enough to be meant.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::parse(
            body.as_bytes(),
            &["page", "page_size", "endpoint", "start_date", "end_date"],
        )
        .unwrap()
    }

    fn errors(fields: Fields) -> Vec<FieldError> {
        match fields.finish() {
            Err(ApiError::Invalid(errors)) => errors,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let mut fields =
            fields(r#"{"page": 0, "pagesize": 5, "endpoint": 7, "start_date": "yesterday"}"#);
        fields.integer("page", 1, 100);
        fields.text("endpoint", 100);
        fields.instant("start_date", DayEdge::Start);
        let errors = errors(fields);
        let told: Vec<_> = errors
            .iter()
            .map(|error| (error.field.as_str(), error.kind))
            .collect();
        assert_eq!(
            told,
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
    fn null_is_as_good_as_absent() {
        let mut fields = fields(r#"{"page": null}"#);
        assert_eq!(fields.integer("page", 1, 9), None);
        assert!(!fields.has("page"));
        assert!(fields.finish().is_ok());
    }

    #[test]
    fn dates_are_whole_days_and_instants_are_themselves() {
        let mut fields =
            fields(r#"{"start_date": "2026-03-01", "end_date": "2026-03-01T00:00:00+02:00"}"#);
        assert_eq!(
            fields.instant("start_date", DayEdge::Start),
            Some(datetime!(2026-03-01 00:00 UTC))
        );
        assert_eq!(
            fields.instant("start_date", DayEdge::End),
            Some(datetime!(2026-03-01 23:59:59.999_999 UTC))
        );
        assert_eq!(
            fields.instant("end_date", DayEdge::End),
            Some(datetime!(2026-02-28 22:00 UTC))
        );
    }

    #[test]
    fn a_time_has_a_bound_of_bytes() {
        for (digits, fits) in [(9, true), (43, true), (44, false)] {
            let text = format!("2026-03-01T00:00:00.{}Z", "0".repeat(digits));
            let mut fields = fields(&json!({"start_date": text}).to_string());
            let read = fields.instant("start_date", DayEdge::Start);
            assert_eq!(read.is_some(), fits, "{digits}");
            assert_eq!(fields.finish().is_ok(), fits, "{digits}");
        }
    }

    #[test]
    fn a_fingerprint_tells_questions_apart_but_not_their_pages() {
        let print = |body: &str| fields(body).fingerprint(&["page"]);
        let same = print(r#"{"endpoint": "/x", "page": 1}"#);
        assert_eq!(same, print(r#"{"page": 2, "endpoint": "/x"}"#));
        assert_ne!(same, print(r#"{"page": 1, "endpoint": "/y"}"#));
        assert_ne!(same, print("{}"));
    }

    #[test]
    fn parameters_of_a_url_are_texts_and_numbers() {
        let given = [("page", "2"), ("page_size", "x"), ("endpoint", "7")];
        let given = given.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let known = ["page", "page_size", "endpoint"];
        let mut fields = Fields::of_parameters(given.into(), &known, &["page", "page_size"]);
        assert_eq!(fields.integer("page", 1, 9), Some(2));
        assert_eq!(fields.text("endpoint", 9).as_deref(), Some("7"));
        assert_eq!(fields.integer("page_size", 1, 9), None);
        assert_eq!(errors(fields)[0].field, "page_size");
    }

    #[test]
    fn parameters_given_twice_or_unknown_are_errors() {
        let given = ["page", "page", "pag"].map(|name| (name.to_owned(), "1".to_owned()));
        let fields = Fields::of_parameters(given.into(), &["page"], &["page"]);
        let told: Vec<_> = errors(fields).into_iter().map(|it| it.field).collect();
        assert_eq!(told, ["pag", "page"]);
    }

    #[test]
    fn an_offset_may_have_lost_its_plus_sign_in_a_url() {
        let mut fields = fields(r#"{"start_date": "2026-03-01T00:00:00 02:00"}"#);
        assert_eq!(
            fields.instant("start_date", DayEdge::Start),
            Some(datetime!(2026-02-28 22:00 UTC))
        );
    }

    #[test]
    fn only_an_object_is_a_request() {
        for body in ["", "[]", "7", "{", "null"] {
            assert!(
                matches!(
                    Fields::parse(body.as_bytes(), &[]),
                    Err(ApiError::NotJsonObject)
                ),
                "{body}"
            );
        }
    }
}
