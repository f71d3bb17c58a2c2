//! Why a key or token is not accepted. Nothing here repeats any of it.

/// Why a key or token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Neither the form of a key nor, where tokens are taken, of a token.
    #[error("it is not of the form dsk_…")]
    NoKey,
    /// Two of them.
    #[error("it is sent more than once")]
    Ambiguous,
    /// A key that is unknown, expired or revoked; which, is nobody's business.
    #[error("it is unknown, expired or revoked")]
    UnknownKey,
    /// No JSON Web Token at all, or one of a kind that is never taken.
    #[error("it is no JSON Web Token that is taken here")]
    Malformed,
    /// Nobody whom the collector trusts has signed it.
    #[error("its signature is not of a key that is trusted here")]
    Signature,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time is yet to come.
    #[error("it is not valid yet")]
    TooEarly,
    /// It is meant for somebody else.
    #[error("its audience (aud) is another")]
    Audience,
    /// It comes from somebody else.
    #[error("its issuer (iss) is another")]
    Issuer,
    /// Whose it is, is not said, or is no user id.
    #[error("its subject (sub) is no user id")]
    Subject,
    /// What it allows is said in a way that has no meaning here.
    #[error("its role claim is none of ingest, user, readonly, admin")]
    Role,
}
