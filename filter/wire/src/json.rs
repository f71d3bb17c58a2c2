//! Writes the JSON header of a record. It is what serde writes, byte for byte, but most texts are
//! copied at once instead of byte by byte: in the filter, writing headers would else take more time
//! than anything but compression.

use serde::Serialize;

use crate::record::{KeepCompressed, Pair, Record};

/// Appends a record's header.
pub(crate) fn write(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    let mut id = [0; 36];
    put(out, "{\"exchange_id\":\"");
    put(out, record.exchange_id.hyphenated().encode_lower(&mut id));
    put(out, "\",\"type\":\"");
    put(out, record.half.as_str());
    put(out, "\",\"user_id\":");
    text(out, &record.user_id)?;
    write_request(out, record)?;
    write_plan(out, record)?;
    write_body(out, record)?;
    write_fields(out, record)?;
    write_ending(out, record)?;
    out.push(b'}');
    Ok(())
}

fn write_request(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    named(out, ",\"endpoint\":", Some(&record.endpoint))?;
    named(out, ",\"method\":", Some(&record.method))?;
    named(out, ",\"path\":", Some(&record.path))?;
    named(out, ",\"query\":", record.query.as_ref())?;
    named(out, ",\"host\":", record.host.as_ref())?;
    named(out, ",\"route\":", record.route.as_ref())?;
    value(out, ",\"status\":", record.status.as_ref())
}

fn write_plan(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    let metadata = Some(&record.metadata).filter(|metadata| !metadata.is_empty());
    value(out, ",\"metadata\":", metadata)?;
    value(out, ",\"session\":", record.session.as_ref())?;
    named(out, ",\"session_group\":", record.session_group.as_ref())?;
    value(out, ",\"ttl_days\":", record.ttl_days.as_ref())?;
    value(out, ",\"body_ttl_days\":", record.body_ttl_days.as_ref())?;
    let compress = Some(&record.compress).filter(|it| **it != KeepCompressed::default());
    value(out, ",\"compress\":", compress)?;
    value(out, ",\"started_at\":", Some(&record.started_at))?;
    value(out, ",\"first_byte_at\":", Some(&record.first_byte_at))?;
    value(out, ",\"ended_at\":", Some(&record.ended_at))
}

fn write_body(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    value(out, ",\"body_size\":", Some(&record.body_size))?;
    named(out, ",\"body_xxh3\":", record.body_xxh3.as_ref())?;
    named(out, ",\"content_type\":", record.content_type.as_ref())?;
    let encoding = record.content_encoding.as_ref();
    named(out, ",\"content_encoding\":", encoding)?;
    flag(out, ",\"body_decoded\":true", record.body_decoded);
    flag(out, ",\"truncated\":true", record.truncated);
    value(out, ",\"body_missing\":", record.body_missing.as_ref())
}

fn write_fields(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    let redactions = Some(&record.redactions).filter(|counts| !counts.is_empty());
    value(out, ",\"redactions\":", redactions)?;
    pairs(out, ",\"headers\":[", &record.headers)?;
    pairs(out, ",\"trailers\":[", &record.trailers)
}

fn write_ending(out: &mut Vec<u8>, record: &Record<'_>) -> serde_json::Result<()> {
    put(out, ",\"completion\":\"");
    put(out, record.completion.as_str());
    out.push(b'"');
    let flags = Some(&record.response_flags).filter(|flags| **flags != 0);
    value(out, ",\"response_flags\":", flags)?;
    let details = record.response_details.as_ref();
    named(out, ",\"response_details\":", details)?;
    named(out, ",\"upstream_host\":", record.upstream_host.as_ref())?;
    named(out, ",\"workload\":", record.workload.as_ref())?;
    named(out, ",\"request_id\":", record.request_id.as_ref())?;
    named(out, ",\"traceparent\":", record.traceparent.as_ref())
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn flag(out: &mut Vec<u8>, field: &str, is_set: bool) {
    if is_set {
        put(out, field);
    }
}

fn named(out: &mut Vec<u8>, name: &str, value: Option<&impl AsRef<str>>) -> serde_json::Result<()> {
    let Some(value) = value else {
        return Ok(());
    };
    put(out, name);
    text(out, value.as_ref())
}

fn value(out: &mut Vec<u8>, name: &str, value: Option<&impl Serialize>) -> serde_json::Result<()> {
    let Some(value) = value else {
        return Ok(());
    };
    put(out, name);
    serde_json::to_writer(out, value)
}

fn pairs(out: &mut Vec<u8>, name: &str, pairs: &[Pair<'_>]) -> serde_json::Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    put(out, name);
    let mut before = "[";
    for (name, value) in pairs {
        put(out, before);
        text(out, name)?;
        out.push(b',');
        text(out, value)?;
        before = "],[";
    }
    put(out, "]]");
    Ok(())
}

fn text(out: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
    if !is_plain(text.as_bytes()) {
        return serde_json::to_writer(out, text);
    }
    out.push(b'"');
    put(out, text);
    out.push(b'"');
    Ok(())
}

/// Whether JSON holds the text as it is.
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

/// Looks at eight bytes in one number. What is borrowed from a byte's neighbour may mark that one too,
/// but only beside a byte that is marked rightly.
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
    fn texts_are_escaped_wherever_they_must_be() {
        for byte in 0..=0x7f_u8 {
            for (length, at) in [(1, 0), (7, 6), (8, 0), (8, 7), (13, 8), (13, 12), (24, 11)] {
                let mut bytes = vec![b'a'; length];
                bytes[at] = byte;
                let told = String::from_utf8(bytes).unwrap();
                let mut out = Vec::new();
                text(&mut out, &told).unwrap();
                assert_eq!(out, serde_json::to_vec(&told).unwrap());
                let escaped = out.len() != length + 2;
                assert_eq!(is_plain(told.as_bytes()), !escaped, "{told:?}");
            }
        }
        assert!(is_plain("ä€𝄞ä€𝄞".as_bytes()) && is_plain(b""));
    }
}
