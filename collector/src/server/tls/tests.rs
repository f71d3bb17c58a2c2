//! What the files may hold, and what is said of them.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tempfile::TempDir;

use super::*;

/// A certificate that signs itself, and its key, in PEM.
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

    /// What is wrong with a file that holds this.
    fn fault(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        let before = fs::read_to_string(&path).unwrap();
        self.write(name, text);
        let fault = self.load().unwrap_err().to_string();
        self.write(name, &before);
        assert!(fault.contains(&*path.to_string_lossy()), "{fault}");
        fault
    }
}

fn served(tls: &Tls) -> Arc<ServerConfig> {
    Arc::clone(tls.acceptor().config())
}

#[test]
fn what_fits_together_is_served_by_http_1_1_alone() {
    let files = Files::new();
    let tls = files.load().unwrap();
    assert_eq!(served(&tls).alpn_protocols, [PROTOCOL]);
}

#[test]
fn each_fault_names_its_file_and_repeats_nothing_of_it() {
    let files = Files::new();
    let (certificate, key) = pair();
    let half = key.get(..key.len() / 2).unwrap();
    let garbled = certificate.replace("MII", "MIJ");
    for (name, text, setting) in [
        ("tls.crt", "", "tls_certificate"),
        ("tls.crt", "hunter2", "tls_certificate"),
        ("tls.crt", &key, "tls_certificate"),
        ("tls.crt", &certificate, "do not fit together"),
        ("tls.crt", &garbled, "do not fit together"),
        ("tls.key", "", "tls_key"),
        ("tls.key", &certificate, "tls_key"),
        ("tls.key", half, "tls_key"),
        ("tls.key", &key, "do not fit together"),
        ("ca.crt", "", "tls_client_ca"),
        ("ca.crt", &key, "tls_client_ca"),
        ("ca.crt", &garbled, "tls_client_ca"),
    ] {
        let fault = files.fault(name, text);
        assert!(fault.contains(setting), "{fault}");
        for line in text.lines().filter(|line| line.len() > 20) {
            assert!(!fault.contains(line), "{name}: {fault}");
        }
        assert!(!fault.contains("hunter2"), "{fault}");
    }
    fs::remove_file(files.folder.path().join("ca.crt")).unwrap();
    let missing = files.load().unwrap_err().to_string();
    assert!(missing.starts_with("tls_client_ca: "), "{missing}");
}

#[test]
fn what_is_broken_does_not_take_the_place_of_what_is_not() {
    let files = Files::new();
    let tls = files.load().unwrap();
    let first = served(&tls);
    let (certificate, key) = pair();
    // One of the two is there sooner than the other.
    files.write("tls.crt", &certificate);
    assert!(matches!(tls.reload(), Err(TlsError::Pair { .. })));
    assert!(Arc::ptr_eq(&first, &served(&tls)));
    files.write("tls.key", &key);
    tls.reload().unwrap();
    assert!(!Arc::ptr_eq(&first, &served(&tls)));
}

#[test]
fn a_file_of_several_authorities_is_taken_whole() {
    let files = Files::new();
    files.write("ca.crt", &(pair().0 + &pair().0));
    files.load().unwrap();
    let path = files.settings.clients.as_ref().unwrap();
    assert_eq!(certificates(&path.authorities).unwrap().len(), 2);
    assert!(Path::new(&path.authorities.path).exists());
}
