//! `metadata_filters`: an object of paths, each with a value to equal or with operators that must all hold.

use serde_json::{Map, Value, json};

use crate::api::request::{FieldKind, FieldReader, InvalidValue, reference};
use crate::http::error::ApiError;
use crate::model::filter::{
    Bound, Comparison, InvalidPath, MetadataFilter, MetadataPath, MetadataTest, Scalar,
};
use crate::model::json::has_nul;
use crate::model::similar_name::most_similar;
use crate::store::{PatternError, Store};

pub(super) const FIELD: &str = "metadata_filters";
const MAX_FILTERS: usize = 16;
const MAX_PATTERN_BYTES: usize = 256;
const MAX_CHOICES: usize = 100;
/// Of a value as JSON.
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// An object whose members [`parse`] reads, because each has errors of its own.
#[derive(Debug)]
pub(in crate::api) struct MetadataFilters;

struct Operator {
    name: &'static str,
    parse: fn(&Value) -> Result<MetadataTest, InvalidValue>,
    schema: fn() -> Value,
}

const OPERATORS: [Operator; 8] = [
    Operator {
        name: "gt",
        parse: |operand| compare(Comparison::Greater, operand),
        schema: bound_schema,
    },
    Operator {
        name: "gte",
        parse: |operand| compare(Comparison::GreaterOrEqual, operand),
        schema: bound_schema,
    },
    Operator {
        name: "lt",
        parse: |operand| compare(Comparison::Less, operand),
        schema: bound_schema,
    },
    Operator {
        name: "lte",
        parse: |operand| compare(Comparison::LessOrEqual, operand),
        schema: bound_schema,
    },
    Operator {
        name: "regex",
        parse: parse_pattern,
        schema: || json!({"type": "string", "minLength": 1, "maxLength": MAX_PATTERN_BYTES, "description": "In the syntax of PostgreSQL."}),
    },
    Operator {
        name: "in",
        parse: parse_choices,
        schema: || json!({"type": "array", "minItems": 1, "maxItems": MAX_CHOICES, "items": scalar_schema()}),
    },
    Operator {
        name: "exists",
        parse: parse_exists,
        schema: || json!({"type": "boolean"}),
    },
    Operator {
        name: "contains",
        parse: |part| check_storable(part).map(|part| MetadataTest::Contains(part.clone())),
        schema: || json!({"description": "A part of a list, an object or a string."}),
    },
];

impl FieldKind for MetadataFilters {
    type Value = Map<String, Value>;

    fn parse(&self, value: &Value) -> Result<Map<String, Value>, InvalidValue> {
        let filters = value.as_object();
        let filters = filters.ok_or_else(|| InvalidValue::wrong_type("expected an object"))?;
        if filters.len() > MAX_FILTERS {
            let message = format!("expected at most {MAX_FILTERS} filters");
            return Err(InvalidValue::value(message));
        }
        Ok(filters.clone())
    }

    fn schema(&self) -> Value {
        reference("MetadataFilters")
    }
}

/// What [`MetadataFilters`] refers to.
pub(in crate::api) fn schema() -> Value {
    let operators = OPERATORS.map(|it| (it.name.to_owned(), (it.schema)()));
    let operators = json!({
        "type": "object",
        "minProperties": 1,
        "additionalProperties": false,
        "properties": Map::from_iter(operators),
    });
    json!({
        "type": "object",
        "maxProperties": MAX_FILTERS,
        "propertyNames": {"minLength": 1},
        "additionalProperties": {"anyOf": [scalar_schema(), operators]},
        "description": "By the path of a value, with dots: a value to equal (`1` is not `\"1\"`; null is present and null), or operators that must all hold.",
        "example": {"model": "gpt-4", "usage.tokens": {"gte": 10, "lt": 20}},
    })
}

fn bound_schema() -> Value {
    json!({"type": ["number", "string"]})
}

fn scalar_schema() -> Value {
    json!({"type": ["string", "number", "boolean", "null"]})
}

/// Errors are collected in `reader`.
pub(super) fn parse(reader: &mut FieldReader, filters: Map<String, Value>) -> Vec<MetadataFilter> {
    let mut parsed = Vec::new();
    for (name, asked) in filters {
        let Ok(path) = MetadataPath::new(&name) else {
            reader.reject(FIELD, InvalidValue::value(InvalidPath.to_string()));
            continue;
        };
        let tests = parse_tests(reader, &name, &asked);
        parsed.push(MetadataFilter { path, tests, asked });
    }
    parsed
}

/// Has Postgres check the regular expressions, because only Postgres knows its syntax.
///
/// # Errors
/// [`ApiError::Unavailable`]
pub(super) async fn check_patterns(
    store: &Store,
    reader: &mut FieldReader,
    filters: &[MetadataFilter],
) -> Result<(), ApiError> {
    for filter in filters {
        for test in &filter.tests {
            let MetadataTest::Matches(pattern) = test else {
                continue;
            };
            let message = match store.check_pattern(pattern).await? {
                None => continue,
                Some(PatternError::Invalid) => "expected a regular expression of PostgreSQL",
                Some(PatternError::TooExpensive) => "the regular expression is too complex",
            };
            let field = format!("{FIELD}.{}.regex", filter.path.as_str());
            reader.reject(field, InvalidValue::value(message));
        }
    }
    Ok(())
}

fn parse_tests(reader: &mut FieldReader, name: &str, asked: &Value) -> Vec<MetadataTest> {
    let field = format!("{FIELD}.{name}");
    let mut tests = Vec::new();
    let mut add = |field: String, test: Result<_, InvalidValue>| match test {
        Ok(test) => tests.push(test),
        Err(invalid) => reader.reject(field, invalid),
    };
    match asked {
        Value::Object(operators) if operators.is_empty() => {
            add(
                field,
                Err(InvalidValue::value("expected at least one operator")),
            );
        }
        Value::Object(operators) => {
            for (name, operand) in operators {
                add(format!("{field}.{name}"), parse_test(name, operand));
            }
        }
        value => add(field, parse_scalar(value).map(MetadataTest::Equals)),
    }
    tests
}

fn parse_test(name: &str, operand: &Value) -> Result<MetadataTest, InvalidValue> {
    let operator = OPERATORS.iter().find(|it| it.name == name);
    let operator = operator.ok_or_else(|| unknown_operator(name))?;
    (operator.parse)(operand)
}

fn parse_exists(operand: &Value) -> Result<MetadataTest, InvalidValue> {
    let wanted = operand.as_bool();
    let wanted = wanted.ok_or_else(|| InvalidValue::wrong_type("expected true or false"))?;
    Ok(MetadataTest::Exists(wanted))
}

fn compare(comparison: Comparison, operand: &Value) -> Result<MetadataTest, InvalidValue> {
    let bound = match check_storable(operand)? {
        Value::Number(number) => Bound::Number(number.clone()),
        Value::String(text) => Bound::Text(text.clone()),
        _ => return Err(InvalidValue::wrong_type("expected a number or a string")),
    };
    Ok(MetadataTest::Compare(comparison, bound))
}

fn parse_pattern(operand: &Value) -> Result<MetadataTest, InvalidValue> {
    let expected = format!("expected a string of 1 to {MAX_PATTERN_BYTES} bytes without NUL");
    match operand {
        Value::String(text)
            if (1..=MAX_PATTERN_BYTES).contains(&text.len()) && !text.contains('\0') =>
        {
            Ok(MetadataTest::Matches(text.clone()))
        }
        Value::String(_) => Err(InvalidValue::value(expected)),
        _ => Err(InvalidValue::wrong_type(expected)),
    }
}

fn parse_choices(operand: &Value) -> Result<MetadataTest, InvalidValue> {
    match operand {
        Value::Array(items) if (1..=MAX_CHOICES).contains(&items.len()) => {
            let scalars = items.iter().map(parse_scalar);
            scalars.collect::<Result<_, _>>().map(MetadataTest::In)
        }
        _ => Err(InvalidValue::wrong_type(format!(
            "expected a list of 1 to {MAX_CHOICES} values"
        ))),
    }
}

fn parse_scalar(value: &Value) -> Result<Scalar, InvalidValue> {
    Scalar::new(check_storable(value)?.clone()).ok_or_else(|| {
        InvalidValue::wrong_type(format!(
            "expected a string, number, true, false or null, or an object of operators: {}",
            operator_names().join(", ")
        ))
    })
}

fn check_storable(value: &Value) -> Result<&Value, InvalidValue> {
    if has_nul(value) || value.to_string().len() > MAX_VALUE_BYTES {
        return Err(InvalidValue::value(format!(
            "expected at most {MAX_VALUE_BYTES} bytes of JSON without NUL"
        )));
    }
    Ok(value)
}

fn unknown_operator(name: &str) -> InvalidValue {
    let known = operator_names();
    let message = match most_similar(name, &known) {
        Some(similar) => format!("unknown operator; did you mean {similar}?"),
        None => format!("unknown operator; expected {}", known.join(", ")),
    };
    InvalidValue::new(message, "unknown_operator")
}

fn operator_names() -> [&'static str; OPERATORS.len()] {
    OPERATORS.map(|operator| operator.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::query::fields::{ENTRY_QUERY, METADATA_FILTERS};
    use crate::http::error::FieldError;

    fn read_all(asked: &Value) -> Result<Vec<MetadataFilter>, Vec<FieldError>> {
        let body = json!({ FIELD: asked }).to_string();
        let mut reader = FieldReader::from_json(body.as_bytes(), &ENTRY_QUERY).unwrap();
        let filters = reader.read(&METADATA_FILTERS).unwrap_or_default();
        let filters = parse(&mut reader, filters);
        match reader.finish() {
            Ok(()) => Ok(filters),
            Err(ApiError::Invalid(errors)) => Err(errors),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn error(asked: &Value) -> (String, &'static str) {
        let errors = read_all(asked).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        (errors[0].field.clone(), errors[0].kind)
    }

    #[test]
    fn reads_scalars_and_operators() {
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
    fn unknown_operator_gets_a_suggestion() {
        let errors = read_all(&json!({"a": {"contain": 1, "zzz": 2}})).unwrap_err();
        assert_eq!(errors[0].field, "metadata_filters.a.contain");
        assert_eq!(errors[0].kind, "unknown_operator");
        assert!(errors[0].message.contains("did you mean contains?"));
        assert!(errors[1].message.contains("expected gt, gte"));
    }

    #[test]
    fn rejects_values_of_wrong_type() {
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
            assert_eq!(error(&asked), (field.to_owned(), "type_error"), "{asked}");
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
            assert_eq!(error(&asked), (field.to_owned(), "value_error"), "{asked}");
        }
    }

    #[test]
    fn rejects_values_over_limits() {
        let filters = |count: usize| -> Value {
            let filters = (0..count).map(|number| (number.to_string(), json!(1)));
            filters.collect::<Map<_, _>>().into()
        };
        assert_eq!(read_all(&filters(MAX_FILTERS)).unwrap().len(), MAX_FILTERS);
        assert_eq!(error(&filters(MAX_FILTERS + 1)).1, "value_error");

        let pattern = |length| json!({"a": {"regex": "x".repeat(length)}});
        assert!(read_all(&pattern(MAX_PATTERN_BYTES)).is_ok());
        assert_eq!(error(&pattern(MAX_PATTERN_BYTES + 1)).1, "value_error");

        let choices = |count| json!({"a": {"in": vec![1; count]}});
        assert!(read_all(&choices(MAX_CHOICES)).is_ok());
        assert_eq!(error(&choices(MAX_CHOICES + 1)).1, "type_error");

        let text = |length| json!({"a": "x".repeat(length)});
        assert!(read_all(&text(MAX_VALUE_BYTES - 2)).is_ok());
        assert_eq!(error(&text(MAX_VALUE_BYTES - 1)).1, "value_error");
    }
}
