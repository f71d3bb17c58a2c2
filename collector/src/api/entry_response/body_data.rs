//! The body of an entry as JSON, decoded if it can be, or the reason why there is none.

use dossier_body::{RenderBudget, RenderedBody, render, unpack};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::http::error::ApiError;
use crate::model::entry::{BodyState, Entry, StoredBody};

/// The value of `data`.
pub(super) enum BodyData {
    Body(RenderedBody),
    Empty,
    Missing(&'static str),
    /// The bodies before it on the page use up the size limit.
    OverPage,
}

impl BodyData {
    /// Takes the body out of the entry and decodes it.
    pub(super) fn take(entry: &mut Entry, budget: &mut RenderBudget) -> Result<Self, ApiError> {
        Ok(match (entry.body_state, entry.body.take()) {
            (BodyState::Empty, _) => Self::Empty,
            (BodyState::Missing(reason), _) => Self::Missing(reason.into()),
            (BodyState::Stored, None) if entry.body_left_out => Self::OverPage,
            (BodyState::Stored, None) => Self::Missing("expired"),
            (BodyState::Stored, Some(_)) if budget.is_exhausted() => Self::OverPage,
            (BodyState::Stored, Some(body)) => Self::Body(render_body(entry, body, budget)?),
        })
    }

    pub(super) const fn is_over_page(&self) -> bool {
        matches!(self, Self::OverPage)
    }

    pub(super) const fn form(&self) -> &'static str {
        match self {
            Self::Body(body) => body.form,
            Self::Empty => "empty",
            Self::Missing(_) | Self::OverPage => "missing",
        }
    }

    pub(super) const fn missing(&self) -> Option<&'static str> {
        match self {
            Self::Missing(reason) => Some(reason),
            Self::OverPage => Some("page_full"),
            Self::Body(_) | Self::Empty => None,
        }
    }

    pub(super) fn caveat(&self) -> Option<&'static str> {
        match self {
            Self::Body(body) => body.truncation.map(Into::into),
            Self::Empty | Self::Missing(_) | Self::OverPage => None,
        }
    }

    pub(super) fn into_json(self) -> Result<Box<RawValue>, ApiError> {
        match self {
            Self::Body(body) => Ok(body.data),
            Self::Empty | Self::Missing(_) | Self::OverPage => {
                to_raw_value(&Value::Null).map_err(|error| ApiError::internal("body", error))
            }
        }
    }
}

fn render_body(
    entry: &Entry,
    body: StoredBody,
    budget: &mut RenderBudget,
) -> Result<RenderedBody, ApiError> {
    let bytes = unpack(body.codec, body.data).map_err(|error| ApiError::internal("body", error))?;
    let encoding = entry.content_encoding.as_deref().filter(|_| !entry.decoded);
    let content_type = entry.content_type.as_deref();
    let rendered = render(bytes, content_type, encoding, entry.truncated, budget);
    rendered.map_err(|error| ApiError::internal("body", error))
}
