//! A server that vanishes without a word is noticed (F74).
#![cfg(target_os = "linux")]

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{Server, new_schema, soon};
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;

/// Seconds until the next sign of life is asked for, of each connection of this machine to a port.
fn until_asked(port: u16) -> Vec<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let remote = format!(":{port:04X}");
    let mut left = Vec::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Established, and with the timer that asks.
        let [_, _, to, "01", _, timer, ..] = fields[..] else {
            continue;
        };
        let Some((kind, ticks)) = timer.split_once(':') else {
            continue;
        };
        if to.ends_with(&remote)
            && kind == "02"
            && let Ok(ticks) = u64::from_str_radix(ticks, 16)
        {
            // A hundred a second, on every machine.
            left.push(ticks / 100);
        }
    }
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_ask_for_a_sign_of_life_within_half_a_minute() {
    let server = Server::shared();
    let schema = new_schema();
    let store = PostgresStore::builder().schema(&schema);
    let store = store.connect(&server.url()).await;
    assert!(store.is_ok(), "{store:?}");
    soon("a connection is idle, and one listens", async {
        while until_asked(server.port()).len() < 2 {
            SystemClock.sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let left = until_asked(server.port());
    assert!(left.iter().all(|seconds| *seconds <= 31), "{left:?}");
}
