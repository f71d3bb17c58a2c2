//! A request's headers, asked for one by one until all of them are needed: of an exchange that is not
//! recorded the rules want few or none.

use std::borrow::Cow;
use std::cell::OnceCell;

use dossier_wire::Half;

use crate::headers::{Headers, Lookup};
use crate::host::Stream;

/// The headers of the request of a stream whose callback runs.
pub(super) struct Asked<'s, S> {
    stream: &'s S,
    whole: OnceCell<Option<Headers>>,
    none: Headers,
}

impl<'s, S: Stream> Asked<'s, S> {
    /// Nothing is asked yet.
    pub(super) const fn of(stream: &'s S) -> Self {
        Self {
            stream,
            whole: OnceCell::new(),
            none: Headers::none(),
        }
    }

    /// All headers; none if the proxy has none to give.
    pub(super) fn get(&self) -> Option<&Headers> {
        let ask = || self.stream.headers(Half::Request);
        self.whole.get_or_init(ask).as_ref()
    }
}

impl<S: Stream> Lookup for Asked<'_, S> {
    fn first(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match self.whole.get() {
            Some(headers) => headers.as_ref()?.first(name),
            None => self.stream.header(Half::Request, name).map(Cow::Owned),
        }
    }

    fn whole(&self) -> &Headers {
        self.get().unwrap_or(&self.none)
    }
}
