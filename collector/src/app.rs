//! What every request handler shares.

use std::sync::Arc;

use crate::auth::Door;
use crate::limits::admission::Admission;
use crate::limits::decoding::Decoding;
use crate::limits::turns::Turns;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::outage::Outage;
use crate::settings::access::AccessSettings;
use crate::settings::clients::ClientSettings;
use crate::spool::Spool;
use crate::store::Store;
use dossier_body::pace::Pace;

/// The parts of a running collector. Cloning it clones handles, not parts.
#[derive(Debug, Clone)]
pub struct App {
    /// The database.
    pub store: Store,
    /// Where batches wait while the database takes none, if such a place is wanted.
    pub spool: Option<Spool>,
    /// Whether the database takes batches.
    pub outage: Outage,
    /// The time.
    pub clock: Clock,
    /// Counts of everything.
    pub metrics: Arc<Metrics>,
    /// How much time there is to pack bodies.
    pub pace: Pace,
    /// Lets batches in as long as there is room.
    pub admission: Admission,
    /// Turns at making batches ready.
    pub preparing: Turns,
    /// Turns at decoding bodies.
    pub decoding: Decoding,
    /// Lets callers in whom it knows.
    pub door: Door,
    /// How long clients, and their requests, may take.
    pub clients: ClientSettings,
}

impl App {
    /// A collector on this database. It needs a running Tokio.
    #[must_use]
    pub fn new(
        store: Store,
        spool: Option<Spool>,
        clock: Clock,
        access: AccessSettings,
        clients: ClientSettings,
    ) -> Self {
        Self {
            door: Door::new(access, &store, spool.as_ref().map(Spool::folder)),
            store,
            spool,
            outage: Outage::default(),
            clock,
            metrics: Arc::new(Metrics::new()),
            pace: Pace::default(),
            admission: Admission::default(),
            clients,
            preparing: Turns::of_cores_but_one(),
            decoding: Decoding::default(),
        }
    }
}
