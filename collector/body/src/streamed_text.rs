//! Joins the text that common AI APIs stream in pieces.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Separates the texts of several choices.
const CHOICE_SEPARATOR: &str = "\n\n";

/// The text of a stream so far, by choice.
#[derive(Debug, Default)]
pub(super) struct StreamedText {
    by_choice: BTreeMap<u64, String>,
}

/// The fields of an event that carry text, of all these APIs.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Of `OpenAI`'s chat completions and completions.
    choices: Option<Vec<Choice>>,
    /// Of `OpenAI`'s responses and Anthropic's messages.
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    delta: Option<ChatDelta>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct ChatDelta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct ContentDelta {
    text: Option<String>,
}

impl StreamedText {
    /// Adds the text of one event, if it has any.
    pub(super) fn add(&mut self, event: &RawValue) {
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(event.get()) else {
            return;
        };
        for choice in chunk.choices.unwrap_or_default() {
            let text = choice.delta.and_then(|delta| delta.content);
            self.push(choice.index.unwrap_or_default(), text.or(choice.text));
        }
        let delta = chunk.delta.map_or("null", RawValue::get);
        match chunk.kind.as_deref() {
            Some("response.output_text.delta") => self.push(0, serde_json::from_str(delta).ok()),
            Some("content_block_delta") => {
                let delta = serde_json::from_str::<ContentDelta>(delta).ok();
                self.push(0, delta.and_then(|delta| delta.text));
            }
            _ => {}
        }
    }

    fn push(&mut self, choice: u64, text: Option<String>) {
        if let Some(text) = text {
            self.by_choice.entry(choice).or_default().push_str(&text);
        }
    }

    /// `None` if no event had text.
    pub(super) fn join(self) -> Option<String> {
        let texts: Vec<_> = self.by_choice.into_values().collect();
        (!texts.is_empty()).then(|| texts.join(CHOICE_SEPARATOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(events: &[&str]) -> Option<String> {
        let mut texts = StreamedText::default();
        for event in events {
            texts.add(&RawValue::from_string((*event).to_owned()).unwrap());
        }
        texts.join()
    }

    #[test]
    fn joins_deltas_of_each_api() {
        for events in [
            [
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"content":"l\u006f"},"finish_reason":"stop"}]}"#,
                r#"{"choices":[],"usage":{"total_tokens":3}}"#,
            ],
            [
                r#"{"choices":[{"text":"Hel"}]}"#,
                r#"{"choices":[{"text":"lo"}]}"#,
                "7",
                "[]",
            ],
            [
                r#"{"type":"response.created","response":{}}"#,
                r#"{"type":"response.output_text.delta","delta":"Hel"}"#,
                r#"{"type":"response.output_text.delta","delta":"lo"}"#,
                r#"{"type":"response.output_text.done","text":"Hello"}"#,
            ],
            [
                r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hel"}}"#,
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"lo"}}"#,
                r#"{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}"#,
            ],
        ] {
            assert_eq!(joined(&events).as_deref(), Some("Hello"), "{events:?}");
        }
    }

    #[test]
    fn choices_are_joined_separately() {
        let events = [
            r#"{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"B"}}]}"#,
        ];
        assert_eq!(joined(&events).as_deref(), Some("a\n\nbB"));
    }

    #[test]
    fn other_events_give_no_text() {
        let events = [
            r#"{"choices":[{"delta":{"content":null}}]}"#,
            r#"{"choices":[{"delta":{"content":[1]}}]}"#,
            r#"{"choices":"none"}"#,
            r#"{"type":"content_block_delta","delta":"text"}"#,
            r#"{"type":"response.output_text.delta"}"#,
            r#"{"type":"response.output_text.delta","delta":{"text":"x"}}"#,
            r#"{"type":"price","delta":"12"}"#,
        ];
        assert_eq!(joined(&events), None);
    }
}
