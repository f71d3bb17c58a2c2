//! Settings of TLS: the collector's certificate, and whose certificates it takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::SettingsError;
use super::secret::SecretFile;

/// With what the collector serves TLS, and what it asks of clients.
#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// File with the collector's certificate and those between it and its root, PEM; without it HTTP is plain
    #[arg(long, env = "DOSSIER_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// File with the certificate's private key, PEM
    #[arg(long, env = "DOSSIER_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// File with the authorities that must have signed clients' certificates, PEM; without it none is asked for
    #[arg(long, env = "DOSSIER_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// Who needs such a certificate: who sends batches, or all [default: ingest]
    #[arg(long, env = "DOSSIER_TLS_CLIENT_AUTH", value_name = "WHO")]
    pub tls_client_auth: Option<ClientAuth>,
}

/// Who needs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Who sends batches. Others may show one.
    #[default]
    Ingest,
    /// Everybody, also who asks for health or metrics: without one there is no connection.
    All,
}

/// With what the collector serves TLS, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Its certificate, then those up to the root.
    pub certificate: SecretFile,
    /// The certificate's key.
    pub key: SecretFile,
    /// What is asked of clients, if anything.
    pub clients: Option<ClientCertificates>,
}

/// What is asked of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Who must have signed their certificates.
    pub authorities: SecretFile,
    /// Who needs one.
    pub needed: ClientAuth,
}

impl TlsArgs {
    /// Takes from these what is given, and from `others` what is not.
    #[must_use]
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            tls_certificate: self.tls_certificate.or(others.tls_certificate),
            tls_key: self.tls_key.or(others.tls_key),
            tls_client_ca: self.tls_client_ca.or(others.tls_client_ca),
            tls_client_auth: self.tls_client_auth.or(others.tls_client_auth),
        }
    }

    /// The TLS that is wanted, if any. What the files hold is looked at by whoever uses them.
    ///
    /// # Errors
    /// [`SettingsError`], which names the setting.
    pub(crate) fn resolve(self) -> Result<Option<TlsSettings>, SettingsError> {
        let (certificate, key) = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) if self.tls_client_ca.is_none() && self.tls_client_auth.is_none() => {
                return Ok(None);
            }
            _ => return Err(SettingsError::HalfTls),
        };
        let clients = match (self.tls_client_ca, self.tls_client_auth) {
            (None, None) => None,
            // Somebody believes that certificates are asked for.
            (None, Some(_)) => return Err(SettingsError::NoClientAuthorities),
            (Some(path), needed) => Some(ClientCertificates {
                authorities: file("tls_client_ca", path),
                needed: needed.unwrap_or_default(),
            }),
        };
        Ok(Some(TlsSettings {
            certificate: file("tls_certificate", certificate),
            key: file("tls_key", key),
            clients,
        }))
    }
}

impl TlsSettings {
    /// The files that it is made of.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let authorities = self.clients.iter().map(|clients| &clients.authorities);
        let files = [&self.certificate, &self.key].into_iter();
        files
            .chain(authorities)
            .map(|file| file.path.clone())
            .collect()
    }
}

const fn file(setting: &'static str, path: PathBuf) -> SecretFile {
    SecretFile { setting, path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(files: [Option<&str>; 3], needed: Option<ClientAuth>) -> TlsArgs {
        let [tls_certificate, tls_key, tls_client_ca] = files.map(|path| path.map(PathBuf::from));
        TlsArgs {
            tls_certificate,
            tls_key,
            tls_client_ca,
            tls_client_auth: needed,
        }
    }

    #[test]
    fn without_settings_there_is_no_tls() {
        assert_eq!(TlsArgs::default().resolve().unwrap(), None);
    }

    #[test]
    fn flags_go_before_the_file_one_by_one() {
        let flags = args([Some("/flag.crt"), None, None], Some(ClientAuth::All));
        let file = args(
            [Some("/file.crt"), Some("/file.key"), Some("/ca.crt")],
            None,
        );
        let settings = flags.or(file).resolve().unwrap().unwrap();
        assert_eq!(
            settings.files(),
            ["/flag.crt", "/file.key", "/ca.crt"].map(PathBuf::from)
        );
        assert_eq!(settings.clients.unwrap().needed, ClientAuth::All);
    }

    #[test]
    fn authorities_make_certificates_needed_for_batches() {
        let both = [Some("/a.crt"), Some("/a.key"), Some("/ca.crt")];
        let settings = args(both, None).resolve().unwrap().unwrap();
        assert_eq!(settings.clients.unwrap().needed, ClientAuth::Ingest);
    }

    #[test]
    fn half_of_it_is_refused() {
        for (files, needed, names) in [
            ([Some("/a"), None, None], None, "tls_key"),
            ([None, Some("/a"), None], None, "tls_certificate"),
            ([None, None, Some("/a")], None, "tls_certificate"),
            (
                [None, None, None],
                Some(ClientAuth::Ingest),
                "tls_certificate",
            ),
            (
                [Some("/a"), Some("/b"), None],
                Some(ClientAuth::Ingest),
                "tls_client_ca",
            ),
        ] {
            let error = args(files, needed).resolve().unwrap_err().to_string();
            assert!(error.contains(names), "{error}");
        }
    }
}
