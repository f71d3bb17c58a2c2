//! Each verdict, and that each that is not ok says what to do.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use time::macros::datetime;

use super::*;

fn server(version: i32) -> Server {
    Server {
        version,
        now: datetime!(2026-06-01 12:00 UTC),
        is_replica: false,
    }
}

fn partitions(days: usize, missing: &[&str], overdue: &[&str]) -> PartitionState {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    PartitionState {
        days,
        missing: owned(missing),
        overdue: owned(overdue),
    }
}

fn verdict_of(verdict: Verdict) -> String {
    let line = Finding::new("x", verdict).to_string();
    line.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn old_server_and_replica_fail() {
    assert_eq!(verdict_of(check_server(&server(150_014))), "ok");
    assert_eq!(verdict_of(check_server(&server(140_000))), "ok");
    assert_eq!(verdict_of(check_server(&server(139_999))), "fail");
    let replica = Server {
        is_replica: true,
        ..server(150_014)
    };
    assert_eq!(verdict_of(check_server(&replica)), "fail");
}

#[test]
fn clock_skew_warns_then_fails() {
    let at = |seconds| datetime!(2026-06-01 12:00 UTC) + Duration::seconds(seconds);
    assert_eq!(
        skew(at(0), at(5), at(10)),
        Duration::ZERO,
        "it was asked meanwhile"
    );
    assert_eq!(skew(at(0), at(12), at(10)), Duration::seconds(2));
    assert_eq!(skew(at(0), at(-3), at(10)), Duration::seconds(3));
    for (milliseconds, expected) in [
        (0, "ok"),
        (999, "ok"),
        (1000, "warn"),
        (59_999, "warn"),
        (60_000, "fail"),
    ] {
        let verdict = check_skew(Duration::milliseconds(milliseconds));
        assert_eq!(verdict_of(verdict), expected, "{milliseconds} ms");
    }
}

#[test]
fn newer_schema_warns_older_or_altered_fails() {
    let names = |versions: &[i64]| {
        let names = versions.iter().map(|version| MigrationName {
            version: *version,
            description: "x".to_owned(),
        });
        names.collect::<Vec<_>>()
    };
    for (pending, unknown, altered, expected) in [
        (&[][..], &[][..], &[][..], "ok"),
        (&[], &[8], &[], "warn"),
        (&[7], &[], &[], "fail"),
        (&[7], &[8], &[], "fail"),
        (&[], &[], &[3], "fail"),
    ] {
        let schema = Schema {
            pending: names(pending),
            unknown: names(unknown),
            altered: names(altered),
        };
        assert_eq!(verdict_of(check_schema(&schema)), expected, "{schema:?}");
    }
}

#[test]
fn overdue_partitions_warn_and_missing_ones_fail() {
    assert_eq!(verdict_of(check_partitions(&partitions(0, &[], &[]))), "ok");
    assert_eq!(verdict_of(check_partitions(&partitions(9, &[], &[]))), "ok");
    let overdue = check_partitions(&partitions(9, &[], &["bodies_20260520"]));
    assert!(matches!(&overdue, Verdict::Warn { state, .. } if state.contains("bodies_20260520")));
    let gone = check_partitions(&partitions(0, &["bodies_forever"], &[]));
    assert!(matches!(&gone, Verdict::Fail { state, .. } if state.contains("bodies_forever")));
}

#[test]
fn data_folder_open_to_others_fails() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let chmod = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    assert_eq!(verdict_of(folder::examine(&data)), "fail");
    let home = data.join("postgres");
    std::fs::create_dir_all(&home).unwrap();
    for (outer, inner, expected) in [
        (0o755, 0o700, "ok"),
        (0o700, 0o700, "ok"),
        (0o777, 0o700, "fail"),
        (0o775, 0o700, "fail"),
        (0o755, 0o750, "fail"),
        (0o755, 0o701, "fail"),
    ] {
        chmod(&data, outer);
        chmod(&home, inner);
        assert_eq!(
            verdict_of(folder::examine(&data)),
            expected,
            "{outer:o} {inner:o}"
        );
    }
}

#[test]
fn line_has_verdict_check_and_advice() {
    let finding = Finding::new("clock", check_skew(Duration::seconds(2)));
    let line = finding.to_string();
    assert!(
        line.starts_with("warn  clock: this machine and Postgres differ by 2.0 s: synchronize"),
        "{line}"
    );
    assert!(!finding.is_failure());
    assert!(Finding::new("clock", check_skew(Duration::hours(1))).is_failure());
}
