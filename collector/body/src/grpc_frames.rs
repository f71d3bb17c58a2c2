//! Lists the frames of a gRPC body. Messages are not decoded, since that takes their schema.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dossier_content::grpc::{FrameHeader, HEADER_BYTES};
use serde::Serialize;

use crate::truncation::MAX_LISTED;

/// The frames of a body.
#[derive(Debug, Serialize)]
pub(super) struct Frames {
    #[serde(rename = "frames")]
    listed: Vec<Frame>,
    /// An incomplete last frame, header included, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unfinished: Option<String>,
    /// There are more frames than are listed.
    #[serde(skip)]
    pub(super) more: bool,
}

/// One message, or the trailers of gRPC-Web.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Frame {
    compressed: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    trailers: bool,
    /// Length of the message in bytes.
    size: usize,
    /// The message, in base64.
    data: String,
}

/// `None` if the body does not consist of frames.
pub(super) fn parse(body: &[u8]) -> Option<Frames> {
    let mut frames = Frames {
        listed: Vec::new(),
        unfinished: None,
        more: false,
    };
    let mut rest = body;
    while !rest.is_empty() {
        if frames.listed.len() == MAX_LISTED {
            frames.more = true;
            break;
        }
        if !FrameHeader::is_flags(*rest.first()?) {
            return None;
        }
        let Some((header, message, after)) = split(rest) else {
            frames.unfinished = Some(STANDARD.encode(rest));
            break;
        };
        frames.listed.push(Frame {
            compressed: header.is_compressed(),
            trailers: header.is_trailers(),
            size: message.len(),
            data: STANDARD.encode(message),
        });
        rest = after;
    }
    Some(frames)
}

/// The header and message of the first frame, and what follows it; `None` if it is incomplete.
fn split(bytes: &[u8]) -> Option<(FrameHeader, &[u8], &[u8])> {
    let header = FrameHeader::read(bytes)?;
    let (message, after) = bytes.get(HEADER_BYTES..)?.split_at_checked(header.length)?;
    Some((header, message, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn shown(body: &[u8]) -> serde_json::Value {
        serde_json::to_value(parse(body).unwrap()).unwrap()
    }

    #[test]
    fn lists_frames_with_messages() {
        let body = b"\0\0\0\0\x02hi\x01\0\0\0\x01z\0\0\0\0\0";
        assert_eq!(
            shown(body),
            json!({"frames": [
                {"compressed": false, "size": 2, "data": "aGk="},
                {"compressed": true, "size": 1, "data": "eg=="},
                {"compressed": false, "size": 0, "data": ""},
            ]})
        );
    }

    #[test]
    fn grpc_web_trailers_are_marked() {
        let body = b"\x80\0\0\0\x01x";
        assert_eq!(
            shown(body)["frames"][0],
            json!({"compressed": false, "trailers": true, "size": 1, "data": "eA=="})
        );
    }

    #[test]
    fn incomplete_last_frame_is_unfinished() {
        for (body, unfinished) in [
            (&b"\0\0\0\0\x01a\0\0\0\0\x09ab"[..], "AAAAAAlhYg=="),
            (b"\0\0\0\0\x01a\0\0", "AAA="),
        ] {
            let shown = shown(body);
            assert_eq!(shown["frames"].as_array().unwrap().len(), 1);
            assert_eq!(shown["unfinished"], unfinished);
        }
    }

    #[test]
    fn unknown_flags_are_not_frames() {
        assert!(parse(b"\x02\0\0\0\0").is_none());
        assert!(parse(b"hello, this is text").is_none());
    }

    #[test]
    fn list_is_bounded() {
        let listed = parse(&vec![0; HEADER_BYTES * MAX_LISTED]).unwrap();
        assert_eq!((listed.listed.len(), listed.more), (MAX_LISTED, false));
        let listed = parse(&vec![0; HEADER_BYTES * (MAX_LISTED + 1)]).unwrap();
        assert_eq!((listed.listed.len(), listed.more), (MAX_LISTED, true));
    }

    proptest! {
        #[test]
        fn any_messages_round_trip(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..9)) {
            let mut body = Vec::new();
            for message in &messages {
                body.push(0);
                body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
                body.extend(message);
            }
            let listed = parse(&body).unwrap();
            prop_assert!(listed.unfinished.is_none());
            let found: Vec<_> = listed.listed.iter().map(|it| STANDARD.decode(&it.data).unwrap()).collect();
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn every_byte_is_listed_or_unfinished(body in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0..80)) {
            if let Some(listed) = parse(&body) {
                let whole: usize = listed.listed.iter().map(|it| HEADER_BYTES + it.size).sum();
                let rest = listed.unfinished.map_or(0, |it| STANDARD.decode(it).unwrap().len());
                prop_assert_eq!(whole + rest, body.len());
            }
        }
    }
}
