//! Everything that the collector's private Postgres holds, as text.

use std::path::Path;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};

/// Every row of every table, and once more what its binary values say.
pub(super) async fn everything(data: &Path) -> Vec<u8> {
    let options = PgConnectOptions::new_without_pgpass()
        .socket(data.join("postgres/socket"))
        .username("dossier")
        .database("dossier");
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    // Rows of partitions are rows of the table that they are parts of.
    let tables: Vec<String> = sqlx::query_scalar(
        "select oid::regclass::text from pg_class
         where relkind in ('r', 'p') and not relispartition
           and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert!(
        tables.iter().any(|table| table.ends_with("bodies")),
        "{tables:?}"
    );
    let mut everything = Vec::new();
    for table in tables {
        let rows = AssertSqlSafe(format!("select to_jsonb(t)::text from {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(rows)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        for row in rows {
            everything.extend(row.as_bytes());
            everything.push(b'\n');
            for binary in row.split("\\\\x").skip(1) {
                everything.extend(decoded(binary));
                everything.push(b'\n');
            }
        }
    }
    everything
}

/// The bytes whose hex digits a text begins with.
fn decoded(text: &str) -> Vec<u8> {
    let digits = text.bytes().map_while(|byte| char::from(byte).to_digit(16));
    let digits: Vec<_> = digits.collect();
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]);
    bytes.map(|byte| u8::try_from(byte).unwrap()).collect()
}
