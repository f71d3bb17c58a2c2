//! The TLS configuration: read from files, and read again when they change.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use crate::settings::SettingsError;
use crate::settings::secret::SecretFile;
use crate::settings::tls::{ClientAuth, ClientCertificates, TlsSettings};

/// The only protocol that is offered, see decision 17.
const PROTOCOL: &[u8] = b"http/1.1";

/// Why TLS cannot be served with the files' content, which no message quotes.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] SettingsError),
    /// A file holds no certificates, or malformed ones.
    #[error("{0}: expected certificates in PEM, got something else")]
    Certificates(String),
    /// A file holds no usable key.
    #[error(
        "{0}: expected a private key in PEM (PKCS#8, PKCS#1 or SEC1) without a passphrase, got something else"
    )]
    Key(String),
    /// Certificate and key do not match, or cannot be used.
    #[error("{files}: certificate and key do not match: {source}")]
    Pair {
        /// Both settings and their files.
        files: String,
        /// What is wrong.
        source: Box<rustls::Error>,
    },
    /// A certificate cannot be used as an authority.
    #[error("{file}: a certificate cannot be used as an authority: {source}")]
    Authority {
        /// The setting and the file.
        file: String,
        /// What is wrong.
        source: Box<rustls::Error>,
    },
    /// The authorities cannot be used to verify clients.
    #[error("{file}: {source}")]
    Authorities {
        /// The setting and the file.
        file: String,
        /// What is wrong.
        source: VerifierBuilderError,
    },
    /// The library has no ciphers for the versions to be offered.
    #[error("TLS cannot be served: {0}")]
    Library(#[source] Box<rustls::Error>),
}

/// The TLS configuration in force.
#[derive(Debug)]
pub struct Tls {
    settings: TlsSettings,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the setting and the file.
    pub fn load(settings: TlsSettings) -> Result<Self, TlsError> {
        let config = RwLock::new(Arc::new(config(&settings)?));
        Ok(Self { settings, config })
    }

    /// Reads the files again, for new connections.
    ///
    /// # Errors
    /// [`TlsError`]; the previous configuration stays in force then.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(config(&self.settings)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.settings.files()
    }

    /// An acceptor with the configuration in force.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }
}

fn config(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&settings.key.bytes()?)
        // The library's error may quote the file.
        .map_err(|_| TlsError::Key(settings.key.to_string()))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Library(Box::new(error)))?;
    let builder = match &settings.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(verifier(clients, provider)?),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Pair {
            files: format!("{}, {}", settings.certificate, settings.key),
            source: Box::new(source),
        })?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // A client that resumes a session is not verified again, even if its certificate has expired since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn verifier(
    clients: &ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let file = &clients.authorities;
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(file)? {
        authorities
            .add(certificate)
            .map_err(|source| TlsError::Authority {
                file: file.to_string(),
                source: Box::new(source),
            })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
    let builder = match clients.needed {
        ClientAuth::All => builder,
        // Producers are checked again at each batch.
        ClientAuth::Ingest => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|source| TlsError::Authorities {
        file: file.to_string(),
        source,
    })
}

/// All certificates of a file, at least one.
fn certificates(file: &SecretFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = file.bytes()?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(TlsError::Certificates(file.to_string())),
    }
}

#[cfg(test)]
mod tests;
