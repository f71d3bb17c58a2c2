//! Whether TLS can be served with what the files hold.

use super::Verdict;
use crate::server::Tls;
use crate::settings::tls::TlsSettings;

/// Reads the files as `dossier serve` does.
pub(super) fn examine(settings: TlsSettings) -> Verdict {
    match Tls::load(settings) {
        Ok(_) => Verdict::ok("the certificate and its key fit together"),
        Err(error) => Verdict::fail(
            &error.to_string(),
            "mend it: a collector that runs goes on with what the files held before, one that starts ends",
        ),
    }
}
