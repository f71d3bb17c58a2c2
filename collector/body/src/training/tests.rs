use std::sync::Arc;

use dossier_wire::{Half, StorageCompression};
use proptest::prelude::*;

use super::builder::{build_dictionary, choose};
use super::entropy_tables::header_length;
use super::shared_fragments::{Sample, shared_fragments};
use super::*;
use crate::dictionary::{Dictionaries, Dictionary, DictionaryId};
use crate::packing::{BodyPacker, Codec, UnpackedBody, unpack};

/// Bodies of `users` users, with parts common to all, one part of each user's own, and one shared by too few
/// users.
fn bodies(users: usize, of_each: usize) -> Vec<(usize, String)> {
    let one = |number: usize| {
        let user = number % users;
        let pair = if user < MIN_USERS - 1 {
            "whispered among few"
        } else {
            ""
        };
        let body = format!(
            r#"{{"object":"order","status":"shipped to the customer","number":{number},"owner":"{:016x}","note":"{pair}"}}"#,
            (user as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        );
        (user, body)
    };
    (0..users * of_each).map(one).collect()
}

fn samples(bodies: &[(usize, String)]) -> Vec<Sample<'_>> {
    bodies
        .iter()
        .map(|(user, body)| Sample {
            user: *user,
            bytes: body.as_bytes(),
        })
        .collect()
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}

#[test]
fn dictionary_contains_only_what_enough_users_share() {
    let bodies = bodies(30, 12);
    let dictionary = build_dictionary(&samples(&bodies)).unwrap();
    assert!(contains(&dictionary, b"shipped to the customer"));
    assert!(!contains(&dictionary, b"whispered"));
    for (user, body) in &bodies {
        let owner = body.split("owner\":\"").nth(1).unwrap();
        for piece in owner.as_bytes()[..16].windows(8) {
            assert!(!contains(&dictionary, piece), "of user {user}");
        }
    }
}

#[test]
fn too_few_users_give_no_dictionary() {
    assert_eq!(build_dictionary(&samples(&bodies(MIN_USERS - 1, 60))), None);
    assert_eq!(build_dictionary(&[]), None);
}

#[test]
fn short_bodies_round_trip_with_dictionary() {
    let bodies = bodies(30, 12);
    let bytes = build_dictionary(&samples(&bodies)).unwrap();
    let mut dictionaries = Dictionaries::default();
    let dictionary = Arc::new(Dictionary::new(DictionaryId(7), bytes).unwrap());
    dictionaries.insert("/orders".to_owned(), Half::Request, dictionary);
    let mut packer = BodyPacker::new(&dictionaries);
    let mut body = UnpackedBody {
        bytes: bodies[0].1.as_bytes(),
        compression: StorageCompression::Auto,
        encoding: None,
        content_type: None,
        endpoint: "/orders",
        half: Half::Request,
    };
    let (codec, data) = packer.pack(&body);
    assert_eq!(
        codec.dictionary().map(Dictionary::id),
        Some(DictionaryId(7))
    );
    assert!(data.len() * 2 < body.bytes.len(), "{} bytes", data.len());
    assert_eq!(unpack(codec.clone(), data.to_vec()).unwrap(), body.bytes);
    assert!(unpack(codec, data[..data.len() - 1].to_vec()).is_err());

    // Other bodies are packed without it.
    body.half = Half::Response;
    assert_eq!(packer.pack(&body).0, Codec::Identity);
    body.half = Half::Request;
    body.compression = StorageCompression::Never;
    assert_eq!(packer.pack(&body).0, Codec::Identity);
    body.compression = StorageCompression::Auto;
    body.encoding = Some("br");
    assert_eq!(packer.pack(&body).0, Codec::Identity);
}

#[test]
fn dictionary_does_not_repeat_fragments() {
    let template =
        "a long text that stands in each body, and behind it the name of a place: ".repeat(2);
    let places = [
        "Johannesburg",
        "Montevideo",
        "Reykjavik",
        "Antananarivo",
        "Wladiwostok",
    ];
    let one = |number: usize| (number % 18, format!("{template}{}", places[number % 5]));
    let bodies: Vec<_> = (0..1800).map(one).collect();
    let dictionary = build_dictionary(&samples(&bodies)).unwrap();
    for place in places {
        assert!(contains(&dictionary, place.as_bytes()), "{place}");
    }
    let whole = dictionary.windows(template.len());
    assert_eq!(whole.filter(|it| *it == template.as_bytes()).count(), 1);
}

#[test]
fn debug_hides_content() {
    let bytes = build_dictionary(&samples(&bodies(30, 12))).unwrap();
    let dictionary = Dictionary::new(DictionaryId(7), bytes).unwrap();
    assert_eq!(format!("{dictionary:?}"), "Dictionary(DictionaryId(7))");
}

/// The number of users in whose bodies a fragment occurs, by brute force.
fn users_with(samples: &[Sample<'_>], fragment: &[u8]) -> usize {
    let with = samples.iter().filter(|it| contains(it.bytes, fragment));
    let users: std::collections::HashSet<_> = with.map(|it| it.user).collect();
    users.len()
}

proptest! {
    #[test]
    fn fragments_occur_in_bodies_of_enough_users(
        bodies in prop::collection::vec((0..6_usize, "[ab ]{0,40}"), 0..24),
        users in 1..5_usize,
    ) {
        let samples = samples(&bodies);
        for (fragment, times) in shared_fragments(&samples, users) {
            prop_assert!(times > 0);
            prop_assert!(users_with(&samples, fragment) >= users, "{fragment:?}");
        }
        let chosen = choose(&samples, users);
        for fragment in &chosen {
            prop_assert!(users_with(&samples, fragment) >= users, "{fragment:?}");
        }
        prop_assert_eq!(choose(&samples, users), chosen);
    }

    #[test]
    fn any_bytes_are_read_as_tables(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = header_length(&bytes);
    }
}
