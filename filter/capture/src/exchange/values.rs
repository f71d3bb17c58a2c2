//! Metadata and the name of the session, taken from the traffic. Bodies are read after redaction, so
//! that nothing comes back by this way that was taken out.

use serde_json::{Map, Value};

use super::redactor::Redactor;
use crate::config::{Extraction, SessionSource, Target};
use crate::headers::Headers;
use crate::redact::Counts;
use crate::text;

/// Longest text of a value.
const MAX_VALUE_BYTES: usize = 1024;
/// A session's name is never cut: two sessions whose names begin alike are not one.
const MAX_SESSION_BYTES: usize = 256;

/// Adds the metadata that a half's headers give.
pub(super) fn from_headers(
    extraction: &Extraction,
    headers: &Headers,
    (redactor, counts): (Redactor<'_>, &mut Counts),
    metadata: &mut Map<String, Value>,
) {
    for (name, header) in &extraction.headers {
        if let Some(value) = headers.get(header) {
            let value = redactor.header(header, (value, MAX_VALUE_BYTES), counts);
            metadata.insert(name.clone(), storable(Value::String(value)));
        }
    }
}

/// Adds the metadata that a half's body gives, and returns the session that it names.
pub(super) fn from_body(
    extraction: &Extraction,
    body: &[u8],
    metadata: &mut Map<String, Value>,
) -> Option<String> {
    let mut session = None;
    for (target, value) in extraction
        .targets
        .iter()
        .zip(extraction.paths.first_values(body))
    {
        match (target, value.map(storable)) {
            (Target::Metadata(name), Some(value)) => {
                metadata.insert(name.clone(), value);
            }
            (Target::Session, Some(value)) => session = session_name(value),
            (_, None) => {}
        }
    }
    session
}

/// The session that the request's head names.
pub(super) fn session(source: &SessionSource, headers: &Headers) -> Option<String> {
    let bytes = match source {
        SessionSource::Header(name) => headers.get(name)?.to_vec(),
        SessionSource::Cookie(name) => cookie(headers, name)?.to_vec(),
        SessionSource::Query(name) => {
            let target = headers.get(":path").unwrap_or_default();
            parameter(text::split_query(target).1?, name)?
        }
        SessionSource::RequestJson(_) => return None,
    };
    sound_session(std::str::from_utf8(&bytes).ok()?)
}

fn session_name(value: Value) -> Option<String> {
    match value {
        Value::String(text) => sound_session(&text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn sound_session(text: &str) -> Option<String> {
    let text = text.trim();
    let sound = (1..=MAX_SESSION_BYTES).contains(&text.len()) && !text.contains(char::is_control);
    sound.then(|| text.to_owned())
}

/// Takes out what a database cannot store.
fn storable(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "\u{fffd}")),
        other => other,
    }
}

fn cookie<'h>(headers: &'h Headers, name: &str) -> Option<&'h [u8]> {
    headers
        .all("cookie")
        .flat_map(|value| value.split(|byte| *byte == b';'))
        .find_map(|pair| {
            let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b"=")
        })
}

fn parameter(query: &[u8], name: &str) -> Option<Vec<u8>> {
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(text::percent_decoded(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::tests::headers;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_session_is_named_by_a_header_a_cookie_or_the_query() {
        let map = headers(&[
            (":path", "/a?xsid=1&sid=s%2Fquery+1&sid=second"),
            ("x-session", " from-header "),
            ("cookie", "a=1; xsid=2; sid=from-cookie"),
        ]);
        let named = |source: SessionSource| session(&source, &map);
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
    fn a_name_too_long_or_unsound_names_no_session() {
        assert_eq!(sound_session(&"s".repeat(256)).unwrap().len(), 256);
        for wrong in ["", "  ", "a\u{0}b", "a\nb", &"s".repeat(257)] {
            assert_eq!(sound_session(wrong), None);
        }
    }
}
