//! `make run`: the program `dossier-stack` from its start to its end, and what it leaves behind.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use dossier_tests::client::CollectorClient;
use dossier_tests::process::Process;
use dossier_tests::testing::{TestFolder, acquire_stack_permit, ensure_collector_is_built};
use dossier_tests::traffic::{Call, Traffic};
use dossier_tests::{paths, wait};
use serde_json::{Value, json};

use crate::support::TIMEOUT;

const START_LIMIT: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_with_data_after_ctrl_c() {
    let _permit = acquire_stack_permit().await.unwrap();
    let folder = TestFolder::create().unwrap();
    let run = folder.path().join("run");
    let mut stack = start(&folder, &[]).await;
    let ready = wait_until_ready(&mut stack, &run).await;
    let keys = keys(&run);
    let output = wait_for_output(&mut stack, "Ctrl-C stops everything.").await;
    assert_eq!(
        key_in(&output),
        keys["alice"].as_str().unwrap(),
        "the line to paste has a key"
    );
    let collector = CollectorClient::new(address(&ready, "collector")).unwrap();
    let found = collector.count(key_in(&output), &json!({})).await.unwrap();
    assert!(
        found >= 4,
        "the key works and finds the example requests: {found}"
    );
    assert!(
        output.contains("\"gpt-4\""),
        "the stored answer is shown:\n{output}"
    );
    let envoy = Traffic::new(address(&ready, "envoy")).unwrap();
    let reply = envoy
        .send(&Call::json(
            "alice",
            "/api/orders",
            &json!({"last": "words"}),
        ))
        .await
        .unwrap();
    assert_eq!(reply.status, 200);

    stack.send_sigint();
    assert!(
        wait_for_end(&mut stack).await.success(),
        "{}",
        stack.log().tail()
    );
    assert_gone(&run);

    let mut stack = start(&folder, &[("DOSSIER_RUN_DEMO", "0")]).await;
    let ready = wait_until_ready(&mut stack, &run).await;
    assert_eq!(self::keys(&run), keys, "the keys are the same");
    let collector = CollectorClient::new(address(&ready, "collector")).unwrap();
    let alice = keys["alice"].as_str().unwrap();
    let kept = collector.count(alice, &json!({})).await.unwrap();
    assert_eq!(
        kept,
        found + 2,
        "the data is kept, and what was sent just before the stop too"
    );
    stack.send_sigterm();
    assert!(
        wait_for_end(&mut stack).await.success(),
        "{}",
        stack.log().tail()
    );
    assert_gone(&run);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_without_orphans_after_kill() {
    let _permit = acquire_stack_permit().await.unwrap();
    let folder = TestFolder::create().unwrap();
    let run = folder.path().join("run");
    let mut stack = start(&folder, &[("DOSSIER_RUN_DEMO", "0")]).await;
    wait_until_ready(&mut stack, &run).await;
    assert!(
        processes_about(&run).len() >= 3,
        "Envoy, the collector, Postgres"
    );
    stack.kill();
    let waited = wait::until("its children to end", TIMEOUT, async || {
        let left = processes_about(&run);
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        }
    });
    waited.await.unwrap();

    assert!(
        run.join("ready").exists(),
        "a kill leaves it, so that the next start must take it away"
    );
    let mut stack = start(&folder, &[("DOSSIER_RUN_DEMO", "0")]).await;
    wait_until_ready(&mut stack, &run).await;
    stack.send_sigint();
    assert!(
        wait_for_end(&mut stack).await.success(),
        "{}",
        stack.log().tail()
    );
    assert_gone(&run);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_folder_in_use_detects_dead_part() {
    let _permit = acquire_stack_permit().await.unwrap();
    let folder = TestFolder::create().unwrap();
    let run = folder.path().join("run");
    let mut first = start(&folder, &[("DOSSIER_RUN_DEMO", "0")]).await;
    wait_until_ready(&mut first, &run).await;
    let mut second = start_with_log(&folder, "second.log", &[]).await;
    assert_eq!(wait_for_end(&mut second).await.code(), Some(1));
    assert!(
        second.log().text().contains("already running"),
        "{}",
        second.log().text()
    );
    assert!(run.join("ready").exists(), "the first is not disturbed");

    let envoy = processes_about(&run)
        .into_iter()
        .find(|(_, line)| line.contains("envoy.json"))
        .unwrap()
        .0;
    kill(envoy);
    assert_eq!(wait_for_end(&mut first).await.code(), Some(1));
    let output = first.log().text();
    assert!(
        output.contains("Envoy ended") && output.contains("envoy.log"),
        "{output}"
    );
    assert_gone(&run);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn port_in_use_error_names_variable() {
    let _permit = acquire_stack_permit().await.unwrap();
    for variable in [
        "DOSSIER_ENVOY_PORT",
        "DOSSIER_ENVOY_ADMIN_PORT",
        "DOSSIER_LISTEN",
    ] {
        let folder = TestFolder::create().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let value = if variable == "DOSSIER_LISTEN" {
            address.to_string()
        } else {
            address.port().to_string()
        };
        let mut stack = start(&folder, &[(variable, &value)]).await;
        assert_eq!(wait_for_end(&mut stack).await.code(), Some(1));
        let output = stack.log().text();
        assert!(
            output.contains(variable) && output.contains(&address.to_string()),
            "{output}"
        );
        assert_gone(&folder.path().join("run"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_setting_is_refused_by_name() {
    let folder = TestFolder::create().unwrap();
    let mut stack = start(&folder, &[("DOSSIER_ENVOY_PORT", "ten thousand")]).await;
    assert_eq!(wait_for_end(&mut stack).await.code(), Some(1));
    let output = stack.log().text();
    assert!(
        output.contains("DOSSIER_ENVOY_PORT") && output.contains("ten thousand"),
        "{output}"
    );
}

async fn start(folder: &TestFolder, environment: &[(&str, &str)]) -> Process {
    start_with_log(folder, "stack.log", environment).await
}

async fn start_with_log(folder: &TestFolder, log: &str, environment: &[(&str, &str)]) -> Process {
    ensure_collector_is_built().await.unwrap();
    let mut command = Command::new(paths::find_program("dossier-stack").unwrap());
    command
        .env("DOSSIER_COLLECTOR_BIN", paths::find_collector().unwrap())
        .env("DOSSIER_RUN_DIR", folder.path().join("run"))
        .env("DOSSIER_ENVOY_PORT", "0")
        .env("DOSSIER_ENVOY_ADMIN_PORT", "0")
        .env("DOSSIER_LISTEN", "127.0.0.1:0")
        .env_remove("DOSSIER_RUN_DEMO")
        .envs(environment.iter().copied());
    Process::start("dossier-stack", &command, &folder.path().join(log), TIMEOUT).unwrap()
}

async fn wait_until_ready(stack: &mut Process, run: &Path) -> Value {
    let waited = wait::until("the file ready", START_LIMIT, async || {
        stack.expect_running().map_err(|error| error.to_string())?;
        // A file left by a stack that was killed is taken away at the start.
        let output = stack.log().text();
        if !output.contains("Up:") {
            return Err(output);
        }
        let text = std::fs::read(run.join("ready")).map_err(|error| error.to_string())?;
        serde_json::from_slice(&text).map_err(|error| error.to_string())
    });
    waited.await.unwrap()
}

async fn wait_for_output(stack: &mut Process, text: &str) -> String {
    let waited = wait::until(text, TIMEOUT, async || {
        let output = stack.log().text();
        if output.contains(text) {
            Ok(output)
        } else {
            Err(output)
        }
    });
    waited.await.unwrap()
}

async fn wait_for_end(stack: &mut Process) -> ExitStatus {
    let waited = wait::until("the end of dossier-stack", TIMEOUT, async || {
        stack.exit_status().ok_or_else(|| stack.log().tail())
    });
    waited.await.unwrap()
}

fn keys(run: &Path) -> Value {
    let path = run.join("keys.json");
    assert_eq!(
        path.metadata().unwrap().permissions().mode() & 0o777,
        0o600,
        "for the owner only"
    );
    let keys: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut names: Vec<_> = keys.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["admin", "alice", "bob"]);
    assert!(
        keys.as_object()
            .unwrap()
            .values()
            .all(|key| key.as_str().unwrap().starts_with("dsk_"))
    );
    keys
}

fn key_in(output: &str) -> &str {
    let from = output.find("dsk_").expect("a key in the output");
    output[from..].split('\'').next().unwrap()
}

fn address(ready: &Value, name: &str) -> SocketAddr {
    ready[name].as_str().unwrap().parse().unwrap()
}

fn assert_gone(run: &Path) {
    assert!(!run.join("ready").exists());
    let left = processes_about(run);
    assert!(left.is_empty(), "still running: {left:?}");
}

/// Processes whose command line names this folder: Envoy, the collector and Postgres do.
fn processes_about(folder: &Path) -> Vec<(i32, String)> {
    let folder = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(folder) {
            found.push((pid, line));
        }
    }
    found
}

fn kill(pid: i32) {
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
}
