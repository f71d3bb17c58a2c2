//! Tells JSON that every strict parser reads from JSON that only some read.
//!
//! A recorded body is handed on as it was written, inside of a larger document. What a parser refuses there makes the
//! whole document unreadable: half of a surrogate pair, a number beyond the range of a double, deep nesting.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects. Strict parsers read 127 levels or more; the rest is for what surrounds a body.
pub const MAX_NESTING: u8 = 100;

/// Why a text is not handed on as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotPortable {
    /// It is no JSON.
    NotJson,
    /// It is JSON, but not every parser reads it.
    OnlyBySome,
}

/// The JSON value that a text is, unchanged.
pub(crate) fn parse(text: &str) -> Result<&RawValue, NotPortable> {
    let json: &RawValue = serde_json::from_str(text).map_err(|_| NotPortable::NotJson)?;
    let mut parser = serde_json::Deserializer::from_str(json.get());
    let checked = Level(MAX_NESTING).deserialize(&mut parser);
    checked.map_err(|_| NotPortable::OnlyBySome)?;
    Ok(json)
}

/// Reads a value and keeps nothing of it. Holds how many levels may follow.
#[derive(Clone, Copy)]
struct Level(u8);

impl Level {
    fn below<E: Error>(self) -> Result<Self, E> {
        let below = self.0.checked_sub(1).map(Self);
        below.ok_or_else(|| E::custom("nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

/// `serde_json` checks escapes and ranges when it hands over a string or a number.
impl<'de> Visitor<'de> for Level {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while items.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while members.next_key_seed(below)?.is_some() {
            members.next_value_seed(below)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn nested(levels: u8) -> String {
        let levels = usize::from(levels);
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn json_that_all_parsers_read_is_unchanged() {
        for text in [
            "null",
            r#"{"a": [1, -0.0, 1E+2, "\ud83d\ude00", "\u0000"], "a": 18446744073709551617}"#,
            "1e308",
            "1e-400",
            &nested(MAX_NESTING),
        ] {
            assert_eq!(parse(text).map(RawValue::get), Ok(text));
        }
    }

    #[test]
    fn json_that_some_parsers_refuse_is_told_apart() {
        for text in [
            r#"{"prompt":"cut \ud83d"}"#,
            r#"{"\udc00":1}"#,
            r#"["\ud83d\ud83d"]"#,
            r#"["\ude00\ud83d"]"#,
            r#"{"e":1e400}"#,
            "-1e309",
            &"9".repeat(400),
            &nested(MAX_NESTING + 1),
            &format!("{}1{}", r#"{"a":"#.repeat(30_000), "}".repeat(30_000)),
        ] {
            let refused = parse(text).map(RawValue::get);
            assert_eq!(refused, Err(NotPortable::OnlyBySome), "{text:.40}");
        }
    }

    #[test]
    fn other_texts_are_no_json() {
        for text in [
            "",
            "nul",
            "[1,]",
            r#"{"a":1"#,
            "NaN",
            "01",
            r#""\x""#,
            "1 2",
        ] {
            let refused = parse(text).map(RawValue::get);
            assert_eq!(refused, Err(NotPortable::NotJson), "{text}");
        }
    }

    proptest! {
        #[test]
        fn portable_json_parses_strictly(text in r#"[\[\]{}:,"\\ud83e019.+-]{0,24}"#) {
            if let Ok(json) = parse(&text) {
                prop_assert!(serde_json::from_str::<Value>(json.get()).is_ok());
            }
        }
    }
}
