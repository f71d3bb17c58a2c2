//! A connection that a test can close, refuse or leave unanswered: it stands between Envoy and the
//! collector, on one address that stays the same while the collector behind it comes and goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listening::on_free_port;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// They are passed on to this address.
    Open(SocketAddr),
    /// They are passed on to this address, and closed after so many bytes from the client.
    Cutting(SocketAddr, u64),
    /// They are closed at once, those that exist too.
    Refusing,
    /// They are accepted, and nothing ever comes back, on those that exist neither.
    Silent,
}

/// The running relay; it ends when this is dropped.
#[derive(Debug)]
pub struct Valve {
    /// Where it listens.
    pub address: SocketAddr,
    position: watch::Sender<Position>,
    cuts: Arc<AtomicU64>,
    relay: JoinHandle<()>,
}

impl Valve {
    /// Starts on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start(position: Position) -> Result<Self, HarnessError> {
        let (address, listener) = on_free_port("listen as a valve").await?;
        let (sender, receiver) = watch::channel(position);
        let cuts = Arc::new(AtomicU64::new(0));
        let relay = tokio::spawn(accept(listener, receiver, Arc::clone(&cuts)));
        Ok(Self {
            address,
            position: sender,
            cuts,
            relay,
        })
    }

    /// How many connections were closed because of [`Position::Cutting`].
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }

    /// Turns it. Connections that exist feel it too.
    pub fn turn(&self, position: Position) {
        self.position.send_replace(position);
    }
}

impl Drop for Valve {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

async fn accept(listener: TcpListener, position: watch::Receiver<Position>, cuts: Arc<AtomicU64>) {
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(serve(connection, position.clone(), Arc::clone(&cuts)));
    }
}

/// Serves one connection until it ends, or the valve is gone.
async fn serve(
    mut connection: TcpStream,
    mut position: watch::Receiver<Position>,
    cuts: Arc<AtomicU64>,
) {
    let now = *position.borrow_and_update();
    let relayed = async {
        match now {
            Position::Refusing | Position::Silent => {}
            Position::Open(target) => {
                let mut other = TcpStream::connect(target).await?;
                copy_bidirectional(&mut connection, &mut other).await?;
            }
            Position::Cutting(target, after) => {
                if relay_until(&mut connection, target, after).await? {
                    cuts.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok::<_, std::io::Error>(())
    };
    if now == Position::Silent {
        return hold(&mut position).await;
    }
    tokio::select! {
        _ = relayed => {}
        // Silent: the other side is let go, this one is held without an answer.
        changed = position.changed() => {
            let next = *position.borrow_and_update();
            if changed.is_ok() && next == Position::Silent {
                hold(&mut position).await;
            }
        }
    }
}

/// Passes on so many bytes from the client. Whether they came before the connection ended.
async fn relay_until(
    connection: &mut TcpStream,
    target: SocketAddr,
    after: u64,
) -> std::io::Result<bool> {
    let mut other = TcpStream::connect(target).await?;
    let (sent, mut answers) = connection.split();
    let (mut answered, mut onward) = other.split();
    let mut sent = sent.take(after);
    tokio::select! {
        passed = copy(&mut sent, &mut onward) => Ok(passed? == after),
        ended = copy(&mut answered, &mut answers) => ended.map(|_| false),
    }
}

/// Returns when the valve is turned away from [`Position::Silent`], or is gone.
async fn hold(position: &mut watch::Receiver<Position>) {
    let _ = position.wait_for(|now| *now != Position::Silent).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_cut_after_so_many_bytes() {
        let (target, listener) = on_free_port("listen as a target").await.unwrap();
        let valve = Valve::start(Position::Cutting(target, 5)).await.unwrap();
        let mut client = TcpStream::connect(valve.address).await.unwrap();
        client.write_all(b"0123456789").await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let mut came = Vec::new();
        server.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, b"01234");
        assert_eq!(valve.cuts(), 1);
        // A reset is an end too.
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    }
}
