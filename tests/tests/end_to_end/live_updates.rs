//! The filter's configuration changes while traffic flows: no request fails, no record is lost or
//! doubled, what is recorded follows the new configuration, and one that is refused changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dossier_tests::bootstrap::{Bootstrap, FilterFile};
use dossier_tests::config_delivery::{ConfigDelivery, WatchedConfig};
use dossier_tests::load::{LoadGenerator, LoadOutcome};
use dossier_tests::stack::{Stack, StackPlan};
use dossier_tests::testing::TestStack;
use dossier_tests::{HarnessError, paths, wait};
use serde_json::{Value, json};

use crate::support::{TIMEOUT, expect_stored, text, unsent_records, wait_for_records};

const CLIENTS: usize = 16;
/// Configurations after the first.
const CHANGES: u64 = 6;
/// Requests under each of them, at least.
const REQUESTS: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extension_discovery_fails_no_request() {
    change_under_load(&ECDS, discover_filter).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listener_discovery_fails_no_request() {
    change_under_load(&LDS, |plan| {
        plan.delivery = ConfigDelivery::Lds;
        // Connections keep the configuration that they began with until they are drained.
        plan.drain_time = Duration::from_secs(5);
        Ok(())
    })
    .await;
}

/// Another `vm_config` is another VM, which knows nothing of what the old one holds; and Envoy deletes
/// the old one at once, even if it answers that it is not done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_vm_reports_losses_fails_no_request() {
    let mut stack = TestStack::start_with(discover_filter).await.unwrap();
    let mut config = stack.watched_config.take().unwrap();
    let load = LoadGenerator::start(&stack.traffic, CLIENTS);
    for generation in 1..=3 {
        load.wait_for_answers(REQUESTS, TIMEOUT).await.unwrap();
        config.replace_vm(generation).unwrap();
        wait_for_count(&stack, ECDS.accepted, 1 + u64::from(generation)).await;
    }
    load.wait_for_answers(REQUESTS, TIMEOUT).await.unwrap();
    let outcome = load.stop().await;
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    wait_for_records(&stack.envoy, 2 * outcome.answered.len() as u64).await;
    let unsent = unsent_records(&stack.envoy.process.log().text());
    expect_stored(&stack, &outcome.answered, unsent).await;
}

/// Where Envoy counts the configurations that it has read.
struct Stats {
    accepted: &'static str,
    rejected: &'static str,
}

const ECDS: Stats = Stats {
    accepted: "extension_config_discovery.http_filter.dossier.update_success",
    rejected: "extension_config_discovery.http_filter.dossier.update_rejected",
};
const LDS: Stats = Stats {
    accepted: "listener_manager.lds.update_success",
    rejected: "listener_manager.lds.update_rejected",
};

/// The shipped files.
fn discover_filter(plan: &mut StackPlan) -> Result<(), HarnessError> {
    plan.bootstrap = Bootstrap::read(&paths::find_envoy_config("ecds.yaml")?)?;
    let filter = FilterFile::read(&paths::find_envoy_config("ecds/dossier.yaml")?)?;
    plan.delivery = ConfigDelivery::Ecds(filter);
    Ok(())
}

async fn change_under_load(
    stats: &Stats,
    plan: impl FnOnce(&mut StackPlan) -> Result<(), HarnessError>,
) {
    let mut stack = TestStack::start_with(plan).await.unwrap();
    let mut config = stack.watched_config.take().unwrap();
    let load = LoadGenerator::start(&stack.traffic, CLIENTS);
    load.wait_for_answers(REQUESTS, TIMEOUT).await.unwrap();
    for number in 1..=CHANGES {
        name_configuration(&mut config, number);
        // The first was counted before any change.
        wait_for_count(&stack, stats.accepted, 1 + number).await;
        wait_until_newest_is_of(&stack, number).await;
        load.wait_for_answers(REQUESTS, TIMEOUT).await.unwrap();
        if number == CHANGES / 2 {
            refuse(&stack, &mut config, stats).await;
            load.wait_for_answers(REQUESTS, TIMEOUT).await.unwrap();
        }
    }
    let outcome = load.stop().await;
    expect_all_once(&stack, &outcome).await;
}

/// Every rule says in its metadata which configuration it belongs to.
fn name_configuration(config: &mut WatchedConfig, number: u64) {
    let change = config.change(|plugin| {
        for rule in plugin["routes"].as_array_mut().unwrap() {
            rule["capture"]["metadata"]["configuration"] = json!(number.to_string());
            rule["capture"]["storage_type"] = json!("both");
        }
    });
    change.unwrap();
}

async fn refuse(stack: &Stack, config: &mut WatchedConfig, stats: &Stats) {
    config
        .change(|plugin| plugin["routes"][0]["capture"]["storage_type"] = json!("everything"))
        .unwrap();
    wait_for_count(stack, stats.rejected, 1).await;
    let log = stack.envoy.process.log().text();
    let message = "dossier: configuration rejected: routes[0].capture.storage_type";
    assert!(log.contains(message), "{message} is not in the log");
}

async fn wait_for_count(stack: &Stack, stat: &str, count: u64) {
    let what = format!("{stat} to be {count}");
    let waited = wait::until(&what, TIMEOUT, async || {
        let now = stack.envoy.stat(stat).await;
        let now = now.map_err(|error| error.to_string())?;
        (now == count).then_some(()).ok_or_else(|| now.to_string())
    });
    waited.await.unwrap();
}

async fn wait_until_newest_is_of(stack: &Stack, number: u64) {
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    let waited = wait::until("the new configuration to record", TIMEOUT, async || {
        let newest = client.query(alice, &json!({"page_size": 1})).await;
        let newest = newest.map_err(|error| error.to_string())?;
        let of = newest.items().first().map(configuration);
        (of == Some(Some(number)))
            .then_some(())
            .ok_or_else(|| format!("{of:?}"))
    });
    waited.await.unwrap();
}

/// The number of the configuration that recorded an entry; none: the one it started with.
fn configuration(entry: &Value) -> Option<u64> {
    let named = entry["storage_info"].get("configuration")?;
    Some(named.as_str().unwrap().parse().unwrap())
}

async fn expect_all_once(stack: &Stack, outcome: &LoadOutcome) {
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    let (client, alice) = (&stack.backend.client, &stack.backend.keys.users.alice);
    wait_for_records(&stack.envoy, 2 * outcome.answered.len() as u64).await;
    let entries = client.query_all(alice, &json!({})).await.unwrap();
    let mut halves: BTreeMap<_, u32> = BTreeMap::new();
    for entry in &entries {
        *halves
            .entry((text(entry, "path"), text(entry, "type")))
            .or_default() += 1;
    }
    for path in &outcome.answered {
        for half in ["request", "response"] {
            let times = halves.remove(&(path.as_str(), half));
            assert_eq!(times, Some(1), "the {half} of {path}");
        }
    }
    assert!(halves.is_empty(), "nobody sent {halves:?}");
    let seen: BTreeSet<_> = entries.iter().filter_map(configuration).collect();
    assert!(seen.into_iter().eq(1..=CHANGES), "each has recorded some");
}
