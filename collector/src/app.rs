//! What every request handler shares.

use std::sync::Arc;

use crate::http::admission::Admission;
use crate::http::auth::Door;
use crate::http::decoding::Decoding;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::settings::access::AccessSettings;
use crate::store::Store;

/// The parts of a running collector. Cloning it clones handles, not parts.
#[derive(Debug, Clone)]
pub struct App {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Counts of everything.
    pub metrics: Arc<Metrics>,
    /// Lets batches in as long as there is room.
    pub admission: Admission,
    /// Turns at decoding bodies.
    pub decoding: Decoding,
    /// Lets callers in whom it knows.
    pub door: Door,
}

impl App {
    /// A collector on this database. It needs a running Tokio.
    #[must_use]
    pub fn new(store: Store, clock: Clock, access: AccessSettings) -> Self {
        Self {
            door: Door::new(access, &store),
            store,
            clock,
            metrics: Arc::new(Metrics::new()),
            admission: Admission::default(),
            decoding: Decoding::default(),
        }
    }
}
