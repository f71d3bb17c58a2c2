//! Reads `metadata_filters`: an object of paths, each with a value to equal or operators to pass.

use serde_json::{Map, Value};

use crate::api::fields::{Fields, nearest};
use crate::http::error::ApiError;
use crate::model::filter::{Bound, Comparison, MetadataFilter, MetadataPath, MetadataTest, Scalar};
use crate::model::json::has_nul;
use crate::store::{PatternError, Store};

const FIELD: &str = "metadata_filters";
pub(in crate::api) const MAX_FILTERS: usize = 16;
pub(in crate::api) const MAX_PATTERN_BYTES: usize = 256;
pub(in crate::api) const MAX_CHOICES: usize = 100;
/// Of a value as JSON.
const MAX_VALUE_BYTES: usize = 8 * 1024;
const OPERATORS: &[&str] = &[
    "gt", "gte", "lt", "lte", "regex", "in", "exists", "contains",
];

/// What is wrong with a filter, and what kind of fault it is.
type Fault = (String, &'static str);

/// Reads the filters. Faults are noted in `fields`.
pub(super) fn read(fields: &mut Fields) -> Vec<MetadataFilter> {
    let Some(asked) = fields.object(FIELD) else {
        return Vec::new();
    };
    if asked.len() > MAX_FILTERS {
        let message = format!("expected at most {MAX_FILTERS} filters");
        fields.error(FIELD, message, "value_error");
        return Vec::new();
    }
    let mut filters = Vec::new();
    for (name, asked) in asked {
        let Ok(path) = MetadataPath::new(&name) else {
            let message = crate::model::filter::InvalidPath.to_string();
            fields.error(FIELD, message, "value_error");
            continue;
        };
        let tests = read_tests(fields, &name, &asked);
        filters.push(MetadataFilter { path, tests, asked });
    }
    filters
}

/// Has Postgres look at the regular expressions: it alone knows what it understands.
///
/// # Errors
/// [`ApiError::Unavailable`] if it cannot be asked.
pub(super) async fn check_patterns(
    store: &Store,
    fields: &mut Fields,
    filters: &[MetadataFilter],
) -> Result<(), ApiError> {
    for filter in filters {
        for test in &filter.tests {
            let MetadataTest::Matches(pattern) = test else {
                continue;
            };
            let message = match store.check_pattern(pattern).await? {
                None => continue,
                Some(PatternError::Invalid) => "expected a regular expression of Postgres",
                Some(PatternError::TooExpensive) => {
                    "expected a regular expression that is less costly"
                }
            };
            let field = format!("{FIELD}.{}.regex", filter.path.as_str());
            fields.error(&field, message, "value_error");
        }
    }
    Ok(())
}

fn read_tests(fields: &mut Fields, name: &str, asked: &Value) -> Vec<MetadataTest> {
    let field = format!("{FIELD}.{name}");
    let mut tests = Vec::new();
    let mut note = |field: &str, read: Result<MetadataTest, Fault>| match read {
        Ok(test) => tests.push(test),
        Err((message, kind)) => fields.error(field, message, kind),
    };
    match asked {
        Value::Object(operators) if operators.is_empty() => {
            note(&field, Err(value_fault("expected at least one operator")));
        }
        Value::Object(operators) => read_operators(&field, operators, &mut note),
        value => note(&field, scalar(value).map(MetadataTest::Equals)),
    }
    tests
}

fn read_operators(
    field: &str,
    operators: &Map<String, Value>,
    note: &mut impl FnMut(&str, Result<MetadataTest, Fault>),
) {
    for (operator, operand) in operators {
        note(&format!("{field}.{operator}"), test(operator, operand));
    }
}

fn test(operator: &str, operand: &Value) -> Result<MetadataTest, Fault> {
    match operator {
        "gt" => compare(Comparison::Greater, operand),
        "gte" => compare(Comparison::GreaterOrEqual, operand),
        "lt" => compare(Comparison::Less, operand),
        "lte" => compare(Comparison::LessOrEqual, operand),
        "regex" => pattern(operand),
        "in" => choices(operand),
        "exists" => match operand {
            Value::Bool(wanted) => Ok(MetadataTest::Exists(*wanted)),
            _ => Err(type_fault("expected true or false")),
        },
        "contains" => sane(operand).map(|part| MetadataTest::Contains(part.clone())),
        unknown => Err(unknown_operator(unknown)),
    }
}

fn compare(comparison: Comparison, operand: &Value) -> Result<MetadataTest, Fault> {
    let bound = match sane(operand)? {
        Value::Number(number) => Bound::Number(number.clone()),
        Value::String(text) => Bound::Text(text.clone()),
        _ => return Err(type_fault("expected a number or a text")),
    };
    Ok(MetadataTest::Compare(comparison, bound))
}

fn pattern(operand: &Value) -> Result<MetadataTest, Fault> {
    let expected = format!("expected a text of 1 to {MAX_PATTERN_BYTES} bytes without NUL");
    match operand {
        Value::String(text)
            if (1..=MAX_PATTERN_BYTES).contains(&text.len()) && !text.contains('\0') =>
        {
            Ok(MetadataTest::Matches(text.clone()))
        }
        Value::String(_) => Err(value_fault(expected)),
        _ => Err(type_fault(expected)),
    }
}

fn choices(operand: &Value) -> Result<MetadataTest, Fault> {
    match operand {
        Value::Array(items) if (1..=MAX_CHOICES).contains(&items.len()) => {
            let scalars = items.iter().map(scalar);
            scalars.collect::<Result<_, _>>().map(MetadataTest::In)
        }
        _ => Err(type_fault(format!(
            "expected a list of 1 to {MAX_CHOICES} values"
        ))),
    }
}

fn scalar(value: &Value) -> Result<Scalar, Fault> {
    Scalar::new(sane(value)?.clone()).ok_or_else(|| {
        type_fault(format!(
            "expected a text, a number, true, false or null; or an object of operators: {}",
            OPERATORS.join(", ")
        ))
    })
}

fn sane(value: &Value) -> Result<&Value, Fault> {
    if has_nul(value) || value.to_string().len() > MAX_VALUE_BYTES {
        return Err(value_fault(format!(
            "expected at most {MAX_VALUE_BYTES} bytes of JSON without NUL"
        )));
    }
    Ok(value)
}

fn unknown_operator(operator: &str) -> Fault {
    let message = match nearest(operator, OPERATORS) {
        Some(near) => format!("there is no such operator; did you mean {near}?"),
        None => format!(
            "there is no such operator; there are {}",
            OPERATORS.join(", ")
        ),
    };
    (message, "unknown_operator")
}

fn value_fault(message: impl Into<String>) -> Fault {
    (message.into(), "value_error")
}

fn type_fault(message: impl Into<String>) -> Fault {
    (message.into(), "type_error")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::error::FieldError;

    fn read_all(asked: &Value) -> Result<Vec<MetadataFilter>, Vec<FieldError>> {
        let body = json!({ FIELD: asked }).to_string();
        let mut fields = Fields::parse(body.as_bytes(), &[FIELD]).unwrap();
        let filters = read(&mut fields);
        match fields.finish() {
            Ok(()) => Ok(filters),
            Err(ApiError::Invalid(errors)) => Err(errors),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn fault(asked: &Value) -> (String, &'static str) {
        let errors = read_all(asked).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        (errors[0].field.clone(), errors[0].kind)
    }

    #[test]
    fn scalars_and_operators_are_read() {
        let filters = read_all(&json!({
            "a": null,
            "b.c": {"gte": 1, "lt": "x"},
            "d": {"in": [1, "1", true], "exists": true, "regex": "^g", "contains": ["x"]},
        }));
        let filters = filters.unwrap();
        let scalar = |value| Scalar::new(value).unwrap();
        assert_eq!(
            filters[0].tests,
            [MetadataTest::Equals(scalar(json!(null)))]
        );
        assert_eq!(filters[1].path.keys().unwrap(), ["b", "c"]);
        assert_eq!(
            filters[1].tests,
            [
                MetadataTest::Compare(Comparison::GreaterOrEqual, Bound::Number(1.into())),
                MetadataTest::Compare(Comparison::Less, Bound::Text("x".to_owned())),
            ]
        );
        assert_eq!(
            filters[2].tests,
            [
                MetadataTest::Contains(json!(["x"])),
                MetadataTest::Exists(true),
                MetadataTest::In([json!(1), json!("1"), json!(true)].map(scalar).into()),
                MetadataTest::Matches("^g".to_owned()),
            ]
        );
    }

    #[test]
    fn an_unknown_operator_is_refused_and_the_nearest_named() {
        let errors = read_all(&json!({"a": {"contain": 1, "zzz": 2}})).unwrap_err();
        assert_eq!(errors[0].field, "metadata_filters.a.contain");
        assert_eq!(errors[0].kind, "unknown_operator");
        assert!(errors[0].message.contains("did you mean contains?"));
        assert!(errors[1].message.contains("there are gt, gte"));
    }

    #[test]
    fn values_of_a_wrong_type_are_refused() {
        for (asked, field) in [
            (json!([1]), "metadata_filters"),
            (json!({"a": [1]}), "metadata_filters.a"),
            (json!({"a": {"gte": true}}), "metadata_filters.a.gte"),
            (json!({"a": {"lt": null}}), "metadata_filters.a.lt"),
            (json!({"a": {"in": 1}}), "metadata_filters.a.in"),
            (json!({"a": {"in": []}}), "metadata_filters.a.in"),
            (json!({"a": {"in": [[]]}}), "metadata_filters.a.in"),
            (json!({"a": {"exists": 1}}), "metadata_filters.a.exists"),
            (json!({"a": {"regex": 1}}), "metadata_filters.a.regex"),
        ] {
            assert_eq!(fault(&asked), (field.to_owned(), "type_error"), "{asked}");
        }
        for (asked, field) in [
            (json!({"": 1}), "metadata_filters"),
            (json!({"a": {}}), "metadata_filters.a"),
            (json!({"a": "\0"}), "metadata_filters.a"),
            (
                json!({"a": {"contains": {"b": ["\0"]}}}),
                "metadata_filters.a.contains",
            ),
            (json!({"a": {"regex": ""}}), "metadata_filters.a.regex"),
            (json!({"a": {"regex": "\0"}}), "metadata_filters.a.regex"),
        ] {
            assert_eq!(fault(&asked), (field.to_owned(), "value_error"), "{asked}");
        }
    }

    #[test]
    fn everything_has_a_bound() {
        let filters = |count: usize| -> Value {
            let filters = (0..count).map(|number| (number.to_string(), json!(1)));
            filters.collect::<Map<_, _>>().into()
        };
        assert_eq!(read_all(&filters(MAX_FILTERS)).unwrap().len(), MAX_FILTERS);
        assert_eq!(fault(&filters(MAX_FILTERS + 1)).1, "value_error");

        let pattern = |length| json!({"a": {"regex": "x".repeat(length)}});
        assert!(read_all(&pattern(MAX_PATTERN_BYTES)).is_ok());
        assert_eq!(fault(&pattern(MAX_PATTERN_BYTES + 1)).1, "value_error");

        let choices = |count| json!({"a": {"in": vec![1; count]}});
        assert!(read_all(&choices(MAX_CHOICES)).is_ok());
        assert_eq!(fault(&choices(MAX_CHOICES + 1)).1, "type_error");

        let text = |length| json!({"a": "x".repeat(length)});
        assert!(read_all(&text(MAX_VALUE_BYTES - 2)).is_ok());
        assert_eq!(fault(&text(MAX_VALUE_BYTES - 1)).1, "value_error");
    }
}
