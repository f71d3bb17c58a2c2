//! The stream context: forwards each callback to the recorder and lets every stream continue.

use std::rc::Rc;

use dossier_capture::exchange::Exchange;
use dossier_capture::vm::{Plugin, Vm};
use dossier_wire::Half;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::host::Envoy;

/// A stream that may be recorded.
pub(crate) struct Stream {
    vm: Rc<Vm<Envoy>>,
    /// None once the stream is over.
    exchange: Option<Exchange>,
}

/// A stream that passes without being recorded.
pub(crate) struct Ignored;

impl Stream {
    pub(crate) fn new(vm: Rc<Vm<Envoy>>, plugin: Rc<Plugin>) -> Self {
        Self {
            vm,
            exchange: Some(Exchange::new(plugin)),
        }
    }

    fn with(&mut self, act: impl FnOnce(&mut Exchange, &Envoy)) -> Action {
        if let Some(exchange) = &mut self.exchange {
            act(exchange, self.vm.host());
        }
        Action::Continue
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.with(|exchange, envoy| exchange.on_request_headers(envoy, envoy, end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.with(|exchange, envoy| exchange.on_request_body(envoy, envoy, size, end_of_stream))
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.with(|exchange, envoy| exchange.on_trailers(envoy, envoy, Half::Request))
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.with(|exchange, envoy| exchange.on_response_headers(envoy, envoy, end_of_stream))
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.with(|exchange, envoy| exchange.on_response_body(envoy, envoy, size, end_of_stream))
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.with(|exchange, envoy| exchange.on_trailers(envoy, envoy, Half::Response))
    }

    fn on_log(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            let envoy = self.vm.host();
            exchange.finish(envoy, envoy);
        }
    }
}

impl Context for Ignored {}
impl HttpContext for Ignored {}
