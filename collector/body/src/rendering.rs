//! Renders a body as JSON for a reader, in the form that its headers and its bytes allow.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::content_kind::{ContentInfo, ContentKind};
use crate::decoding::decode;
use crate::event_stream;
use crate::grpc_frames;
use crate::portable_json::{self, NotPortable};
use crate::text::{decode_text, detect_json_charset};
use crate::truncation::Truncation;

/// Limit of one rendered body, decoded.
const MAX_BODY_BYTES: usize = 8 << 20;
/// Limit of all rendered bodies of one answer, decoded.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// The bytes of bodies that an answer may still render.
#[derive(Debug)]
pub struct RenderBudget {
    bytes: usize,
}

/// A body as JSON.
#[derive(Debug)]
pub struct RenderedBody {
    /// `json`, `text`, `events`, `grpc` or `binary`.
    pub form: &'static str,
    /// The JSON value with its digits and key order unchanged, the text, the lists of events or frames, or
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
    budget.bytes -= decoded.bytes.len();
    let renderer = Renderer {
        bytes: &decoded.bytes,
        content: ContentInfo::new(content_type),
        cut: truncated || decoded.truncation.is_some_and(Truncation::is_cut),
    };
    let body = if decoded.opaque {
        renderer.binary()
    } else {
        renderer.by_kind()
    }?;
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
}

impl Renderer<'_> {
    fn by_kind(&self) -> serde_json::Result<RenderedBody> {
        match self.content.kind {
            ContentKind::Json => self.json(),
            ContentKind::Events => self.events(),
            ContentKind::Grpc => self.frames(),
            ContentKind::Text => self.text(),
            ContentKind::Binary => self.binary(),
        }
    }

    fn json(&self) -> serde_json::Result<RenderedBody> {
        let charset = detect_json_charset(self.bytes, self.content.charset);
        let Some(text) = decode_text(self.bytes, charset, self.cut) else {
            return self.binary();
        };
        if self.cut {
            return whole("text", &text);
        }
        match portable_json::parse(&text) {
            Ok(json) => whole("json", &json),
            Err(NotPortable::NotJson) => whole("text", &text),
            Err(NotPortable::OnlyBySome) => Ok(RenderedBody {
                truncation: Some(Truncation::NotPortable),
                ..whole("text", &text)?
            }),
        }
    }

    fn events(&self) -> serde_json::Result<RenderedBody> {
        let Some(text) = decode_text(self.bytes, None, self.cut) else {
            return self.text();
        };
        let stream = event_stream::parse(&text);
        let body = listed("events", &stream, stream.more, stream.unfinished.is_some())?;
        let not_portable = stream.not_portable.then_some(Truncation::NotPortable);
        Ok(RenderedBody {
            truncation: body.truncation.or(not_portable),
            ..body
        })
    }

    fn frames(&self) -> serde_json::Result<RenderedBody> {
        let Some(frames) = grpc_frames::parse(self.bytes) else {
            return self.binary();
        };
        listed("grpc", &frames, frames.more, frames.unfinished.is_some())
    }

    fn text(&self) -> serde_json::Result<RenderedBody> {
        match decode_text(self.bytes, self.content.charset, self.cut) {
            Some(text) => whole("text", &text),
            None => self.binary(),
        }
    }

    fn binary(&self) -> serde_json::Result<RenderedBody> {
        whole("binary", &STANDARD.encode(self.bytes))
    }
}

fn whole(form: &'static str, data: &(impl Serialize + ?Sized)) -> serde_json::Result<RenderedBody> {
    listed(form, data, false, false)
}

fn listed(
    form: &'static str,
    data: &(impl Serialize + ?Sized),
    more: bool,
    unfinished: bool,
) -> serde_json::Result<RenderedBody> {
    let truncation = if more {
        Some(Truncation::OverLimit)
    } else {
        unfinished.then_some(Truncation::BrokenOff)
    };
    Ok(RenderedBody {
        form,
        data: to_raw_value(data)?,
        truncation,
    })
}

#[cfg(test)]
mod tests;
