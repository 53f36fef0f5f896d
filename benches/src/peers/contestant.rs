//! The contestants.

use std::path::Path;

use outbox_bench_kit::contestant::{self, Contestant, Own, Peer};

const PEERS: [Peer; 3] = [
    Peer {
        name: "effectum",
        library: "effectum",
        settings: "file in WAL mode, synchronous = NORMAL: commits are not synced",
    },
    Peer {
        name: "honker",
        library: "honker",
        settings: "claims of 100 and their acknowledgements in a loop of the benchmark, synchronous = FULL",
    },
    Peer {
        name: "riverqueue",
        library: "riverqueue",
        settings: "SQLite in WAL mode, synchronous = FULL, a fetch each millisecond at most",
    },
];

const OWN: [Own; 2] = [
    Own {
        name: "ours",
        note: "default settings, synchronous = FULL",
        arguments: &["contestant", "ours"],
    },
    Own {
        name: "floor",
        note: "hand-written for this workload, one index, synchronous = FULL",
        arguments: &["contestant", "floor"],
    },
];

/// The wanted contestants, ours first.
pub(crate) async fn all(is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Contestant>> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    contestant::wanted(&OWN, &PEERS, &packages, is_wanted).await
}
