//! Which entries match: the fields of [`FILTERS`](super::fields::FILTERS) as a filter of the store.

use dossier_wire::Half;

use super::fields::{
    COMPLETION, CONTENT_TYPE, END_DATE, ENDPOINT, EXCHANGE_ID, HOST, METADATA_FILTERS, METHOD,
    MIN_DURATION_MS, MIN_SIZE, PATH, PATH_PREFIX, REQUEST_ID, ROUTE, SESSION_ID, START_DATE,
    STATUS, STORAGE_TYPE, TRACE_ID, TYPE,
};
use super::metadata_filters;
use super::precedence::Precedence;
use crate::api::request::{FieldReader, InvalidValue};
use crate::model::endpoint::filed_under;
use crate::model::filter::{MetadataFilter, MetadataTest};
use crate::model::ids::{ExchangeId, SessionId};
use crate::store::{EntryFilter, SessionChoice};
use dossier_content::media_type::MediaType;

#[derive(Debug)]
pub(in crate::api) struct ParsedFilter {
    /// Its endpoint is in normal form, within the bound of stored ones.
    pub(in crate::api) filter: EntryFilter,
    /// The endpoint as the caller wrote it.
    pub(in crate::api) given_endpoint: Option<String>,
}

/// Errors are collected in `reader`; the caller finishes it.
pub(super) fn parse(reader: &mut FieldReader, precedence: &mut Precedence) -> ParsedFilter {
    let from = reader.read(&START_DATE);
    let to = reader.read(&END_DATE);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        let invalid = InvalidValue::value("start_date is after end_date");
        reader.reject(START_DATE.name, invalid);
    }
    let given_endpoint = reader.read(&ENDPOINT);
    let endpoint = given_endpoint.as_deref().map(filed_under);
    let filter = EntryFilter {
        half: parse_half(reader, precedence),
        endpoint: endpoint.map(std::borrow::Cow::into_owned),
        from,
        to,
        session: reader.read(&SESSION_ID).map(SessionChoice::new),
        exchange: reader.read(&EXCHANGE_ID).map(ExchangeId),
        status: reader.read(&STATUS),
        method: reader.read(&METHOD).map(|it| it.to_ascii_uppercase()),
        request_id: reader.read(&REQUEST_ID),
        trace: reader.read(&TRACE_ID),
        host: reader.read(&HOST),
        route: reader.read(&ROUTE),
        path: reader.read(&PATH),
        path_prefix: reader.read(&PATH_PREFIX),
        min_duration_ms: reader.read(&MIN_DURATION_MS),
        completion: reader.read(&COMPLETION),
        content_type: reader
            .read(&CONTENT_TYPE)
            .map(|it| MediaType::parse(Some(&it)).essence()),
        min_size: reader.read(&MIN_SIZE),
        metadata: reader
            .read(&METADATA_FILTERS)
            .map(|filters| metadata_filters::parse(reader, filters))
            .unwrap_or_default(),
    };
    ParsedFilter {
        filter,
        given_endpoint,
    }
}

fn parse_half(reader: &mut FieldReader, precedence: &mut Precedence) -> Option<Half> {
    let by_alias = reader.read(&TYPE);
    let by_name = reader.read(&STORAGE_TYPE);
    if by_alias.is_some() && by_name.is_some() {
        precedence.add("Both storage_type and type provided. Using storage_type parameter.");
    }
    by_name.or(by_alias).flatten()
}

/// Entries show their session among the metadata, so callers name it there, too. It is then looked up as
/// if the field `session_id` had named it, which has an index.
pub(super) fn merge_session(filter: &mut EntryFilter, precedence: &mut Precedence) {
    let Some(position) = filter.metadata.iter().position(|it| it.path.is_session()) else {
        return;
    };
    if filter.session.is_some() {
        precedence.add(
            "Both session_id parameter and metadata_filters['session_id'] provided. Using session_id parameter.",
        );
        filter.metadata.remove(position);
    } else if let Some(session) = filter.metadata.get(position).and_then(named_session) {
        filter.session = Some(session.into());
        filter.metadata.remove(position);
    }
}

fn named_session(filter: &MetadataFilter) -> Option<SessionId> {
    let [MetadataTest::Equals(scalar)] = filter.tests.as_slice() else {
        return None;
    };
    scalar.value().as_str()?.parse().ok().map(SessionId)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::query::fields::ENTRY_QUERY;
    use crate::model::filter::MetadataPath;

    const SESSION: &str = "0190d5a0-0000-7000-8000-000000000001";

    fn merged(metadata: &Value, parameter: Option<&str>) -> (EntryFilter, Option<String>) {
        let body = json!({"metadata_filters": metadata, "session_id": parameter}).to_string();
        let mut reader = FieldReader::from_json(body.as_bytes(), &ENTRY_QUERY).unwrap();
        let mut precedence = Precedence::default();
        let mut filter = parse(&mut reader, &mut precedence).filter;
        reader.finish().unwrap();
        merge_session(&mut filter, &mut precedence);
        (filter, precedence.warning().map(|it| it.message))
    }

    #[test]
    fn session_parameter_takes_precedence_over_metadata() {
        let (filter, message) = merged(&json!({"session_id": "x", "a": 1}), Some(SESSION));
        assert_eq!(filter.session.unwrap().asked, SESSION);
        assert_eq!(filter.metadata.len(), 1);
        assert_eq!(
            message.unwrap(),
            "Both session_id parameter and metadata_filters['session_id'] provided. Using session_id parameter."
        );
    }

    #[test]
    fn session_in_metadata_filters_the_session() {
        let (filter, message) = merged(&json!({"session_id": SESSION}), None);
        assert_eq!(filter.session.unwrap().asked, SESSION);
        assert!(filter.metadata.is_empty() && message.is_none());
    }

    #[test]
    fn other_session_conditions_stay_in_metadata() {
        for other in [json!("x"), json!({"exists": false}), json!(null)] {
            let (filter, message) = merged(&json!({ "session_id": other }), None);
            assert!(filter.session.is_none() && message.is_none());
            assert_eq!(
                filter.metadata[0].path,
                MetadataPath::new("session_id").unwrap()
            );
        }
    }
}
