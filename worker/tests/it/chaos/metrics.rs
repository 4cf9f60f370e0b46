//! The metrics of both programs are those in the documentation and in the Grafana dashboard.

use std::{collections::BTreeSet, fs, path::Path};

use super::{Installation, user};
use crate::test_app::get;

#[tokio::test]
async fn metrics_match_documentation_and_dashboard() {
    let mut it = Installation::with_users(1).await;
    it.app.set("METRICS_BIND", "127.0.0.1:0");
    let mut api = it.api().await;
    let mut worker = it.worker().await;
    assert_eq!(api.request_code(&user(0)).await, 201);
    it.wait_until_all_sent(1).await;

    let mut shown = BTreeSet::new();
    for (program, line) in [
        (&mut api.process, "Metrics on"),
        (&mut worker, "Metrics and health checks on"),
    ] {
        let url = program.wait_for_url(line).await;
        let (_, text) = get(&format!("{url}/metrics")).await;
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        shown.extend(types.map(|line| line.split(' ').next().unwrap().to_owned()));
    }

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let documented: BTreeSet<_> = read("docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `latchkey_")?.split('`').next())
        .map(|name| format!("latchkey_{name}"))
        .collect();
    assert_eq!(documented, shown);
    let dashboard = read("grafana.json");
    let in_dashboard: BTreeSet<_> = dashboard
        .match_indices("latchkey_")
        .map(|(at, _)| {
            let name = &dashboard[at..];
            let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            let name = &name[..end.unwrap_or(name.len())];
            name.trim_end_matches("_bucket").to_owned()
        })
        .collect();
    assert_eq!(in_dashboard, shown);
}
