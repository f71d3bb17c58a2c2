//! A request's headers, fetched one by one until all are needed: the rules need few or none for an
//! exchange that is not recorded.

use std::borrow::Cow;
use std::cell::OnceCell;

use dossier_wire::Half;

use crate::headers::{HeaderLookup, Headers};
use crate::host::Stream;

/// Valid only during the callback of its stream.
pub(super) struct LazyHeaders<'s, S> {
    stream: &'s S,
    loaded: OnceCell<Option<Headers>>,
    empty: Headers,
}

impl<'s, S: Stream> LazyHeaders<'s, S> {
    /// Fetches nothing yet.
    pub(super) const fn new(stream: &'s S) -> Self {
        Self {
            stream,
            loaded: OnceCell::new(),
            empty: Headers::empty(),
        }
    }

    /// All headers; none if the proxy has none.
    pub(super) fn load(&self) -> Option<&Headers> {
        let ask = || self.stream.headers(Half::Request);
        self.loaded.get_or_init(ask).as_ref()
    }
}

impl<S: Stream> HeaderLookup for LazyHeaders<'_, S> {
    fn first(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match self.loaded.get() {
            Some(headers) => headers.as_ref()?.first(name),
            None => self.stream.header(Half::Request, name).map(Cow::Owned),
        }
    }

    fn headers(&self) -> &Headers {
        self.load().unwrap_or(&self.empty)
    }
}
