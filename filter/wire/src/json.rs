//! Writes the JSON header of a record. The output is that of serde, byte for byte, but texts without
//! escapes are copied at once instead of byte by byte: otherwise writing headers would take more of the
//! filter's time than anything but compression.

use serde::Serialize;

use crate::record::{HeaderField, Record, StorageCompression};

pub(crate) fn write(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    let mut id = [0; 36];
    push_str(out, "{\"exchange_id\":\"");
    push_str(out, record.exchange_id.hyphenated().encode_lower(&mut id));
    push_str(out, "\",\"type\":\"");
    push_str(out, record.half.into());
    push_str(out, "\",\"user_id\":");
    write_text(out, &record.user_id)?;
    write_request(out, record)?;
    write_settings(out, record)?;
    write_body(out, record)?;
    write_header_fields(out, record)?;
    write_outcome(out, record)?;
    out.push(b'}');
    Ok(())
}

fn write_request(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    write_text_field(out, ",\"endpoint\":", Some(&record.endpoint))?;
    write_text_field(out, ",\"method\":", Some(&record.method))?;
    write_text_field(out, ",\"path\":", Some(&record.path))?;
    write_text_field(out, ",\"query\":", record.query.as_ref())?;
    write_text_field(out, ",\"host\":", record.host.as_ref())?;
    write_text_field(out, ",\"route\":", record.route.as_ref())?;
    write_field(out, ",\"status\":", record.status.as_ref())
}

fn write_settings(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    let metadata = Some(&record.metadata).filter(|metadata| !metadata.is_empty());
    write_field(out, ",\"metadata\":", metadata)?;
    let paths = Some(&record.metadata_paths).filter(|paths| !paths.is_empty());
    write_field(out, ",\"metadata_paths\":", paths)?;
    write_field(out, ",\"session\":", record.session.as_ref())?;
    write_text_field(out, ",\"session_group\":", record.session_group.as_ref())?;
    write_field(out, ",\"ttl_days\":", record.ttl_days.as_ref())?;
    write_field(out, ",\"body_ttl_days\":", record.body_ttl_days.as_ref())?;
    let compress = Some(&record.compress).filter(|it| **it != StorageCompression::default());
    write_field(out, ",\"compress\":", compress)?;
    write_field(out, ",\"started_at\":", Some(&record.started_at))?;
    write_field(out, ",\"first_byte_at\":", Some(&record.first_byte_at))?;
    write_field(out, ",\"ended_at\":", Some(&record.ended_at))
}

fn write_body(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    write_field(out, ",\"body_size\":", Some(&record.body_size))?;
    write_text_field(out, ",\"body_xxh3\":", record.body_xxh3.as_ref())?;
    write_text_field(out, ",\"content_type\":", record.content_type.as_ref())?;
    let encoding = record.content_encoding.as_ref();
    write_text_field(out, ",\"content_encoding\":", encoding)?;
    write_flag(out, ",\"body_decoded\":true", record.body_decoded);
    write_flag(out, ",\"truncated\":true", record.truncated);
    write_field(out, ",\"body_missing\":", record.body_missing.as_ref())
}

fn write_header_fields(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    let redactions = Some(&record.redactions).filter(|counts| !counts.is_empty());
    write_field(out, ",\"redactions\":", redactions)?;
    write_pairs(out, ",\"headers\":[", &record.headers)?;
    write_pairs(out, ",\"trailers\":[", &record.trailers)
}

fn write_outcome(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    push_str(out, ",\"completion\":\"");
    push_str(out, record.completion.into());
    out.push(b'"');
    let flags = Some(&record.response_flags).filter(|flags| **flags != 0);
    write_field(out, ",\"response_flags\":", flags)?;
    let details = record.response_details.as_ref();
    write_text_field(out, ",\"response_details\":", details)?;
    write_text_field(out, ",\"upstream_host\":", record.upstream_host.as_ref())?;
    write_text_field(out, ",\"workload\":", record.workload.as_ref())?;
    write_text_field(out, ",\"request_id\":", record.request_id.as_ref())?;
    write_text_field(out, ",\"traceparent\":", record.traceparent.as_ref())?;
    let truncated = Some(&record.truncated_fields).filter(|fields| !fields.is_empty());
    write_field(out, ",\"truncated_fields\":", truncated)
}

fn push_str(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn write_flag(out: &mut Vec<u8>, field: &str, is_set: bool) {
    if is_set {
        push_str(out, field);
    }
}

fn write_text_field(
    out: &mut Vec<u8>,
    name: &str,
    value: Option<&impl AsRef<str>>,
) -> serde_json::Result<()> {
    let Some(value) = value else {
        return Ok(());
    };
    push_str(out, name);
    write_text(out, value.as_ref())
}

fn write_field(
    out: &mut Vec<u8>,
    name: &str,
    value: Option<&impl Serialize>,
) -> serde_json::Result<()> {
    let Some(value) = value else {
        return Ok(());
    };
    push_str(out, name);
    serde_json::to_writer(out, value)
}

fn write_pairs(out: &mut Vec<u8>, name: &str, pairs: &[HeaderField<'_>]) -> serde_json::Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    push_str(out, name);
    let mut before = "[";
    for (name, value) in pairs {
        push_str(out, before);
        write_text(out, name)?;
        out.push(b',');
        write_text(out, value)?;
        before = "],[";
    }
    push_str(out, "]]");
    Ok(())
}

fn write_text(out: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
    if !is_plain(text.as_bytes()) {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    push_str(out, text);
    out.push(b'"');
    Ok(())
}

/// Whether JSON needs no escapes for the text.
fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else {
        return text
            .iter()
            .all(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\');
    };
    // The last eight bytes may overlap those before them.
    let (words, _) = text.as_chunks();
    words.iter().chain([last]).all(|word| is_plain_word(*word))
}

/// Tests eight bytes at once as one number. A borrow in the subtraction may also mark the next byte, but
/// only if this one is marked rightly.
const fn is_plain_word(word: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = ONES << 7;
    const fn below(word: u64, bound: u8) -> u64 {
        word.wrapping_sub(ONES * bound as u64) & !word
    }
    let word = u64::from_le_bytes(word);
    let control = below(word, b' ');
    let quote = below(word ^ (ONES * b'"' as u64), 1);
    let backslash = below(word ^ (ONES * b'\\' as u64), 1);
    (control | quote | backslash) & HIGH_BITS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_like_serde() {
        for byte in 0..=0x7f_u8 {
            for (length, at) in [(1, 0), (7, 6), (8, 0), (8, 7), (13, 8), (13, 12), (24, 11)] {
                let mut bytes = vec![b'a'; length];
                bytes[at] = byte;
                let written = String::from_utf8(bytes).unwrap();
                let mut out = Vec::new();
                write_text(&mut out, &written).unwrap();
                assert_eq!(out, serde_json::to_vec(&written).unwrap());
                let escaped = out.len() != length + 2;
                assert_eq!(is_plain(written.as_bytes()), !escaped, "{written:?}");
            }
        }
        assert!(is_plain("ä€𝄞ä€𝄞".as_bytes()) && is_plain(b""));
    }
}
