//! Which files are accepted, and the errors for the others.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;

/// A self-signed certificate and its key, in PEM.
fn pair() -> (String, String) {
    let mut params = CertificateParams::new(["collector.test".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

struct Files {
    folder: TempDir,
    settings: TlsSettings,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |setting, name| SecretFile {
            setting,
            path: folder.path().join(name),
        };
        let settings = TlsSettings {
            certificate: file("tls_certificate", "tls.crt"),
            key: file("tls_key", "tls.key"),
            clients: Some(ClientCertificates {
                authorities: file("tls_client_ca", "ca.crt"),
                needed: ClientAuth::Ingest,
            }),
        };
        let files = Self { folder, settings };
        let (certificate, key) = pair();
        files.write("tls.crt", &certificate);
        files.write("tls.key", &key);
        files.write("ca.crt", &pair().0);
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(self.settings.clone())
    }

    /// The error if a file holds this.
    fn error_with(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        let before = fs::read_to_string(&path).unwrap();
        self.write(name, text);
        let error = self.load().unwrap_err().to_string();
        self.write(name, &before);
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
        error
    }
}

fn served(tls: &Tls) -> Arc<ServerConfig> {
    Arc::clone(tls.acceptor().config())
}

#[test]
fn matching_files_serve_http_1_1_alone() {
    let files = Files::new();
    let tls = files.load().unwrap();
    assert_eq!(served(&tls).alpn_protocols, [PROTOCOL]);
}

#[test]
fn errors_name_file_without_its_content() {
    let files = Files::new();
    let (certificate, key) = pair();
    let half = key.get(..key.len() / 2).unwrap();
    let garbled = certificate.replace("MII", "MIJ");
    for (name, text, setting) in [
        ("tls.crt", "", "tls_certificate"),
        ("tls.crt", "hunter2", "tls_certificate"),
        ("tls.crt", &key, "tls_certificate"),
        ("tls.crt", &certificate, "do not match"),
        ("tls.crt", &garbled, "do not match"),
        ("tls.key", "", "tls_key"),
        ("tls.key", &certificate, "tls_key"),
        ("tls.key", half, "tls_key"),
        ("tls.key", &key, "do not match"),
        ("ca.crt", "", "tls_client_ca"),
        ("ca.crt", &key, "tls_client_ca"),
        ("ca.crt", &garbled, "tls_client_ca"),
    ] {
        let error = files.error_with(name, text);
        assert!(error.contains(setting), "{error}");
        for line in text.lines().filter(|line| line.len() > 20) {
            assert!(!error.contains(line), "{name}: {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }
    fs::remove_file(files.folder.path().join("ca.crt")).unwrap();
    let missing = files.load().unwrap_err().to_string();
    assert!(missing.starts_with("tls_client_ca: "), "{missing}");
}

#[test]
fn failed_reload_keeps_previous_configuration() {
    let files = Files::new();
    let tls = files.load().unwrap();
    let first = served(&tls);
    let (certificate, key) = pair();
    // One of the two files is replaced before the other.
    files.write("tls.crt", &certificate);
    assert!(matches!(tls.reload(), Err(TlsError::Pair { .. })));
    assert!(Arc::ptr_eq(&first, &served(&tls)));
    files.write("tls.key", &key);
    tls.reload().unwrap();
    assert!(!Arc::ptr_eq(&first, &served(&tls)));
}

#[test]
fn reads_all_authorities_of_a_file() {
    let files = Files::new();
    files.write("ca.crt", &(pair().0 + &pair().0));
    files.load().unwrap();
    let path = files.settings.clients.as_ref().unwrap();
    assert_eq!(certificates(&path.authorities).unwrap().len(), 2);
    assert!(Path::new(&path.authorities.path).exists());
}
