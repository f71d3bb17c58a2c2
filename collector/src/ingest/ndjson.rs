//! Batches as newline-delimited JSON, for producers other than the filter: each line is a record, with the
//! header fields of [`dossier_wire`] and a body.
//!
//! The body is `body_json`, of which the bytes are stored exactly as sent, `body_text` or `body_base64`. A
//! malformed line does not affect the others.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use dossier_wire::frame::{FrameKind, MAGIC, MAX_FRAMES, MAX_HEADER_BYTES};
use dossier_wire::{BatchError, Frame, FrameContent, RecordError};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::raw_record::RawRecord;
use crate::http::error::ApiError;
use crate::limits::admission::MemoryReservation;

/// `content-type` of such a batch.
pub const CONTENT_TYPE: &str = "application/x-ndjson";
/// Padding is optional.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A batch split into lines. Holds the bodies that had to be decoded, and a reservation for them.
#[derive(Debug)]
pub struct NdjsonBatch<'a> {
    lines: Vec<NdjsonLine<'a>>,
    _reservation: MemoryReservation,
}

/// A line and its body.
#[derive(Debug)]
struct NdjsonLine<'a> {
    /// Its position among all lines, from 0.
    position: usize,
    text: &'a [u8],
    body: Result<Cow<'a, [u8]>, LineError>,
}

/// Why a line is malformed. The message contains no value from the traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("invalid line at column {column}: not one JSON object")]
    Json { column: usize },
    #[error("more than one of body_json, body_text and body_base64")]
    SeveralBodies,
    #[error("body_text: expected a string")]
    Text,
    #[error("body_base64: expected a base64 string")]
    Base64,
    #[error("the line without its body is longer than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    #[error("{0}")]
    Record(#[from] RecordError),
}

/// The fields of a line that a header does not have.
#[derive(Deserialize)]
struct BodyFields<'a> {
    /// May be `null`, which is JSON too.
    #[serde(borrow, default, rename = "body_json", deserialize_with = "some")]
    json: Option<&'a RawValue>,
    #[serde(borrow, rename = "body_text")]
    text: Option<&'a RawValue>,
    #[serde(borrow, rename = "body_base64")]
    base64: Option<&'a RawValue>,
}

fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> NdjsonBatch<'a> {
    /// Empty lines are ignored.
    ///
    /// # Errors
    /// [`ApiError::InvalidNdjson`], [`ApiError::InvalidBatch`] if there are too many, or [`ApiError::TooManyInFlight`] if there is not enough
    /// memory for the bodies.
    pub fn parse(bytes: &'a [u8], mut reservation: MemoryReservation) -> Result<Self, ApiError> {
        if bytes.starts_with(&MAGIC) {
            return Err(ApiError::InvalidNdjson(
                "its content type is application/vnd.dossier.batch",
            ));
        }
        let mut lines = Vec::new();
        for (position, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let text = text.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if lines.len() == MAX_FRAMES {
                return Err(ApiError::InvalidBatch(BatchError::TooManyFrames));
            }
            let body = decode_body(text);
            if let Ok(Cow::Owned(body)) = &body {
                reservation.grow(body.len())?;
            }
            lines.push(NdjsonLine {
                position,
                text,
                body,
            });
        }
        if lines.is_empty() {
            return Err(ApiError::InvalidNdjson("it has no line"));
        }
        Ok(Self {
            lines,
            _reservation: reservation,
        })
    }

    /// The records, each parsed when the iterator reaches it.
    pub fn records(&self) -> impl Iterator<Item = RawRecord<'_>> {
        self.lines.iter().map(|line| {
            let body = line.body.as_deref().unwrap_or_default();
            RawRecord {
                position: line.position,
                header: line.text,
                body,
                content: line.decode().map_err(|error| error.to_string()),
            }
        })
    }
}

impl NdjsonLine<'_> {
    fn decode(&self) -> Result<FrameContent<'_>, LineError> {
        let frame = Frame {
            kind: FrameKind::Record,
            // The parser of headers ignores unknown fields, such as the body.
            header: self.text,
            body: self.body.as_ref().map_err(Clone::clone)?,
        };
        Ok(frame.decode()?)
    }
}

pub(super) fn decode_body(line: &[u8]) -> Result<Cow<'_, [u8]>, LineError> {
    // Serde would accept a list as the values of all fields.
    if !line.starts_with(b"{") {
        return Err(LineError::Json { column: 1 });
    }
    let fields: BodyFields<'_> = serde_json::from_slice(line).map_err(|error| LineError::Json {
        column: error.column(),
    })?;
    let BodyFields { json, text, base64 } = fields;
    let bodies = [json, text, base64];
    let bytes: usize = bodies.iter().flatten().map(|raw| raw.get().len()).sum();
    if line.len() - bytes > MAX_HEADER_BYTES {
        return Err(LineError::TooLong);
    }
    match (json, text, base64) {
        (None, None, None) => Ok(Cow::Borrowed(&[])),
        (Some(json), None, None) => Ok(Cow::Borrowed(json.get().as_bytes())),
        (None, Some(text), None) => Ok(match parse_string(text).ok_or(LineError::Text)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }),
        (None, None, Some(base64)) => {
            let text = parse_string(base64).ok_or(LineError::Base64)?;
            let bytes = BASE64.decode(text.as_bytes());
            bytes.map(Cow::Owned).map_err(|_| LineError::Base64)
        }
        _ => Err(LineError::SeveralBodies),
    }
}

/// A string without escapes is not copied.
#[derive(Deserialize)]
struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);

fn parse_string(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<JsonString<'_>>(raw.get())
        .ok()
        .map(|JsonString(text)| text)
}

#[cfg(test)]
mod tests;
