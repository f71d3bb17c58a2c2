//! What is shipped: `dossier-filter.wasm` is small, asks the host for nothing but what is listed here,
//! and offers what Envoy calls.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;

use dossier_tests::paths::find_filter;
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

const MAX_BYTES: usize = 1 << 20;
/// What the filter calls.
const CALLED: [&str; 14] = [
    "env.proxy_define_metric",
    "env.proxy_get_buffer_bytes",
    "env.proxy_get_current_time_nanoseconds",
    "env.proxy_get_header_map_pairs",
    "env.proxy_get_header_map_value",
    "env.proxy_get_property",
    "env.proxy_http_call",
    "env.proxy_increment_metric",
    "env.proxy_log",
    "env.proxy_set_effective_context",
    "env.proxy_set_tick_period_milliseconds",
    "wasi_snapshot_preview1.environ_get",
    "wasi_snapshot_preview1.environ_sizes_get",
    "wasi_snapshot_preview1.random_get",
];
/// What the methods of the SDK's traits call that the filter leaves as they are. Nothing calls those
/// methods, but a compiler cannot know.
const CARRIED: [&str; 24] = [
    "env.proxy_add_header_map_value",
    "env.proxy_call_foreign_function",
    "env.proxy_close_stream",
    "env.proxy_continue_stream",
    "env.proxy_dequeue_shared_queue",
    "env.proxy_done",
    "env.proxy_enqueue_shared_queue",
    "env.proxy_get_shared_data",
    "env.proxy_get_status",
    "env.proxy_grpc_call",
    "env.proxy_grpc_cancel",
    "env.proxy_grpc_close",
    "env.proxy_grpc_send",
    "env.proxy_grpc_stream",
    "env.proxy_register_shared_queue",
    "env.proxy_remove_header_map_value",
    "env.proxy_replace_header_map_value",
    "env.proxy_resolve_shared_queue",
    "env.proxy_send_local_response",
    "env.proxy_set_buffer_bytes",
    "env.proxy_set_header_map_pairs",
    "env.proxy_set_property",
    "env.proxy_set_shared_data",
    "wasi_snapshot_preview1.clock_time_get",
];
/// What Envoy needs to find, to start the filter and to show it traffic.
const OFFERED: [&str; 17] = [
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "malloc",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_http_call_response",
    "proxy_on_log",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
];

/// Names that a module imports, with their module's, and names that it exports.
fn names(module: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut imports = BTreeSet::new();
    let mut exports = BTreeSet::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.unwrap();
                    assert!(matches!(import.ty, TypeRef::Func(_)), "{import:?}");
                    imports.insert(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.unwrap();
                    if matches!(export.kind, ExternalKind::Func | ExternalKind::Memory) {
                        exports.insert(export.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[test]
fn filter_stays_within_size_limit() {
    let bytes = fs::read(find_filter().unwrap()).unwrap().len();
    assert!(bytes < MAX_BYTES, "{bytes} bytes");
}

#[test]
fn filter_has_expected_imports_and_exports() {
    let (imports, exports) = names(&fs::read(find_filter().unwrap()).unwrap());
    let listed = [&CALLED[..], &CARRIED].concat();
    let unlisted: Vec<_> = imports
        .iter()
        .filter(|name| !listed.contains(&name.as_str()))
        .collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
    let gone: Vec<_> = listed
        .iter()
        .filter(|name| !imports.contains(**name))
        .collect();
    assert!(gone.is_empty(), "no longer imported: {gone:?}");
    let missing: Vec<_> = OFFERED
        .iter()
        .filter(|name| !exports.contains(**name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
