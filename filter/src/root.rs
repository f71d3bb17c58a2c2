//! The root context: one plugin configuration in one VM.

use std::rc::Rc;

use dossier_capture::host::CollectorResponse;
use dossier_capture::host::{CollectorRequest, Dispatch, Host, Level};
use dossier_capture::vm::{Plugin, Vm};
use proxy_wasm::hostcalls::dispatch_http_call;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::host::{self, Envoy};
use crate::stream::{Ignored, Stream};

thread_local! {
    /// A VM has one thread, so all of its contexts share this.
    static VM: Rc<Vm<Envoy>> = Rc::new(Vm::new(Envoy::default()));
}

/// Configures the VM and forwards ticks and responses to it.
pub(crate) struct Root {
    id: u32,
    vm: Rc<Vm<Envoy>>,
    plugin: Option<Rc<Plugin>>,
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self {
            id,
            vm: VM.with(Rc::clone),
            plugin: None,
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, _: usize, _: usize) {
        let response = if headers == 0 {
            CollectorResponse::default()
        } else {
            host::read_collector_response()
        };
        self.vm
            .handle_response(self.id, token, response, &SdkDispatch);
    }

    fn on_done(&mut self) -> bool {
        self.vm.remove_root(self.id);
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = host::read_plugin_configuration().unwrap_or_default();
        let Some(plugin) = self.vm.configure(
            self.id,
            &configuration,
            host::read_environment_variable,
            host::read_workload(),
        ) else {
            return false;
        };
        host::set_tick_period(plugin.tick_period());
        let line = format!(
            "dossier: version {} ({}), {} routes",
            env!("CARGO_PKG_VERSION"),
            env!("DOSSIER_COMMIT"),
            plugin.rule_count(),
        );
        self.vm.host().log(Level::Info, &line);
        self.vm.host().define_metrics();
        self.plugin = Some(plugin);
        true
    }

    fn on_tick(&mut self) {
        self.vm.tick(self.id, &SdkDispatch);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.plugin {
            Some(plugin) => Box::new(Stream::new(Rc::clone(&self.vm), Rc::clone(plugin))),
            // Hosts create streams for configured contexts only; any other stream just passes.
            None => Box::new(Ignored),
        })
    }
}

/// Makes calls for the root context whose callback runs. This is the only hostcall through the SDK, because
/// its dispatcher must know the token.
struct SdkDispatch;

impl Dispatch for SdkDispatch {
    fn send(&self, request: &CollectorRequest<'_>) -> Option<u32> {
        let headers = request.headers.clone();
        dispatch_http_call(
            request.cluster,
            headers,
            Some(request.body),
            Vec::new(),
            request.timeout,
        )
        .ok()
    }
}
