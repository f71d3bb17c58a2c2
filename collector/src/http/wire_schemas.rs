//! `OpenAPI` schemas of types that other crates define.

use dossier_wire::{GapReason, TruncatedField, VariantArray};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};

/// The half of an exchange: `request` or `response`.
#[must_use]
pub fn half() -> Schema {
    let halves = ["request", "response"];
    let half = ObjectBuilder::new().schema_type(Type::String);
    half.enum_values(Some(halves)).into()
}

/// Why a producer lost records.
#[must_use]
pub fn gap_reason() -> Schema {
    let reasons = GapReason::VARIANTS.iter().map(<&str>::from);
    let reason = ObjectBuilder::new().schema_type(Type::String);
    reason.enum_values(Some(reasons)).into()
}

/// Names and values, in order, with duplicates.
#[must_use]
pub fn pairs() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let pair = ArrayBuilder::new()
        .items(text)
        .min_items(Some(2))
        .max_items(Some(2));
    let description = "Pairs of a name and a value, in order, duplicates kept.";
    ArrayBuilder::new()
        .items(pair)
        .description(Some(description))
        .into()
}

/// A set of fields of a record.
#[must_use]
pub fn truncated_fields() -> Schema {
    let names = TruncatedField::VARIANTS.iter().map(<&str>::from);
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names));
    let description = "Fields of which only the beginning was recorded, because they were too long; absent if none was. \
                       For the body there is `content.truncated`.";
    ArrayBuilder::new()
        .items(name)
        .unique_items(true)
        .description(Some(description))
        .into()
}
