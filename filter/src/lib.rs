//! Dossier's filter for Envoy: a thin proxy-wasm shell around [`dossier_capture`].
//!
//! - [`root`]: the root context, which holds a configuration and makes calls.
//! - [`stream`]: the context of an HTTP stream, which it never pauses.
//! - [`host`]: hostcalls, none of which can panic.

#![expect(
    missing_docs,
    reason = "what the SDK's macro makes cannot be documented here"
)]

mod host;
mod root;
mod stream;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    // Also installs the hook that puts a panic's message into the proxy's log.
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}}
