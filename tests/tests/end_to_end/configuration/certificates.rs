//! `user: peer_certificate`: whose data an exchange is, by the certificate with which the client
//! opened its connection.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName,
};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Setup, both};
use crate::support::{SOON, wait_for_records};

const HOST: &str = "envoy.test";

/// Signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A certificate with its key.
struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn sign(&self, name: DistinguishedName, alternatives: Vec<SanType>) -> Identity {
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            key,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_names_the_user_by_the_first_part_that_it_has() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = ours.sign(named("envoy"), vec![dns(HOST)]);
    let keys = json!({
        "user": [
            {"peer_certificate": "uri_san"},
            {"peer_certificate": "dns_san"},
            {"peer_certificate": "subject"},
        ],
        "defaults": {"storage_type": "both"},
        "routes": [],
    });
    let setup = Setup::start_with(&keys, |bootstrap| {
        bootstrap.set_transport_socket(only_with_certificate(&server, &ours))
    });
    let setup = setup.await;
    let address = setup.rig.envoy.address;
    let uri = "spiffe://example.com/ns/shop/sa/orders";
    let mut subject = named("carol");
    subject.push(DnType::OrganizationName, "Example");
    for (path, client, user) in [
        (
            "/uri",
            ours.sign(
                named("ann"),
                vec![dns("ann.test"), SanType::URI(uri.try_into().unwrap())],
            ),
            uri,
        ),
        (
            "/dns",
            ours.sign(named("bea"), vec![dns("bea.test")]),
            "bea.test",
        ),
        ("/subject", ours.sign(subject, vec![]), "O=Example,CN=carol"),
    ] {
        let answer = get(address, path, Some(&client), &ours).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for half in both(setup.rig.inbox.halves(path, 2, SOON).await.unwrap()) {
            assert_eq!(half.text("user_id"), user);
        }
    }
    // Whoever cannot prove to be somebody gets no connection, so leaves no record.
    let forged = theirs.sign(
        named("mallory"),
        vec![SanType::URI(uri.try_into().unwrap())],
    );
    for client in [None, Some(&forged)] {
        get(address, "/refused", client, &ours).await.unwrap_err();
    }
    wait_for_records(&setup.rig.envoy, 6).await;
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A transport socket that takes clients with a certificate of this authority's only.
fn only_with_certificate(server: &Identity, authority: &Authority) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": server.pem},
                    "private_key": {"inline_string": server.key.serialize_pem()},
                }],
                "validation_context": {"trusted_ca": {"inline_string": authority.pem}},
            },
        },
    })
}

/// Sends a `GET` over TLS and reads the whole answer.
async fn get(
    to: SocketAddr,
    path: &str,
    client: Option<&Identity>,
    authority: &Authority,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some(Identity {
            certificate, key, ..
        }) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            config
                .with_client_auth_cert(vec![certificate.clone()], key)
                .unwrap()
        }
    };
    let connection = TcpStream::connect(to).await?;
    let name = ServerName::try_from(HOST).unwrap();
    let mut connection = TlsConnector::from(Arc::new(config))
        .connect(name, connection)
        .await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}
