//! Metadata that a producer leaves to the collector, because it cannot decode the body.

use std::borrow::Cow;
use std::collections::BTreeMap;

use dossier_body::decoded;
use dossier_capture::json::{JsonPath, Paths};
use dossier_wire::limits::{MAX_METADATA_PATHS, MAX_NAME_BYTES};
use dossier_wire::{Record, TruncatedField};

use super::fields::InvalidRecord;

/// Of a body, decoded: what follows is not searched.
const MAX_SEARCHED_BYTES: usize = 8 << 20;
const FIELD: &str = "metadata_paths";

/// Adds what the record's paths lead to in its body.
pub(super) fn add(record: &mut Record<'_>, body: &[u8]) -> Result<(), InvalidRecord> {
    let wanted = std::mem::take(&mut record.metadata_paths);
    if wanted.is_empty() {
        return Ok(());
    }
    let (names, paths) = parse(wanted)?;
    let encoding = record.content_encoding.as_deref();
    let encoding = encoding.filter(|_| !record.body_decoded);
    let Some(body) = decoded(body, encoding, MAX_SEARCHED_BYTES) else {
        return Ok(());
    };
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
