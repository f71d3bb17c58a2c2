//! The collector that an outbox sends to, and the calls to it.

use dossier_wire::{BATCH_ID_HEADER, CONTENT_TYPE};

use super::batch::SealedBatch;
use crate::config::{BatchSettings, CollectorSettings};
use crate::host::CollectorRequest;

/// The settings of an outbox.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) collector: CollectorSettings,
    /// Value of the `authorization` header.
    pub(crate) authorization: Option<String>,
    pub(crate) batch: BatchSettings,
}

impl Destination {
    /// The call that sends a batch.
    pub(crate) fn request<'a>(&'a self, sealed: &'a SealedBatch) -> CollectorRequest<'a> {
        let collector = &self.collector;
        let mut headers = vec![
            (":method", "POST"),
            (":path", collector.path.as_str()),
            (":authority", collector.authority.as_str()),
            ("content-type", CONTENT_TYPE),
            (BATCH_ID_HEADER, sealed.id.as_str()),
        ];
        headers.extend(
            sealed
                .encoding
                .map(|encoding| ("content-encoding", encoding)),
        );
        headers.extend(
            self.authorization
                .as_deref()
                .map(|value| ("authorization", value)),
        );
        CollectorRequest {
            cluster: &collector.cluster,
            headers,
            body: &sealed.bytes,
            timeout: collector.timeout,
        }
    }

    /// Whether one outbox serves both.
    pub(crate) fn is_same_collector(&self, other: &Self) -> bool {
        let key = |destination: &Self| {
            let collector = &destination.collector;
            (
                collector.cluster.clone(),
                collector.authority.clone(),
                collector.path.clone(),
            )
        };
        key(self) == key(other)
    }
}
