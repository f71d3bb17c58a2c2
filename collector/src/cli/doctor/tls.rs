//! Whether TLS can be served with the files.

use super::Verdict;
use crate::server::Tls;
use crate::settings::tls::TlsSettings;

/// Reads the files as `dossier serve` does.
pub(super) fn examine(settings: TlsSettings) -> Verdict {
    match Tls::load(settings) {
        Ok(_) => Verdict::ok("the certificate matches its key"),
        Err(error) => Verdict::fail(
            &error.to_string(),
            "correct the file: a running collector keeps using its previous content, a new one does not start",
        ),
    }
}
