//! Values taken from the traffic: metadata, and the names of sessions.

use super::names;
use super::plan::Halves;
use super::reader::{Node, Object};
use crate::json::{JsonPath, Paths};

/// Where a value of the metadata comes from.
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

/// Where the client names the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionSource {
    /// A request header.
    Header(String),
    /// A cookie of the request.
    Cookie(String),
    /// A parameter of the query.
    Query(String),
    /// The first scalar at this path of the request's body.
    RequestJson(JsonPath),
}

/// What is taken from one half, compiled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Extraction {
    /// Names of metadata, with the header that each is taken from.
    pub(crate) headers: Vec<(String, String)>,
    /// What the scalars at [`Self::paths`] are for, one by one.
    pub(crate) targets: Vec<Target>,
    /// Paths into the body, all followed in one pass.
    pub(crate) paths: Paths,
}

/// What a scalar of a body is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The metadata of this name.
    Metadata(String),
    /// The name of the session.
    Session,
}

impl Default for Extraction {
    fn default() -> Self {
        Self::compile(Vec::new(), Vec::new())
    }
}

impl Extraction {
    fn compile(headers: Vec<(String, String)>, json: Vec<(Target, JsonPath)>) -> Self {
        let (targets, paths) = json.into_iter().unzip();
        Self {
            headers,
            targets,
            paths: Paths::new(paths),
        }
    }

    /// Sorts sources by the half that they look at.
    pub(super) fn of<'s>(
        metadata: impl Iterator<Item = (&'s String, &'s ValueSource)>,
        session: Option<&SessionSource>,
    ) -> Halves<Self> {
        let (mut headers, mut json) = (Halves::<Vec<_>>::default(), Halves::<Vec<_>>::default());
        for (name, source) in metadata {
            let target = || Target::Metadata(name.clone());
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
            json.request.push((Target::Session, path.clone()));
        }
        Halves {
            request: Self::compile(headers.request, json.request),
            response: Self::compile(headers.response, json.response),
        }
    }

    /// Whether the body is needed, even if it is not recorded.
    pub(crate) fn needs_body(&self) -> bool {
        !self.targets.is_empty()
    }
}

impl ValueSource {
    pub(super) fn read(node: &Node<'_>) -> Option<Self> {
        let object =
            node.object("request_json, response_json, request_header or response_header")?;
        let source = object
            .one_of(&[
                "request_json",
                "response_json",
                "request_header",
                "response_header",
            ])
            .and_then(|(key, node)| match key {
                "request_json" => json_path(&node).map(Self::RequestJson),
                "response_json" => json_path(&node).map(Self::ResponseJson),
                "request_header" => names::header(&node).map(Self::RequestHeader),
                _ => names::header(&node).map(Self::ResponseHeader),
            });
        object.refuse_unknown();
        source
    }
}

impl SessionSource {
    const KEYS: [&'static str; 4] = ["header", "cookie", "query", "request_json"];

    pub(super) fn is_in(object: &Object<'_>) -> bool {
        Self::KEYS.iter().any(|key| object.get(key).is_some())
    }

    pub(super) fn read(object: &Object<'_>) -> Option<Self> {
        let (key, node) = object.one_of(&Self::KEYS)?;
        match key {
            "header" => names::header(&node).map(Self::Header),
            "cookie" => parameter(&node, "the name of a cookie").map(Self::Cookie),
            "query" => parameter(&node, "the name of a query parameter").map(Self::Query),
            _ => json_path(&node).map(Self::RequestJson),
        }
    }
}

fn parameter(node: &Node<'_>, expectation: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_graphic() && !b"=;&,\"".contains(&b);
    let fits = |text: &str| (1..=128).contains(&text.len()) && text.bytes().all(allowed);
    node.text(expectation, fits).map(str::to_owned)
}

fn json_path(node: &Node<'_>) -> Option<JsonPath> {
    let Some(text) = node.value.as_str() else {
        node.expected("a JSON path such as \"$.model\"");
        return None;
    };
    JsonPath::parse(text)
        .map_err(|error| node.expected(format_args!("a JSON path: {error}")))
        .ok()
}
