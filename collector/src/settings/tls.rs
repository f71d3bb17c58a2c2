//! Settings of TLS: the collector's certificate, and whose certificates it takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::secret::SecretFile;

/// The collector's certificate, and which clients need one.
#[derive(Debug, Clone, Args)]
pub struct TlsArgs {
    /// File with the collector's certificate and its intermediates, PEM; without it HTTP is plain
    #[arg(
        long,
        env = "DOSSIER_TLS_CERTIFICATE",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_certificate: Option<PathBuf>,

    /// File with the certificate's private key, PEM
    #[arg(
        long,
        env = "DOSSIER_TLS_KEY",
        value_name = "FILE",
        requires = "tls_certificate"
    )]
    pub tls_key: Option<PathBuf>,

    /// File with the authorities for client certificates, PEM; without it none is requested
    #[arg(
        long,
        env = "DOSSIER_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_certificate"
    )]
    pub tls_client_ca: Option<PathBuf>,

    /// Clients that need such a certificate
    #[arg(
        long,
        env = "DOSSIER_TLS_CLIENT_AUTH",
        value_name = "CLIENTS",
        value_enum,
        default_value_t,
        requires_all = ["tls_certificate", "tls_client_ca"]
    )]
    pub tls_client_auth: ClientAuth,
}

/// Which clients need a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ClientAuth {
    /// Those that send batches, while others may show one
    #[default]
    Ingest,
    /// All, health checks and metrics included
    All,
}

/// The collector's certificate, and what it asks of clients.
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
    /// TLS, if a certificate is given. The files are read by their users.
    pub(crate) fn settings(self) -> Option<TlsSettings> {
        let needed = self.tls_client_auth;
        Some(TlsSettings {
            certificate: file("tls_certificate", self.tls_certificate?),
            key: file("tls_key", self.tls_key?),
            clients: self.tls_client_ca.map(|path| ClientCertificates {
                authorities: file("tls_client_ca", path),
                needed,
            }),
        })
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
    use crate::settings::layers::ParseError;
    use crate::settings::testing::{parse, parse_with_file};

    fn settings(flags: &[&str]) -> Result<Option<TlsSettings>, ParseError> {
        parse(flags).map(TlsArgs::settings)
    }

    #[test]
    fn tls_is_off_by_default() {
        assert_eq!(settings(&[]).unwrap(), None);
    }

    #[test]
    fn each_flag_overrides_file() {
        let file =
            "tls_certificate = '/file.crt'\ntls_key = '/file.key'\ntls_client_ca = '/ca.crt'";
        let flags = ["--tls-certificate=/flag.crt", "--tls-client-auth=all"];
        let args: TlsArgs = parse_with_file(file, &flags).unwrap();
        let settings = args.settings().unwrap();
        assert_eq!(
            settings.files(),
            ["/flag.crt", "/file.key", "/ca.crt"].map(PathBuf::from)
        );
        assert_eq!(settings.clients.unwrap().needed, ClientAuth::All);
    }

    #[test]
    fn authorities_require_certificates_for_batches() {
        let files = [
            "--tls-certificate=/a.crt",
            "--tls-key=/a.key",
            "--tls-client-ca=/ca.crt",
        ];
        let settings = settings(&files).unwrap().unwrap();
        assert_eq!(settings.clients.unwrap().needed, ClientAuth::Ingest);
    }

    #[test]
    fn incomplete_tls_is_refused() {
        for (flags, missing) in [
            (&["--tls-certificate=/a"][..], "tls_key"),
            (&["--tls-key=/a"], "tls_certificate"),
            (&["--tls-client-ca=/a"], "tls_certificate"),
            (&["--tls-client-auth=ingest"], "tls_certificate"),
            (
                &[
                    "--tls-certificate=/a",
                    "--tls-key=/b",
                    "--tls-client-auth=ingest",
                ],
                "tls_client_ca",
            ),
        ] {
            let error = settings(flags).unwrap_err().to_string();
            assert!(error.contains(missing), "{error}");
        }
    }
}
