//! Joins the pieces in which common AI APIs stream a text.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What stands between the texts of one stream when it carries several choices.
const BETWEEN_CHOICES: &str = "\n\n";

/// The texts of a stream, piece by piece.
#[derive(Debug, Default)]
pub(super) struct Texts {
    by_choice: BTreeMap<u64, String>,
}

/// What an event may carry, of those APIs taken together.
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

impl Texts {
    /// Adds the text of one event, if it carries any.
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

    /// All of them, or none if no event carried text.
    pub(super) fn join(self) -> Option<String> {
        let texts: Vec<_> = self.by_choice.into_values().collect();
        (!texts.is_empty()).then(|| texts.join(BETWEEN_CHOICES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(events: &[&str]) -> Option<String> {
        let mut texts = Texts::default();
        for event in events {
            texts.add(&RawValue::from_string((*event).to_owned()).unwrap());
        }
        texts.join()
    }

    #[test]
    fn the_deltas_of_each_api_are_joined() {
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
    fn several_choices_stay_apart() {
        let events = [
            r#"{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"B"}}]}"#,
        ];
        assert_eq!(joined(&events).as_deref(), Some("a\n\nbB"));
    }

    #[test]
    fn what_is_no_delta_gives_no_text() {
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
