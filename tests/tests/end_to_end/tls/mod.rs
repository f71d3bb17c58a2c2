//! TLS on both sides of the collector: with its clients and with Postgres, while certificates and secrets
//! change.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dossier_tests::certificate_authority::{CertificateAuthority, IssuedCertificate};
use dossier_tests::stack::Backend;
use dossier_tests::testing::TestBackend;
use dossier_tests::{HarnessError, wait};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::secure_client;
use crate::support::{TIMEOUT, metric};

mod clients;
mod database;
mod envoy;
mod handshakes;
mod renewal;

/// The name in the collector's certificate.
const HOST: &str = "localhost";

/// A folder of files as Kubernetes mounts a Secret: each is a link through `..data`, which is a link to
/// a folder of this generation. So all of them change at once.
struct Mounted {
    folder: PathBuf,
    generation: u32,
}

impl Mounted {
    fn new(folder: PathBuf, files: &[(&str, String)]) -> Self {
        fs::create_dir(&folder).unwrap();
        for (name, _) in files {
            symlink(format!("..data/{name}"), folder.join(name)).unwrap();
        }
        let mut mounted = Self {
            folder,
            generation: 0,
        };
        mounted.swap(files);
        mounted
    }

    fn swap(&mut self, files: &[(&str, String)]) {
        self.generation += 1;
        let name = format!("..{}", self.generation);
        let generation = self.folder.join(&name);
        fs::create_dir(&generation).unwrap();
        for (name, text) in files {
            fs::write(generation.join(name), text).unwrap();
        }
        let next = self.folder.join("..data_tmp");
        symlink(name, &next).unwrap();
        fs::rename(next, self.folder.join("..data")).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }
}

/// What the collector is given: its certificate and key, and the authority of clients.
fn files(
    server: &IssuedCertificate,
    clients: &CertificateAuthority,
) -> [(&'static str, String); 3] {
    [
        ("tls.crt", server.certificate().pem()),
        ("tls.key", server.key_pem()),
        ("ca.crt", clients.certificate().pem()),
    ]
}

/// The settings that name those files, which are looked at each second.
fn settings(mounted: &Mounted) -> Vec<(String, String)> {
    [
        ("DOSSIER_TLS_CERTIFICATE", mounted.path("tls.crt")),
        ("DOSSIER_TLS_KEY", mounted.path("tls.key")),
        ("DOSSIER_TLS_CLIENT_CA", mounted.path("ca.crt")),
        ("DOSSIER_RELOAD_INTERVAL", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A collector that serves TLS, and the authority that everybody trusts.
struct TlsHarness {
    backend: TestBackend,
    authority: CertificateAuthority,
    mounted: Mounted,
}

impl TlsHarness {
    /// With more settings. The harness's own client has a certificate.
    async fn start(more: &[(&str, &str)]) -> Self {
        let authority = CertificateAuthority::new().unwrap();
        let mut mounted = None;
        let backend = TestBackend::start_with(|plan| {
            let files = files(&authority.issue_server_certificate()?, &authority);
            let mounted = mounted.insert(Mounted::new(plan.folder.join("tls"), &files));
            plan.collector_environment = settings(mounted);
            let more = more
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            // Of two values of one name the last counts.
            plan.collector_environment.extend(more);
            plan.collector_tls =
                Some(authority.client_tls(Some(&authority.issue_client_certificate()?)));
            Ok(())
        });
        let backend = backend.await.unwrap();
        Self {
            backend,
            authority,
            mounted: mounted.unwrap(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.backend.collector.address
    }

    /// A client that trusts the authority and shows this.
    fn client(&self, identity: Option<&IssuedCertificate>) -> Arc<ClientConfig> {
        Arc::new(secure_client::config(&self.authority, identity))
    }

    /// The certificate that the collector shows to who connects now.
    async fn presented_certificate(&self) -> CertificateDer<'static> {
        let client = self.client(None);
        let connection = secure_client::connect(&client, self.address(), HOST).await;
        secure_client::presented_certificate(&connection.unwrap())
    }

    /// Waits until this counter has come to so many.
    async fn wait_for(&self, series: &str, min: u64) {
        wait_for(&self.backend, series, min).await;
    }

    fn log(&mut self) -> String {
        self.backend.collector.process().unwrap().log().text()
    }
}

/// Waits until this series of the collector's metrics has come to so many.
async fn wait_for(backend: &Backend, series: &str, min: u64) {
    let what = format!("{min} of {series}");
    let waited = wait::until(&what, TIMEOUT, async || {
        let now = value(backend, series)
            .await
            .map_err(|error| error.to_string())?;
        (now >= min).then_some(()).ok_or_else(|| now.to_string())
    });
    waited.await.unwrap();
}

/// One series, which may have labels; 0 if it is not there yet.
async fn value(backend: &Backend, series: &str) -> Result<u64, HarnessError> {
    if !series.contains('{') {
        return metric(backend, series).await;
    }
    let metrics = backend.client.metrics().await?;
    let value = metrics.get(series).copied().unwrap_or_default();
    Ok(format!("{value:.0}").parse().unwrap())
}

/// How often handshakes ended so.
fn handshakes(outcome: &str) -> String {
    format!("dossier_tls_handshakes_total{{outcome=\"{outcome}\"}}")
}

/// Writes a file into the folder.
fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}
