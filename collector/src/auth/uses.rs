//! Notes when keys were last used, beside the requests that use them: they do not wait for it.

use tokio::sync::mpsc;
use tracing::debug;

use crate::store::{KeyUse, Store};

/// Uses that wait to be noted. Of more, one is lost, and the key's next use makes up for it.
const MOST_WAITING: usize = 256;

/// Where uses are handed in.
#[derive(Debug, Clone)]
pub(super) struct Uses(mpsc::Sender<KeyUse>);

impl Uses {
    /// Begins to note uses, until the last clone of this is dropped.
    pub(super) fn new(store: Store) -> Self {
        let (sender, mut waiting) = mpsc::channel(MOST_WAITING);
        tokio::spawn(async move {
            while let Some(used) = waiting.recv().await {
                if let Err(error) = store.note_use(used).await {
                    debug!(%error, "the use of a key was not noted");
                }
            }
        });
        Self(sender)
    }

    /// Hands one in, if there is room.
    pub(super) fn note(&self, used: KeyUse) {
        // See MOST_WAITING.
        let _ = self.0.try_send(used);
    }
}
