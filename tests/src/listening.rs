//! Where the services of tests listen.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::error::HarnessError;

/// Listens on a free port of this machine; `doing` says as what, should that fail.
pub(crate) async fn on_free_port(doing: &str) -> Result<(SocketAddr, TcpListener), HarnessError> {
    let listening = async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok((listener.local_addr()?, listener))
    };
    listening.await.map_err(HarnessError::io(doing))
}
