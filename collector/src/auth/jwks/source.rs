//! Where sets of keys come from. Each is read whole, within a bound of bytes and of time.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::set::{KeySet, KeySetFault};
use crate::settings::secret::{MAX_FILE_BYTES, read_bounded};

/// Largest set. Those of large providers have a few KiB.
const MAX_BYTES: usize = MAX_FILE_BYTES;
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Where a set of keys is.
#[derive(Debug)]
pub(in crate::auth) enum Source {
    /// In a file.
    File(PathBuf),
    /// Behind a URL.
    Url(Url),
}

/// Why it could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The URL cannot be fetched.
    #[error("{}", without_url(.0))]
    Http(#[from] reqwest::Error),
    /// Redirections count, too: they are not followed.
    #[error("it answered {0}")]
    Status(reqwest::StatusCode),
    /// Too long.
    #[error("it has more than {MAX_BYTES} bytes")]
    TooLong,
    /// Too slow.
    #[error("it was not there whole after {TIME_LIMIT:?}")]
    TooSlow,
    /// It is no set of keys.
    #[error(transparent)]
    KeySet(#[from] KeySetFault),
}

impl Source {
    pub(super) async fn read(&self) -> Result<KeySet, SourceFault> {
        let reading = async {
            match self {
                Self::File(path) => read_file(path.clone()).await,
                Self::Url(url) => fetch(url.clone()).await,
            }
        };
        let document = tokio::time::timeout(TIME_LIMIT, reading)
            .await
            .map_err(|_| SourceFault::TooSlow)??;
        Ok(KeySet::parse(&document)?)
    }

    /// The same at once, and only from a file; none from elsewhere.
    pub(super) fn read_file(&self) -> Result<Option<KeySet>, SourceFault> {
        match self {
            Self::File(path) => Ok(Some(KeySet::parse(&read_bounded(path)?)?)),
            Self::Url(_) => Ok(None),
        }
    }
}

async fn read_file(path: PathBuf) -> Result<Vec<u8>, SourceFault> {
    let reading = tokio::task::spawn_blocking(move || read_bounded(&path));
    Ok(reading.await.map_err(io::Error::other)??)
}

/// With a client of its own: a fetch is rare, and a connection need not wait for the next.
async fn fetch(url: Url) -> Result<Vec<u8>, SourceFault> {
    let client = Client::builder().redirect(Policy::none()).build()?;
    let mut response = client.get(url).send().await?;
    if !response.status().is_success() {
        return Err(SourceFault::Status(response.status()));
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if document.len() + chunk.len() > MAX_BYTES {
            return Err(SourceFault::TooLong);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

/// What failed, down to the cause, which is where the reason is. The log names the URL already.
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

/// Without a query, in which some put secrets.
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

    async fn read(url: &str) -> Result<KeySet, SourceFault> {
        Source::Url(url.parse().unwrap()).read().await
    }

    /// A set of exactly so many bytes.
    fn padded(bytes: usize) -> String {
        format!("{SET}{}", " ".repeat(bytes - SET.len()))
    }

    #[tokio::test]
    async fn a_set_is_read_from_a_url_within_bounds() {
        let router = Router::new()
            .route("/keys", get(|| async { padded(MAX_BYTES) }))
            .route("/long", get(|| async { padded(MAX_BYTES + 1) }))
            .route("/moved", get(|| async { Redirect::temporary("/keys") }));
        let url = serve(router).await;
        assert_eq!(read(&format!("{url}/keys")).await.unwrap().len(), 1);
        let long = read(&format!("{url}/long")).await;
        assert!(matches!(long, Err(SourceFault::TooLong)));
        let moved = read(&format!("{url}/moved")).await;
        assert!(matches!(moved, Err(SourceFault::Status(status)) if status == 307));
        let missing = read(&format!("{url}/missing?secret=1")).await;
        assert!(matches!(missing, Err(SourceFault::Status(status)) if status == 404));
    }

    #[tokio::test]
    async fn a_set_is_read_from_a_file_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let source = Source::File(path.clone());
        assert!(matches!(source.read().await, Err(SourceFault::File(_))));
        std::fs::write(&path, padded(MAX_BYTES)).unwrap();
        assert_eq!(source.read().await.unwrap().len(), 1);
        std::fs::write(&path, padded(MAX_BYTES + 1)).unwrap();
        assert!(matches!(source.read().await, Err(SourceFault::File(_))));
    }

    #[tokio::test]
    async fn nobody_there_is_told_with_the_reason_and_without_secrets() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/keys?secret=hunter2",
            listener.local_addr().unwrap()
        );
        drop(listener);
        let fault = read(&url).await.unwrap_err().to_string();
        assert!(
            fault.contains("refused") && !fault.contains("hunter2"),
            "{fault}"
        );
        let shown = Source::Url(url.parse().unwrap()).to_string();
        assert!(shown.ends_with("/keys"), "{shown}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_does_not_come_to_an_end_is_left() {
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
        assert!(matches!(read(&url).await, Err(SourceFault::TooSlow)));
    }
}
