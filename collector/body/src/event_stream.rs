//! Parses server-sent events, by the rules of the HTML standard.

use dossier_content::sse;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::portable_json::{self, NotPortable};
use crate::streamed_text::StreamedText;
use crate::truncation::MAX_LISTED;

/// The events of a stream.
#[derive(Debug, Serialize)]
pub(super) struct EventStream<'a> {
    pub(super) events: Vec<Event<'a>>,
    /// The text that the events carry in pieces, joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// The events carry more than `text`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) text_incomplete: bool,
    /// An incomplete last event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unfinished: Option<&'a str>,
    /// There are more events than are listed.
    #[serde(skip)]
    pub(super) more: bool,
    /// The data of some event is JSON that not every parser reads, and is shown as text.
    #[serde(skip)]
    pub(super) not_portable: bool,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "event", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Json(Box<RawValue>),
    Text(String),
    /// JSON, shown as text.
    NotPortable(String),
}

/// The fields of the current event.
#[derive(Debug, Default)]
struct EventFields<'a> {
    kind: Option<&'a str>,
    id: Option<&'a str>,
    /// Lines, joined.
    data: Option<String>,
}

/// Lines end with `\n`, `\r` or `\r\n`, events with an empty line.
pub(super) fn parse(text: &str) -> EventStream<'_> {
    let mut stream = EventStream {
        events: Vec::new(),
        text: None,
        text_incomplete: false,
        unfinished: None,
        more: false,
        not_portable: false,
    };
    let (mut fields, mut texts) = (EventFields::default(), StreamedText::default());
    let (mut event_begin, mut rest) = (text, text);
    while let Some((line, after)) = split_line(rest) {
        rest = after;
        if !line.is_empty() {
            fields.add_line(line);
            continue;
        }
        event_begin = rest;
        let Some(event) = std::mem::take(&mut fields).into_event() else {
            continue;
        };
        if stream.events.len() == MAX_LISTED {
            stream.more = true;
            break;
        }
        match &event.data {
            Some(Data::Json(json)) => texts.add(json.get()),
            Some(Data::NotPortable(json)) => {
                texts.add(json);
                stream.not_portable = true;
            }
            Some(Data::Text(_)) | None => {}
        }
        stream.events.push(event);
    }
    let is_cut = !stream.more && (!fields.is_empty() || !(rest.is_empty() || is_comment(rest)));
    stream.unfinished = is_cut.then_some(event_begin);
    if let Some(joined) = texts.join() {
        stream.text = Some(joined.text);
        stream.text_incomplete = joined.incomplete;
    }
    stream
}

/// The first line without its end, and what follows it.
fn split_line(text: &str) -> Option<(&str, &str)> {
    let end = sse::line_end(text.as_bytes())?;
    Some((text.get(..end.start)?, text.get(end.end..)?))
}

fn is_comment(line: &str) -> bool {
    line.starts_with(':')
}

impl<'a> EventFields<'a> {
    fn add_line(&mut self, line: &'a str) {
        let (name, value) = sse::field(line.as_bytes());
        let value = line.get(value..).unwrap_or_default();
        match line.get(..name).unwrap_or_default() {
            "event" => self.kind = Some(value),
            "id" => self.id = Some(value),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments, the reconnection time, and unknown fields.
            _ => {}
        }
    }

    const fn is_empty(&self) -> bool {
        self.kind.is_none() && self.id.is_none() && self.data.is_none()
    }

    fn into_event(self) -> Option<Event<'a>> {
        (!self.is_empty()).then(|| Event {
            kind: self.kind,
            id: self.id,
            data: self.data.map(Data::parse),
        })
    }
}

impl Data {
    fn parse(text: String) -> Self {
        match portable_json::parse(&text) {
            Ok(json) => Self::Json(json.to_owned()),
            Err(NotPortable::NotJson) => Self::Text(text),
            Err(NotPortable::OnlyBySome) => Self::NotPortable(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn shown(text: &str) -> Value {
        serde_json::to_value(parse(text)).unwrap()
    }

    #[test]
    fn chat_completion_is_listed_and_joined() {
        let stream = concat!(
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n",
            ": keep-alive\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\n",
            "data: [DONE]\n\n",
        );
        assert_eq!(
            shown(stream),
            json!({
                "events": [
                    {"data": {"choices": [{"delta": {"content": "Hel"}}]}},
                    {"data": {"choices": [{"delta": {"content": "lo"}}]}},
                    {"data": "[DONE]"},
                ],
                "text": "Hello",
            })
        );
    }

    #[test]
    fn fields_follow_the_standard() {
        for (stream, events) in [
            ("data:x\n\n", json!([{"data": "x"}])),
            ("data:  x\n\n", json!([{"data": " x"}])),
            ("data: a\ndata\ndata: b\n\n", json!([{"data": "a\n\nb"}])),
            (
                "event: e\r\nid: 7\r\ndata: x\r\n\r\n",
                json!([{"event": "e", "id": "7", "data": "x"}]),
            ),
            (
                "data: x\r\rdata: y\r\r",
                json!([{"data": "x"}, {"data": "y"}]),
            ),
            ("event: ping\n\n", json!([{"event": "ping"}])),
            ("retry: 10\nnonsense\n: no\n\n\n\n", json!([])),
            ("data: {\"a\":\ndata: 1}\n\n", json!([{"data": {"a": 1}}])),
            ("", json!([])),
        ] {
            assert_eq!(shown(stream), json!({"events": events}), "{stream:?}");
        }
    }

    #[test]
    fn json_keeps_digits_and_duplicates() {
        let json = r#"{"n":12345678901234567890.10,"a":1,"a":2}"#;
        let stream = format!("data: {json}\n\n");
        let shown = serde_json::to_string(&parse(&stream)).unwrap();
        assert_eq!(shown, format!(r#"{{"events":[{{"data":{json}}}]}}"#));
    }

    #[test]
    fn incomplete_last_event_is_unfinished() {
        for (stream, unfinished) in [
            ("data: x\n\ndata: {\"ch", json!("data: {\"ch")),
            (
                "data: x\n\nevent: e\ndata: y\n",
                json!("event: e\ndata: y\n"),
            ),
            ("data: x\n\nda", json!("da")),
            ("data: x\n\n: keep-al", Value::Null),
            ("data: x\n\n: keep-alive\n", Value::Null),
        ] {
            let shown = shown(stream);
            assert_eq!(shown["events"], json!([{"data": "x"}]), "{stream:?}");
            assert_eq!(shown["unfinished"], unfinished, "{stream:?}");
        }
    }

    #[test]
    fn list_is_bounded() {
        let stream = "data\n\n".repeat(MAX_LISTED);
        let listed = parse(&stream);
        assert_eq!((listed.events.len(), listed.more), (MAX_LISTED, false));
        let stream = "data\n\n".repeat(MAX_LISTED + 1);
        let listed = parse(&stream);
        assert_eq!((listed.events.len(), listed.more), (MAX_LISTED, true));
        assert_eq!(listed.unfinished, None);
    }

    proptest! {
        #[test]
        fn any_data_round_trips(texts in prop::collection::vec("[a-z é]{1,9}", 0..9), end in "\r\n|\n|\r") {
            let events: Vec<_> = texts.iter().map(|text| format!("data: {text}{end}{end}")).collect();
            let stream = events.concat();
            let expected: Vec<_> = texts.iter().map(|text| json!({"data": text})).collect();
            prop_assert_eq!(shown(&stream), json!({"events": expected}));
        }

        #[test]
        fn any_text_parses(text in "(data|id|:| |\r|\n|\\{|\\}|é|[a-z]){0,40}") {
            let stream = parse(&text);
            prop_assert!(serde_json::to_string(&stream).is_ok());
        }
    }
}
