//! Metadata that a producer leaves to the collector, because it cannot decode the body.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dossier_body::decoded;
use dossier_capture::json::{JsonPath, Paths};
use dossier_wire::limits::{MAX_METADATA_PATHS, MAX_NAME_BYTES};
use dossier_wire::{Record, TruncatedField};

use super::fields::InvalidRecord;

/// Of a body, decoded: what follows is not searched.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Of all bodies of a batch, decoded: small ones may become large.
const MAX_BATCH_BYTES: usize = 64 << 20;
const FIELD: &str = "metadata_paths";

/// What may still be decoded of the bodies of a batch.
#[derive(Debug)]
pub(super) struct SearchBudget {
    bytes: usize,
}

impl Default for SearchBudget {
    fn default() -> Self {
        Self {
            bytes: MAX_BATCH_BYTES,
        }
    }
}

/// Adds what the record's paths lead to in its body. Without a budget nothing is searched, and the metadata is marked
/// as cut.
pub(super) fn add(
    record: &mut Record<'_>,
    body: &[u8],
    budget: &mut SearchBudget,
) -> Result<(), InvalidRecord> {
    let wanted = std::mem::take(&mut record.metadata_paths);
    if wanted.is_empty() {
        return Ok(());
    }
    let (names, paths) = parse(wanted)?;
    let encoding = record.content_encoding.as_deref();
    let encoding = encoding.filter(|_| !record.body_decoded);
    if budget.bytes == 0 {
        record.truncated_fields.insert(TruncatedField::Metadata);
        return Ok(());
    }
    let Some(body) = decoded(body, encoding, MAX_BODY_BYTES.min(budget.bytes)) else {
        return Ok(());
    };
    budget.bytes -= body.len();
    let values = paths.last_values(&body, record.content_type.as_deref());
    for (name, scalar) in names.into_iter().zip(values) {
        if let Some(scalar) = scalar {
            let fields = &mut record.truncated_fields;
            fields.insert_if(scalar.truncated, TruncatedField::Metadata);
            record.metadata.insert(name, scalar.value);
        }
    }
    Ok(())
}

fn parse(
    wanted: BTreeMap<Cow<'_, str>, Cow<'_, str>>,
) -> Result<(Vec<String>, Paths), InvalidRecord> {
    if wanted.len() > MAX_METADATA_PATHS {
        return Err(InvalidRecord::TooManyPaths);
    }
    let (mut names, mut paths) = (Vec::new(), Vec::new());
    for (name, path) in wanted {
        if name.len() > MAX_NAME_BYTES {
            return Err(InvalidRecord::NameTooLong(FIELD));
        }
        names.push(name.into_owned());
        paths.push(JsonPath::parse(&path).map_err(|_| InvalidRecord::Path)?);
    }
    Ok((names, Paths::new(paths)))
}

#[cfg(test)]
mod tests {
    use dossier_wire::Half;

    use super::*;

    #[test]
    fn batch_has_a_budget() {
        let mut budget = SearchBudget { bytes: 10 };
        let mut taken = |body: &str| {
            let at = 1_772_366_400_000_000;
            let mut record = Record::new(uuid::Uuid::nil(), Half::Request, "alice", "/", at);
            record.metadata_paths = BTreeMap::from([("a".into(), "$.a".into())]);
            add(&mut record, body.as_bytes(), &mut budget).unwrap();
            (record.metadata.len(), !record.truncated_fields.is_empty())
        };
        assert_eq!(taken(r#"{"a":1}"#), (1, false));
        assert_eq!(taken(r#"{"a":1}"#), (0, false), "only three bytes are read");
        assert_eq!(taken(r#"{"a":1}"#), (0, true), "and nothing more");
    }
}
