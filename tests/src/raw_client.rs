//! A client that sends and reads bytes, and may leave at any of them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::HarnessError;

const LIMIT: Duration = Duration::from_mins(1);

/// One connection. Dropping it is how a client leaves.
#[derive(Debug)]
pub struct RawClient {
    connection: TcpStream,
    read: Vec<u8>,
}

impl RawClient {
    /// Connects.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if nobody listens there.
    pub async fn connect(to: SocketAddr) -> Result<Self, HarnessError> {
        let connection = TcpStream::connect(to)
            .await
            .map_err(HarnessError::io(format!("connect to {to}")))?;
        Ok(Self {
            connection,
            read: Vec::new(),
        })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if the connection is broken.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), HarnessError> {
        let sent = self.connection.write_all(bytes.as_ref()).await;
        sent.map_err(HarnessError::io("send to Envoy"))
    }

    /// Reads until everything read so far contains these bytes, and returns all of it. The next
    /// reading begins anew.
    ///
    /// # Errors
    /// [`HarnessError`] if the connection ends or a minute passes before they come.
    pub async fn read_until(&mut self, marker: &str) -> Result<String, HarnessError> {
        loop {
            let text = String::from_utf8_lossy(&self.read);
            if text.contains(marker) {
                let text = text.into_owned();
                self.read.clear();
                return Ok(text);
            }
            if !self.read_more().await? {
                return Err(HarnessError::Unexpected {
                    doing: format!("read until {marker:?}"),
                    answer: String::from_utf8_lossy(&self.read).into_owned(),
                });
            }
        }
    }

    /// Reads until the other side closes, in order or not, and returns all of it.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] if it does not within a minute.
    pub async fn read_to_end(mut self) -> Result<String, HarnessError> {
        loop {
            match self.read_more().await {
                Ok(true) => {}
                // A reset is an end too.
                Ok(false) | Err(HarnessError::Io { .. }) => {
                    return Ok(String::from_utf8_lossy(&self.read).into_owned());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the connection goes on.
    async fn read_more(&mut self) -> Result<bool, HarnessError> {
        let reading = self.connection.read_buf(&mut self.read);
        match tokio::time::timeout(LIMIT, reading).await {
            Ok(Ok(bytes)) => Ok(bytes > 0),
            Ok(Err(error)) => Err(HarnessError::io("read from Envoy")(error)),
            Err(_) => Err(HarnessError::TimedOut {
                what: "bytes from Envoy".to_owned(),
                limit: LIMIT,
                last: String::from_utf8_lossy(&self.read).into_owned(),
            }),
        }
    }
}
