//! Has glibc's allocator give large blocks back to the system.

/// From how many bytes on a block has a mapping of its own, which is unmapped when it is freed.
#[cfg(target_env = "gnu")]
const MMAP_THRESHOLD_BYTES: nix::libc::c_int = 256 << 10;

/// Fixes the size from which on blocks are unmapped when they are freed. Left alone, glibc raises it with each large
/// block that is freed, up to 32 MiB, and keeps such blocks in several arenas: the process grows to twice what its
/// batches need. To be called before other threads start. It overrides `MALLOC_MMAP_THRESHOLD_`.
#[cfg(target_env = "gnu")]
#[expect(
    unsafe_code,
    reason = "glibc has no safe way to set this from within a process"
)]
pub(crate) fn return_large_blocks() {
    // SAFETY: mallopt takes two integers and touches the allocator's own state alone; no other thread runs yet.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    }
}

/// Other libraries of C return large blocks by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) const fn return_large_blocks() {}
