//! Hostcalls. The SDK's own wrappers panic on unexpected statuses, such as the one for response headers
//! that do not exist yet, and a panic here is a 503 for the client. So the calls are declared again, and
//! none of them can panic.
//!
//! This is the only unsafe file of Dossier. It relies on two guarantees of the proxy-wasm ABI: the host
//! writes only to the addresses it is given, and memory that it returns was allocated by this module's
//! allocator with exactly the returned size.
#![expect(unsafe_code, reason = "this is the binding to the host")]

use std::cell::OnceCell;
use std::ptr::{null_mut, slice_from_raw_parts_mut};
use std::time::Duration;

use dossier_capture::headers::Headers;
use dossier_capture::host::CollectorResponse;
use dossier_capture::host::{Host, Level, Stream};
use dossier_capture::metrics::{Counter, OUTBOX_BYTES};
use dossier_wire::Half;
use dossier_wire::limits::filter::MAX_WORKLOAD_BYTES;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, line: *const u8, length: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        length: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_length: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_length: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, length: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, length: usize) -> u32;
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    fn environ_sizes_get(count: *mut usize, bytes: *mut usize) -> u32;
    fn environ_get(pointers: *mut *mut u8, bytes: *mut u8) -> u32;
}

/// The status of a successful call, in both interfaces.
const OK: u32 = 0;
const MONOTONIC_CLOCK: u32 = 1;

mod buffer {
    pub(super) const REQUEST_BODY: u32 = 0;
    pub(super) const RESPONSE_BODY: u32 = 1;
    pub(super) const PLUGIN_CONFIGURATION: u32 = 7;
}

mod map {
    use super::Half;

    pub(super) const REQUEST_HEADERS: u32 = 0;
    pub(super) const REQUEST_TRAILERS: u32 = 1;
    pub(super) const RESPONSE_HEADERS: u32 = 2;
    pub(super) const RESPONSE_TRAILERS: u32 = 3;
    pub(super) const CALL_RESPONSE_HEADERS: u32 = 6;

    pub(super) const fn headers(half: Half) -> u32 {
        match half {
            Half::Request => REQUEST_HEADERS,
            Half::Response => RESPONSE_HEADERS,
        }
    }
}

mod metric {
    pub(super) const COUNTER: u32 = 0;
    pub(super) const GAUGE: u32 = 1;
}

/// Envoy as the host of this VM.
#[derive(Debug, Default)]
pub(crate) struct Envoy {
    metrics: OnceCell<Metrics>,
}

/// The ids of the metrics; none where the host rejected the definition.
#[derive(Debug)]
struct Metrics {
    counters: [Option<u32>; Counter::ALL.len()],
    outbox_bytes: Option<u32>,
}

impl Envoy {
    /// Defines all metrics, so that they exist before anything is counted.
    pub(crate) fn define_metrics(&self) {
        self.metrics();
    }

    fn metrics(&self) -> &Metrics {
        self.metrics.get_or_init(|| Metrics {
            counters: Counter::ALL.map(|counter| define_metric(metric::COUNTER, counter.name())),
            outbox_bytes: define_metric(metric::GAUGE, OUTBOX_BYTES),
        })
    }
}

impl Host for Envoy {
    fn wall_clock(&self) -> u64 {
        let mut nanoseconds = 0;
        // SAFETY: the host writes eight bytes to the address.
        unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) };
        nanoseconds / 1000
    }

    fn steady_clock(&self) -> u64 {
        let mut nanoseconds = 0;
        // SAFETY: the host writes eight bytes to the address.
        let status = unsafe { clock_time_get(MONOTONIC_CLOCK, 1, &raw mut nanoseconds) };
        if status == OK {
            nanoseconds / 1000
        } else {
            self.wall_clock()
        }
    }

    fn random(&self, buffer: &mut [u8]) -> bool {
        // SAFETY: the host writes at most as many bytes as the buffer has.
        unsafe { random_get(buffer.as_mut_ptr(), buffer.len()) == OK }
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        // SAFETY: the host only reads the line.
        unsafe { proxy_log(level, line.as_ptr(), line.len()) };
    }

    fn increment(&self, counter: Counter, by: u64) {
        let metrics = self.metrics();
        if let Some(id) = metrics.counters.get(counter as usize).copied().flatten() {
            increment_metric(id, i64::try_from(by).unwrap_or(i64::MAX));
        }
    }

    fn adjust_outbox_bytes(&self, by: i64) {
        if let Some(id) = self.metrics().outbox_bytes {
            increment_metric(id, by);
        }
    }
}

impl Stream for Envoy {
    fn headers(&self, half: Half) -> Option<Headers> {
        get_pairs(map::headers(half))
    }

    fn header(&self, half: Half, name: &str) -> Option<Vec<u8>> {
        get_value(map::headers(half), name)
    }

    fn trailers(&self, half: Half) -> Option<Headers> {
        get_pairs(match half {
            Half::Request => map::REQUEST_TRAILERS,
            Half::Response => map::RESPONSE_TRAILERS,
        })
    }

    fn body(&self, half: Half, start: usize, length: usize) -> Option<Vec<u8>> {
        let buffer = match half {
            Half::Request => buffer::REQUEST_BODY,
            Half::Response => buffer::RESPONSE_BODY,
        };
        get_buffer(buffer, start, length)
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        get_property(path)
    }
}

/// The workload of the proxy: Istio's workload name, otherwise the id of the node.
pub(crate) fn read_workload() -> Option<String> {
    [
        &["xds", "node", "metadata", "WORKLOAD_NAME"][..],
        &["xds", "node", "id"],
    ]
    .into_iter()
    .filter_map(|path| String::from_utf8(get_property(path)?).ok())
    .find(|name| !name.is_empty() && name.len() <= MAX_WORKLOAD_BYTES)
}

/// Available only in the configuration callback.
pub(crate) fn read_plugin_configuration() -> Option<Vec<u8>> {
    get_buffer(buffer::PLUGIN_CONFIGURATION, 0, usize::MAX)
}

/// Available only in the callback of a call.
pub(crate) fn read_collector_response() -> CollectorResponse {
    let number = |name: &str| {
        let value = get_value(map::CALL_RESPONSE_HEADERS, name)?;
        std::str::from_utf8(&value).ok()?.trim().parse::<u64>().ok()
    };
    CollectorResponse {
        status: number(":status").and_then(|status| u16::try_from(status).ok()),
        retry_after: number("retry-after"),
    }
}

/// Sets the interval of the tick callback, for the root context whose callback runs.
pub(crate) fn set_tick_period(period: Duration) {
    let milliseconds = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: no memory is passed.
    unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
}

/// Reads a variable of `vm_config.environment_variables`.
pub(crate) fn read_environment_variable(name: &str) -> Option<String> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: the host writes one number to each address.
    if unsafe { environ_sizes_get(&raw mut count, &raw mut size) } != OK {
        return None;
    }
    let mut pointers = vec![null_mut(); count];
    let mut block = vec![0_u8; size];
    // SAFETY: the host writes as many pointers and bytes as it just returned, and the buffers have that size.
    if unsafe { environ_get(pointers.as_mut_ptr(), block.as_mut_ptr()) } != OK {
        return None;
    }
    let variables = block.split(|byte| *byte == 0);
    variables
        .filter_map(|variable| std::str::from_utf8(variable).ok())
        .find_map(|variable| {
            let (found, value) = variable.split_once('=')?;
            (found == name).then(|| value.to_owned())
        })
}

fn get_pairs(map: u32) -> Option<Headers> {
    // SAFETY: both addresses come from `take_bytes`.
    take_bytes(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })
        .map(Headers::from_serialised)
}

fn get_value(map: u32, name: &str) -> Option<Vec<u8>> {
    take_bytes(|data, size| {
        // SAFETY: the host reads the name; both addresses come from `take_bytes`.
        unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) }
    })
}

fn get_property(path: &[&str]) -> Option<Vec<u8>> {
    let path = path.join("\0");
    take_bytes(|data, size| {
        // SAFETY: the host reads the path; both addresses come from `take_bytes`.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }
    })
}

fn get_buffer(buffer: u32, start: usize, length: usize) -> Option<Vec<u8>> {
    // SAFETY: both addresses come from `take_bytes`.
    take_bytes(|data, size| unsafe { proxy_get_buffer_bytes(buffer, start, length, data, size) })
}

fn define_metric(kind: u32, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: the host reads the name and writes four bytes to the address.
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
    (status == OK).then_some(id)
}

fn increment_metric(id: u32, by: i64) {
    // SAFETY: no memory is passed.
    unsafe { proxy_increment_metric(id, by) };
}

/// Takes ownership of the bytes that a call returns; none if the call failed.
fn take_bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    let status = call(&raw mut data, &raw mut size);
    if status != OK {
        return None;
    }
    if data.is_null() || size == 0 {
        return Some(Vec::new());
    }
    // SAFETY: the host allocated the bytes through our allocator, as a boxed slice of this size.
    Some(unsafe { Box::from_raw(slice_from_raw_parts_mut(data, size)) }.into_vec())
}
