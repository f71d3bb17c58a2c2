//! Joins the text that common AI APIs stream in pieces.
//!
//! A piece may end within a character: half of a surrogate pair, whose other half begins the next piece. So pieces are
//! joined as UTF-16, as JSON's escapes write it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Separates the texts of several choices.
const CHOICE_SEPARATOR: &str = "\n\n";

/// The text of a stream so far, by choice.
#[derive(Debug, Default)]
pub(super) struct StreamedText {
    by_choice: BTreeMap<i64, Vec<u16>>,
    /// A piece was not understood, or is no text.
    left_out: bool,
}

/// The joined text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JoinedText {
    pub(super) text: String,
    /// Something that the stream carries is not in it: tool calls, for example.
    pub(super) incomplete: bool,
}

/// Members of an object, as they are written.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The fields of an event that carry text, of all these APIs.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<&'a RawValue>,
    /// Of `OpenAI`'s chat completions and completions.
    #[serde(borrow, default)]
    choices: Option<&'a RawValue>,
    /// Of `OpenAI`'s responses and Anthropic's messages.
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
}

impl StreamedText {
    /// Adds the text of one event, if it has any.
    pub(super) fn add(&mut self, event: &str) {
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(event) else {
            return;
        };
        if let Some(choices) = chunk.choices {
            match serde_json::from_str::<Vec<Members<'_>>>(choices.get()) {
                Ok(choices) => choices.iter().for_each(|choice| self.add_choice(choice)),
                Err(_) => self.left_out = true,
            }
        }
        let kind = chunk
            .kind
            .and_then(|kind| serde_json::from_str::<&str>(kind.get()).ok());
        if let (Some(kind), Some(delta)) = (kind, chunk.delta) {
            self.add_delta(kind, delta);
        }
    }

    fn add_choice(&mut self, choice: &Members<'_>) {
        let index = match choice.get("index") {
            Some(index) => serde_json::from_str::<Option<i64>>(index.get()),
            None => Ok(None),
        };
        let Ok(index) = index else {
            self.left_out = true;
            return;
        };
        let index = index.unwrap_or_default();
        if let Some(text) = choice.get("text") {
            self.push(index, text);
        }
        let delta = choice.get("delta").map_or("null", |delta| delta.get());
        let Ok(delta) = serde_json::from_str::<Option<Members<'_>>>(delta) else {
            self.left_out = true;
            return;
        };
        for (name, value) in delta.unwrap_or_default() {
            match name.as_str() {
                "content" => self.push(index, value),
                "role" => {}
                // Such as tool calls.
                _ => self.left_out |= value.get() != "null",
            }
        }
    }

    fn add_delta(&mut self, kind: &str, delta: &RawValue) {
        let text_of = |delta: &RawValue| {
            let members = serde_json::from_str::<Members<'_>>(delta.get()).ok()?;
            Some(members.get("text")?.to_owned().to_owned())
        };
        let is_text = delta.get().starts_with('"');
        match (kind, text_of(delta)) {
            ("response.output_text.delta", _) if is_text => self.push(0, delta),
            ("content_block_delta", Some(text)) => self.push(0, &text),
            ("response.output_text.delta" | "content_block_delta", _) => self.left_out = true,
            // Of another API, or no answer's text.
            (_, text) => self.left_out |= is_text || text.is_some(),
        }
    }

    /// Adds a string, or a list of parts that have a text.
    fn push(&mut self, choice: i64, value: &RawValue) {
        let json = value.get();
        if json == "null" {
            return;
        }
        let texts = self.by_choice.entry(choice).or_default();
        if let Some(units) = utf16(json) {
            texts.extend(units);
            return;
        }
        let Ok(parts) = serde_json::from_str::<Vec<Members<'_>>>(json) else {
            self.left_out = true;
            return;
        };
        for part in parts {
            match part.get("text").and_then(|text| utf16(text.get())) {
                Some(units) => texts.extend(units),
                None => self.left_out = true,
            }
        }
    }

    /// `None` if no event had text.
    pub(super) fn join(self) -> Option<JoinedText> {
        let mut incomplete = self.left_out;
        let texts: Vec<_> = self
            .by_choice
            .into_values()
            .map(|units| {
                String::from_utf16(&units).unwrap_or_else(|_| {
                    incomplete = true;
                    String::from_utf16_lossy(&units)
                })
            })
            .collect();
        (!texts.is_empty()).then(|| JoinedText {
            text: texts.join(CHOICE_SEPARATOR),
            incomplete,
        })
    }
}

/// The UTF-16 of a valid JSON string; `None` if it is another value.
fn utf16(json: &str) -> Option<Vec<u16>> {
    let content = json.strip_prefix('"')?.strip_suffix('"')?;
    let mut units = Vec::with_capacity(content.len());
    let mut rest = content.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
            continue;
        }
        units.push(match rest.next()? {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits = rest.as_str().get(..4)?;
                rest = rest.as_str().get(4..)?.chars();
                u16::from_str_radix(digits, 16).ok()?
            }
            other => u16::try_from(u32::from(other)).ok()?,
        });
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(events: &[&str]) -> Option<JoinedText> {
        let mut texts = StreamedText::default();
        for event in events {
            texts.add(event);
        }
        texts.join()
    }

    fn joined(events: &[&str]) -> Option<String> {
        join(events).map(|joined| joined.text)
    }

    #[test]
    fn characters_are_joined_across_pieces() {
        let events = [
            r#"{"choices":[{"delta":{"content":"a\ud83d"}}]}"#,
            r#"{"choices":[{"delta":{"content":"\ude00\n\"\\\/\u00fc😀"}}]}"#,
        ];
        let expected = JoinedText {
            text: "a😀\n\"\\/ü😀".to_owned(),
            incomplete: false,
        };
        assert_eq!(join(&events), Some(expected));
        let half = join(&events[..1]).unwrap();
        assert_eq!((half.text.as_str(), half.incomplete), ("a\u{fffd}", true));
    }

    #[test]
    fn what_is_left_out_is_told() {
        let text = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
        for (event, expected, incomplete) in [
            (
                r#"{"choices":[{"delta":{"content":[{"type":"text","text":"b"}]}}]}"#,
                "ab",
                false,
            ),
            (
                r#"{"choices":[{"delta":{"content":[{"type":"image_url"},{"text":"b"}]}}]}"#,
                "ab",
                true,
            ),
            (
                r#"{"choices":[{"index":-1,"delta":{"content":"b"}}]}"#,
                "b\n\na",
                false,
            ),
            (
                r#"{"choices":[{"index":"x","delta":{"content":"b"}}]}"#,
                "a",
                true,
            ),
            (r#"{"choices":[{"delta":{"content":{"a":1}}}]}"#, "a", true),
            (r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#, "a", true),
            (
                r#"{"choices":[{"delta":{"role":"assistant","tool_calls":null}}]}"#,
                "a",
                false,
            ),
            (r#"{"choices":"none"}"#, "a", true),
            (
                r#"{"type":"response.refusal.delta","delta":"b"}"#,
                "a",
                true,
            ),
            (r#"{"type":"unheard_of","delta":{"text":"b"}}"#, "a", true),
            (
                r#"{"type":"content_block_delta","delta":{"thinking":"b"}}"#,
                "a",
                true,
            ),
            (
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
                "a",
                false,
            ),
            (r#"{"type":"ping"}"#, "a", false),
        ] {
            let found = join(&[text, event]).unwrap();
            assert_eq!(
                (found.text.as_str(), found.incomplete),
                (expected, incomplete),
                "{event}"
            );
        }
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
            r#"{"choices":"none"}"#,
            r#"{"type":"content_block_delta","delta":"text"}"#,
            r#"{"type":"response.output_text.delta"}"#,
            r#"{"type":"response.output_text.delta","delta":{"text":"x"}}"#,
            r#"{"type":"price","delta":"12"}"#,
        ];
        assert_eq!(joined(&events), None);
    }
}
