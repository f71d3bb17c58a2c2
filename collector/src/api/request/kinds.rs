//! The kinds of fields that several requests have.

use std::marker::PhantomData;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::{format_description, time};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::field::{FieldKind, InvalidValue, ToJson};
use super::json_object::insert;
use crate::model::instant::UtcInstant;

/// Longest text of a time. With an offset and nanoseconds it has 35 bytes.
const MAX_TIME_BYTES: usize = 64;

/// A string of 1 to `max_bytes` bytes, without NUL, which Postgres cannot store.
#[derive(Debug)]
pub struct Text {
    pub max_bytes: usize,
}

/// A whole number within bounds that `T` can hold.
#[derive(Debug)]
pub struct Integer<T> {
    min: i64,
    max: i64,
    value: PhantomData<fn() -> T>,
}

/// A list of 1 to `max_items` whole numbers above zero.
#[derive(Debug)]
pub struct PositiveIntegers {
    pub max_items: usize,
}

#[derive(Debug)]
pub struct Boolean;

#[derive(Debug)]
pub struct UuidText;

/// One of several names, in any case.
#[derive(Debug)]
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

/// An RFC 3339 instant with any offset, or a bare date, which means an edge of that UTC day.
#[derive(Debug)]
pub struct Instant(pub DayEdge);

/// Which instant of its day a bare date means.
#[derive(Debug, Clone, Copy)]
pub enum DayEdge {
    Start,
    /// The last microsecond.
    End,
}

/// A string that an earlier response held.
#[derive(Debug)]
pub struct Encoded<T> {
    pub max_bytes: usize,
    pub expected: &'static str,
    pub decode: fn(&str) -> Option<T>,
}

impl FieldKind for Text {
    type Value = String;

    fn parse(&self, value: &Value) -> Result<String, InvalidValue> {
        let max = self.max_bytes;
        let expected = format!("expected a string of 1 to {max} bytes without NUL");
        match value {
            Value::String(text) if (1..=max).contains(&text.len()) && !text.contains('\0') => {
                Ok(text.clone())
            }
            Value::String(_) => Err(InvalidValue::value(expected)),
            _ => Err(InvalidValue::wrong_type(expected)),
        }
    }

    /// The bound is in bytes, and a character has one or more of them.
    fn schema(&self) -> Value {
        let max = self.max_bytes;
        let description = format!("At most {max} bytes.");
        json!({"type": "string", "minLength": 1, "maxLength": max, "description": description})
    }
}

impl<T> Integer<T> {
    pub const fn new(min: i64, max: i64) -> Self {
        Self {
            min,
            max,
            value: PhantomData,
        }
    }

    fn expected(&self) -> String {
        let min = self.min;
        match self.max {
            i64::MAX => format!("expected a whole number of at least {min}"),
            max => format!("expected a whole number from {min} to {max}"),
        }
    }
}

impl<T: TryFrom<i64>> FieldKind for Integer<T> {
    type Value = T;

    fn parse(&self, value: &Value) -> Result<T, InvalidValue> {
        let number = value.as_i64();
        let number = number.ok_or_else(|| InvalidValue::wrong_type(self.expected()))?;
        let within = (self.min..=self.max).contains(&number);
        let converted = T::try_from(number).ok().filter(|_| within);
        converted.ok_or_else(|| InvalidValue::value(self.expected()))
    }

    fn schema(&self) -> Value {
        let mut schema = json!({"type": "integer", "minimum": self.min, "maximum": self.max});
        if self.max == i64::MAX {
            insert(&mut schema, "format", json!("int64"));
        }
        schema
    }

    fn json_of_text(&self, text: &str) -> Value {
        text.parse::<i64>()
            .map_or_else(|_| Value::from(text), Value::from)
    }
}

impl<T: TryFrom<i64> + Copy + Into<i64>> ToJson for Integer<T> {
    fn to_json(&self, value: &T) -> Value {
        Value::from((*value).into())
    }
}

impl FieldKind for PositiveIntegers {
    type Value = Vec<i64>;

    fn parse(&self, value: &Value) -> Result<Vec<i64>, InvalidValue> {
        let max = self.max_items;
        let expected = format!("expected a list of 1 to {max} whole numbers above zero");
        let numbers = value.as_array().and_then(|items| {
            let numbers = items.iter().map(Value::as_i64);
            numbers.collect::<Option<Vec<_>>>()
        });
        let Some(numbers) = numbers else {
            return Err(InvalidValue::wrong_type(expected));
        };
        if (1..=max).contains(&numbers.len()) && numbers.iter().all(|it| *it > 0) {
            Ok(numbers)
        } else {
            Err(InvalidValue::value(expected))
        }
    }

    fn schema(&self) -> Value {
        json!({
            "type": "array",
            "minItems": 1,
            "maxItems": self.max_items,
            "items": {"type": "integer", "minimum": 1, "maximum": i64::MAX},
        })
    }
}

impl FieldKind for Boolean {
    type Value = bool;

    fn parse(&self, value: &Value) -> Result<bool, InvalidValue> {
        let value = value.as_bool();
        value.ok_or_else(|| InvalidValue::wrong_type("expected true or false"))
    }

    fn schema(&self) -> Value {
        json!({"type": "boolean"})
    }
}

impl ToJson for Boolean {
    fn to_json(&self, value: &bool) -> Value {
        Value::from(*value)
    }
}

impl FieldKind for UuidText {
    type Value = Uuid;

    fn parse(&self, value: &Value) -> Result<Uuid, InvalidValue> {
        let expected = "expected a UUID";
        let text = value.as_str();
        let text = text.ok_or_else(|| InvalidValue::wrong_type(expected))?;
        Uuid::try_parse(text).map_err(|_| InvalidValue::value(expected))
    }

    fn schema(&self) -> Value {
        json!({"type": "string", "format": "uuid"})
    }
}

impl<T: Copy + Sync> FieldKind for Choice<T> {
    type Value = T;

    fn parse(&self, value: &Value) -> Result<T, InvalidValue> {
        let chosen = value.as_str().and_then(|text| {
            let mut choices = self.0.iter();
            choices.find(|(name, _)| name.eq_ignore_ascii_case(text))
        });
        let chosen = chosen.map(|(_, choice)| *choice);
        chosen.ok_or_else(|| {
            let names = joined_names(self.0);
            InvalidValue::value(format!("expected one of {names}"))
        })
    }

    fn schema(&self) -> Value {
        let names: Vec<_> = self.0.iter().map(|(name, _)| *name).collect();
        json!({"type": "string", "enum": names})
    }
}

impl<T: Copy + Sync + PartialEq> ToJson for Choice<T> {
    fn to_json(&self, value: &T) -> Value {
        let choice = self.0.iter().find(|(_, choice)| choice == value);
        choice.map(|(name, _)| *name).into()
    }
}

/// The names of choices, for messages.
pub fn joined_names<T>(choices: &[(&str, T)]) -> String {
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl FieldKind for Instant {
    type Value = UtcInstant;

    fn parse(&self, value: &Value) -> Result<UtcInstant, InvalidValue> {
        let expected = "expected an RFC 3339 time such as 2026-01-31T12:00:00Z, or a date such as 2026-01-31, \
             in the years 0001 to 9999 of UTC";
        let text = value.as_str();
        let text = text.ok_or_else(|| InvalidValue::wrong_type(expected))?;
        let instant = Some(text)
            .filter(|text| text.len() <= MAX_TIME_BYTES)
            .and_then(|text| parse_instant(text).or_else(|| parse_date(text, self.0)))
            .and_then(UtcInstant::new);
        instant.ok_or_else(|| InvalidValue::value(expected))
    }

    fn schema(&self) -> Value {
        json!({
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_TIME_BYTES,
            "description": "RFC 3339 with any offset, or `YYYY-MM-DD`, in the years 0001 to 9999 of UTC.",
        })
    }
}

fn parse_instant(text: &str) -> Option<OffsetDateTime> {
    // A plus sign that is not escaped in a URL has become a space.
    let with_plus = text.replace(' ', "+");
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&with_plus, &Rfc3339))
        .ok()
}

fn parse_date(text: &str, edge: DayEdge) -> Option<OffsetDateTime> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    Some(match edge {
        DayEdge::Start => day.midnight().assume_utc(),
        DayEdge::End => day.with_time(time!(23:59:59.999_999)).assume_utc(),
    })
}

impl<T> FieldKind for Encoded<T> {
    type Value = T;

    fn parse(&self, value: &Value) -> Result<T, InvalidValue> {
        let max_bytes = self.max_bytes;
        let text = Text { max_bytes }.parse(value)?;
        (self.decode)(&text).ok_or_else(|| InvalidValue::value(self.expected))
    }

    fn schema(&self) -> Value {
        let max_bytes = self.max_bytes;
        Text { max_bytes }.schema()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn instant(text: &str, edge: DayEdge) -> Option<OffsetDateTime> {
        let instant = Instant(edge).parse(&json!(text)).ok();
        instant.map(UtcInstant::get)
    }

    #[test]
    fn dates_mean_whole_utc_days() {
        let (start, end) = (DayEdge::Start, DayEdge::End);
        assert_eq!(
            instant("2026-03-01", start),
            Some(datetime!(2026-03-01 00:00 UTC))
        );
        assert_eq!(
            instant("2026-03-01", end),
            Some(datetime!(2026-03-01 23:59:59.999_999 UTC))
        );
    }

    #[test]
    fn instants_keep_their_offset() {
        assert_eq!(
            instant("2026-03-01T00:00:00+02:00", DayEdge::End),
            Some(datetime!(2026-02-28 22:00 UTC))
        );
    }

    #[test]
    fn offset_without_plus_sign_is_accepted() {
        assert_eq!(
            instant("2026-03-01T00:00:00 02:00", DayEdge::Start),
            Some(datetime!(2026-02-28 22:00 UTC))
        );
    }

    #[test]
    fn years_beyond_utc_bounds_are_rejected() {
        for text in [
            "9999-12-31T23:59:59-00:01",
            "0001-01-01T00:00:00+00:01",
            "0000-12-31",
            "0000-12-31T23:59:59Z",
            "-9999-01-01",
            "-4713-01-01",
            "+10000-01-01",
        ] {
            for edge in [DayEdge::Start, DayEdge::End] {
                assert_eq!(instant(text, edge), None, "{text}");
            }
        }
        for text in ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59Z"] {
            assert!(instant(text, DayEdge::End).is_some(), "{text}");
        }
    }

    #[test]
    fn times_over_limit_are_rejected() {
        for (digits, fits) in [(9, true), (43, true), (44, false)] {
            let text = format!("2026-03-01T00:00:00.{}Z", "0".repeat(digits));
            assert_eq!(instant(&text, DayEdge::Start).is_some(), fits, "{digits}");
        }
    }

    #[test]
    fn integers_outside_their_type_are_rejected() {
        let kind = Integer::<u8>::new(0, 1000);
        assert_eq!(kind.parse(&json!(255)), Ok(255));
        assert!(kind.parse(&json!(256)).is_err());
    }
}
