//! A client that sends and reads raw bytes, and can disconnect at any byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::HarnessError;

const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// One connection; dropping it disconnects.
#[derive(Debug)]
pub struct RawClient {
    connection: TcpStream,
    read: Vec<u8>,
}

impl RawClient {
    /// Connects to an address.
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

    /// Sends these bytes.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if the connection is broken.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), HarnessError> {
        let sent = self.connection.write_all(bytes.as_ref()).await;
        sent.map_err(HarnessError::io("send to Envoy"))
    }

    /// Reads until the bytes read contain this text, and returns all of them. The next read starts after
    /// them.
    ///
    /// # Errors
    /// [`HarnessError`] if the connection ends or a minute passes before.
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

    /// Reads until the other side closes or resets the connection, and returns all bytes.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] if that takes longer than a minute.
    pub async fn read_to_end(mut self) -> Result<String, HarnessError> {
        loop {
            match self.read_more().await {
                Ok(true) => {}
                // A reset ends the connection too.
                Ok(false) | Err(HarnessError::Io { .. }) => {
                    return Ok(String::from_utf8_lossy(&self.read).into_owned());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns whether the connection is still open.
    async fn read_more(&mut self) -> Result<bool, HarnessError> {
        let reading = self.connection.read_buf(&mut self.read);
        match tokio::time::timeout(READ_TIMEOUT, reading).await {
            Ok(Ok(bytes)) => Ok(bytes > 0),
            Ok(Err(error)) => Err(HarnessError::io("read from Envoy")(error)),
            Err(_) => Err(HarnessError::TimedOut {
                what: "bytes from Envoy".to_owned(),
                limit: READ_TIMEOUT,
                last: String::from_utf8_lossy(&self.read).into_owned(),
            }),
        }
    }
}
