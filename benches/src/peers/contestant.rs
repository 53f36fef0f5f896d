//! The contestants.

use std::path::Path;

use outbox_bench_kit::contestant::{Contestant, Peer};

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

/// The wanted contestants, ours first. A peer that cannot be built is left out, with a line that
/// says so.
pub(crate) async fn all(is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Contestant>> {
    let program = std::env::current_exe()?;
    let of_this_program = [
        (
            "ours",
            "default settings, synchronous = FULL",
            &["contestant", "ours"],
        ),
        (
            "floor",
            "hand-written for this workload, one index, synchronous = FULL",
            &["contestant", "floor"],
        ),
    ];
    let mut contestants = Vec::new();
    for (name, note, arguments) in of_this_program {
        if is_wanted(name) {
            contestants.push(Contestant {
                name,
                note: note.to_owned(),
                is_peer: false,
                program: program.clone(),
                arguments,
            });
        }
    }
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    for peer in PEERS {
        if !is_wanted(peer.name) {
            continue;
        }
        match peer.build(&packages).await {
            Ok(contestant) => contestants.push(contestant),
            Err(error) => eprintln!("{}: left out, {error:#}", peer.name),
        }
    }
    Ok(contestants)
}
