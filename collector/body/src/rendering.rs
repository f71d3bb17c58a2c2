//! Renders a body as JSON for a reader, in the form that its headers and its bytes allow.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dossier_content::media_kind::MediaKind;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::bounded_json;
use crate::content_kind::ContentInfo;
use crate::decoding::decode;
use crate::event_stream;
use crate::grpc_frames;
use crate::multipart;
use crate::portable_json::{self, NotPortable};
use crate::text::{decode_text, detect_json_charset, is_printable};
use crate::truncation::{MAX_LISTED, Truncation};

/// Limit of one rendered body, decoded.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Limit of all rendered bodies of one answer, as they are written: with escapes, and in base64.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// What is written for an empty text.
const EMPTY_TEXT: &str = "\"\"";

/// The bytes of bodies that may still be written into an answer.
#[derive(Debug)]
pub struct RenderBudget {
    bytes: usize,
}

/// A body as JSON.
#[derive(Debug)]
pub struct RenderedBody {
    /// `json`, `text`, `events`, `grpc`, `multipart` or `binary`.
    pub form: &'static str,
    /// The JSON value with its digits and key order unchanged, the text, the lists of events, frames or parts, or
    /// base64.
    pub data: Box<RawValue>,
    /// `None` if it is the whole body.
    pub truncation: Option<Truncation>,
}

impl RenderBudget {
    /// Whether nothing more may be rendered.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        self.bytes == 0
    }
}

impl Default for RenderBudget {
    fn default() -> Self {
        Self {
            bytes: MAX_ANSWER_BYTES,
        }
    }
}

/// Renders a body in the most specific form that its headers allow. `encoding` names the content encodings
/// of its bytes. If the headers are wrong, it is rendered by its bytes.
///
/// `truncated`: the bytes are only the beginning of the body.
///
/// # Errors
/// If it cannot be serialized, which is not known to happen for any body.
pub fn render(
    body: Vec<u8>,
    content_type: Option<&str>,
    encoding: Option<&str>,
    truncated: bool,
    budget: &mut RenderBudget,
) -> serde_json::Result<RenderedBody> {
    let limit = budget.bytes.min(MAX_BODY_BYTES);
    let decoded = decode(body, encoding, limit);
    let renderer = Renderer {
        bytes: &decoded.bytes,
        content: ContentInfo::new(content_type),
        cut: truncated || decoded.truncation.is_some_and(Truncation::is_cut),
        max_bytes: budget.bytes.max(EMPTY_TEXT.len()),
    };
    let body = if decoded.opaque {
        renderer.binary()
    } else {
        renderer.by_kind()
    }?;
    budget.bytes = budget.bytes.saturating_sub(body.data.get().len());
    Ok(RenderedBody {
        truncation: decoded.truncation.or(body.truncation),
        ..body
    })
}

/// A decoded body, to be rendered in one form or another.
struct Renderer<'a> {
    bytes: &'a [u8],
    content: ContentInfo,
    /// The bytes may end anywhere.
    cut: bool,
    /// Limit of what is written.
    max_bytes: usize,
}

impl Renderer<'_> {
    fn by_kind(&self) -> serde_json::Result<RenderedBody> {
        match self.content.kind {
            MediaKind::Json => self.json(),
            MediaKind::JsonLines => self.json_lines(),
            MediaKind::Events => self.events(),
            MediaKind::Grpc => self.frames(),
            MediaKind::Text | MediaKind::Form => self.text(),
            MediaKind::Binary | MediaKind::GrpcText => self.binary(),
            MediaKind::Multipart => self.parts(),
            MediaKind::Unknown => self.text_if_printable(),
        }
    }

    fn json(&self) -> serde_json::Result<RenderedBody> {
        let charset = detect_json_charset(self.bytes, self.content.charset);
        let Some(text) = decode_text(self.bytes, charset, self.cut) else {
            return self.binary();
        };
        if self.cut {
            return self.shown_text(&text);
        }
        match portable_json::parse(&text) {
            Ok(json) if json.get().len() <= self.max_bytes => Ok(RenderedBody {
                form: "json",
                data: json.to_owned(),
                truncation: None,
            }),
            Ok(_) | Err(NotPortable::NotJson) => self.shown_text(&text),
            Err(NotPortable::OnlyBySome) => {
                let body = self.shown_text(&text)?;
                Ok(body.or_truncated(Some(Truncation::NotPortable)))
            }
        }
    }

    /// A list of the lines' values, or the text if a line is no JSON that every parser reads.
    fn json_lines(&self) -> serde_json::Result<RenderedBody> {
        let Some(text) = decode_text(self.bytes, self.content.charset, self.cut) else {
            return self.binary();
        };
        let lines = text.lines().filter(|line| !line.trim_ascii().is_empty());
        let values: Result<Vec<_>, _> = lines
            .take(MAX_LISTED + 1)
            .map(portable_json::parse)
            .collect();
        let mut values = match values {
            Ok(values) if !self.cut => values,
            Ok(_) | Err(NotPortable::NotJson) => return self.shown_text(&text),
            Err(NotPortable::OnlyBySome) => {
                let body = self.shown_text(&text)?;
                return Ok(body.or_truncated(Some(Truncation::NotPortable)));
            }
        };
        let more = values.len() > MAX_LISTED;
        values.truncate(MAX_LISTED);
        match self.write("json", &values)? {
            Some(body) => Ok(body.or_truncated(list_truncation(more, false))),
            None => self.shown_text(&text),
        }
    }

    /// Text that somebody can read, in UTF-8, is shown as such, whatever its type.
    fn text_if_printable(&self) -> serde_json::Result<RenderedBody> {
        match decode_text(self.bytes, self.content.charset, self.cut) {
            Some(text) if is_printable(&text) => self.shown_text(&text),
            Some(_) | None => self.binary(),
        }
    }

    fn parts(&self) -> serde_json::Result<RenderedBody> {
        let Some(boundary) = &self.content.boundary else {
            return self.text_if_printable();
        };
        let Some(multipart) = multipart::parse(self.bytes, boundary)? else {
            return self.text_if_printable();
        };
        let Some(body) = self.write("multipart", &multipart)? else {
            return self.text_if_printable();
        };
        Ok(body.or_truncated(list_truncation(multipart.more, multipart.unfinished)))
    }

    fn events(&self) -> serde_json::Result<RenderedBody> {
        let Some(text) = decode_text(self.bytes, None, self.cut) else {
            return self.text();
        };
        let stream = event_stream::parse(&text);
        let Some(body) = self.write("events", &stream)? else {
            return self.shown_text(&text);
        };
        let not_portable = stream.not_portable.then_some(Truncation::NotPortable);
        Ok(body
            .or_truncated(list_truncation(stream.more, stream.unfinished.is_some()))
            .or_truncated(not_portable))
    }

    fn frames(&self) -> serde_json::Result<RenderedBody> {
        let Some(frames) = grpc_frames::parse(self.bytes) else {
            return self.binary();
        };
        let Some(body) = self.write("grpc", &frames)? else {
            return self.binary();
        };
        Ok(body.or_truncated(list_truncation(frames.more, frames.unfinished.is_some())))
    }

    fn text(&self) -> serde_json::Result<RenderedBody> {
        match decode_text(self.bytes, self.content.charset, self.cut) {
            Some(text) => self.shown_text(&text),
            None => self.binary(),
        }
    }

    /// The text, or the beginning of it that fits.
    fn shown_text(&self, text: &str) -> serde_json::Result<RenderedBody> {
        let shown = bounded_json::fitting_start(text, self.max_bytes);
        Self::whole_or_start("text", shown, shown.len() < text.len())
    }

    /// The bytes in base64, or the beginning of them that fits.
    fn binary(&self) -> serde_json::Result<RenderedBody> {
        let max_bytes = (self.max_bytes - EMPTY_TEXT.len()) / 4 * 3;
        let shown = self.bytes.get(..max_bytes).unwrap_or(self.bytes);
        let is_cut = shown.len() < self.bytes.len();
        Self::whole_or_start("binary", &STANDARD.encode(shown), is_cut)
    }

    fn whole_or_start(
        form: &'static str,
        shown: &str,
        is_cut: bool,
    ) -> serde_json::Result<RenderedBody> {
        Ok(RenderedBody {
            form,
            data: to_raw_value(shown)?,
            truncation: is_cut.then_some(Truncation::OverLimit),
        })
    }

    /// `None` if it is too long.
    fn write(
        &self,
        form: &'static str,
        data: &impl Serialize,
    ) -> serde_json::Result<Option<RenderedBody>> {
        let data = bounded_json::write(data, self.max_bytes)?;
        Ok(data.map(|data| RenderedBody {
            form,
            data,
            truncation: None,
        }))
    }
}

impl RenderedBody {
    /// With this truncation, unless it has one already.
    fn or_truncated(mut self, truncation: Option<Truncation>) -> Self {
        self.truncation = self.truncation.or(truncation);
        self
    }
}

fn list_truncation(more: bool, unfinished: bool) -> Option<Truncation> {
    if more {
        Some(Truncation::OverLimit)
    } else {
        unfinished.then_some(Truncation::BrokenOff)
    }
}

#[cfg(test)]
mod tests;
