//! What is compared: one Envoy, each time with another filter or another configuration of ours.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dossier_tests::HarnessError;
use dossier_tests::bootstrap::{Bootstrap, COLLECTOR_CLUSTER, UPSTREAM_CLUSTER, set};
use dossier_tests::paths;
use serde_json::{Value, json};

use crate::bare_filter::BareFilter;

/// An Envoy to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    /// No filter but the router: what the others are compared with.
    Plain,
    /// A wasm filter that calls the host and no more: the least that any wasm filter takes.
    Bare(BareFilter),
    /// Ours, with rules of which none fits.
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
    /// Both halves, and nobody takes the batches.
    CollectorDead,
    /// Envoy's own tap filter, to files.
    Tap,
    /// A Lua filter that posts both bodies.
    Lua,
}

/// Where an Envoy's neighbours are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbours {
    pub(crate) service: SocketAddr,
    pub(crate) collector: SocketAddr,
    /// Nobody listens there.
    pub(crate) nobody: SocketAddr,
}

/// Posts like ours: without waiting for the answer.
const LUA: &str = include_str!("post_bodies.lua");

impl Variant {
    pub(crate) const ALL: [Self; 15] = [
        Self::Plain,
        Self::Bare(BareFilter::Empty),
        Self::Bare(BareFilter::Asks),
        Self::Bare(BareFilter::Reads),
        Self::Bare(BareFilter::Posts),
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

    /// As the tables call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain Envoy",
            Self::Bare(BareFilter::Empty) => "an empty wasm filter",
            Self::Bare(BareFilter::Asks) => "a wasm filter that asks for the route",
            Self::Bare(BareFilter::Reads) => "a wasm filter that reads both halves",
            Self::Bare(BareFilter::Posts) => "a wasm filter that posts what it reads",
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

    /// Records of one exchange that reach a collector.
    pub(crate) const fn records(self) -> u64 {
        match self {
            Self::Plain | Self::Bare(_) | Self::NotMatching | Self::Tap | Self::Lua => 0,
            Self::Request | Self::Response => 1,
            Self::Both | Self::BothNone | Self::BothBest | Self::Redacted | Self::CollectorDead => {
                2
            }
        }
    }

    /// The Envoy's configuration; files that belong to it go into the folder.
    pub(crate) fn bootstrap(
        self,
        folder: &Path,
        neighbours: Neighbours,
    ) -> Result<Bootstrap, HarnessError> {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut bootstrap = Bootstrap::read(&paths::find_envoy_config("minimal.yaml")?)?;
        bootstrap.set_listener(any_port)?;
        bootstrap.set_admin(any_port);
        bootstrap.set_cluster(UPSTREAM_CLUSTER, neighbours.service)?;
        let collector = match self {
            Self::CollectorDead => neighbours.nobody,
            _ => neighbours.collector,
        };
        bootstrap.set_cluster(COLLECTOR_CLUSTER, collector)?;
        match self {
            Self::Plain => bootstrap.remove_filter()?,
            Self::Bare(filter) => filter.install(&mut bootstrap, folder)?,
            Self::Tap => {
                std::fs::create_dir_all(tapped(folder))
                    .map_err(HarnessError::io("make a folder for what is tapped"))?;
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
        // Short, so that a turn's last batch is still counted with the turn. Batches fill up sooner.
        let batch = json!({"compression": compression, "max_delay": "100ms"});
        set(plugin, "batch", batch);
    }
}

fn replace_filter(bootstrap: &mut Bootstrap, filter: Value) -> Result<(), HarnessError> {
    bootstrap.remove_filter()?;
    bootstrap.http_filters()?.insert(0, filter);
    Ok(())
}

/// Where the tap puts its files: in memory where that can be had, so that it does not look slower than
/// it is.
pub(super) fn tapped(folder: &Path) -> PathBuf {
    let memory = Path::new("/dev/shm");
    match folder.file_name() {
        Some(name) if memory.is_dir() => memory.join(name),
        _ => folder.to_owned(),
    }
}

fn tap(folder: &Path) -> Value {
    let prefix = tapped(folder).join("tap");
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
