//! Where the name of the user comes from.

use super::names;
use super::reader::Node;

/// One place that may name the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UserSource {
    /// A request header, in lower case.
    Header(String),
    /// A claim of a token that Envoy's `jwt_authn` has verified: the names on the way to it.
    JwtClaim(Vec<String>),
    /// The attribute of the connection that holds this part of the client's certificate.
    PeerCertificate(&'static str),
}

const MAX_SOURCES: usize = 8;
const MAX_CLAIM_BYTES: usize = 128;

/// Reads `user`.
pub(super) fn sources(node: &Node<'_>) -> Option<Vec<UserSource>> {
    node.each(MAX_SOURCES, "sources", |node| {
        let object = node.object("header, jwt_claim or peer_certificate")?;
        let source = object
            .one_of(&["header", "jwt_claim", "peer_certificate"])
            .and_then(|(key, node)| match key {
                "header" => names::header(&node).map(UserSource::Header),
                "jwt_claim" => claim(&node).map(UserSource::JwtClaim),
                _ => certificate(&node).map(UserSource::PeerCertificate),
            });
        object.refuse_unknown();
        source
    })
}

fn claim(node: &Node<'_>) -> Option<Vec<String>> {
    let fits =
        |text: &str| text.len() <= MAX_CLAIM_BYTES && text.split('.').all(|name| !name.is_empty());
    let claim = node.text(
        "the name of a claim, such as \"sub\" or \"realm.user\"",
        fits,
    )?;
    Some(claim.split('.').map(str::to_owned).collect())
}

fn certificate(node: &Node<'_>) -> Option<&'static str> {
    node.choice(&[
        ("uri_san", "uri_san_peer_certificate"),
        ("dns_san", "dns_san_peer_certificate"),
        ("subject", "subject_peer_certificate"),
    ])
}
