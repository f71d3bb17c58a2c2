//! What should be stored of an exchange.

/// How an exchange gets its session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Session {
    /// By the name that its client gives it.
    Named(String),
    /// By the time of the user's other exchanges.
    ByTime,
}

/// What should be stored of an exchange.
#[derive(Debug, Clone)]
pub struct Expected {
    pub user: String,
    pub session: Session,
    /// Content type and body.
    pub request: (String, Vec<u8>),
    /// The same of the answer, where that is recorded.
    pub response: Option<(String, Vec<u8>)>,
}
