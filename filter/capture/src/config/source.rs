//! Where values are extracted from: metadata and session ids.

use super::header_names;
use super::per_half::PerHalf;
use super::reader::{ConfigNode, ObjectReader};
use crate::json::{JsonPath, Paths};

/// The source of a metadata value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ValueSource {
    /// The first scalar at this path of the request's body.
    RequestJson(JsonPath),
    /// The first scalar at this path of the response's body.
    ResponseJson(JsonPath),
    /// The first value of a request header.
    RequestHeader(String),
    /// The first value of a response header.
    ResponseHeader(String),
}

/// The source of a session id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionSource {
    /// Of the request.
    Header(String),
    /// Of the request.
    Cookie(String),
    /// A query parameter.
    Query(String),
    /// The first scalar at this path of the request's body.
    RequestJson(JsonPath),
}

/// Everything to extract from one half, compiled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Extraction {
    /// Names of metadata, and the header of each.
    pub(crate) headers: Vec<(String, String)>,
    /// The use of the scalars at [`Self::paths`], in the same order.
    pub(crate) targets: Vec<ExtractionTarget>,
    /// All paths into the body, followed in one pass.
    pub(crate) paths: Paths,
}

/// The use of a scalar in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExtractionTarget {
    /// By name.
    Metadata(String),
    /// The session id.
    Session,
}

impl Default for Extraction {
    fn default() -> Self {
        Self::compile(Vec::new(), Vec::new())
    }
}

impl Extraction {
    fn compile(headers: Vec<(String, String)>, json: Vec<(ExtractionTarget, JsonPath)>) -> Self {
        let (targets, paths) = json.into_iter().unzip();
        Self {
            headers,
            targets,
            paths: Paths::new(paths),
        }
    }

    /// Divides sources by the half that they read.
    pub(super) fn compile_by_half<'s>(
        metadata: impl Iterator<Item = (&'s String, &'s ValueSource)>,
        session: Option<&SessionSource>,
    ) -> PerHalf<Self> {
        let (mut headers, mut json) = (PerHalf::<Vec<_>>::default(), PerHalf::<Vec<_>>::default());
        for (name, source) in metadata {
            let target = || ExtractionTarget::Metadata(name.clone());
            match source {
                ValueSource::RequestJson(path) => json.request.push((target(), path.clone())),
                ValueSource::ResponseJson(path) => json.response.push((target(), path.clone())),
                ValueSource::RequestHeader(it) => headers.request.push((name.clone(), it.clone())),
                ValueSource::ResponseHeader(it) => {
                    headers.response.push((name.clone(), it.clone()));
                }
            }
        }
        if let Some(SessionSource::RequestJson(path)) = session {
            json.request.push((ExtractionTarget::Session, path.clone()));
        }
        PerHalf {
            request: Self::compile(headers.request, json.request),
            response: Self::compile(headers.response, json.response),
        }
    }

    /// Whether the body must be read, even if it is not recorded.
    pub(crate) fn needs_body(&self) -> bool {
        !self.targets.is_empty()
    }
}

impl ValueSource {
    pub(super) fn read(node: &ConfigNode<'_>) -> Option<Self> {
        let object =
            node.as_object("request_json, response_json, request_header or response_header")?;
        let source = object
            .get_one_of(&[
                "request_json",
                "response_json",
                "request_header",
                "response_header",
            ])
            .and_then(|(key, node)| match key {
                "request_json" => read_json_path(&node).map(Self::RequestJson),
                "response_json" => read_json_path(&node).map(Self::ResponseJson),
                "request_header" => header_names::read_name(&node).map(Self::RequestHeader),
                _ => header_names::read_name(&node).map(Self::ResponseHeader),
            });
        object.reject_unknown();
        source
    }
}

impl SessionSource {
    const KEYS: [&'static str; 4] = ["header", "cookie", "query", "request_json"];

    pub(super) fn is_present(object: &ObjectReader<'_>) -> bool {
        Self::KEYS.iter().any(|key| object.get(key).is_some())
    }

    pub(super) fn read(object: &ObjectReader<'_>) -> Option<Self> {
        let (key, node) = object.get_one_of(&Self::KEYS)?;
        match key {
            "header" => header_names::read_name(&node).map(Self::Header),
            "cookie" => read_parameter_name(&node, "the name of a cookie").map(Self::Cookie),
            "query" => read_parameter_name(&node, "the name of a query parameter").map(Self::Query),
            _ => read_json_path(&node).map(Self::RequestJson),
        }
    }
}

fn read_parameter_name(node: &ConfigNode<'_>, expectation: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_graphic() && !b"=;&,\"".contains(&b);
    let fits = |text: &str| (1..=128).contains(&text.len()) && text.bytes().all(allowed);
    node.as_text(expectation, fits).map(str::to_owned)
}

fn read_json_path(node: &ConfigNode<'_>) -> Option<JsonPath> {
    let Some(text) = node.value.as_str() else {
        node.report_expected("a JSON path such as \"$.model\"");
        return None;
    };
    JsonPath::parse(text)
        .map_err(|error| node.report_expected(format_args!("a JSON path: {error}")))
        .ok()
}
