//! A TCP proxy that injects faults: a test can have it refuse connections, cut them or leave them
//! unanswered. It stands between Envoy and the collector, and keeps its address when the collector is
//! restarted on another one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listener::listen_on_free_port;

/// What the proxy does with connections, open ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// Forwards them to this address.
    Forward(SocketAddr),
    /// Forwards them to this address, and closes each after this many bytes from the client.
    CutAfter(SocketAddr, u64),
    /// Closes them at once.
    Refuse,
    /// Accepts them and never answers.
    Blackhole,
}

/// The running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    /// Where it listens.
    pub address: SocketAddr,
    mode: watch::Sender<ProxyMode>,
    cuts: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start(mode: ProxyMode) -> Result<Self, HarnessError> {
        let (address, listener) = listen_on_free_port("listen as a fault proxy").await?;
        let (sender, receiver) = watch::channel(mode);
        let cuts = Arc::new(AtomicU64::new(0));
        let server = tokio::spawn(accept(listener, receiver, Arc::clone(&cuts)));
        Ok(Self {
            address,
            mode: sender,
            cuts,
            server,
        })
    }

    /// How many connections were closed because of [`ProxyMode::CutAfter`].
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Also applies to open connections.
    pub fn set_mode(&self, mode: ProxyMode) {
        self.mode.send_replace(mode);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, mode: watch::Receiver<ProxyMode>, cuts: Arc<AtomicU64>) {
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(serve(connection, mode.clone(), Arc::clone(&cuts)));
    }
}

/// Serves one connection until it ends, or the proxy is dropped.
async fn serve(
    mut connection: TcpStream,
    mut mode: watch::Receiver<ProxyMode>,
    cuts: Arc<AtomicU64>,
) {
    let current = *mode.borrow_and_update();
    let forwarded = async {
        match current {
            ProxyMode::Refuse | ProxyMode::Blackhole => {}
            ProxyMode::Forward(target) => {
                let mut other = TcpStream::connect(target).await?;
                copy_bidirectional(&mut connection, &mut other).await?;
            }
            ProxyMode::CutAfter(target, after) => {
                if forward_until(&mut connection, target, after).await? {
                    cuts.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok::<_, std::io::Error>(())
    };
    if current == ProxyMode::Blackhole {
        return hold(&mut mode).await;
    }
    tokio::select! {
        _ = forwarded => {}
        // The connection to the target is closed; the client's stays open without an answer.
        changed = mode.changed() => {
            let next = *mode.borrow_and_update();
            if changed.is_ok() && next == ProxyMode::Blackhole {
                hold(&mut mode).await;
            }
        }
    }
}

/// Forwards up to `limit` bytes from the client. Returns whether the limit was reached before the
/// connection ended.
async fn forward_until(
    connection: &mut TcpStream,
    target: SocketAddr,
    limit: u64,
) -> std::io::Result<bool> {
    let mut other = TcpStream::connect(target).await?;
    let (sent, mut answers) = connection.split();
    let (mut answered, mut onward) = other.split();
    let mut sent = sent.take(limit);
    tokio::select! {
        forwarded = copy(&mut sent, &mut onward) => Ok(forwarded? == limit),
        ended = copy(&mut answered, &mut answers) => ended.map(|_| false),
    }
}

/// Returns when the mode is no longer [`ProxyMode::Blackhole`], or the proxy is dropped.
async fn hold(mode: &mut watch::Receiver<ProxyMode>) {
    let _ = mode
        .wait_for(|current| *current != ProxyMode::Blackhole)
        .await;
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn cuts_connection_after_byte_limit() {
        let (target, listener) = listen_on_free_port("listen as a target").await.unwrap();
        let proxy = FaultProxy::start(ProxyMode::CutAfter(target, 5))
            .await
            .unwrap();
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        client.write_all(b"0123456789").await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"01234");
        assert_eq!(proxy.cuts(), 1);
        // A reset is an end too.
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    }
}
