//! A service that does to its connections exactly what a test wants: sends these bytes, waits,
//! breaks off. One script answers one request, chosen by the request's path.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listening::on_free_port;

/// What is done after the request's head has come, one step after the other. A connection whose
/// script is through takes the next request.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads until the rest of the request contains these bytes.
    Expect(&'static [u8]),
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits for the test.
    Await(Arc<Notify>),
    /// Tells the test that it has come so far.
    Tell(Arc<Notify>),
    /// Waits until the other side closes.
    Hold,
    /// Closes in order.
    Close,
    /// Breaks off: the other side sees a reset.
    Reset,
}

/// The running service; it ends when this is dropped.
#[derive(Debug)]
pub struct Scripted {
    /// Where it listens.
    pub address: SocketAddr,
    scripts: Arc<Scripts>,
    server: JoinHandle<()>,
}

/// The scripts not yet played, by path.
type Scripts = Mutex<HashMap<String, VecDeque<Vec<Step>>>>;

const HEAD_END: &[u8] = b"\r\n\r\n";
/// No test's request is longer; a script that expects what never comes must end.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

impl Scripted {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start() -> Result<Self, HarnessError> {
        let (address, listener) = on_free_port("listen as a scripted service").await?;
        let scripts = Arc::new(Scripts::default());
        let server = tokio::spawn(accept(listener, Arc::clone(&scripts)));
        Ok(Self {
            address,
            scripts,
            server,
        })
    }

    /// The next request for this path is treated so. Several calls for one path are for as many
    /// requests, in this order.
    pub fn play(&self, path: &str, script: impl Into<Vec<Step>>) {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts
            .entry(path.to_owned())
            .or_default()
            .push_back(script.into());
    }

    /// How many scripts for this path have not been played.
    #[must_use]
    pub fn unplayed(&self, path: &str) -> usize {
        let scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.get(path).map_or(0, VecDeque::len)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An answer of exactly these bytes.
#[must_use]
pub fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

async fn accept(listener: TcpListener, scripts: Arc<Scripts>) {
    while let Ok((connection, _)) = listener.accept().await {
        // A connection that fails is what some scripts are about.
        tokio::spawn(serve(connection, Arc::clone(&scripts)));
    }
}

/// Serves one connection; ends with it.
async fn serve(mut connection: TcpStream, scripts: Arc<Scripts>) -> std::io::Result<()> {
    let mut read = Vec::new();
    while let Some(head_length) = read_past(&mut connection, &mut read, HEAD_END).await? {
        let head: Vec<u8> = read.drain(..head_length).collect();
        let script = next_script(&scripts, &head);
        for step in script {
            match step {
                Step::Expect(bytes) => {
                    let Some(length) = read_past(&mut connection, &mut read, bytes).await? else {
                        return Ok(());
                    };
                    read.drain(..length);
                }
                Step::Send(bytes) => connection.write_all(&bytes).await?,
                Step::Await(signal) => signal.notified().await,
                Step::Tell(signal) => signal.notify_one(),
                Step::Hold => while connection.read_buf(&mut read).await? > 0 {},
                Step::Close => return connection.shutdown().await,
                Step::Reset => return connection.set_zero_linger(),
            }
        }
    }
    Ok(())
}

/// The length up to and with the marker; none if the other side closes before it comes.
async fn read_past(
    connection: &mut TcpStream,
    read: &mut Vec<u8>,
    marker: &[u8],
) -> std::io::Result<Option<usize>> {
    loop {
        let found = read
            .windows(marker.len())
            .position(|window| window == marker);
        if let Some(start) = found {
            return Ok(Some(start + marker.len()));
        }
        if read.len() > MAX_REQUEST_BYTES || connection.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

/// A request that no test has a script for is a mistake in the test: it gets an answer that shows.
fn next_script(scripts: &Scripts, head: &[u8]) -> Vec<Step> {
    let head = String::from_utf8_lossy(head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let mut scripts = scripts.lock().unwrap_or_else(PoisonError::into_inner);
    let script = scripts.get_mut(path).and_then(VecDeque::pop_front);
    script.unwrap_or_else(|| {
        vec![send(
            "HTTP/1.1 501 Not Implemented\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        )]
    })
}
