//! The metadata of an exchange: constants, and values from the traffic, which are limited in length.

use dossier_wire::limits::filter::{MAX_METADATA_BYTES, MAX_METADATA_VALUE_BYTES};
use serde_json::{Map, Value};

use crate::json::{MAX_ESCAPE_BYTES, Scalar};
use crate::text::{self, Truncated};

#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) values: Map<String, Value>,
    /// Some text is only the beginning of what was sent.
    pub(super) truncated: bool,
}

impl Metadata {
    pub(super) const fn new(constants: Map<String, Value>) -> Self {
        Self {
            values: constants,
            truncated: false,
        }
    }

    pub(super) fn insert_text(&mut self, name: &str, text: Truncated) {
        let Truncated { text, was_longer } = replace_nul(text);
        self.values.insert(name.to_owned(), Value::String(text));
        self.truncated |= was_longer;
    }

    pub(super) fn insert(&mut self, name: &str, scalar: Scalar) {
        match scalar.value {
            Value::String(text) => {
                let was_longer = scalar.truncated;
                self.insert_text(name, Truncated { text, was_longer });
            }
            other => {
                self.values.insert(name.to_owned(), other);
            }
        }
    }

    /// Truncates all texts further if the metadata is over its bound, for which it takes scores of long values, or
    /// control characters.
    pub(super) fn limit(&mut self) {
        let texts = self.values.iter();
        let bytes: usize = texts
            .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
            .sum();
        if bytes * MAX_ESCAPE_BYTES <= MAX_METADATA_BYTES / 2 || self.fits() {
            return;
        }
        // Half of it is left to names, which the configuration bounds, and numbers.
        let max = MAX_METADATA_BYTES / 2 / MAX_ESCAPE_BYTES / self.values.len().max(1);
        for value in self.values.values_mut() {
            if let Value::String(text) = value {
                let shorter = text::truncate(text.as_bytes(), max);
                self.truncated |= shorter.was_longer;
                *text = shorter.text;
            }
        }
    }

    fn fits(&self) -> bool {
        serde_json::to_vec(&self.values).is_ok_and(|json| json.len() <= MAX_METADATA_BYTES)
    }
}

/// The database cannot store NUL.
fn replace_nul(text: Truncated) -> Truncated {
    if !text.text.contains('\0') {
        return text;
    }
    let replaced = Truncated {
        text: text.text.replace('\0', "\u{fffd}"),
        ..text
    };
    replaced.again(MAX_METADATA_VALUE_BYTES)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn with_texts(count: usize, text: &str) -> Metadata {
        let mut metadata = Metadata::new(Map::new());
        for number in 0..count {
            metadata.insert_text(
                &format!("name-{number}"),
                text::truncate(text.as_bytes(), 1024),
            );
        }
        metadata.limit();
        metadata
    }

    #[test]
    fn usual_values_stay_whole() {
        let metadata = with_texts(32, &"x".repeat(1024));
        assert_eq!(metadata.values["name-31"], json!("x".repeat(1024)));
        assert!(!metadata.truncated);
    }

    #[test]
    fn values_that_escapes_make_long_are_truncated() {
        let metadata = with_texts(96, &"\u{1}".repeat(1024));
        assert!(metadata.truncated && metadata.fits());
        assert!(metadata.values["name-95"].as_str().unwrap().len() > 50);
    }

    #[test]
    fn replaced_nul_stays_within_bound() {
        let metadata = with_texts(1, &"\0".repeat(1000));
        assert_eq!(metadata.values["name-0"], json!("\u{fffd}".repeat(341)));
        assert!(metadata.truncated);
    }
}
