//! Redacts gRPC messages. Values are overwritten with the same length, so that neither the frames nor
//! the protobuf fields inside change theirs.

use std::ops::Range;

use dossier_content::grpc::{FrameHeader, HEADER_BYTES};

use super::search::Search;

impl Search<'_, '_> {
    pub(super) fn redact_messages(&mut self) {
        let mut at = 0;
        while let Some(header) = FrameHeader::read(self.edit.slice(at..self.edit.input().len())) {
            let start = at + HEADER_BYTES;
            let end = start
                .saturating_add(header.length)
                .min(self.edit.input().len());
            self.redact_message(start..end);
            at = end;
        }
    }

    fn redact_message(&mut self, message: Range<usize>) {
        for (range, pattern) in self.plain_matches(self.edit.slice(message.clone())) {
            let range = message.start + range.start..message.start + range.end;
            let stars = vec![b'*'; range.len()];
            self.edit.replace(range, &stars);
            self.count_pattern(pattern);
        }
        // The frame's length shows that more was to come, so removing the end does no further damage.
        if self.may_continue(message.end) {
            let bytes = self.edit.slice(message.clone());
            let patterns = self.redaction.patterns.iter();
            let tail = message.start + super::pattern::find_uncertain_tail(patterns, bytes);
            self.remove(tail.max(self.edit.done())..message.end);
        }
    }
}

/// Whether any message is compressed and cannot be searched.
pub(super) fn is_compressed(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(header) = FrameHeader::read(rest) {
        if header.is_compressed() {
            return true;
        }
        rest = rest
            .get(HEADER_BYTES.saturating_add(header.length)..)
            .unwrap_or_default();
    }
    false
}
