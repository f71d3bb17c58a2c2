//! `user: peer_certificate`: whose data an exchange is, by the certificate with which the client
//! opened its connection.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Setup, both};
use crate::secure_client;
use crate::support::{TIMEOUT, wait_for_records};
use dossier_tests::certificate_authority::{
    CertificateAuthority, IssuedCertificate, distinguished_name,
};
use rcgen::{DnType, SanType};
use serde_json::{Value, json};

const HOST: &str = "envoy.test";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_present_part_names_user() {
    let (ours, theirs) = (
        CertificateAuthority::new().unwrap(),
        CertificateAuthority::new().unwrap(),
    );
    let server = ours
        .issue(distinguished_name("envoy"), vec![dns(HOST)])
        .unwrap();
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
    let address = setup.harness.envoy.address;
    let uri = "spiffe://example.com/ns/shop/sa/orders";
    let mut subject = distinguished_name("carol");
    subject.push(DnType::OrganizationName, "Example");
    for (path, client, user) in [
        (
            "/uri",
            ours.issue(
                distinguished_name("ann"),
                vec![dns("ann.test"), SanType::URI(uri.try_into().unwrap())],
            )
            .unwrap(),
            uri,
        ),
        (
            "/dns",
            ours.issue(distinguished_name("bea"), vec![dns("bea.test")])
                .unwrap(),
            "bea.test",
        ),
        (
            "/subject",
            ours.issue(subject, vec![]).unwrap(),
            "O=Example,CN=carol",
        ),
    ] {
        let answer = get(address, path, Some(&client), &ours).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for half in both(
            setup
                .harness
                .stub_collector
                .halves(path, 2, TIMEOUT)
                .await
                .unwrap(),
        ) {
            assert_eq!(half.text("user_id"), user);
        }
    }
    // Whoever cannot prove to be somebody gets no connection, so leaves no record.
    let forged = theirs
        .issue(
            distinguished_name("mallory"),
            vec![SanType::URI(uri.try_into().unwrap())],
        )
        .unwrap();
    for client in [None, Some(&forged)] {
        get(address, "/refused", client, &ours).await.unwrap_err();
    }
    wait_for_records(&setup.harness.envoy, 6).await;
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A transport socket that takes clients with a certificate of this authority's only.
fn only_with_certificate(server: &IssuedCertificate, authority: &CertificateAuthority) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "common_tls_context": {
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": server.certificate().pem()},
                    "private_key": {"inline_string": server.key_pem()},
                }],
                "validation_context": {"trusted_ca": {"inline_string": authority.certificate().pem()}},
            },
        },
    })
}

async fn get(
    to: SocketAddr,
    path: &str,
    client: Option<&IssuedCertificate>,
    authority: &CertificateAuthority,
) -> std::io::Result<String> {
    let config = Arc::new(secure_client::config(authority, client));
    secure_client::get(&config, to, HOST, path).await
}
