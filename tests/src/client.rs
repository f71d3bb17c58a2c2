//! A client of the collector's API. A response that differs from the API's description is an error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use dossier_wire::{BATCH_ID_HEADER, CONTENT_TYPE, Compression, INGEST_PATH};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::certificate_authority::ClientTls;
use crate::contract::{self, ObservedResponse};
use crate::error::HarnessError;
use crate::wait;

const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// A client of one collector.
#[derive(Debug, Clone)]
pub struct CollectorClient {
    base: String,
    http: reqwest::Client,
}

/// A response of the collector.
#[derive(Debug, Clone)]
pub struct CollectorResponse {
    /// HTTP status.
    pub status: u16,
    /// The body, if it is JSON.
    pub json: Value,
    /// The body.
    pub bytes: Vec<u8>,
    /// `content-type`.
    pub content_type: String,
    /// `retry-after`.
    pub retry_after: Option<String>,
    /// All headers.
    pub headers: HeaderMap,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct RawPage {
    items: Vec<RawItem>,
}

#[derive(Deserialize)]
struct RawItem {
    data: Box<RawValue>,
}

impl CollectorResponse {
    /// The entries of a successful query.
    #[must_use]
    pub fn items(&self) -> &[Value] {
        self.json
            .pointer("/data/items")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// The bytes of `data` in each entry of a successful query.
    #[must_use]
    pub fn raw_data(&self) -> Vec<String> {
        let page: Result<Envelope<RawPage>, _> = serde_json::from_slice(&self.bytes);
        let items = page.map(|page| page.data.items).unwrap_or_default();
        items
            .into_iter()
            .map(|item| item.data.get().to_owned())
            .collect()
    }

    /// A header's text; empty if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The warning with this code, or null.
    #[must_use]
    pub fn warning(&self, code: &str) -> &Value {
        let warnings = self.json.get("warnings").and_then(Value::as_array);
        let mut warnings = warnings.into_iter().flatten();
        warnings
            .find(|warning| warning.get("code").and_then(Value::as_str) == Some(code))
            .unwrap_or(&Value::Null)
    }

    /// The codes of the warnings.
    #[must_use]
    pub fn warning_codes(&self) -> Vec<&str> {
        let warnings = self
            .json
            .get("warnings")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        warnings
            .filter_map(|warning| warning.get("code")?.as_str())
            .collect()
    }

    /// The error's code; empty if there is none.
    #[must_use]
    pub fn error_code(&self) -> &str {
        self.json
            .pointer("/error/code")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The fields that an error names.
    #[must_use]
    pub fn error_fields(&self) -> Vec<&str> {
        let errors = self
            .json
            .pointer("/error/details/errors")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        errors
            .filter_map(|error| error.get("field")?.as_str())
            .collect()
    }
}

impl CollectorClient {
    /// For the collector at this address.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if no HTTP client can be built.
    pub fn new(address: SocketAddr) -> Result<Self, HarnessError> {
        Self::with_tls(address, None)
    }

    /// For the collector at this address, by TLS if it is given.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if no HTTP client can be built.
    pub fn with_tls(address: SocketAddr, tls: Option<&ClientTls>) -> Result<Self, HarnessError> {
        let doing = "build an HTTP client";
        let mut builder = reqwest::Client::builder().timeout(REQUEST_LIMIT);
        if let Some(tls) = tls {
            let authority = reqwest::Certificate::from_pem(tls.authority.as_bytes());
            builder = builder.tls_certs_only([authority.map_err(HarnessError::http(doing))?]);
            if let Some(identity) = &tls.identity {
                let identity = reqwest::Identity::from_pem(identity.as_bytes());
                builder = builder.identity(identity.map_err(HarnessError::http(doing))?);
            }
        }
        let scheme = tls.map_or("http", |_| "https");
        Ok(Self {
            base: format!("{scheme}://{address}"),
            http: builder.build().map_err(HarnessError::http(doing))?,
        })
    }

    /// `GET`.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn get(
        &self,
        path: &str,
        key: Option<&str>,
    ) -> Result<CollectorResponse, HarnessError> {
        self.send(self.http.get(self.url(path)), key, path).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn delete(
        &self,
        path: &str,
        key: Option<&str>,
    ) -> Result<CollectorResponse, HarnessError> {
        self.send(self.http.delete(self.url(path)), key, path).await
    }

    /// `POST` of JSON.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn post(
        &self,
        path: &str,
        key: Option<&str>,
        body: &Value,
    ) -> Result<CollectorResponse, HarnessError> {
        self.send(self.http.post(self.url(path)).json(body), key, path)
            .await
    }

    /// `POST` of text as JSON, whatever it is.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn post_text(
        &self,
        path: &str,
        key: Option<&str>,
        body: &str,
    ) -> Result<CollectorResponse, HarnessError> {
        let request = self.http.post(self.url(path)).body(body.to_owned());
        let request = request.header("content-type", "application/json");
        self.send(request, key, path).await
    }

    /// One page of a query.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn query(
        &self,
        key: &str,
        filters: &Value,
    ) -> Result<CollectorResponse, HarnessError> {
        self.post("/storage/query", Some(key), filters).await
    }

    /// All pages of a query.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if a page is refused.
    pub async fn query_pages(
        &self,
        key: &str,
        filters: &Value,
    ) -> Result<Vec<CollectorResponse>, HarnessError> {
        let mut pages = Vec::new();
        self.for_each_page(key, filters, |page| pages.push(page))
            .await?;
        Ok(pages)
    }

    /// Calls `look` with each page of a query, for results too large to hold at once.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if a page is refused.
    pub async fn for_each_page(
        &self,
        key: &str,
        filters: &Value,
        mut look: impl FnMut(CollectorResponse),
    ) -> Result<(), HarnessError> {
        let mut filters = filters.clone();
        set(&mut filters, "page_size", json!(100));
        loop {
            let page = self.query(key, &filters).await?;
            if page.status != 200 {
                let doing = format!("POST /storage/query {filters}");
                return Err(HarnessError::Unexpected {
                    doing,
                    answer: page.json.to_string(),
                });
            }
            let cursor = page
                .json
                .pointer("/data/next_cursor")
                .cloned()
                .unwrap_or_default();
            look(page);
            if !cursor.is_string() {
                return Ok(());
            }
            set(&mut filters, "cursor", cursor);
        }
    }

    /// All entries of a query.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if a page is refused.
    pub async fn query_all(&self, key: &str, filters: &Value) -> Result<Vec<Value>, HarnessError> {
        let pages = self.query_pages(key, filters).await?;
        Ok(pages
            .iter()
            .flat_map(CollectorResponse::items)
            .cloned()
            .collect())
    }

    /// How many entries a query finds.
    ///
    /// # Errors
    /// [`HarnessError::Unexpected`] if the query is refused.
    pub async fn count(&self, key: &str, filters: &Value) -> Result<u64, HarnessError> {
        let mut filters = filters.clone();
        set(&mut filters, "page_size", json!(1));
        let answer = self.query(key, &filters).await?;
        answer
            .json
            .pointer("/data/total")
            .and_then(Value::as_u64)
            .ok_or_else(|| HarnessError::Unexpected {
                doing: format!("count {filters}"),
                answer: answer.json.to_string(),
            })
    }

    /// Waits until a query finds at least this many entries.
    ///
    /// # Errors
    /// [`HarnessError::TimedOut`] with the last count.
    pub async fn wait_for_entries(
        &self,
        key: &str,
        filters: &Value,
        entries: u64,
        limit: Duration,
    ) -> Result<(), HarnessError> {
        wait::until(
            &format!("{entries} entries of {filters}"),
            limit,
            async || {
                let found = self
                    .count(key, filters)
                    .await
                    .map_err(|error| error.to_string())?;
                if found >= entries {
                    Ok(())
                } else {
                    Err(format!("{found} entries"))
                }
            },
        )
        .await
    }

    /// Sends an encoded batch, compressed, as the filter does.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn ingest(
        &self,
        key: Option<&str>,
        batch: Uuid,
        raw: Vec<u8>,
    ) -> Result<CollectorResponse, HarnessError> {
        self.ingest_bytes(
            key,
            batch,
            Some("deflate"),
            Compression::Fast.compress(&raw),
        )
        .await
    }

    /// Sends any bytes as a batch.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn ingest_bytes(
        &self,
        key: Option<&str>,
        batch: Uuid,
        encoding: Option<&str>,
        bytes: Vec<u8>,
    ) -> Result<CollectorResponse, HarnessError> {
        let sent = (CONTENT_TYPE, encoding);
        self.ingest_typed(key, batch, sent, bytes).await
    }

    /// Sends lines of JSON as a batch.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn ingest_lines(
        &self,
        key: Option<&str>,
        batch: Uuid,
        lines: &str,
    ) -> Result<CollectorResponse, HarnessError> {
        let sent = ("application/x-ndjson", None);
        self.ingest_typed(key, batch, sent, lines.as_bytes().to_vec())
            .await
    }

    /// Sends bytes with a content type and encoding as a batch.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn ingest_typed(
        &self,
        key: Option<&str>,
        batch: Uuid,
        (content_type, encoding): (&str, Option<&str>),
        bytes: Vec<u8>,
    ) -> Result<CollectorResponse, HarnessError> {
        let mut request = self
            .http
            .post(self.url(INGEST_PATH))
            .header("content-type", content_type)
            .header(BATCH_ID_HEADER, batch.to_string());
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        self.send(request.body(bytes), key, INGEST_PATH).await
    }

    /// The samples of `/metrics` by series.
    ///
    /// # Errors
    /// [`HarnessError::Http`] if there is no response.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>, HarnessError> {
        let answer = self.get("/metrics", None).await?;
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| line.rsplit_once(' '));
        Ok(samples
            .filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?)))
            .collect())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        key: Option<&str>,
        path: &str,
    ) -> Result<CollectorResponse, HarnessError> {
        let request = match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let doing = || format!("request {path} of the collector");
        let request = request.build().map_err(HarnessError::http(doing()))?;
        let method = request.method().clone();
        let response = self.http.execute(request).await;
        let response = response.map_err(HarnessError::http(doing()))?;
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|it| it.to_str().ok())
                .map(str::to_owned)
        };
        let (content_type, retry_after) = (
            header("content-type").unwrap_or_default(),
            header("retry-after"),
        );
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response
            .bytes()
            .await
            .map_err(HarnessError::http(doing()))?
            .to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        contract::check_response(&ObservedResponse {
            method: &method,
            path,
            status,
            content_type: &content_type,
            json: &json,
        })?;
        Ok(CollectorResponse {
            status,
            json,
            bytes,
            content_type,
            retry_after,
            headers,
        })
    }
}

fn set(filters: &mut Value, key: &str, value: Value) {
    if let Some(filters) = filters.as_object_mut() {
        filters.insert(key.to_owned(), value);
    }
}
