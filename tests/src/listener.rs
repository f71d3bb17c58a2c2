//! A listener on a free port, for the services of tests.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::error::HarnessError;

/// `doing` completes the error message "could not …".
pub(crate) async fn listen_on_free_port(
    doing: &str,
) -> Result<(SocketAddr, TcpListener), HarnessError> {
    let listening = async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok((listener.local_addr()?, listener))
    };
    listening.await.map_err(HarnessError::io(doing))
}
