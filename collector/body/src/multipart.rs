//! Divides a multipart body into its parts, by RFC 2046, and shows each in the form that its type allows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dossier_content::media_kind::MediaKind;
use dossier_content::whitespace::trim;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::content_kind::ContentInfo;
use crate::portable_json;
use crate::text::{decode_text, is_printable};
use crate::truncation::MAX_LISTED;

/// The parts of a body.
#[derive(Debug, Serialize)]
pub(super) struct Multipart {
    pub(super) parts: Vec<Part>,
    /// There are more parts than are listed.
    #[serde(skip)]
    pub(super) more: bool,
    /// The last part has no end.
    #[serde(skip)]
    pub(super) unfinished: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Part {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
    /// `content-type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    /// `json`, `text` or `binary`.
    form: &'static str,
    data: Box<RawValue>,
}

/// `None` if no part begins.
pub(super) fn parse(body: &[u8], boundary: &str) -> serde_json::Result<Option<Multipart>> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let Some(first) = find_delimiter(body, &delimiter) else {
        return Ok(None);
    };
    let mut rest = body.get(first + delimiter.len()..).unwrap_or_default();
    let mut multipart = Multipart {
        parts: Vec::new(),
        more: false,
        unfinished: false,
    };
    while !rest.starts_with(b"--") {
        if multipart.parts.len() == MAX_LISTED {
            multipart.more = true;
            break;
        }
        let Some(line_end) = rest.iter().position(|byte| *byte == b'\n') else {
            multipart.unfinished = true;
            break;
        };
        let part = rest.get(line_end + 1..).unwrap_or_default();
        let end = find_delimiter(part, &delimiter);
        let content = part.get(..end.unwrap_or(part.len())).unwrap_or(part);
        multipart.parts.push(read_part(without_line_end(content))?);
        let Some(end) = end else {
            multipart.unfinished = true;
            break;
        };
        rest = part.get(end + delimiter.len()..).unwrap_or_default();
    }
    Ok(Some(multipart))
}

/// Where a line begins with the delimiter, and with nothing that would make it another boundary's.
fn find_delimiter(bytes: &[u8], delimiter: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let line = bytes.get(from..)?;
        if let Some(after) = line.strip_prefix(delimiter)
            && matches!(after, [] | [b'-' | b'\r' | b'\n' | b' ' | b'\t', ..])
        {
            return Some(from);
        }
        from += line.iter().position(|byte| *byte == b'\n')? + 1;
    }
}

/// The line end before a delimiter belongs to it.
fn without_line_end(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

fn read_part(part: &[u8]) -> serde_json::Result<Part> {
    let (mut disposition, mut media_type) = (String::new(), None);
    let mut rest = part;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = without_line_end(rest.get(..=end).unwrap_or_default());
        rest = rest.get(end + 1..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        let line = String::from_utf8_lossy(line);
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-disposition") => {
                value.clone_into(&mut disposition);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-type") => {
                media_type = Some(trim(value).to_owned());
            }
            _ => {}
        }
    }
    let (form, data) = show(rest, media_type.as_deref())?;
    Ok(Part {
        name: parameter(&disposition, "name"),
        filename: parameter(&disposition, "filename"),
        media_type,
        form,
        data,
    })
}

fn show(
    content: &[u8],
    media_type: Option<&str>,
) -> serde_json::Result<(&'static str, Box<RawValue>)> {
    // The default of a part.
    let info = ContentInfo::new(Some(media_type.unwrap_or("text/plain")));
    let text = match info.kind {
        MediaKind::Binary | MediaKind::Grpc | MediaKind::GrpcText => None,
        MediaKind::Unknown | MediaKind::Multipart => {
            decode_text(content, info.charset, false).filter(|text| is_printable(text))
        }
        _ => decode_text(content, info.charset, false),
    };
    let Some(text) = text else {
        return Ok(("binary", to_raw_value(&STANDARD.encode(content))?));
    };
    if info.kind == MediaKind::Json
        && let Ok(json) = portable_json::parse(&text)
    {
        return Ok(("json", json.to_owned()));
    }
    Ok(("text", to_raw_value(&text)?))
}

/// A parameter of `content-disposition`. A quoted value may hold semicolons.
fn parameter(disposition: &str, name: &str) -> Option<String> {
    let mut rest = disposition;
    loop {
        rest = rest.split_once(';')?.1;
        let (key, value) = rest.split_once('=')?;
        let is_wanted = trim(key).eq_ignore_ascii_case(name);
        let Some(quoted) = value.strip_prefix('"') else {
            if is_wanted {
                let end = value.find(';').unwrap_or(value.len());
                return Some(trim(value.get(..end)?).to_owned());
            }
            rest = value;
            continue;
        };
        let (text, after) = unquote(quoted);
        if is_wanted {
            return Some(text);
        }
        rest = after;
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> (String, &str) {
    let (mut text, mut characters) = (String::new(), quoted.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    (text, characters.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn shown(body: &[u8], boundary: &str) -> Option<(Value, bool)> {
        let multipart = parse(body, boundary).unwrap()?;
        let unfinished = multipart.unfinished;
        Some((serde_json::to_value(&multipart.parts).unwrap(), unfinished))
    }

    #[test]
    fn parts_are_shown_by_their_types() {
        let body = b"preamble\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nsome\r\ntext\r\n--B \r\n\
            content-disposition: form-data; filename=\"x;\\\"y\\\".json\"; name=file\r\nContent-Type: application/json\r\n\r\n\
            {\"n\": 1.50}\r\n--B\r\nContent-Type: application/octet-stream\r\n\r\n\x00\xff\r\n--BC\r\n--B\r\n\r\n\r\n--B--\r\nepilogue";
        let expected = json!([
            {"name": "a", "form": "text", "data": "some\r\ntext"},
            {"name": "file", "filename": "x;\"y\".json", "type": "application/json", "form": "json", "data": {"n": 1.50}},
            {"type": "application/octet-stream", "form": "binary", "data": "AP8NCi0tQkM="},
            {"form": "text", "data": ""},
        ]);
        assert_eq!(shown(body, "B"), Some((expected, false)));
    }

    #[test]
    fn broken_bodies_show_what_is_there() {
        for (body, data, unfinished) in [
            ("--B\n\na\n--B--", json!(["a"]), false),
            ("--B\n\na", json!(["a"]), true),
            ("--B\nname: x", json!(["name: x"]), true),
            ("--B", json!([]), true),
            ("--B--", json!([]), false),
        ] {
            let (parts, is_unfinished) = shown(body.as_bytes(), "B").unwrap();
            let parts: Vec<_> = parts
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["data"].clone())
                .collect();
            assert_eq!((json!(parts), is_unfinished), (data, unfinished), "{body}");
        }
        for none in ["", "x--B\r\n\r\na", "--C\r\n\r\na"] {
            assert_eq!(shown(none.as_bytes(), "B"), None, "{none}");
        }
    }

    #[test]
    fn parts_are_bounded() {
        let body = "--B\n\n\n".repeat(MAX_LISTED + 1) + "--B--";
        let multipart = parse(body.as_bytes(), "B").unwrap().unwrap();
        assert_eq!((multipart.parts.len(), multipart.more), (MAX_LISTED, true));
    }
}
