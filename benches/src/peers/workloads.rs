//! What is measured, and the targets.

use outbox_contest::{Handlers, Workload};
use serde::Serialize;

use crate::scale::in_words;

/// Where the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Medium {
    Memory,
    Disk,
}

impl Medium {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "in memory",
            Self::Disk => "on disk",
        }
    }
}

/// One workload.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) workload: Workload,
    /// Events that are pending before it.
    pub(crate) backlog: Option<usize>,
}

/// The workloads, whatever their sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Producers(usize),
    Batches,
    Drain,
    LargeDrain,
    Latency,
}

/// Events per batch.
const BATCH: usize = 1_000;
/// Handlers at a time.
const HANDLERS: usize = 16;

pub(crate) fn tests(quick: bool) -> Vec<Test> {
    let size = |full: usize, small: usize| if quick { small } else { full };
    let mut tests = Vec::new();
    for producers in [1, 64, 256] {
        let (name, events) = match producers {
            1 => ("1 producer".to_owned(), size(4_000, 500)),
            many => (format!("{many} producers"), size(20_480, 5_120)),
        };
        tests.push(Test {
            name,
            kind: Kind::Producers(producers),
            workload: Workload::Enqueue { producers, events },
            backlog: None,
        });
    }
    tests.push(Test {
        name: format!("batches of {}", in_words(BATCH)),
        kind: Kind::Batches,
        workload: Workload::Batches {
            size: BATCH,
            events: size(100_000, 10_000),
        },
        backlog: None,
    });
    for (kind, backlog) in [
        (Kind::Drain, 10_000),
        (Kind::LargeDrain, size(400_000, 40_000)),
    ] {
        tests.push(Test {
            name: format!("drain {}, {HANDLERS} handlers", in_words(backlog)),
            kind,
            workload: Workload::Drain(Handlers { handlers: HANDLERS }),
            backlog: Some(backlog),
        });
    }
    tests.push(Test {
        name: "latency".to_owned(),
        kind: Kind::Latency,
        workload: Workload::Latency {
            samples: size(300, 50),
        },
        backlog: None,
    });
    tests
}

/// Minimum ratio of the store's events a second to those of a contestant.
pub(crate) fn target(medium: Medium, kind: Kind, against: &str) -> Option<f64> {
    use Kind::{Batches, Drain, LargeDrain, Producers};
    use Medium::{Disk, Memory};
    Some(match (against, medium, kind) {
        ("floor", _, Producers(64)) => 0.75,
        ("floor", _, Producers(256) | Batches | Drain) => 0.70,
        ("floor", _, LargeDrain) => 0.60,
        ("effectum", Memory, Producers(1)) => 1.1,
        ("effectum", Memory, Producers(64)) => 1.0,
        ("effectum", Memory, Batches) => 0.9,
        ("effectum", Memory, Drain) => 3.0,
        ("effectum", Disk, Producers(64)) => 0.8,
        ("effectum", Disk, Batches) => 0.85,
        ("honker", Memory, Drain) => 1.4,
        ("honker", Disk, Drain) => 1.25,
        _ => return None,
    })
}
