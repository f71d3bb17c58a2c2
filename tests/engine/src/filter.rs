//! The compiled filter, and VMs of it that are driven as Envoy drives them.

use std::path::PathBuf;

use dossier_repository::find_repository;
use serde_json::Value;
use wasmi::{CallHook, Engine, Global, Instance, Linker, Module, Store, WasmParams, WasmResults};

use crate::counting::{COUNT, instrument};
use crate::error::EngineError;
use crate::host::{self, Host};
use crate::traffic::Exchange;

/// The compiled filter.
#[derive(Debug)]
pub struct Filter {
    module: Module,
    is_prebuilt: bool,
}

/// A configured VM.
#[derive(Debug)]
pub struct Vm {
    store: Store<Host>,
    instance: Instance,
    count: Global,
    streams: u32,
    reported: ExecutionCost,
}

/// What running the filter has cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecutionCost {
    /// Instructions executed.
    pub instructions: u64,
    /// Calls into the proxy.
    pub calls: u64,
}

const ROOT: u32 = 1;
const MILLISECOND: u64 = 1_000_000;

impl Filter {
    /// Compiles the filter that `DOSSIER_FILTER_WASM` names, or the one that `make filter` has built.
    ///
    /// # Errors
    /// [`EngineError`] if the file cannot be read or is not WebAssembly.
    pub fn load() -> Result<Self, EngineError> {
        let path = match std::env::var_os("DOSSIER_FILTER_WASM") {
            Some(path) => PathBuf::from(path),
            None => find_repository()?.join("target/dossier-filter.wasm"),
        };
        let bytes = std::fs::read(&path).map_err(|source| EngineError::Missing { path, source })?;
        let module = Module::new(&Engine::default(), &instrument(&bytes)?)?;
        // A panic's location in a prebuilt library names the commit that it was built from.
        let mark = b"/rustc/";
        let is_prebuilt = bytes.windows(mark.len()).any(|window| window == mark);
        Ok(Self {
            module,
            is_prebuilt,
        })
    }

    /// The origin of its standard library: `prebuilt` by the Rust project, or compiled from `source`, which
    /// inlines differently and takes fewer instructions.
    #[must_use]
    pub const fn standard_library(&self) -> &'static str {
        if self.is_prebuilt {
            "prebuilt"
        } else {
            "source"
        }
    }

    /// Starts a VM with this plugin configuration.
    ///
    /// # Errors
    /// [`EngineError::Refused`] with what the filter logged, or [`EngineError::Wasm`].
    pub fn start(&self, configuration: &Value) -> Result<Vm, EngineError> {
        let configuration = configuration.to_string().into_bytes();
        let size = u32::try_from(configuration.len()).unwrap_or(u32::MAX);
        let engine = self.module.engine();
        let mut store = Store::new(engine, Host::new(configuration));
        store.call_hook(|host, hook| {
            host.hostcalls += u64::from(matches!(hook, CallHook::CallingHost));
            Ok(())
        });
        let mut linker = Linker::new(engine);
        host::define(&mut linker, &self.module)?;
        let instance = linker.instantiate_and_start(&mut store, &self.module)?;
        let count = instance
            .get_global(&store, COUNT)
            .ok_or_else(|| wasmi::Error::new("the filter exports no count"))?;
        let mut vm = Vm {
            store,
            instance,
            count,
            streams: ROOT,
            reported: ExecutionCost::default(),
        };
        vm.configure(size)?;
        Ok(vm)
    }
}

impl Vm {
    fn configure(&mut self, size: u32) -> Result<(), EngineError> {
        self.run::<(), ()>("_initialize", ())?;
        self.run::<_, ()>("proxy_on_context_create", (ROOT, 0_u32))?;
        self.run::<_, u32>("proxy_on_vm_start", (ROOT, 0_u32))?;
        if self.run::<_, u32>("proxy_on_configure", (ROOT, size))? == 0 {
            return Err(EngineError::Refused(self.store.data().lines.join("; ")));
        }
        Ok(())
    }

    /// Runs a whole exchange, which takes two milliseconds.
    ///
    /// # Errors
    /// [`EngineError::Wasm`] if the filter crashes.
    pub fn exchange(&mut self, exchange: &Exchange) -> Result<(), EngineError> {
        self.streams += 1;
        let id = self.streams;
        let length = |bytes: &Vec<u8>| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let (request, response) = (
            length(&exchange.request_body),
            length(&exchange.response_body),
        );
        self.store.data_mut().exchange = Some(exchange.clone());
        self.run::<_, ()>("proxy_on_context_create", (id, ROOT))?;
        for (callback, size, ended) in [
            ("proxy_on_request_headers", 0, 0),
            ("proxy_on_request_body", request, 0),
            ("proxy_on_request_body", 0, 1_u32),
            ("proxy_on_response_headers", 0, 0),
            ("proxy_on_response_body", response, 0),
            ("proxy_on_response_body", 0, 1),
        ] {
            self.run::<_, u32>(callback, (id, size, ended))?;
            if ended == 1 {
                self.store.data_mut().now += MILLISECOND;
            }
        }
        self.run::<_, ()>("proxy_on_log", id)?;
        self.run::<_, u32>("proxy_on_done", id)?;
        self.run::<_, ()>("proxy_on_delete", id)?;
        self.store.data_mut().exchange = None;
        Ok(())
    }

    /// Advances the clock by a minute, ticks the filter, answers its HTTP calls and returns their bodies.
    ///
    /// # Errors
    /// [`EngineError::Wasm`] if the filter crashes.
    pub fn flush(&mut self) -> Result<Vec<Vec<u8>>, EngineError> {
        self.store.data_mut().now += 60_000 * MILLISECOND;
        self.run::<_, ()>("proxy_on_tick", ROOT)?;
        let mut bodies = Vec::new();
        while let Some((token, body)) = self.store.data_mut().calls.pop() {
            bodies.push(body);
            let answer = (ROOT, token, 1_u32, 0_u32, 0_u32);
            self.run::<_, ()>("proxy_on_http_call_response", answer)?;
        }
        Ok(bodies)
    }

    /// The cost since the last call, or since the VM was started.
    pub fn take_cost(&mut self) -> ExecutionCost {
        let count = self.count.get(&self.store).i64().unwrap_or_default();
        let cost = ExecutionCost {
            instructions: count.cast_unsigned(),
            calls: self.store.data().hostcalls,
        };
        let reported = std::mem::replace(&mut self.reported, cost);
        ExecutionCost {
            instructions: cost.instructions - reported.instructions,
            calls: cost.calls - reported.calls,
        }
    }

    fn run<P, R>(&mut self, callback: &str, arguments: P) -> Result<R, EngineError>
    where
        P: WasmParams,
        R: WasmResults,
    {
        let function = self
            .instance
            .get_typed_func::<P, R>(&self.store, callback)?;
        Ok(function.call(&mut self.store, arguments)?)
    }
}

#[cfg(test)]
mod tests {
    use dossier_wire::Batch;
    use dossier_wire::compression::inflate;
    use dossier_wire::frame::{FrameKind, MAX_BATCH_BYTES};
    use serde_json::json;

    use super::*;

    #[test]
    fn sends_recorded_exchange_in_one_batch() {
        let filter = Filter::load().unwrap();
        let mut vm = filter
            .start(&json!({"collector": {"cluster": "c"}, "defaults": {"storage_type": "both"}}))
            .unwrap();
        let exchange = Exchange::json(1);
        vm.exchange(&exchange).unwrap();
        let calls = vm.flush().unwrap();
        let raw = inflate(&calls[0], MAX_BATCH_BYTES).unwrap();
        let batch = Batch::parse(&raw).unwrap();
        let bodies: Vec<_> = batch
            .frames()
            .iter()
            .filter(|frame| frame.kind == FrameKind::Record)
            .map(|frame| frame.body)
            .collect();
        assert_eq!(bodies, [exchange.request_body, exchange.response_body]);
        assert_eq!(calls.len(), 1);
        assert!(vm.flush().unwrap().is_empty());
    }

    #[test]
    fn reports_why_configuration_is_refused() {
        let filter = Filter::load().unwrap();
        let error = filter.start(&json!({"collector": {}})).unwrap_err();
        assert!(error.to_string().contains("collector.cluster"), "{error}");
    }
}
