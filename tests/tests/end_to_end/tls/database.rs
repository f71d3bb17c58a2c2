//! A Postgres that takes connections over the network by TLS and with a password alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dossier_tests::certificate_authority::{CertificateAuthority, IssuedCertificate};
use dossier_tests::clock::minutes_ago;
use dossier_tests::database::Database;
use dossier_tests::process::Process;
use dossier_tests::producer::Sample;
use dossier_tests::testing::{TestBackend, TestFolder};
use dossier_tests::{postgres, wait};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::net::TcpListener;

use super::{file, wait_for};
use crate::support::{TIMEOUT, store};

const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// It runs on the data of one that the collector has made. Its owner comes in by the socket as before.
struct SecurePostgres {
    process: Process,
    port: u16,
    home: PathBuf,
}

impl SecurePostgres {
    async fn start(folder: &Path, server: &IssuedCertificate) -> Self {
        let mut database = Database::start(folder).await.unwrap();
        let data = folder.join("database");
        let pid = postgres::find_running(&data)[0];
        let process = PathBuf::from(format!("/proc/{pid}"));
        let program = fs::read_link(process.join("exe")).unwrap();
        let owner = fs::metadata(&process).unwrap();
        let (uid, gid) = (owner.uid(), owner.gid());
        database.stop();
        drop(database);
        let home = data.join("postgres");
        let cluster = home.join("cluster");
        for (name, text) in [
            ("server.crt", server.certificate().pem()),
            ("server.key", server.key_pem()),
            (
                "pg_hba.conf",
                "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n".to_owned(),
            ),
        ] {
            let path = file(&cluster, name, &text);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, Some(uid), Some(gid)).unwrap();
        }
        // Free a moment ago.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &uid.to_string(), "--regid", &gid.to_string()])
            .args(["--clear-groups", "--"])
            .arg(program)
            .arg("-D")
            .arg(&cluster)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "ssl=on"])
            .args(["-c", &format!("port={port}")])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                home.join("socket").display()
            ))
            .current_dir("/");
        let log = folder.join("postgres.log");
        let process = Process::start("Postgres", &command, &log, STOP_TIMEOUT).unwrap();
        let mut postgres = Self {
            process,
            port,
            home,
        };
        let up = wait::until("Postgres to answer", TIMEOUT, async || {
            if let Err(ended) = postgres.process.expect_running() {
                return Ok(Err(ended));
            }
            let connected = owner_options(&postgres.home, port).connect().await;
            connected.map(|_| Ok(())).map_err(|error| error.to_string())
        });
        up.await.unwrap().unwrap();
        postgres
    }

    /// Its owner does this.
    async fn run(&self, statements: &str) {
        let mut owner = self.owner().await;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
            .execute(&mut owner)
            .await
            .unwrap();
        owner.close().await.unwrap();
    }

    async fn owner(&self) -> PgConnection {
        owner_options(&self.home, self.port)
            .connect()
            .await
            .unwrap()
    }

    fn url(&self, parameters: &str) -> String {
        format!(
            "postgres://dossier@127.0.0.1:{}/dossier?{parameters}",
            self.port
        )
    }
}

fn owner_options(home: &Path, port: u16) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(home.join("socket"))
        .port(port)
        .username("dossier")
        .database("dossier")
}

/// A collector that uses such a Postgres by TLS, and makes sure of it.
struct DatabaseHarness {
    backend: TestBackend,
    postgres: SecurePostgres,
    folder: TestFolder,
}

impl DatabaseHarness {
    async fn start() -> Self {
        let folder = TestFolder::create().unwrap();
        let authority = CertificateAuthority::new().unwrap();
        let server = authority.issue_server_certificate().unwrap();
        let postgres = SecurePostgres::start(folder.path(), &server).await;
        postgres.run("alter user dossier password 'first'").await;
        let pem = authority.certificate().pem();
        let authority = file(folder.path(), "ca.crt", &pem);
        let password = file(folder.path(), "password", "first\n");
        let url = postgres.url(&format!(
            "sslmode=verify-full&sslrootcert={}",
            authority.display()
        ));
        let backend = TestBackend::start_with(|plan| {
            plan.database_url = Some(url);
            plan.collector_environment = [
                ("DOSSIER_DATABASE_PASSWORD_FILE", password.to_str().unwrap()),
                ("DOSSIER_RELOAD_INTERVAL", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
            Ok(())
        });
        Self {
            backend: backend.await.unwrap(),
            postgres,
            folder,
        }
    }

    /// What `dossier doctor` says of the database at this URL.
    async fn doctor(&self, url: &str) -> String {
        let arguments = ["doctor", "--database-url", url];
        let output = self.backend.collector.run(&arguments).await.unwrap();
        let mut lines = output.stdout.lines();
        let line = lines.find(|line| line.contains("  database: "));
        line.unwrap_or(&output.stderr).to_owned()
    }

    async fn stored(&self) -> Result<u64, String> {
        let alice = &self.backend.keys.users.alice;
        let count = self.backend.client.count(alice, &json!({})).await;
        count.map_err(|error| error.to_string())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifies_server_certificate() {
    let harness = DatabaseHarness::start().await;
    let sample = Sample::request("alice", "/api/x", minutes_ago(1), "{}");
    store(&harness.backend, &[sample]).await;
    assert_eq!(harness.stored().await.unwrap(), 1);
    let mut owner = harness.postgres.owner().await;
    let plain: Vec<(String, bool)> = sqlx::query_as(
        "select application_name, ssl from pg_stat_ssl join pg_stat_activity using (pid)
         where application_name = 'dossier'",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(!plain.is_empty() && plain.iter().all(|(_, ssl)| *ssl));
    owner.close().await.unwrap();

    let other = CertificateAuthority::new().unwrap().certificate().pem();
    let other = file(harness.folder.path(), "other.crt", &other);
    let ours = harness.folder.path().join("ca.crt");
    let by = |mode: &str, authority: &Path| {
        let authority = authority.display();
        harness
            .postgres
            .url(&format!("sslmode={mode}&sslrootcert={authority}"))
    };
    let verified =
        |host: &str, authority: &Path| by("verify-full", authority).replace("127.0.0.1", host);
    for (url, says) in [
        (verified("127.0.0.1", &ours), "ok    database: Postgres"),
        (verified("localhost", &ours), "ok    database: Postgres"),
        (harness.postgres.url("sslmode=require"), "ok    database: "),
        (harness.postgres.url(""), "ok    database: "),
        (verified("127.0.0.1", &other), "invalid peer certificate"),
        // Another name of this machine.
        (verified("127.0.0.2", &ours), "fail  database: "),
        (by("verify-ca", &ours), "ok    database: Postgres"),
        (by("verify-ca", &other), "invalid peer certificate"),
        (harness.postgres.url("sslmode=disable"), "no encryption"),
    ] {
        let output = harness.doctor(&url).await;
        assert!(output.contains(says), "{url}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn password_changes_without_restart() {
    let harness = DatabaseHarness::start().await;
    assert_eq!(harness.stored().await.unwrap(), 0);
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
               where application_name = 'dossier'";
    harness
        .postgres
        .run("alter user dossier password 'second'")
        .await;
    // What is connected stays so.
    assert_eq!(harness.stored().await.unwrap(), 0);
    harness.postgres.run(cut).await;
    let alice = &harness.backend.keys.users.alice;
    let answer = harness
        .backend
        .client
        .query(alice, &json!({}))
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.error_code()),
        (503, "STORAGE_UNAVAILABLE")
    );
    file(harness.folder.path(), "password", "second\n");
    let series = "dossier_reloads_total{what=\"database\"}";
    wait_for(&harness.backend, series, 1).await;
    let back = wait::until("Postgres to be used again", TIMEOUT, async || {
        harness.stored().await
    });
    assert_eq!(back.await.unwrap(), 0);
    let mut harness = harness;
    let log = harness.backend.collector.process().unwrap().log().text();
    assert!(!log.contains("second"), "the log tells the password");
}
