//! `OpenAPI` schemas of types that other crates define.

use dossier_wire::GapReason;
use strum::VariantArray;
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
