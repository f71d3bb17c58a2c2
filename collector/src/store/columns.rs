//! Decodes columns that several parts of the store read.

use std::collections::HashMap;
use std::sync::Arc;

use dossier_body::dictionary::{Dictionary, DictionaryId};
use dossier_body::packing::Codec;
use dossier_wire::Half;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::StoreError;
use crate::model::entry::StoredBody;
use crate::model::ids::UserId;

pub(super) fn user_id(text: String) -> Result<UserId, StoreError> {
    UserId::new(text).map_err(|_| StoreError::UnknownValue { column: "user_id" })
}

/// The body, if the row has one. `dictionaries` has the one that it needs.
pub(super) fn stored_body(
    row: &PgRow,
    dictionaries: &HashMap<DictionaryId, Arc<Dictionary>>,
) -> Result<Option<StoredBody>, StoreError> {
    let (codec, data): (Option<&str>, Option<Vec<u8>>) =
        (row.try_get("codec")?, row.try_get("data")?);
    let (Some(codec), Some(data)) = (codec, data) else {
        return Ok(None);
    };
    let dictionary: Option<i32> = row.try_get("dictionary_id")?;
    let dictionary = dictionary.and_then(|id| dictionaries.get(&DictionaryId(id)));
    let dictionary = dictionary.cloned().map(Codec::Dictionary);
    let codec = [Codec::Identity, Codec::Zstd]
        .into_iter()
        .chain(dictionary)
        .find(|known| <&str>::from(known) == codec)
        .ok_or(StoreError::UnknownValue { column: "codec" })?;
    Ok(Some(StoredBody { codec, data }))
}

/// From its label in the database.
pub(super) fn half(label: &str) -> Result<Half, StoreError> {
    label.parse().map_err(|_| StoreError::UnknownValue {
        column: "entries.half",
    })
}
