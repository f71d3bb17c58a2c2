//! `dossier-stack`: brings up everything in the foreground, shows it at work, and takes everything
//! down again at Ctrl-C. `make run` runs it.

mod demo;
mod run_folder;
mod settings;
mod stop_signal;
mod terminal;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use dossier_tests::HarnessError;
use dossier_tests::stack::Stack;

use crate::run_folder::RunFolder;
use crate::settings::Settings;
use crate::stop_signal::StopSignal;
use crate::terminal::print_line;

const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// Start Postgres, the collector, an example service and Envoy with the filter, until Ctrl-C
#[derive(Debug, Parser)]
#[command(name = "dossier-stack", version, after_help = settings::HELP)]
struct Cli {}

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::print_error(&format!("dossier-stack: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), HarnessError> {
    let settings = Settings::from_environment()?;
    let mut stop = StopSignal::listen()?;
    let folder = RunFolder::open(&settings.folder)?;
    settings.check_addresses(folder.was_killed()).await?;
    print_line(
        "Starting: the collector with its Postgres, an example service, Envoy with the filter.",
    );
    if let Some(elsewhere) = folder.data_elsewhere() {
        print_line(&format!(
            "{} keeps the data: Postgres cannot use {}.",
            elsewhere.display(),
            settings.folder.display()
        ));
    }
    let plan = settings.plan(&folder)?;
    let started = tokio::select! {
        () = stop.wait() => None,
        started = Stack::start(plan) => Some(started?),
    };
    let Some(mut stack) = started else {
        print_line("Stopped before everything was up.");
        return Ok(());
    };
    let ready = folder.write_ready_file(&stack)?;
    print_addresses(&stack, &settings, &folder);
    let outcome = tokio::select! {
        () = stop.wait() => Ok(()),
        ended = serve(&mut stack, settings.demo) => ended,
    };
    drop(ready);
    print_line("\nStopping …");
    let stopped = stack.stop().await;
    outcome.and(stopped)?;
    print_line("Stopped. Nothing is left running.");
    Ok(())
}

/// Shows Dossier at work, then watches; returns only if a part has ended.
async fn serve(stack: &mut Stack, demo: bool) -> Result<(), HarnessError> {
    if demo {
        let shown = demo::run(stack).await;
        stack.expect_running()?;
        if let Err(error) = shown {
            terminal::print_error(&format!(
                "the example requests did not go as they should: {error}"
            ));
        }
    }
    print_line("Ctrl-C stops everything.");
    loop {
        stack.expect_running()?;
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

fn print_addresses(stack: &Stack, settings: &Settings, folder: &RunFolder) {
    print_line(&format!(
        "\nUp:
  Envoy with the filter   http://{}   (paths under /api/ and requests to /webhooks/ are recorded; x-user-id names the user)
  Envoy's admin page      http://{}
  collector               http://{}
  example service         http://{}   (behind Envoy)
  keys                    {}
  logs                    {}\n",
        stack.envoy.address,
        stack.envoy.admin,
        stack.backend.collector.address,
        stack.upstream.address,
        settings.folder.join("keys.json").display(),
        folder.logs().display(),
    ));
}
