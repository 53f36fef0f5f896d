//! The metrics, as a real Prometheus exporter shows them; and that the dashboard and the alert
//! rules name no others.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use outbox_runtime::store::{ClaimRequest, SystemClock};
use outbox_runtime::{Clock, HandlerError, Pause, enqueue_all, prelude::*};
use outbox_tests::{Temporary, note, start_all_users, start_with, within};

const SOON: Duration = Duration::from_secs(30);

/// What the exporter answers.
fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The value of the series that begins so, summed up.
fn value(text: &str, series: &str) -> f64 {
    let of_series = |line: &&str| line.starts_with(series);
    let values = text.lines().filter(of_series).map(|line| {
        let value = line.rsplit_once(' ').map(|(_, value)| value);
        value.and_then(|value| value.parse::<f64>().ok()).unwrap()
    });
    values.sum()
}

/// Names of metrics in a text. The library itself is none.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names = words.filter(|word| word.starts_with("outbox_") && *word != "outbox_runtime");
    let base = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        let end = ends.iter().find(|end| name.ends_with(**end));
        name[..name.len() - end.map_or(0, |end| end.len())].to_owned()
    };
    names.map(base).collect()
}

fn operations(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations");
    std::fs::read_to_string(folder.join(file)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_exporter_shows_every_documented_metric() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &[0.001, 0.1, 10.0])
        .unwrap()
        .install()
        .unwrap();

    let temporary = Temporary::open().await;
    let store = &temporary.store;
    // Work of a dead process: its lease ends at once.
    note(9).enqueue_create().on(store).await.unwrap();
    let gone = ClaimRequest::new(1, Duration::from_millis(1));
    let lost = store.claim(&gone).await.unwrap();
    assert_eq!(lost.len(), 1);
    SystemClock.sleep(Duration::from_millis(20)).await;

    let (mut remote, running) = start_with(store, |builder| {
        builder.sample_gauges(Duration::from_millis(10))
    });
    remote.next().await.ok();
    enqueue_all(&[note(1), note(2)]).on(store).await.unwrap();
    for _ in 0..2 {
        remote.next().await.ok();
    }
    note(3)
        .enqueue_create()
        .destination("eu")
        .on(store)
        .await
        .unwrap();
    remote
        .next()
        .await
        .fail(HandlerError::permanent("no such note"));
    assert!(!running.flush(3, SOON).await.unwrap().is_delivered());
    note(4).enqueue_create().on(store).await.unwrap();
    remote.next().await.fail(HandlerError::snooze(SOON));
    note(5).enqueue_create().on(store).await.unwrap();
    remote.next().await.fail(HandlerError::retry("500"));
    // The failure counts once another event gets through.
    note(6).enqueue_create().on(store).await.unwrap();
    remote.next().await.ok();
    assert!(running.flush(6, SOON).await.unwrap().is_delivered());
    store.pause(&Pause::user("somebody")).await.unwrap();

    let is_complete = |text: &str| {
        value(text, "outbox_retried_total{") == 1.0
            && value(text, "outbox_pauses ") == 1.0
            && value(text, "outbox_backlog_events ") == 2.0
            && value(text, "outbox_dead_letter_events ") == 1.0
    };
    let mut text = String::new();
    within(async {
        while !is_complete(&text) {
            SystemClock.sleep(Duration::from_millis(20)).await;
            text = scrape(address);
        }
    })
    .await;
    for (series, expected) in [
        ("outbox_enqueued_total{", 7.0),
        (
            "outbox_enqueued_total{event_type=\"note\",destination=\"eu\"}",
            1.0,
        ),
        ("outbox_claimed_total{", 7.0),
        ("outbox_delivered_total{", 4.0),
        (
            "outbox_dead_total{event_type=\"note\",destination=\"eu\",reason=\"rejected\"}",
            1.0,
        ),
        (
            "outbox_given_back_total{event_type=\"note\",destination=\"\",class=\"snoozed\"}",
            1.0,
        ),
        ("outbox_rescued_total{outcome=\"claimable\"}", 1.0),
        ("outbox_queue_seconds_count{", 7.0),
        ("outbox_handler_seconds_count{", 7.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series}\n{text}");
    }
    assert!(value(&text, "outbox_commit_seconds_count") > 0.0, "{text}");
    assert!(value(&text, "outbox_sqlite_wal_bytes ") > 0.0, "{text}");
    // Only the snoozed and the failed event can be claimed, both later: no time has been lost.
    let oldest = value(&text, "outbox_oldest_due_timestamp_seconds ");
    let due = store.oldest_due().await.unwrap().unwrap();
    let exact = due.timestamp_micros() as f64 / 1e6;
    assert!((oldest - exact).abs() < 0.001, "{oldest} {exact}");
    // Never a user or an entity.
    assert!(!text.contains("u1") && !text.contains("somebody"), "{text}");

    let shown = names(&text);
    let documented = names(&operations("metrics.md"));
    assert_eq!(shown, documented, "docs/operations/metrics.md");
    for file in ["dashboard.json", "alerts.yml"] {
        let named = names(&operations(file));
        let unknown: Vec<_> = named.difference(&shown).collect();
        assert!(
            !named.is_empty() && unknown.is_empty(),
            "{file}: {unknown:?}"
        );
    }
    let of_dashboard = names(&operations("dashboard.json"));
    assert_eq!(of_dashboard, shown, "the dashboard shows every metric");
    let dashboard: serde_json::Value = serde_json::from_str(&operations("dashboard.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 5);
    running.stop().await.unwrap();

    // A run samples at its start, although nothing has changed.
    let paused = Temporary::open().await;
    let other = &paused.store;
    other.pause(&Pause::user("a")).await.unwrap();
    let soon = other.clock().now() + Duration::from_secs(2);
    other.pause(&Pause::user("b").until(soon)).await.unwrap();
    let (_remote, running) = start_all_users(other, |builder| {
        builder.sample_gauges(Duration::from_millis(10))
    });
    for pauses in [2.0, 1.0] {
        // The second value is that after the end of a pause, which no commit tells.
        within(async {
            while value(&scrape(address), "outbox_pauses ") != pauses {
                SystemClock.sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
    running.stop().await.unwrap();

    // An idle run samples nothing.
    let idle =
        Temporary::open_with(outbox_runtime::store::SqliteStoreBuilder::count_statements).await;
    let (_remote, running) = start_all_users(&idle.store, |builder| {
        builder.sample_gauges(Duration::from_millis(10))
    });
    within(async {
        // Once the run has looked, announced itself and sampled that.
        let mut before = idle.store.statements().get();
        loop {
            SystemClock.sleep(Duration::from_millis(1_500)).await;
            let now = idle.store.statements().get();
            if now == before {
                break;
            }
            before = now;
        }
    })
    .await;
    running.stop().await.unwrap();
}
