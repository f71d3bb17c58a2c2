//! The proxy's side: the functions that the filter imports, answered from memory.

use wasmi::errors::LinkerError;
use wasmi::{Caller, Error, Extern, ExternType, Linker, Memory, Module, TypedFunc, Val};

use crate::traffic::Exchange;

/// The state behind the hostcalls.
#[derive(Debug, Default)]
pub(crate) struct Host {
    configuration: Vec<u8>,
    /// The stream whose callbacks run.
    pub(crate) exchange: Option<Exchange>,
    /// Nanoseconds on both clocks.
    pub(crate) now: u64,
    /// What the filter logged.
    pub(crate) lines: Vec<String>,
    /// How many hostcalls the filter has made.
    pub(crate) hostcalls: u64,
    /// HTTP calls that are not answered yet: their tokens and bodies.
    pub(crate) calls: Vec<(u32, Vec<u8>)>,
    tokens: u32,
    metrics: u32,
    random: u64,
}

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;

const START_NANOSECONDS: u64 = 1_700_000_000_000_000_000;

const ENVOY: &str = "env";
const WASI: &str = "wasi_snapshot_preview1";

/// The numbers of buffers and header maps in the interface.
const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CONFIGURATION: u32 = 7;
const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const CALL_RESPONSE_HEADERS: u32 = 6;

/// The filter during a hostcall.
struct Guest<'a>(Caller<'a, Host>);

impl Guest<'_> {
    fn memory(&self) -> Result<Memory, Error> {
        let memory = self.0.get_export("memory").and_then(Extern::into_memory);
        memory.ok_or_else(|| Error::new("the filter exports no memory"))
    }

    fn read(&self, at: u32, length: u32) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length as usize];
        self.memory()?.read(&self.0, at as usize, &mut bytes)?;
        Ok(bytes)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Error> {
        let memory = self.memory()?;
        Ok(memory.write(&mut self.0, at as usize, bytes)?)
    }

    /// Writes bytes into memory that the filter allocates, and their address and length.
    fn write_result(&mut self, bytes: Option<&[u8]>, data: u32, size: u32) -> Result<u32, Error> {
        let Some(bytes) = bytes else {
            return Ok(NOT_FOUND);
        };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let place = if bytes.is_empty() {
            0
        } else {
            self.allocate(length)?
        };
        self.write(place, bytes)?;
        self.write(data, &place.to_le_bytes())?;
        self.write(size, &length.to_le_bytes())?;
        Ok(OK)
    }

    fn allocate(&mut self, length: u32) -> Result<u32, Error> {
        let malloc = self.0.get_export("malloc").and_then(Extern::into_func);
        let malloc = malloc.ok_or_else(|| Error::new("the filter exports no malloc"))?;
        let malloc: TypedFunc<u32, u32> = malloc.typed(&self.0)?;
        malloc.call(&mut self.0, length)
    }
}

impl Host {
    pub(crate) fn new(configuration: Vec<u8>) -> Self {
        Self {
            configuration,
            now: START_NANOSECONDS,
            ..Self::default()
        }
    }

    fn buffer(&self, kind: u32) -> Option<&[u8]> {
        let exchange = self.exchange.as_ref();
        match kind {
            REQUEST_BODY => exchange.map(|exchange| exchange.request_body.as_slice()),
            RESPONSE_BODY => exchange.map(|exchange| exchange.response_body.as_slice()),
            CONFIGURATION => Some(&self.configuration),
            _ => None,
        }
    }

    fn pairs(&self, map: u32) -> Option<Vec<u8>> {
        let exchange = self.exchange.as_ref()?;
        match map {
            REQUEST_HEADERS => Some(serialize_pairs(&exchange.request_headers)),
            RESPONSE_HEADERS => Some(serialize_pairs(&exchange.response_headers)),
            _ => None,
        }
    }

    fn header(&self, map: u32, name: &[u8]) -> Option<Vec<u8>> {
        let exchange = self.exchange.as_ref();
        let headers = match map {
            REQUEST_HEADERS => &exchange?.request_headers,
            RESPONSE_HEADERS => &exchange?.response_headers,
            CALL_RESPONSE_HEADERS => return (name == b":status").then(|| b"200".to_vec()),
            _ => return None,
        };
        let found = headers.iter().find(|(found, _)| found.as_bytes() == name);
        found.map(|(_, value)| value.clone().into_bytes())
    }

    fn attribute(&self, path: &[u8]) -> Option<Vec<u8>> {
        let path = String::from_utf8_lossy(path).replace('\0', ".");
        let exchange = self.exchange.as_ref()?;
        exchange.attributes.get(&path).cloned()
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            // A linear congruential generator is enough: the numbers must only be repeatable.
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005);
            self.random = self.random.wrapping_add(1_442_695_040_888_963_407);
            [.., *byte] = self.random.to_le_bytes();
        }
    }
}

/// Defines all that the filter imports. Its SDK imports the whole interface; calling a function that is
/// not implemented here fails.
pub(crate) fn define(linker: &mut Linker<Host>, module: &Module) -> Result<(), LinkerError> {
    define_input_calls(linker)?;
    define_output_calls(linker)?;
    define_system_calls(linker)?;
    for import in module.imports() {
        if let ExternType::Func(kind) = import.ty() {
            let name = import.name().to_owned();
            let refuse = move |_: Caller<'_, Host>, _: &[Val], _: &mut [Val]| {
                Err(Error::new(format!("this host has no {name}")))
            };
            // Fails for what is defined already.
            let _ = linker.func_new(import.module(), import.name(), kind.clone(), refuse);
        }
    }
    Ok(())
}

fn define_input_calls(linker: &mut Linker<Host>) -> Result<(), LinkerError> {
    linker.func_wrap(
        ENVOY,
        "proxy_get_buffer_bytes",
        |caller: Caller<'_, Host>, kind: u32, start: u32, length: u32, data: u32, size: u32| {
            let piece = caller.data().buffer(kind).map(|bytes| {
                let rest = bytes.get(start as usize..).unwrap_or_default();
                rest.get(..length as usize).unwrap_or(rest).to_vec()
            });
            Guest(caller).write_result(piece.as_deref(), data, size)
        },
    )?;
    linker.func_wrap(
        ENVOY,
        "proxy_get_header_map_pairs",
        |caller: Caller<'_, Host>, map: u32, data: u32, size: u32| {
            let pairs = caller.data().pairs(map);
            Guest(caller).write_result(pairs.as_deref(), data, size)
        },
    )?;
    linker.func_wrap(
        ENVOY,
        "proxy_get_header_map_value",
        |caller: Caller<'_, Host>, map: u32, name: u32, length: u32, data: u32, size: u32| {
            let mut guest = Guest(caller);
            let name = guest.read(name, length)?;
            let value = guest.0.data().header(map, &name);
            guest.write_result(value.as_deref(), data, size)
        },
    )?;
    linker.func_wrap(
        ENVOY,
        "proxy_get_property",
        |caller: Caller<'_, Host>, path: u32, length: u32, data: u32, size: u32| {
            let mut guest = Guest(caller);
            let path = guest.read(path, length)?;
            let value = guest.0.data().attribute(&path);
            guest.write_result(value.as_deref(), data, size)
        },
    )?;
    Ok(())
}

fn define_output_calls(linker: &mut Linker<Host>) -> Result<(), LinkerError> {
    linker.func_wrap(
        ENVOY,
        "proxy_log",
        |caller: Caller<'_, Host>, _level: u32, line: u32, length: u32| {
            let mut guest = Guest(caller);
            let line = guest.read(line, length)?;
            let line = String::from_utf8_lossy(&line).into_owned();
            guest.0.data_mut().lines.push(line);
            Ok::<_, Error>(OK)
        },
    )?;
    linker.func_wrap(
        ENVOY,
        "proxy_define_metric",
        |caller: Caller<'_, Host>, _kind: u32, _name: u32, _length: u32, id: u32| {
            let mut guest = Guest(caller);
            let host = guest.0.data_mut();
            host.metrics += 1;
            let number = host.metrics;
            guest.write(id, &number.to_le_bytes())?;
            Ok::<_, Error>(OK)
        },
    )?;
    linker.func_wrap(ENVOY, "proxy_increment_metric", |_: u32, _: i64| OK)?;
    linker.func_wrap(ENVOY, "proxy_set_tick_period_milliseconds", |_: u32| OK)?;
    linker.func_wrap(ENVOY, "proxy_set_effective_context", |_: u32| OK)?;
    linker.func_wrap(ENVOY, "proxy_http_call", call)?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "so the interface is")]
fn call(
    caller: Caller<'_, Host>,
    _cluster: u32,
    _cluster_length: u32,
    _headers: u32,
    _headers_length: u32,
    body: u32,
    body_length: u32,
    _trailers: u32,
    _trailers_length: u32,
    _timeout: u32,
    token: u32,
) -> Result<u32, Error> {
    let mut guest = Guest(caller);
    let body = guest.read(body, body_length)?;
    let host = guest.0.data_mut();
    host.tokens += 1;
    let number = host.tokens;
    host.calls.push((number, body));
    guest.write(token, &number.to_le_bytes())?;
    Ok(OK)
}

fn define_system_calls(linker: &mut Linker<Host>) -> Result<(), LinkerError> {
    linker.func_wrap(
        ENVOY,
        "proxy_get_current_time_nanoseconds",
        |caller: Caller<'_, Host>, time: u32| {
            let now = caller.data().now;
            Guest(caller).write(time, &now.to_le_bytes())?;
            Ok::<_, Error>(OK)
        },
    )?;
    linker.func_wrap(
        WASI,
        "clock_time_get",
        |caller: Caller<'_, Host>, _clock: u32, _precision: u64, time: u32| {
            let now = caller.data().now;
            Guest(caller).write(time, &now.to_le_bytes())?;
            Ok::<_, Error>(OK)
        },
    )?;
    linker.func_wrap(
        WASI,
        "random_get",
        |mut caller: Caller<'_, Host>, at: u32, length: u32| {
            let mut bytes = vec![0; length as usize];
            caller.data_mut().fill(&mut bytes);
            Guest(caller).write(at, &bytes)?;
            Ok::<_, Error>(OK)
        },
    )?;
    linker.func_wrap(
        WASI,
        "environ_sizes_get",
        |caller: Caller<'_, Host>, count: u32, size: u32| {
            let mut guest = Guest(caller);
            guest.write(count, &0_u32.to_le_bytes())?;
            guest.write(size, &0_u32.to_le_bytes())?;
            Ok::<_, Error>(OK)
        },
    )?;
    linker.func_wrap(WASI, "environ_get", |_: u32, _: u32| OK)?;
    Ok(())
}

/// A header map in the interface's format.
fn serialize_pairs(pairs: &[(String, String)]) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = length(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(length(name.len()));
        bytes.extend(length(value.len()));
    }
    for (name, value) in pairs {
        bytes.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    bytes
}
