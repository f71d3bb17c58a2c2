//! The parts of a running collector, which its handlers and jobs share.

use std::sync::Arc;

use axum::extract::FromRef;

use crate::auth::Authenticator;
use crate::http::middleware::RequestLayer;
use crate::limits::admission::Admission;
use crate::limits::blocking_pool::BlockingPool;
use crate::limits::decode_pool::DecodePool;
use crate::limits::rate_limit::RateLimiter;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::outage::Outage;
use crate::settings::access::AccessSettings;
use crate::settings::clients::ClientSettings;
use crate::spool::Spool;
use crate::store::Store;
use dossier_body::load_meter::LoadMeter;

/// The parts of a running collector. Clones share them.
#[derive(Debug, Clone)]
pub struct App {
    /// The database.
    pub store: Store,
    /// Where batches wait while the database is unavailable, if a spool is configured.
    pub spool: Option<Spool>,
    /// Whether the database accepts batches.
    pub outage: Outage,
    /// The time.
    pub clock: Clock,
    /// Counts of everything.
    pub metrics: Arc<Metrics>,
    /// How much time there is to compress bodies.
    pub load_meter: LoadMeter,
    /// Bounds the memory of batches in flight.
    pub admission: Admission,
    /// The threads that prepare batches.
    pub ingest_pool: BlockingPool,
    /// The threads that decode bodies.
    pub decode_pool: DecodePool,
    /// Who sends a request.
    pub authenticator: Authenticator,
    /// How often a caller may ask.
    pub rate_limiter: RateLimiter,
    /// How long clients and their requests may take.
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
        let outage = Outage::default();
        let mut authenticator =
            Authenticator::new(store.clone(), clock, outage.clone(), access.jwt)
                .with_certificate_for_batches(access.certificate_for_batches);
        if let Some(spool) = &spool {
            authenticator = authenticator.with_key_cache_in(spool.folder());
        }
        Self {
            store,
            spool,
            outage,
            clock,
            metrics: Arc::new(Metrics::new()),
            load_meter: LoadMeter::default(),
            admission: Admission::default(),
            ingest_pool: BlockingPool::one_less_than_cores(),
            decode_pool: DecodePool::default(),
            authenticator,
            rate_limiter: RateLimiter::new(access.rate),
            clients,
        }
    }

    /// The parts that the middleware around every request needs.
    #[must_use]
    pub fn request_layer(&self) -> RequestLayer {
        RequestLayer {
            metrics: Arc::clone(&self.metrics),
            clients: self.clients,
        }
    }
}

impl FromRef<App> for Authenticator {
    fn from_ref(app: &App) -> Self {
        app.authenticator.clone()
    }
}

impl FromRef<App> for RateLimiter {
    fn from_ref(app: &App) -> Self {
        app.rate_limiter.clone()
    }
}

impl FromRef<App> for Clock {
    fn from_ref(app: &App) -> Self {
        app.clock
    }
}
