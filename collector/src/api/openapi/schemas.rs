//! The shapes that the document names.

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::requests;
use crate::api::{delete, exchanges, health, query, sessions};
use crate::http::envelope::{Metadata, Warning};
use crate::http::error::FieldError;
use crate::ingest::BatchReceipt;

/// All of them, by name.
pub(super) fn all() -> Map<String, Value> {
    let mut derived = Vec::new();
    add::<query::answer::Page>(&mut derived);
    add::<sessions::answer::Page>(&mut derived);
    add::<exchanges::Exchange>(&mut derived);
    add::<delete::Answer>(&mut derived);
    add::<BatchReceipt>(&mut derived);
    add::<health::Readiness>(&mut derived);
    add::<Metadata<'_>>(&mut derived);
    add::<Warning>(&mut derived);
    add::<FieldError>(&mut derived);
    let derived = derived
        .into_iter()
        .map(|(name, schema)| (name, json!(schema)));
    derived.chain(requests::schemas()).collect()
}

/// A reference to one of them.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Puts a field into an object.
pub(super) fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

fn add<T: ToSchema + PartialSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    all.push((T::name().into_owned(), T::schema()));
    T::schemas(all);
}
