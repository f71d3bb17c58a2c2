//! The document as an HTML page. It is rendered here, so that it needs no script and loads nothing.

use std::fmt::{self, Display, Formatter, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use crate::model::sha256::sha256;

const STYLE: &str = include_str!("page.css");

pub(super) struct HtmlPage {
    pub(super) html: String,
    /// `content-security-policy`: allows the page's own style only.
    pub(super) policy: String,
}

/// Text as HTML; what is between backticks is code.
struct Prose<'a>(&'a str);

/// Text as HTML.
struct Escaped<'a>(&'a str);

impl HtmlPage {
    pub(super) fn new(document: &Value) -> Self {
        let mut html = String::new();
        // Writing to a string cannot fail.
        let _ = write_page(&mut html, document);
        let digest = BASE64_STANDARD.encode(sha256([STYLE.as_bytes()]));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Self { html, policy }
    }
}

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '&' => out.write_str("&amp;")?,
                '"' => out.write_str("&quot;")?,
                other => out.write_char(other)?,
            }
        }
        Ok(())
    }
}

impl Display for Prose<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (position, part) in self.0.split('`').enumerate() {
            if position % 2 == 1 {
                write!(out, "<code>{}</code>", Escaped(part))?;
            } else {
                write!(out, "{}", Escaped(part))?;
            }
        }
        Ok(())
    }
}

fn write_page(out: &mut String, document: &Value) -> fmt::Result {
    let info = &document["info"];
    let title = format!("{} API {}", text(info, "title"), text(info, "version"));
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        title = Escaped(&title)
    )?;
    for paragraph in text(info, "description").split("\n\n") {
        writeln!(out, "<p>{}</p>", Prose(paragraph))?;
    }
    writeln!(
        out,
        "<p>For programs: <a href=\"/openapi.json\">/openapi.json</a>.</p>"
    )?;
    write_contents(out, document)?;
    write_security(out, at(document, "/components/securitySchemes"))?;
    for tag in list(&document["tags"]) {
        let (name, description) = (text(tag, "name"), text(tag, "description"));
        writeln!(
            out,
            "<h2>{}</h2>\n<p>{}</p>",
            Escaped(name),
            Prose(description)
        )?;
        for (path, method, operation) in operations(document, name) {
            write_operation(out, document, path, method, operation)?;
        }
    }
    writeln!(out, "<h2>Schemas</h2>")?;
    for (name, schema) in fields(at(document, "/components/schemas")) {
        writeln!(out, "<h3 id=\"schema-{0}\">{0}</h3>", Escaped(name))?;
        writeln!(out, "<p>{}</p>", Prose(text(schema, "description")))?;
        write_fields(out, schema)?;
    }
    writeln!(out, "</body>\n</html>")
}

fn write_contents(out: &mut String, document: &Value) -> fmt::Result {
    writeln!(out, "<nav>\n<ul>")?;
    for tag in list(&document["tags"]) {
        for (path, method, operation) in operations(document, text(tag, "name")) {
            let id = text(operation, "operationId");
            writeln!(
                out,
                "<li><a href=\"#{}\"><span class=\"method\">{method}</span> <code>{}</code></a></li>",
                Escaped(id),
                Escaped(path)
            )?;
        }
    }
    writeln!(out, "</ul>\n</nav>")
}

fn write_security(out: &mut String, schemes: &Value) -> fmt::Result {
    writeln!(
        out,
        "<h2>Keys</h2>\n<table>\n<tr><th>Header</th><th>Value</th></tr>"
    )?;
    for scheme in fields(schemes).map(|(_, scheme)| scheme) {
        let header = match text(scheme, "type") {
            "http" => "Authorization: Bearer",
            _ => text(scheme, "name"),
        };
        let description = Prose(text(scheme, "description"));
        writeln!(
            out,
            "<tr><td><code>{}</code></td><td>{description}</td></tr>",
            Escaped(header)
        )?;
    }
    writeln!(out, "</table>")
}

fn write_operation(
    out: &mut String,
    document: &Value,
    path: &str,
    method: &str,
    operation: &Value,
) -> fmt::Result {
    writeln!(
        out,
        "<section id=\"{}\">\n<h3><span class=\"method\">{method}</span> <code>{}</code></h3>\n<p><b>{}.</b> {}</p>",
        Escaped(text(operation, "operationId")),
        Escaped(path),
        Escaped(text(operation, "summary")),
        Prose(text(operation, "description"))
    )?;
    write_parameters(out, list(&operation["parameters"]))?;
    // Of several media types the first is shown.
    let content = fields(at(operation, "/requestBody/content")).next();
    if let Some((media_type, content)) = content {
        writeln!(out, "<h4>Body: <code>{}</code></h4>", Escaped(media_type))?;
        write_fields(out, resolve(document, &content["schema"]))?;
    }
    writeln!(
        out,
        "<pre>{}</pre>",
        Escaped(&curl(path, method, operation))
    )?;
    writeln!(out, "<h4>Responses</h4>")?;
    for (status, response) in fields(&operation["responses"]) {
        write_response(out, status, response)?;
    }
    writeln!(out, "</section>")
}

fn write_parameters(out: &mut String, parameters: &[Value]) -> fmt::Result {
    if parameters.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h4>Parameters</h4>\n<table>\n<tr><th>Name</th><th>In</th><th>Type</th><th>Description</th></tr>"
    )?;
    for parameter in parameters {
        let required = parameter["required"] == true;
        writeln!(
            out,
            "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(text(parameter, "name")),
            if required { " (required)" } else { "" },
            Escaped(text(parameter, "in")),
            kind(&parameter["schema"]),
            Prose(text(parameter, "description"))
        )?;
    }
    writeln!(out, "</table>")
}

fn write_fields(out: &mut String, schema: &Value) -> fmt::Result {
    let mut all = fields(&schema["properties"]).peekable();
    if all.peek().is_none() {
        return writeln!(out, "<p>{}</p>", kind(schema));
    }
    let required = list(&schema["required"]);
    writeln!(
        out,
        "<table>\n<tr><th>Field</th><th>Type</th><th>Description</th></tr>"
    )?;
    for (name, field) in all {
        let is_required = required.iter().any(|it| it == name);
        writeln!(
            out,
            "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(name),
            if is_required { "" } else { " (optional)" },
            kind(field),
            Prose(text(field, "description"))
        )?;
    }
    writeln!(out, "</table>")
}

fn write_response(out: &mut String, status: &str, response: &Value) -> fmt::Result {
    let summary = Escaped(text(response, "description"));
    writeln!(out, "<details><summary><b>{status}</b> {summary}</summary>")?;
    for (media_type, content) in fields(&response["content"]) {
        let data = at(content, "/schema/properties/data");
        let of = match data.get("$ref") {
            Some(_) => format!(", <code>data</code>: {}", kind(data)),
            None => String::new(),
        };
        writeln!(out, "<p><code>{}</code>{of}</p>", Escaped(media_type))?;
        let one = content.get("example").into_iter();
        let several = fields(&content["examples"]).map(|(_, example)| &example["value"]);
        for example in one.chain(several) {
            writeln!(out, "<pre>{}</pre>", Escaped(&example_text(example)))?;
        }
    }
    writeln!(out, "</details>")
}

/// An operation as a command for a shell.
fn curl(path: &str, method: &str, operation: &Value) -> String {
    let (mut path, mut query, mut headers) = (path.to_owned(), Vec::new(), Vec::new());
    if !list(&operation["security"]).is_empty() {
        headers.push("authorization: Bearer dsk_…".to_owned());
    }
    for parameter in list(&operation["parameters"]) {
        let (name, Some(example)) = (text(parameter, "name"), parameter.get("example")) else {
            continue;
        };
        let example = example_text(example);
        match text(parameter, "in") {
            "path" => path = path.replace(&format!("{{{name}}}"), &example),
            "query" => query.push(format!("{name}={example}")),
            _ => headers.push(format!("{}: {example}", name.to_ascii_lowercase())),
        }
    }
    let mut body = String::new();
    // Of several media types the first is shown.
    let content = fields(at(operation, "/requestBody/content")).next();
    if let Some((media_type, content)) = content {
        headers.push(format!("content-type: {media_type}"));
        body = match content.get("example") {
            Some(json @ Value::Object(_)) => format!(" \\\n  -d '{json}'"),
            _ => " \\\n  --data-binary @batch".to_owned(),
        };
    }
    let headers = headers.iter().map(|header| format!(" \\\n  -H '{header}'"));
    let headers: String = headers.collect();
    let separator = if query.is_empty() { "" } else { "?" };
    let query = query.join("&");
    let method = match method {
        "get" => "",
        _ => "-X POST ",
    };
    format!("curl -s {method}'http://127.0.0.1:8686{path}{separator}{query}'{headers}{body}")
}

/// The type of a schema's values, as HTML.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.rsplit('/').next())
    {
        return format!("<a href=\"#schema-{0}\">{0}</a>", Escaped(name));
    }
    let either = ["anyOf", "oneOf"].map(|key| list(&schema[key])).concat();
    if !either.is_empty() {
        return either.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(constant) = schema.get("const") {
        return format!("<code>{}</code>", Escaped(&constant.to_string()));
    }
    let choices = list(&schema["enum"]);
    if !choices.is_empty() {
        let choices = choices
            .iter()
            .map(|choice| format!("<code>{}</code>", Escaped(&choice.to_string())));
        return choices.collect::<Vec<_>>().join(", ");
    }
    let mut described = match &schema["type"] {
        Value::String(one) => one.clone(),
        Value::Array(several) => several
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "anything".to_owned(),
    };
    if let Some(items) = schema.get("items") {
        described = format!("{described} of {}", kind(items));
    }
    if let Some(format) = schema["format"].as_str() {
        described = format!("{described}, {format}");
    }
    let bounds = [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("default", "default"),
    ];
    for (key, words) in bounds {
        if let Some(bound) = schema.get(key) {
            described = format!("{described}, {words} {}", Escaped(&bound.to_string()));
        }
    }
    described
}

fn example_text(example: &Value) -> String {
    match example {
        Value::String(text) => text.clone(),
        json => format!("{json:#}"),
    }
}

/// Path, method and description of a group's operations.
fn operations<'a>(
    document: &'a Value,
    tag: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    fields(&document["paths"]).flat_map(move |(path, methods)| {
        let of_tag =
            fields(methods).filter(move |(_, it)| list(&it["tags"]).iter().any(|it| it == tag));
        of_tag.map(move |(method, operation)| (path, method, operation))
    })
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let path = schema["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix('#'));
    path.and_then(|path| document.pointer(path))
        .unwrap_or(schema)
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = value.as_object().into_iter().flat_map(Map::iter);
    all.map(|(name, value)| (name.as_str(), value))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
