//! A record before validation.

use dossier_wire::FrameContent;

/// One record as it was sent.
#[derive(Debug)]
pub struct RawRecord<'a> {
    /// Its position in the batch, from 0.
    pub position: usize,
    /// Its header, not parsed; in NDJSON, the whole line.
    pub header: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
    /// The parsed record, or why it is malformed, without any value from the traffic.
    pub content: Result<FrameContent<'a>, String>,
}
