//! Records when keys were last used, beside the requests that use them, so that they do not wait for it.

use tokio::sync::mpsc;
use tracing::debug;

use crate::store::{KeyUse, Store};

/// Uses that wait to be recorded. When more come, one is lost; the key's next use makes up for it.
const MAX_WAITING: usize = 256;

/// Takes uses of keys and records them in a task of its own. Clones share the task.
#[derive(Debug, Clone)]
pub(super) struct LastUsedRecorder(mpsc::Sender<KeyUse>);

impl LastUsedRecorder {
    /// Spawns the task, which ends when the last clone of this is dropped.
    pub(super) fn spawn(store: Store) -> Self {
        let (sender, mut waiting) = mpsc::channel(MAX_WAITING);
        tokio::spawn(async move {
            while let Some(used) = waiting.recv().await {
                if let Err(error) = store.record_key_use(used).await {
                    debug!(%error, "the last use of a key was not recorded");
                }
            }
        });
        Self(sender)
    }

    /// Records a use later, if the queue has room.
    pub(super) fn record(&self, used: KeyUse) {
        // See MAX_WAITING.
        let _ = self.0.try_send(used);
    }
}
