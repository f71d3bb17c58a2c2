//! Reads a key set from its source, a file or a URL, within limits of size and time.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::set::{KeySet, KeySetError};
use crate::settings::secret::{MAX_FILE_BYTES, read_bounded};

/// Largest set. Those of large providers have a few KiB.
const MAX_BYTES: usize = MAX_FILE_BYTES;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where a key set is published.
#[derive(Debug)]
pub(in crate::auth) enum Source {
    /// In a file.
    File(PathBuf),
    /// Behind a URL.
    Url(Url),
}

/// Why a key set could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The URL cannot be fetched.
    #[error("{}", without_url(.0))]
    Http(#[from] reqwest::Error),
    /// The URL responded with a status other than success; redirects are not followed.
    #[error("it answered {0}")]
    Status(reqwest::StatusCode),
    /// It is too long.
    #[error("it exceeds {MAX_BYTES} bytes")]
    TooLong,
    /// It took too long.
    #[error("it was not read completely within {TIMEOUT:?}")]
    TooSlow,
    /// It is not a usable key set.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

impl Source {
    pub(super) async fn read(&self) -> Result<KeySet, JwksError> {
        let reading = async {
            match self {
                Self::File(path) => read_file(path.clone()).await,
                Self::Url(url) => fetch(url.clone()).await,
            }
        };
        let document = tokio::time::timeout(TIMEOUT, reading)
            .await
            .map_err(|_| JwksError::TooSlow)??;
        Ok(KeySet::parse(&document)?)
    }

    /// Reads a file at once; none if the source is a URL.
    pub(super) fn read_file(&self) -> Result<Option<KeySet>, JwksError> {
        match self {
            Self::File(path) => Ok(Some(KeySet::parse(&read_bounded(path)?)?)),
            Self::Url(_) => Ok(None),
        }
    }
}

async fn read_file(path: PathBuf) -> Result<Vec<u8>, JwksError> {
    let reading = tokio::task::spawn_blocking(move || read_bounded(&path));
    Ok(reading.await.map_err(io::Error::other)??)
}

/// Uses a client of its own: fetches are rare, so that no connection has to stay open.
async fn fetch(url: Url) -> Result<Vec<u8>, JwksError> {
    let client = Client::builder().redirect(Policy::none()).build()?;
    let mut response = client.get(url).send().await?;
    if !response.status().is_success() {
        return Err(JwksError::Status(response.status()));
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if document.len() + chunk.len() > MAX_BYTES {
            return Err(JwksError::TooLong);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

/// The chain of causes, without the URL, which the log names already.
fn without_url(error: &reqwest::Error) -> String {
    let mut text = "it cannot be fetched".to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Without the query, which may hold secrets.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => {
                let mut shown = url.clone();
                shown.set_query(None);
                shown.fmt(f)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const SET: &str = r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#;

    async fn serve(router: Router) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    async fn read(url: &str) -> Result<KeySet, JwksError> {
        Source::Url(url.parse().unwrap()).read().await
    }

    /// A set of exactly this many bytes.
    fn padded(bytes: usize) -> String {
        format!("{SET}{}", " ".repeat(bytes - SET.len()))
    }

    #[tokio::test]
    async fn reads_url_within_limits() {
        let router = Router::new()
            .route("/keys", get(|| async { padded(MAX_BYTES) }))
            .route("/long", get(|| async { padded(MAX_BYTES + 1) }))
            .route("/moved", get(|| async { Redirect::temporary("/keys") }));
        let url = serve(router).await;
        assert_eq!(read(&format!("{url}/keys")).await.unwrap().len(), 1);
        let long = read(&format!("{url}/long")).await;
        assert!(matches!(long, Err(JwksError::TooLong)));
        let moved = read(&format!("{url}/moved")).await;
        assert!(matches!(moved, Err(JwksError::Status(status)) if status == 307));
        let missing = read(&format!("{url}/missing?secret=1")).await;
        assert!(matches!(missing, Err(JwksError::Status(status)) if status == 404));
    }

    #[tokio::test]
    async fn reads_file_within_limits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let source = Source::File(path.clone());
        assert!(matches!(source.read().await, Err(JwksError::File(_))));
        std::fs::write(&path, padded(MAX_BYTES)).unwrap();
        assert_eq!(source.read().await.unwrap().len(), 1);
        std::fs::write(&path, padded(MAX_BYTES + 1)).unwrap();
        assert!(matches!(source.read().await, Err(JwksError::File(_))));
    }

    #[tokio::test]
    async fn connection_error_shows_cause_without_query() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/keys?secret=hunter2",
            listener.local_addr().unwrap()
        );
        drop(listener);
        let error = read(&url).await.unwrap_err().to_string();
        assert!(
            error.contains("refused") && !error.contains("hunter2"),
            "{error}"
        );
        let shown = Source::Url(url.parse().unwrap()).to_string();
        assert!(shown.ends_with("/keys"), "{shown}");
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_on_unfinished_response() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
            stream.write_all(head).await.unwrap();
            std::future::pending::<()>().await;
        });
        assert!(matches!(read(&url).await, Err(JwksError::TooSlow)));
    }
}
