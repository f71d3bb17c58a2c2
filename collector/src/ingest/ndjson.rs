//! Batches as lines of JSON, for producers that are not Envoy: each line is a record, its header as in
//! [`dossier_wire`]'s batches and its body beside it.
//!
//! A body is `body_json`, whose bytes are kept as they stand in the line, or `body_text`, or `body_base64`.
//! A line that is no record is the fault of that line alone.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use dossier_wire::frame::{FrameKind, MAGIC, MAX_FRAMES, MAX_HEADER_BYTES};
use dossier_wire::{BatchError, Frame, FrameContent, RecordError};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::records::Candidate;
use crate::http::error::ApiError;
use crate::limits::admission::MemoryReservation;

/// `content-type` of such a batch.
pub const CONTENT_TYPE: &str = "application/x-ndjson";
/// Padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A batch whose lines were found. Holds the bodies that do not stand in them as they are, and room for these.
#[derive(Debug)]
pub struct Lines<'a> {
    lines: Vec<Line<'a>>,
    _room: MemoryReservation,
}

/// A line, and what it says of its body.
#[derive(Debug)]
struct Line<'a> {
    /// Its place among all lines, from 0.
    number: usize,
    text: &'a [u8],
    body: Result<Cow<'a, [u8]>, LineError>,
}

/// Why a line is no record. The text never holds values of the traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum LineError {
    #[error("the line is not valid at column {column}: it is not one JSON object")]
    Json { column: usize },
    #[error("more than one of body_json, body_text and body_base64")]
    SeveralBodies,
    #[error("body_text: expected a text")]
    Text,
    #[error("body_base64: expected a text in base64")]
    Base64,
    #[error("without its body the line holds more than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    #[error("{0}")]
    Record(#[from] RecordError),
}

/// The part of a line that is not in a header.
#[derive(Deserialize)]
struct Bodies<'a> {
    /// May be `null`, which is JSON too.
    #[serde(borrow, default, rename = "body_json", deserialize_with = "present")]
    json: Option<&'a RawValue>,
    #[serde(borrow, rename = "body_text")]
    text: Option<&'a RawValue>,
    #[serde(borrow, rename = "body_base64")]
    base64: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> Lines<'a> {
    /// Finds the lines, and the bodies in them. Empty lines are none.
    ///
    /// # Errors
    /// [`ApiError::InvalidNdjson`], [`ApiError::InvalidBatch`] if there are too many, or [`ApiError::TooManyInFlight`] if there is no room for the bodies.
    pub fn parse(bytes: &'a [u8], mut room: MemoryReservation) -> Result<Self, ApiError> {
        if bytes.starts_with(&MAGIC) {
            return Err(ApiError::InvalidNdjson(
                "it is a batch of the content type application/vnd.dossier.batch",
            ));
        }
        let mut lines = Vec::new();
        for (number, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let text = text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if lines.len() == MAX_FRAMES {
                return Err(ApiError::InvalidBatch(BatchError::TooManyFrames));
            }
            let body = body(text);
            if let Ok(Cow::Owned(body)) = &body {
                room.grow(body.len())?;
            }
            lines.push(Line { number, text, body });
        }
        if lines.is_empty() {
            return Err(ApiError::InvalidNdjson("it holds no line"));
        }
        Ok(Self { lines, _room: room })
    }

    /// The records, or what is wrong with their lines.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.lines.iter().map(|line| {
            let body = line.body.as_deref().unwrap_or_default();
            Candidate {
                position: line.number,
                header: line.text,
                body,
                item: line.item().map_err(|error| error.to_string()),
            }
        })
    }
}

impl Line<'_> {
    fn item(&self) -> Result<FrameContent<'_>, LineError> {
        let frame = Frame {
            kind: FrameKind::Record,
            // Readers of headers skip what they do not know, as the body is to them.
            header: self.text,
            body: self.body.as_ref().map_err(Clone::clone)?,
        };
        Ok(frame.decode()?)
    }
}

fn body(line: &[u8]) -> Result<Cow<'_, [u8]>, LineError> {
    // Lists would be taken for the values of all fields.
    if !line.starts_with(b"{") {
        return Err(LineError::Json { column: 1 });
    }
    let bodies: Bodies<'_> = serde_json::from_slice(line).map_err(|error| LineError::Json {
        column: error.column(),
    })?;
    let Bodies { json, text, base64 } = bodies;
    let given = [json, text, base64];
    let bytes: usize = given.iter().flatten().map(|raw| raw.get().len()).sum();
    if line.len() - bytes > MAX_HEADER_BYTES {
        return Err(LineError::TooLong);
    }
    match (json, text, base64) {
        (None, None, None) => Ok(Cow::Borrowed(&[])),
        (Some(json), None, None) => Ok(Cow::Borrowed(json.get().as_bytes())),
        (None, Some(text), None) => Ok(match text_of(text).ok_or(LineError::Text)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }),
        (None, None, Some(base64)) => {
            let text = text_of(base64).ok_or(LineError::Base64)?;
            let bytes = BASE64.decode(text.as_bytes());
            bytes.map(Cow::Owned).map_err(|_| LineError::Base64)
        }
        _ => Err(LineError::SeveralBodies),
    }
}

/// A text without escapes is not copied.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get())
        .ok()
        .map(|Text(text)| text)
}

#[cfg(test)]
mod tests;
