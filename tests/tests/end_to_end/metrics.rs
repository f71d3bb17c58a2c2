//! The filter's metrics, before there is anything to count.

use dossier_tests::paths;
use dossier_tests::testing::TestHarness;

/// What Envoy puts before the names of metrics that filters define.
const PREFIX: &str = "wasmcustom.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_exist_with_descriptions_from_start() {
    let harness = TestHarness::start_with(|_| Ok(())).await.unwrap();
    let stats = harness.envoy.stats(PREFIX).await.unwrap();
    assert!(
        stats.contains_key("wasmcustom.dossier.outbox_bytes"),
        "{stats:?}"
    );
    let page = paths::find_repository()
        .unwrap()
        .join("docs/filter-operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (name, value) in stats {
        assert_eq!(value, 0, "{name}");
        let row = format!("| `{}` |", name.strip_prefix(PREFIX).unwrap());
        assert!(
            page.contains(&row),
            "docs/filter-operations.md has no row {row}"
        );
    }
}
