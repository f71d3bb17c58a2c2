//! The compared Envoys: without a filter, with other filters, and with Dossier in several configurations.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, UPSTREAM_CLUSTER, set};
use dossier_tests::paths;
use serde_json::{Value, json};

use crate::bare_filter::BareFilter;

/// An Envoy to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// No filter but the router; the others are compared with this.
    Plain,
    /// A minimal wasm filter.
    Bare(BareFilter),
    /// Dossier, with rules of which none matches.
    NotMatching,
    Request,
    Response,
    Both,
    /// Without compression.
    BothNone,
    /// With the best compression.
    BothBest,
    /// With email, card numbers and one JSON path redacted.
    Redacted,
    /// Both halves, without a collector.
    CollectorDead,
    /// Envoy's own tap filter, to files.
    Tap,
    /// A Lua filter that posts both bodies.
    Lua,
}

/// Where an Envoy's addresses are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) service: SocketAddr,
    pub(crate) collector: SocketAddr,
    /// Nothing listens here.
    pub(crate) unreachable: SocketAddr,
}

/// Posts as Dossier does: without waiting for the response.
const LUA: &str = include_str!("post_bodies.lua");

impl Variant {
    pub(crate) const ALL: [Self; 15] = [
        Self::Plain,
        Self::Bare(BareFilter::Empty),
        Self::Bare(BareFilter::ReadsRoute),
        Self::Bare(BareFilter::ReadsBodies),
        Self::Bare(BareFilter::PostsBodies),
        Self::NotMatching,
        Self::Request,
        Self::Response,
        Self::Both,
        Self::BothNone,
        Self::BothBest,
        Self::Redacted,
        Self::CollectorDead,
        Self::Tap,
        Self::Lua,
    ];

    /// The name in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain Envoy",
            Self::Bare(BareFilter::Empty) => "an empty wasm filter",
            Self::Bare(BareFilter::ReadsRoute) => "a wasm filter that asks for the route",
            Self::Bare(BareFilter::ReadsBodies) => "a wasm filter that reads both halves",
            Self::Bare(BareFilter::PostsBodies) => "a wasm filter that posts what it reads",
            Self::NotMatching => "not matching",
            Self::Request => "requests",
            Self::Response => "responses",
            Self::Both => "both halves",
            Self::BothNone => "both, `compression: none`",
            Self::BothBest => "both, `compression: best`",
            Self::Redacted => "both, redacted",
            Self::CollectorDead => "both, collector dead",
            Self::Tap => "Envoy's tap, to files",
            Self::Lua => "Lua that posts both bodies",
        }
    }

    /// Records of one exchange.
    pub(crate) const fn records(self) -> u64 {
        match self {
            Self::Plain | Self::Bare(_) | Self::NotMatching | Self::Tap | Self::Lua => 0,
            Self::Request | Self::Response => 1,
            Self::Both | Self::BothNone | Self::BothBest | Self::Redacted | Self::CollectorDead => {
                2
            }
        }
    }

    /// The Envoy's configuration; its files are written into the folder.
    pub(crate) fn bootstrap(
        self,
        folder: &Path,
        addresses: Addresses,
    ) -> Result<Bootstrap, HarnessError> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut bootstrap = Bootstrap::read(&paths::find_envoy_config("minimal.yaml")?)?;
        bootstrap.set_listener(any_port)?;
        bootstrap.set_admin(any_port);
        bootstrap.set_cluster(UPSTREAM_CLUSTER, addresses.service)?;
        let collector = match self {
            Self::CollectorDead => addresses.unreachable,
            _ => addresses.collector,
        };
        bootstrap.set_cluster(COLLECTOR_CLUSTER, collector)?;
        match self {
            Self::Plain => bootstrap.remove_filter()?,
            Self::Bare(filter) => filter.install(&mut bootstrap, folder)?,
            Self::Tap => {
                std::fs::create_dir_all(tap_folder(folder))
                    .map_err(HarnessError::io("create the tap's folder"))?;
                replace_filter(&mut bootstrap, tap(folder))?;
            }
            Self::Lua => replace_filter(&mut bootstrap, lua())?,
            _ => {
                bootstrap.set_wasm(&paths::find_filter()?)?;
                self.configure(bootstrap.plugin()?);
            }
        }
        Ok(bootstrap)
    }

    fn configure(self, plugin: &mut Value) {
        let storage = match self {
            Self::Request => "request",
            Self::Response => "response",
            _ => "both",
        };
        let mut capture = json!({"storage_type": storage, "ttl_days": 30});
        if self == Self::Redacted {
            let redact = json!({"json": ["$.user.password"], "patterns": ["email", "credit_card"]});
            set(&mut capture, "redact", redact);
        }
        let prefix = if self == Self::NotMatching {
            "/elsewhere/"
        } else {
            "/api/"
        };
        let routes = json!([{"match": {"path": {"prefix": prefix}}, "capture": capture}]);
        set(plugin, "routes", routes);
        set(plugin, "user", json!([{"header": "x-user-id"}]));
        let compression = match self {
            Self::BothNone => "none",
            Self::BothBest => "best",
            _ => "fast",
        };
        // Short, so that the cost of a turn's last batch is part of the turn. Others are full before.
        let batch = json!({"compression": compression, "max_delay": "100ms"});
        set(plugin, "batch", batch);
    }
}

fn replace_filter(bootstrap: &mut Bootstrap, filter: Value) -> Result<(), HarnessError> {
    bootstrap.remove_filter()?;
    bootstrap.http_filters()?.insert(0, filter);
    Ok(())
}

/// The folder for the tap's files: in memory if possible, so that the disk does not slow it down.
pub(super) fn tap_folder(folder: &Path) -> PathBuf {
    let memory = Path::new("/dev/shm");
    match folder.file_name() {
        Some(name) if memory.is_dir() => memory.join(name),
        _ => folder.to_owned(),
    }
}

fn tap(folder: &Path) -> Value {
    let prefix = tap_folder(folder).join("tap");
    let sink = json!({"format": "PROTO_BINARY", "file_per_tap": {"path_prefix": prefix}});
    let limit = 64 << 10;
    json!({
        "name": "envoy.filters.http.tap",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.tap.v3.Tap",
            "common_config": {"static_config": {
                "match": {"any_match": true},
                "output_config": {
                    "sinks": [sink],
                    "max_buffered_rx_bytes": limit,
                    "max_buffered_tx_bytes": limit,
                },
            }},
        },
    })
}

fn lua() -> Value {
    json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": LUA},
        },
    })
}
