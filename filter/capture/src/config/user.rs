//! The key `user`: where the user of an exchange is found.

use super::header_names;
use super::reader::ConfigNode;

/// A place that may contain the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UserSource {
    /// A request header, in lower case.
    Header(String),
    /// The path of a claim in a token that Envoy's `jwt_authn` has verified.
    JwtClaim(Vec<String>),
    /// The connection attribute with this part of the client's certificate.
    PeerCertificate(&'static str),
}

/// What is done with an exchange of a user whose id cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvalidUser {
    /// It is recorded under an id that stands for the user's.
    #[default]
    Record,
    /// It is not recorded.
    Drop,
}

const MAX_SOURCES: usize = 8;
const MAX_CLAIM_BYTES: usize = 128;

pub(super) fn read_sources(node: &ConfigNode<'_>) -> Option<Vec<UserSource>> {
    node.read_each(MAX_SOURCES, "sources", |node| {
        let object = node.as_object("header, jwt_claim or peer_certificate")?;
        let source = object
            .get_one_of(&["header", "jwt_claim", "peer_certificate"])
            .and_then(|(key, node)| match key {
                "header" => header_names::read_name(&node).map(UserSource::Header),
                "jwt_claim" => read_claim(&node).map(UserSource::JwtClaim),
                _ => read_certificate(&node).map(UserSource::PeerCertificate),
            });
        object.reject_unknown();
        source
    })
}

pub(super) fn read_invalid(node: &ConfigNode<'_>) -> Option<InvalidUser> {
    node.as_choice(&[("record", InvalidUser::Record), ("drop", InvalidUser::Drop)])
}

fn read_claim(node: &ConfigNode<'_>) -> Option<Vec<String>> {
    let fits =
        |text: &str| text.len() <= MAX_CLAIM_BYTES && text.split('.').all(|name| !name.is_empty());
    let claim = node.as_text(
        "the name of a claim, such as \"sub\" or \"realm.user\"",
        fits,
    )?;
    Some(claim.split('.').map(str::to_owned).collect())
}

fn read_certificate(node: &ConfigNode<'_>) -> Option<&'static str> {
    node.as_choice(&[
        ("uri_san", "uri_san_peer_certificate"),
        ("dns_san", "dns_san_peer_certificate"),
        ("subject", "subject_peer_certificate"),
    ])
}
