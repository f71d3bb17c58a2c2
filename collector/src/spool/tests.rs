use std::fs;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

use super::*;
use crate::model::ids::BatchId;

const NOW: OffsetDateTime = datetime!(2026-06-01 12:00 UTC);

fn settings(folder: &Path, max_bytes: u64) -> SpoolSettings {
    SpoolSettings {
        folder: folder.join("spool"),
        max_bytes,
    }
}

fn batch(number: u128) -> SpooledBatch {
    SpooledBatch {
        id: BatchId(Uuid::from_u128(number)),
        received_at: NOW,
        encoding: Encoding::Identity,
        bytes: Bytes::from(number.to_string()),
    }
}

/// Reads and removes all, oldest first.
async fn drain(spool: &Spool) -> Vec<u128> {
    let mut found = Vec::new();
    let mut last = None;
    while let Some(number) = spool.oldest_after(last) {
        last = Some(number);
        if let SpoolRead::Batch(batch) = spool.read(number).await.unwrap() {
            found.push(batch.id.0.as_u128());
            spool.remove(number).await.unwrap();
        }
    }
    found
}

#[tokio::test]
async fn batches_keep_their_order_across_restart() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&settings(folder.path(), 1 << 20)).unwrap();
    // In the same microsecond, and with ids that sort otherwise.
    for number in [3, 1, 2] {
        spool.append(batch(number)).await.unwrap();
    }
    spool.append(batch(3)).await.unwrap();
    assert_eq!(spool.state().batches, 3, "no batch is written twice");
    assert_eq!(spool.state().oldest, Some(NOW));
    drop(spool);
    let spool = Spool::open(&settings(folder.path(), 1 << 20)).unwrap();
    spool.append(batch(0)).await.unwrap();
    assert_eq!(drain(&spool).await, [3, 1, 2, 0]);
    assert_eq!((spool.state().batches, spool.state().bytes), (0, 0));
}

#[tokio::test]
async fn rejects_batch_over_limit_until_freed() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&settings(folder.path(), 2 * file::BLOCK_BYTES)).unwrap();
    spool.append(batch(1)).await.unwrap();
    spool.check_writable().await.unwrap();
    spool.append(batch(2)).await.unwrap();
    assert!(matches!(
        spool.append(batch(3)).await,
        Err(SpoolError::Full { .. })
    ));
    assert!(matches!(
        spool.check_writable().await,
        Err(SpoolError::Full { .. })
    ));
    assert_eq!(drain(&spool).await, [1, 2]);
    spool.append(batch(3)).await.unwrap();
}

#[tokio::test]
async fn quarantines_damaged_file_and_reads_others() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&settings(folder.path(), 1 << 20)).unwrap();
    for number in 1..=3 {
        spool.append(batch(number)).await.unwrap();
    }
    let second = spool.oldest_after(spool.oldest_after(None)).unwrap();
    let id = BatchId(Uuid::from_u128(2));
    let path = spool.inner.folder.batch_path(second, id);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(drain(&spool).await, [1, 3]);
    assert_eq!((spool.state().batches, spool.state().damaged), (0, 1));
    let quarantine = folder.path().join("spool/damaged");
    assert!(quarantine.join(path.file_name().unwrap()).is_file());
    assert_eq!(
        Spool::inspect(&settings(folder.path(), 1 << 20)).unwrap(),
        spool.state()
    );
}

#[tokio::test]
async fn folder_is_locked_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&settings(folder.path(), 1 << 20)).unwrap();
    spool.append(batch(1)).await.unwrap();
    assert!(matches!(
        Spool::open(&settings(folder.path(), 1 << 20)),
        Err(SpoolError::InUse(_))
    ));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let inner = folder.path().join("spool");
    assert_eq!(mode(&inner), 0o700);
    for file in fs::read_dir(&inner).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn open_removes_unfinished_and_keeps_foreign_files() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("spool");
    fs::create_dir(&inner).unwrap();
    for name in ["00000000000000000001-x.batch.unfinished", "notes.txt"] {
        fs::write(inner.join(name), b"half").unwrap();
    }
    let spool = Spool::open(&settings(folder.path(), 1 << 20)).unwrap();
    assert_eq!(spool.state().batches, 0);
    assert!(
        !inner
            .join("00000000000000000001-x.batch.unfinished")
            .exists()
    );
    assert!(inner.join("notes.txt").exists());
}

#[tokio::test]
async fn failed_write_reserves_no_space() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&settings(folder.path(), 1 << 20)).unwrap();
    let (here, away) = (folder.path().join("spool"), folder.path().join("away"));
    fs::rename(&here, &away).unwrap();
    assert!(matches!(
        spool.append(batch(1)).await,
        Err(SpoolError::Io { .. })
    ));
    assert!(matches!(
        spool.check_writable().await,
        Err(SpoolError::Io { .. })
    ));
    assert_eq!(spool.state().bytes, 0);
    fs::rename(&away, &here).unwrap();
    spool.append(batch(1)).await.unwrap();
    assert_eq!(drain(&spool).await, [1]);
}
