//! The write path: how a batch becomes durable.
//!
//! 1. [`prepared_batch`]: [`Store::store_batch`](super::Store::store_batch) turns a batch into rows of
//!    [`copy_format`], with [`rejected`] records beside them. The batch itself is not needed after that.
//! 2. [`queue`]: the prepared batch waits in the [`WriteQueue`]. If there are too few writers, one is added.
//! 3. [`group`]: a writer takes what waits, up to a bound, and stores it as one group.
//! 4. [`commit`]: the group's transaction: partitions, ledger, sessions, `COPY`, commit. **Once it is committed,
//!    its batches are durable**, and each is reported as a [`InsertOutcome`].
//!
//! # Why batches are grouped
//!
//! A transaction costs several round trips and one sync of Postgres's log, whatever its size. Under load,
//! batches arrive while another is being committed; stored together, they share these costs. The group size
//! adapts by itself: a batch that arrives alone is stored at once, and the slower Postgres is, the more batches
//! share a transaction. Nothing waits for a timer.
//!
//! A batch that Postgres refuses for what is in a record of it is sorted out by [`refusal`], whose caller stores it
//! again without that record.
//!
//! # What must hold
//!
//! - *Exactly once.* Producers retry. The ledger (`ingest_ledger`) has the id of every stored batch, inserted in
//!   the transaction that stores its rows; a batch whose id is there is a duplicate. An id that the ledger may have
//!   dropped is checked by content first: see [`dedup`].
//! - *One batch cannot fail others.* If the transaction fails in a way for which a single batch may be the cause, its
//!   batches are stored one by one.
//! - *No deadlocks.* Groups insert ledger rows in order of id, lock users in order, and create partitions before
//!   their transaction begins.
//! - *A slow group does not block the queue.* A batch that waits for long adds a helper, up to a maximum of
//!   writers. After a timeout, the next groups are smaller.
//!
//! # Tracing
//!
//! A group serves several requests, but a span has one parent: the span of a group is a child of its first
//! batch's, and follows from those of the others (exporters turn that into links).

mod commit;
mod copy_format;
mod dedup;
mod group;
mod prepared_batch;
mod queue;
mod refusal;
mod rejected;
#[cfg(test)]
mod testing;

pub use commit::InsertOutcome;
pub use dedup::Fingerprint;
pub(super) use queue::WriteQueue;
pub use refusal::RefusedRecord;
