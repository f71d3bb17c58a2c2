//! A client that makes TLS connections by hand, so that a test sees what both sides agree on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use dossier_tests::certificate_authority::{CertificateAuthority, IssuedCertificate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName,
};
use tokio_rustls::rustls::{ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Takes servers of this authority, and shows this to them.
pub fn config(
    authority: &CertificateAuthority,
    client: Option<&IssuedCertificate>,
) -> ClientConfig {
    config_for_versions(authority, client, ALL_VERSIONS)
}

/// The same, and speaks these versions alone.
pub fn config_for_versions(
    authority: &CertificateAuthority,
    client: Option<&IssuedCertificate>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(client.key_der()));
            config
                .with_client_auth_cert(vec![client.certificate().der().clone()], key)
                .unwrap()
        }
    }
}

/// A connection to the server of this name.
pub async fn connect(
    config: &Arc<ClientConfig>,
    to: SocketAddr,
    host: &'static str,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host).unwrap();
    let connection = TcpStream::connect(to).await?;
    TlsConnector::from(Arc::clone(config))
        .connect(name, connection)
        .await
}

/// Sends a `GET` on a connection of its own, and reads the whole answer.
pub async fn get(
    config: &Arc<ClientConfig>,
    to: SocketAddr,
    host: &'static str,
    path: &str,
) -> io::Result<String> {
    ask(&mut connect(config, to, host).await?, host, path).await
}

/// The same on this connection, which ends with the answer.
pub async fn ask(
    connection: &mut TlsStream<TcpStream>,
    host: &str,
    path: &str,
) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The certificate that the server showed.
pub fn presented_certificate(connection: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let certificates = connection.get_ref().1.peer_certificates().unwrap();
    certificates[0].clone().into_owned()
}
