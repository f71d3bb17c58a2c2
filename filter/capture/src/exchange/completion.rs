//! Classifies how an exchange ended, by the callbacks and by Envoy's own information.

use dossier_wire::Completion;

/// Bits of Envoy's `response.flags`.
mod flag {
    pub(super) const UPSTREAM_REQUEST_TIMEOUT: u64 = 1 << 2;
    pub(super) const LOCAL_RESET: u64 = 1 << 3;
    pub(super) const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    pub(super) const UPSTREAM_CONNECTION_FAILURE: u64 = 1 << 5;
    pub(super) const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
    pub(super) const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 1 << 14;
    pub(super) const STREAM_IDLE_TIMEOUT: u64 = 1 << 16;
    pub(super) const UPSTREAM_MAX_STREAM_DURATION: u64 = 1 << 19;
    pub(super) const DURATION_TIMEOUT: u64 = 1 << 22;
    pub(super) const UPSTREAM_PROTOCOL_ERROR: u64 = 1 << 23;
    pub(super) const DOWNSTREAM_REMOTE_RESET: u64 = 1 << 28;
}

const TIMEOUT: u64 = flag::UPSTREAM_REQUEST_TIMEOUT
    | flag::STREAM_IDLE_TIMEOUT
    | flag::UPSTREAM_MAX_STREAM_DURATION
    | flag::DURATION_TIMEOUT;
const CLIENT_ABORTED: u64 = flag::DOWNSTREAM_CONNECTION_TERMINATION | flag::DOWNSTREAM_REMOTE_RESET;
const UPSTREAM_RESET: u64 = flag::LOCAL_RESET
    | flag::UPSTREAM_REMOTE_RESET
    | flag::UPSTREAM_CONNECTION_FAILURE
    | flag::UPSTREAM_CONNECTION_TERMINATION
    | flag::UPSTREAM_PROTOCOL_ERROR;

/// What decides about the completion.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndState<'a> {
    /// `response.flags`.
    pub(super) flags: u64,
    /// `response.code_details`.
    pub(super) details: &'a [u8],
    pub(super) response_began: bool,
    pub(super) response_ended: bool,
    /// The protocol was switched: the stream ends when one side closes it.
    pub(super) upgraded: bool,
}

/// Who ended the exchange decides before who sent the response: a 504 of the proxy is a timeout, a 503
/// after a reset is the upstream's.
pub(super) fn classify(end_state: EndState<'_>) -> Completion {
    let EndState {
        flags,
        details,
        response_began,
        response_ended,
        upgraded,
    } = end_state;
    let has = |bits: u64| flags & bits != 0;
    if has(TIMEOUT) {
        Completion::Timeout
    } else if upgraded {
        Completion::Complete
    } else if has(CLIENT_ABORTED) {
        Completion::ClientAborted
    } else if has(UPSTREAM_RESET) || details.starts_with(b"upstream_reset") {
        Completion::UpstreamReset
    } else if !details.is_empty() && !from_upstream(details) {
        Completion::LocalReply
    } else if response_ended {
        Completion::Complete
    } else if response_began {
        Completion::UpstreamReset
    } else {
        Completion::ClientAborted
    }
}

/// A rejected upgrade is a response of the upstream, though Envoy has details of its own for it.
fn from_upstream(details: &[u8]) -> bool {
    details == b"via_upstream" || details.starts_with(b"websocket_handshake")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// As reported by Envoy 1.40.
    #[test]
    fn classifies_endings_reported_by_envoy() {
        use Completion::{ClientAborted, Complete, LocalReply, Timeout, UpstreamReset};
        for (flags, details, response_began, response_ended, expected) in [
            (0, "via_upstream", true, true, Complete),
            (0x8000, "via_upstream", true, true, Complete),
            (0, "websocket_handshake_unsuccessful", true, true, Complete),
            (0x2, "no_healthy_upstream", true, true, LocalReply),
            (0x100, "route_not_found", true, true, LocalReply),
            (0x100_0000, "cluster_not_found", true, true, LocalReply),
            (0, "direct_response", true, true, LocalReply),
            (0, "missing_host_header", false, false, LocalReply),
            (0x4_0000, "http1.codec_error", true, true, LocalReply),
            (0x4, "response_timeout", true, true, Timeout),
            (0x4, "response_timeout", true, false, Timeout),
            (0x1_0000, "stream_idle_timeout", true, true, Timeout),
            (
                0x4000,
                "downstream_remote_disconnect",
                false,
                false,
                ClientAborted,
            ),
            (
                0x4000,
                "downstream_remote_disconnect",
                true,
                false,
                ClientAborted,
            ),
            (
                0x20,
                "upstream_reset_before_response_started{remote_connection_failure}",
                true,
                true,
                UpstreamReset,
            ),
            (
                0x40,
                "upstream_reset_before_response_started{connection_termination}",
                true,
                true,
                UpstreamReset,
            ),
            (
                0x80_0000,
                "upstream_reset_after_response_started{protocol_error}",
                true,
                false,
                UpstreamReset,
            ),
            (0, "", true, true, Complete),
            (0, "", true, false, UpstreamReset),
            (0, "", false, false, ClientAborted),
        ] {
            let details = details.as_bytes();
            let end_state = EndState {
                flags,
                details,
                response_began,
                response_ended,
                upgraded: false,
            };
            assert_eq!(classify(end_state), expected, "{end_state:?}");
        }
    }

    #[test]
    fn upgraded_stream_completes_on_close() {
        for (flags, expected) in [
            (flag::UPSTREAM_CONNECTION_TERMINATION, Completion::Complete),
            (
                flag::DOWNSTREAM_CONNECTION_TERMINATION,
                Completion::Complete,
            ),
            (flag::STREAM_IDLE_TIMEOUT, Completion::Timeout),
        ] {
            let end_state = EndState {
                flags,
                details: b"",
                response_began: true,
                response_ended: false,
                upgraded: true,
            };
            assert_eq!(classify(end_state), expected, "{end_state:?}");
        }
    }
}
