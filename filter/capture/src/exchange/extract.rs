//! Extracts metadata and session ids from the traffic. Bodies are read after redaction, so that no
//! redacted value gets into the metadata.

use dossier_content::whitespace::trim;
use dossier_wire::limits::MAX_SESSION_ID_BYTES;
use dossier_wire::limits::filter::MAX_METADATA_VALUE_BYTES;
use serde_json::Value;

use super::metadata::Metadata;
use super::redactor::Redactor;
use crate::config::{Extraction, ExtractionTarget, SessionSource};
use crate::headers::Headers;
use crate::json::Scalar;
use crate::redact::RedactionCounts;
use crate::text;

/// Adds metadata from a half's headers.
pub(super) fn add_header_values(
    extraction: &Extraction,
    headers: &Headers,
    (redactor, counts): (Redactor<'_>, &mut RedactionCounts),
    metadata: &mut Metadata,
) {
    for (name, header) in &extraction.headers {
        if let Some(value) = headers.get(header) {
            let sent = (value, MAX_METADATA_VALUE_BYTES);
            metadata.insert_text(name, redactor.redact_header(header, sent, counts));
        }
    }
}

/// Adds metadata from a half's body and returns the session id in it.
pub(super) fn add_body_values(
    extraction: &Extraction,
    (body, content_type): (&[u8], Option<&str>),
    metadata: &mut Metadata,
) -> Option<String> {
    let mut session = None;
    let values = extraction.paths.last_values(body, content_type);
    for (target, scalar) in extraction.targets.iter().zip(values) {
        match (target, scalar) {
            (ExtractionTarget::Metadata(name), Some(scalar)) => metadata.insert(name, scalar),
            (ExtractionTarget::Session, Some(scalar)) => {
                session = session_from_scalar(scalar);
            }
            (_, None) => {}
        }
    }
    session
}

/// The paths of metadata in a body, by name, for the collector to follow them.
pub(super) fn metadata_paths(extraction: &Extraction) -> Vec<(String, String)> {
    let paths = extraction.targets.iter().zip(extraction.paths.as_slice());
    paths
        .filter_map(|(target, path)| match target {
            ExtractionTarget::Metadata(name) => Some((name.clone(), path.to_string())),
            ExtractionTarget::Session => None,
        })
        .collect()
}

/// Finds the session id in the request's headers.
pub(super) fn find_session(source: &SessionSource, headers: &Headers) -> Option<String> {
    let bytes = match source {
        SessionSource::Header(name) => headers.get(name)?.to_vec(),
        SessionSource::Cookie(name) => find_cookie(headers, name)?.to_vec(),
        SessionSource::Query(name) => {
            let target = headers.get(":path").unwrap_or_default();
            find_query_parameter(text::split_query(target).1?, name)?
        }
        SessionSource::RequestJson(_) => return None,
    };
    validate_session(std::str::from_utf8(&bytes).ok()?)
}

/// A number names the session as it is written: as numbers, different ids may be the same.
fn session_from_scalar(scalar: Scalar) -> Option<String> {
    match scalar.value {
        _ if scalar.truncated => None,
        Value::String(text) => validate_session(&text),
        Value::Number(_) => validate_session(&scalar.digits),
        _ => None,
    }
}

/// Longer ids are ignored, not truncated: two sessions with a common prefix are not one.
fn validate_session(text: &str) -> Option<String> {
    let text = trim(text);
    let sound =
        (1..=MAX_SESSION_ID_BYTES).contains(&text.len()) && !text.contains(char::is_control);
    sound.then(|| text.to_owned())
}

fn find_cookie<'h>(headers: &'h Headers, name: &str) -> Option<&'h [u8]> {
    headers
        .all("cookie")
        .flat_map(|value| value.split(|byte| *byte == b';'))
        .find_map(|pair| {
            let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b"=")
        })
}

fn find_query_parameter(query: &[u8], name: &str) -> Option<Vec<u8>> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(text::decode_query_value(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::tests::headers;
    use crate::json::Paths;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn finds_session_in_header_cookie_or_query() {
        let map = headers(&[
            (":path", "/a?xsid=1&sid=s%2Fquery+1&sid=second"),
            ("x-session", " from-header "),
            ("cookie", "a=1; xsid=2; sid=from-cookie"),
        ]);
        let named = |source: SessionSource| find_session(&source, &map);
        let sid = || "sid".to_owned();
        assert_eq!(
            named(SessionSource::Header("x-session".into())).as_deref(),
            Some("from-header")
        );
        assert_eq!(
            named(SessionSource::Cookie(sid())).as_deref(),
            Some("from-cookie")
        );
        assert_eq!(
            named(SessionSource::Query(sid())).as_deref(),
            Some("s/query 1")
        );
        assert_eq!(named(SessionSource::Header("absent".into())), None);
    }

    #[test]
    fn numbers_name_sessions_as_they_are_written() {
        let paths = || Paths::new(vec!["$.id".parse().unwrap()]);
        let named = |id: &str| {
            let body = format!("{{\"id\": {id}}}");
            let scalar = paths().first_values(body.as_bytes()).remove(0);
            session_from_scalar(scalar.unwrap())
        };
        for id in [
            "18446744073709551617",
            "18446744073709551618",
            "1.5",
            "1.50",
            "7",
            "-0",
            "1e3",
        ] {
            assert_eq!(named(id).as_deref(), Some(id));
        }
        assert_eq!(named(&"9".repeat(1024)).unwrap().len(), 1024);
        assert_eq!(named(&"9".repeat(1025)), None);
    }

    #[test]
    fn rejects_overlong_or_invalid_session_id() {
        assert_eq!(validate_session(&"s".repeat(1024)).unwrap().len(), 1024);
        for wrong in ["", "  ", "a\u{0}b", "a\nb", &"s".repeat(1025)] {
            assert_eq!(validate_session(wrong), None);
        }
    }
}
