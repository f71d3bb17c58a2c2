//! Batches as a producer other than Envoy sends them, with any time, user and content.

use std::borrow::Cow;
use std::num::NonZeroU32;

use dossier_wire::{Encoder, Half, Record, SessionRule};
use uuid::Uuid;

use crate::error::HarnessError;

/// One half of an exchange with its body.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Everything but the body.
    pub record: Record<'static>,
    /// The body.
    pub body: Vec<u8>,
}

impl Sample {
    /// The request of a new exchange, without a session or an expiry.
    #[must_use]
    pub fn request(user: &str, endpoint: &str, started_at: u64, body: &str) -> Self {
        let (user, path) = (user.to_owned(), endpoint.to_owned());
        let record = Record {
            status: Some(200),
            body_size: body.len() as u64,
            content_type: Some(Cow::Borrowed("application/json")),
            ..Record::new(Uuid::now_v7(), Half::Request, user, path, started_at)
        };
        Self {
            record,
            body: body.as_bytes().to_vec(),
        }
    }

    /// The response to this request, a millisecond after it.
    #[must_use]
    pub fn response(&self, body: &str) -> Self {
        let at = self.record.started_at + 1000;
        let record = Record {
            half: Half::Response,
            first_byte_at: at,
            ended_at: at,
            body_size: body.len() as u64,
            ..self.record.clone()
        };
        Self {
            record,
            body: body.as_bytes().to_vec(),
        }
    }

    /// In a session that ends after this many minutes without an exchange.
    #[must_use]
    pub fn with_session_timeout(mut self, minutes: u32) -> Self {
        self.record.session = NonZeroU32::new(minutes).map(SessionRule::TimeoutMinutes);
        self
    }

    /// In a session group.
    #[must_use]
    pub fn with_session_group(mut self, group: &str) -> Self {
        self.record.session_group = Some(Cow::Owned(group.to_owned()));
        self
    }

    /// In a session that the client names.
    #[must_use]
    pub fn with_session_id(mut self, id: &str) -> Self {
        self.record.session = Some(SessionRule::Id(Cow::Owned(id.to_owned())));
        self
    }
}

/// Encodes a batch, uncompressed.
///
/// # Errors
/// [`HarnessError::Unexpected`] if they exceed a batch's limits.
pub fn encode_batch(samples: &[Sample]) -> Result<Vec<u8>, HarnessError> {
    let mut encoder = Encoder::new();
    for sample in samples {
        encoder
            .push_record(&sample.record, &sample.body)
            .map_err(|error| HarnessError::Unexpected {
                doing: "encode a batch".to_owned(),
                answer: error.to_string(),
            })?;
    }
    Ok(encoder.finish())
}
