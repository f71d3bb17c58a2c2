//! A service that does with its connections exactly what a test scripts: sends these bytes, waits,
//! closes or resets. One script answers one request, chosen by the request's path.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::listener::listen_on_free_port;

/// One step of a script, which starts when the request's headers have arrived. After the last step the
/// connection takes the next request.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads until the rest of the request contains these bytes.
    Expect(&'static [u8]),
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits for the test's signal.
    Await(Arc<Notify>),
    /// Signals to the test that this step is reached.
    Notify(Arc<Notify>),
    /// Waits until the other side closes.
    WaitForClose,
    /// Closes the connection normally.
    Close,
    /// Resets the connection.
    Reset,
}

/// The running service; it ends when this is dropped.
#[derive(Debug)]
pub struct ScriptedService {
    /// Where it listens.
    pub address: SocketAddr,
    scripts: Arc<Scripts>,
    server: JoinHandle<()>,
}

/// The scripts not yet run, by path.
type Scripts = Mutex<HashMap<String, VecDeque<Vec<Step>>>>;

const HEAD_END: &[u8] = b"\r\n\r\n";
/// No test's request is longer. A script whose expected bytes never arrive must end.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;

impl ScriptedService {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if no port can be had.
    pub async fn start() -> Result<Self, HarnessError> {
        let (address, listener) = listen_on_free_port("listen as a scripted service").await?;
        let scripts = Arc::new(Scripts::default());
        let server = tokio::spawn(accept(listener, Arc::clone(&scripts)));
        Ok(Self {
            address,
            scripts,
            server,
        })
    }

    /// Answers the next request for this path. Several scripts for one path answer as many requests, in
    /// this order.
    pub fn add_script(&self, path: &str, script: impl Into<Vec<Step>>) {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts
            .entry(path.to_owned())
            .or_default()
            .push_back(script.into());
    }

    /// How many scripts for this path have not run.
    #[must_use]
    pub fn remaining_scripts(&self, path: &str) -> usize {
        let scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        scripts.get(path).map_or(0, VecDeque::len)
    }
}

impl Drop for ScriptedService {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Sends exactly these bytes.
#[must_use]
pub fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

async fn accept(listener: TcpListener, scripts: Arc<Scripts>) {
    while let Ok((connection, _)) = listener.accept().await {
        // Some scripts break their connection on purpose.
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
                Step::Notify(signal) => signal.notify_one(),
                Step::WaitForClose => while connection.read_buf(&mut read).await? > 0 {},
                Step::Close => return connection.shutdown().await,
                Step::Reset => return connection.set_zero_linger(),
            }
        }
    }
    Ok(())
}

/// The length up to and including the marker; none if the other side closes before it arrives.
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

/// A request without a script is a mistake in the test, so its answer stands out.
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
