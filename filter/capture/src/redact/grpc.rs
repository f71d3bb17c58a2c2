//! Redacts gRPC: messages behind a flag and a length each. Values are overwritten in their length, so
//! that neither the frames nor the fields of the protobuf inside lose theirs.

use std::ops::Range;

use dossier_content::grpc::{FrameHeader, HEADER_BYTES};

use super::search::Search;

impl Search<'_, '_> {
    /// Redacts messages by the patterns.
    pub(super) fn messages(&mut self) {
        let mut at = 0;
        while let Some(header) = FrameHeader::read(self.edit.slice(at..self.edit.input().len())) {
            let start = at + HEADER_BYTES;
            let end = start
                .saturating_add(header.length)
                .min(self.edit.input().len());
            self.message(start..end);
            at = end;
        }
    }

    fn message(&mut self, message: Range<usize>) {
        for (range, pattern) in self.matches(self.edit.slice(message.clone())) {
            let range = message.start + range.start..message.start + range.end;
            let stars = vec![b'*'; range.len()];
            self.edit.replace(range, &stars);
            self.count_pattern(pattern);
        }
        // The length says that more was to come, so an end left out is no new damage.
        if self.may_go_on(message.end) {
            let bytes = self.edit.slice(message.clone());
            let patterns = self.redaction.patterns.iter();
            let tail = message.start + super::pattern::tail(patterns, bytes);
            self.leave_out(tail.max(self.edit.done())..message.end);
        }
    }
}

/// Whether a message is compressed, so that it cannot be searched.
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
