//! Reads which entries are wanted.

use dossier_wire::Half;

use super::metadata;
use super::precedence::Precedence;
use crate::api::fields::{DayEdge, Fields};
use crate::http::error::ApiError;
use crate::model::endpoint::normalise;
use crate::model::filter::{MetadataFilter, MetadataTest};
use crate::model::ids::{ExchangeId, SessionId};
use crate::store::{EntryFilter, Store};

/// The fields that are read here.
pub(in crate::api) const FIELDS: &[&str] = &[
    "storage_type",
    "type",
    "endpoint",
    "start_date",
    "end_date",
    "metadata_filters",
    "session_id",
    "exchange_id",
    "status",
    "method",
];
pub(in crate::api) const MAX_ENDPOINT_BYTES: usize = 8 * 1024;
pub(in crate::api) const MAX_METHOD_BYTES: usize = 64;

/// Which entries are wanted.
#[derive(Debug)]
pub(in crate::api) struct ParsedFilter {
    /// Its endpoint in normal form.
    pub(in crate::api) filter: EntryFilter,
    /// The endpoint as it was given.
    pub(in crate::api) endpoint: Option<String>,
}

/// Reads all of [`FIELDS`]. Faults are noted in `fields`; whoever calls ends the reading.
///
/// # Errors
/// [`ApiError::Unavailable`] if Postgres cannot be asked about a regular expression.
pub(in crate::api) async fn read(
    store: &Store,
    fields: &mut Fields,
    precedence: &mut Precedence,
) -> Result<ParsedFilter, ApiError> {
    let from = fields.instant("start_date", DayEdge::Start);
    let to = fields.instant("end_date", DayEdge::End);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        fields.error(
            "start_date",
            "start_date lies after end_date",
            "value_error",
        );
    }
    let endpoint = fields.text("endpoint", MAX_ENDPOINT_BYTES);
    let mut filter = EntryFilter {
        half: read_half(fields, precedence),
        endpoint: endpoint.as_deref().map(|it| normalise(it).into_owned()),
        from,
        to,
        session: fields.uuid("session_id").map(SessionId),
        exchange: fields.uuid("exchange_id").map(ExchangeId),
        status: fields
            .integer("status", 100, 599)
            .and_then(|status| i16::try_from(status).ok()),
        method: fields
            .text("method", MAX_METHOD_BYTES)
            .map(|method| method.to_ascii_uppercase()),
        metadata: metadata::read(fields),
    };
    metadata::check_patterns(store, fields, &filter.metadata).await?;
    settle_session(&mut filter, fields.has("session_id"), precedence);
    Ok(ParsedFilter { filter, endpoint })
}

fn read_half(fields: &mut Fields, precedence: &mut Precedence) -> Option<Half> {
    let choices = [
        ("request", Some(Half::Request)),
        ("response", Some(Half::Response)),
        ("both", None),
    ];
    let by_alias = fields.choice("type", &choices);
    let by_name = fields.choice("storage_type", &choices);
    if by_alias.is_some() && by_name.is_some() {
        precedence.note("Both storage_type and type provided. Using storage_type parameter.");
    }
    by_name.or(by_alias).flatten()
}

/// The session may be named among the metadata too, where it is shown. It is then looked up as if it had
/// been named by the parameter, which has an index.
fn settle_session(filter: &mut EntryFilter, by_parameter: bool, precedence: &mut Precedence) {
    let Some(place) = filter.metadata.iter().position(|it| it.path.is_session()) else {
        return;
    };
    if by_parameter {
        precedence.note(
            "Both session_id parameter and metadata_filters['session_id'] provided. Using session_id parameter.",
        );
        filter.metadata.remove(place);
    } else if let Some(session) = filter.metadata.get(place).and_then(one_session) {
        filter.session = Some(session);
        filter.metadata.remove(place);
    }
}

fn one_session(filter: &MetadataFilter) -> Option<SessionId> {
    let [MetadataTest::Equals(scalar)] = filter.tests.as_slice() else {
        return None;
    };
    scalar.value().as_str()?.parse().ok().map(SessionId)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::filter::MetadataPath;

    const SESSION: &str = "0190d5a0-0000-7000-8000-000000000001";

    fn settled(metadata: &Value, parameter: Option<&str>) -> (EntryFilter, Option<String>) {
        let body = json!({ "metadata_filters": metadata }).to_string();
        let mut fields = Fields::parse(body.as_bytes(), FIELDS).unwrap();
        let mut filter = EntryFilter {
            metadata: metadata::read(&mut fields),
            session: parameter.map(|id| SessionId(id.parse().unwrap())),
            ..EntryFilter::default()
        };
        fields.finish().unwrap();
        let mut precedence = Precedence::default();
        settle_session(&mut filter, parameter.is_some(), &mut precedence);
        (filter, precedence.warning().map(|it| it.message))
    }

    #[test]
    fn the_session_parameter_goes_before_the_metadata() {
        let (filter, told) = settled(&json!({"session_id": "x", "a": 1}), Some(SESSION));
        assert_eq!(filter.session.unwrap().to_string(), SESSION);
        assert_eq!(filter.metadata.len(), 1);
        assert_eq!(
            told.unwrap(),
            "Both session_id parameter and metadata_filters['session_id'] provided. Using session_id parameter."
        );
    }

    #[test]
    fn a_session_among_the_metadata_is_a_session() {
        let (filter, told) = settled(&json!({"session_id": SESSION}), None);
        assert_eq!(filter.session.unwrap().to_string(), SESSION);
        assert!(filter.metadata.is_empty() && told.is_none());
        for other in [json!("x"), json!({"exists": false}), json!(null)] {
            let (filter, told) = settled(&json!({ "session_id": other }), None);
            assert!(filter.session.is_none() && told.is_none());
            assert_eq!(
                filter.metadata[0].path,
                MetadataPath::new("session_id").unwrap()
            );
        }
    }
}
