//! Bodies: how they are packed for the store, and how they are shown to a reader.
//!
//! - [`pack`](mod@pack): packs and unpacks.
//! - [`pace`]: how much time is taken for it.
//! - [`dictionary`]: what bodies of an endpoint have in common, so that it is stored once.
//! - [`mod@decode`], [`mod@text`], [`media`]: undo what HTTP did to a body, by its headers.
//! - [`events`], [`deltas`], [`grpc`]: bodies that are made of many messages.

mod decode;
mod deltas;
pub mod dictionary;
mod events;
mod grpc;
mod media;
pub mod pace;
mod pack;
mod text;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use self::decode::decode;
use self::media::{Kind, Media};
use self::text::{json_charset, text};

pub use self::pack::{
    Codec, Damaged, LARGEST_WITH_DICTIONARY, Packer, SMALLEST_TO_COMPRESS, Unpacked, unpack,
};

/// Most bytes of one body that are shown, once its encodings are undone.
const MAX_SHOWN_BYTES: usize = 8 << 20;
/// Most bytes of bodies that one answer shows.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Most events or frames of one body that are listed.
const MAX_LISTED: usize = 10_000;

/// How much more of bodies an answer may show.
#[derive(Debug)]
pub struct Allowance {
    bytes: usize,
}

/// Why what is shown is not the body as its sender meant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caveat {
    /// It is longer than is shown: this is its beginning.
    OverLimit,
    /// Its bytes end, or make no more sense, before it does: this is what comes before.
    BrokenOff,
    /// Its bytes are still in the content encoding, or were never in it.
    NotDecoded,
}

/// A body as a reader sees it.
#[derive(Debug)]
pub struct Shown {
    /// What kind of thing it is: `json`, `text`, `events`, `grpc` or `binary`.
    pub form: &'static str,
    /// The thing itself: the JSON value with its digits and key order untouched, the text, the lists
    /// of events or frames, or base64.
    pub data: Box<RawValue>,
    /// What a reader must know of it.
    pub caveat: Option<Caveat>,
}

impl Allowance {
    /// No more may be shown.
    #[must_use]
    pub const fn is_used_up(&self) -> bool {
        self.bytes == 0
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            bytes: MAX_ANSWER_BYTES,
        }
    }
}

impl Caveat {
    /// The name used in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OverLimit => "over_limit",
            Self::BrokenOff => "broken_off",
            Self::NotDecoded => "not_decoded",
        }
    }

    const fn is_cut(self) -> bool {
        matches!(self, Self::OverLimit | Self::BrokenOff)
    }
}

/// Shows a body in the most telling form that it has, by what its headers say: `encoding` names the
/// content encodings that its bytes are in. A body that is not what they say is shown as what it is.
///
/// `truncated` says that the bytes are only its beginning.
///
/// # Errors
/// If the form cannot be written as JSON, which no body is known to bring about.
pub fn show(
    body: Vec<u8>,
    content_type: Option<&str>,
    encoding: Option<&str>,
    truncated: bool,
    allowance: &mut Allowance,
) -> serde_json::Result<Shown> {
    let limit = allowance.bytes.min(MAX_SHOWN_BYTES);
    let decoded = decode(body, encoding, limit);
    allowance.bytes -= decoded.bytes.len();
    let media = Media::of(content_type);
    let reading = Reading {
        bytes: &decoded.bytes,
        media,
        cut: truncated || decoded.caveat.is_some_and(Caveat::is_cut),
    };
    let shown = if decoded.opaque {
        reading.binary()
    } else {
        reading.best()
    }?;
    Ok(Shown {
        caveat: decoded.caveat.or(shown.caveat),
        ..shown
    })
}

/// The bytes of a body without its encodings, to be shown in one form or another.
struct Reading<'a> {
    bytes: &'a [u8],
    media: Media,
    /// They may end anywhere.
    cut: bool,
}

impl Reading<'_> {
    fn best(&self) -> serde_json::Result<Shown> {
        match self.media.kind {
            Kind::Json => self.json(),
            Kind::Events => self.events(),
            Kind::Grpc => self.frames(),
            Kind::Text => self.text(),
            Kind::Binary => self.binary(),
        }
    }

    fn json(&self) -> serde_json::Result<Shown> {
        let charset = json_charset(self.bytes, self.media.charset);
        let Some(text) = text(self.bytes, charset, self.cut) else {
            return self.binary();
        };
        if self.cut {
            return whole("text", &text);
        }
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(json) => whole("json", &json),
            Err(_) => whole("text", &text),
        }
    }

    fn events(&self) -> serde_json::Result<Shown> {
        let Some(text) = text(self.bytes, None, self.cut) else {
            return self.text();
        };
        let stream = events::events(&text);
        listed("events", &stream, stream.more, stream.unfinished.is_some())
    }

    fn frames(&self) -> serde_json::Result<Shown> {
        let Some(frames) = grpc::frames(self.bytes) else {
            return self.binary();
        };
        listed("grpc", &frames, frames.more, frames.unfinished.is_some())
    }

    fn text(&self) -> serde_json::Result<Shown> {
        match text(self.bytes, self.media.charset, self.cut) {
            Some(text) => whole("text", &text),
            None => self.binary(),
        }
    }

    fn binary(&self) -> serde_json::Result<Shown> {
        whole("binary", &STANDARD.encode(self.bytes))
    }
}

fn whole(form: &'static str, data: &(impl Serialize + ?Sized)) -> serde_json::Result<Shown> {
    listed(form, data, false, false)
}

fn listed(
    form: &'static str,
    data: &(impl Serialize + ?Sized),
    more: bool,
    unfinished: bool,
) -> serde_json::Result<Shown> {
    let caveat = if more {
        Some(Caveat::OverLimit)
    } else {
        unfinished.then_some(Caveat::BrokenOff)
    };
    Ok(Shown {
        form,
        data: to_raw_value(data)?,
        caveat,
    })
}

#[cfg(test)]
mod tests;
