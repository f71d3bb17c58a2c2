//! `include`: the parts of entries that are read only on request.

use serde_json::{Value, json};

use crate::api::request::{FieldKind, InvalidValue, ToJson, joined_names};
use crate::store::EntryParts;

const PARTS: &[(&str, EntryParts)] = &[
    (
        "data",
        EntryParts {
            bodies: true,
            headers: false,
        },
    ),
    (
        "headers",
        EntryParts {
            bodies: false,
            headers: true,
        },
    ),
];

/// A list of the names of parts.
#[derive(Debug)]
pub(in crate::api) struct IncludedParts;

impl FieldKind for IncludedParts {
    type Value = EntryParts;

    fn parse(&self, value: &Value) -> Result<EntryParts, InvalidValue> {
        let parts = value.as_array().and_then(|items| {
            let parts = items.iter().map(|item| part(item.as_str()?));
            parts.collect::<Option<Vec<_>>>()
        });
        let parts = parts.ok_or_else(|| {
            InvalidValue::value(format!("expected a list of {}", joined_names(PARTS)))
        })?;
        Ok(EntryParts {
            bodies: parts.iter().any(|it| it.bodies),
            headers: parts.iter().any(|it| it.headers),
        })
    }

    fn schema(&self) -> Value {
        let names: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
        json!({"type": "array", "items": {"enum": names}})
    }
}

impl ToJson for IncludedParts {
    fn to_json(&self, value: &EntryParts) -> Value {
        let included = PARTS
            .iter()
            .filter(|(_, part)| part.bodies && value.bodies || part.headers && value.headers);
        included.map(|(name, _)| *name).collect()
    }
}

fn part(name: &str) -> Option<EntryParts> {
    let named = PARTS.iter().find(|(it, _)| *it == name);
    named.map(|(_, part)| *part)
}
