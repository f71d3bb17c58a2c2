//! Settings that exist twice: once for the request, once for the response.

use dossier_wire::Half;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PerHalf<T> {
    pub(crate) request: T,
    pub(crate) response: T,
}

impl<T> PerHalf<T> {
    pub(crate) const fn get(&self, half: Half) -> &T {
        match half {
            Half::Request => &self.request,
            Half::Response => &self.response,
        }
    }
}
