//! The migrations as parts of the program. A list, as `sqlx::migrate!` would have all of sqlx compiled a second time, for
//! the compiler to run; a test holds it against the folder.

use std::sync::LazyLock;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

pub(super) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| Migrator::with_migrations(FILES.map(migration).to_vec()));

macro_rules! file {
    ($version:literal, $description:literal, $file:literal) => {
        (
            $version,
            $description,
            include_str!(concat!("../../../migrations/", $file)),
        )
    };
}

const FILES: [(i64, &str, &str); 11] = [
    file!(1, "initial", "0001_initial.sql"),
    file!(2, "whole record", "0002_whole_record.sql"),
    file!(3, "by number", "0003_by_number.sql"),
    file!(4, "isolation", "0004_isolation.sql"),
    file!(5, "sessions by group", "0005_sessions_by_group.sql"),
    file!(6, "queries", "0006_queries.sql"),
    file!(7, "rejected by time", "0007_rejected_by_time.sql"),
    file!(9, "small at rest", "0009_small_at_rest.sql"),
    file!(10, "truncated fields", "0010_truncated_fields.sql"),
    file!(11, "questions", "0011_questions.sql"),
    file!(12, "gaps by number", "0012_gaps_by_number.sql"),
];

fn migration((version, description, sql): (i64, &'static str, &'static str)) -> Migration {
    Migration::new(
        version,
        description.into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn embedded_migrations_are_those_of_the_folder() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"));
        let described = |migrator: &Migrator| {
            migrator
                .iter()
                .map(|it| {
                    (
                        it.version,
                        it.description.clone(),
                        it.sql.as_str().to_owned(),
                        it.checksum.clone(),
                        format!("{:?} {}", it.migration_type, it.no_tx),
                    )
                })
                .collect::<Vec<_>>()
        };
        let found = Migrator::new(folder).await.unwrap();
        assert_eq!(described(&MIGRATIONS), described(&found));
    }
}
