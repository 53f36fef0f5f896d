//! Allowed directions of use: edit these tables to add a module or a package.

/// The rules for the code of one package.
pub struct PackageRules {
    pub name: &'static str,
    /// The siblings that its `Cargo.toml` and code may name, development dependencies excepted.
    pub siblings: &'static [&'static str],
    /// Each top-level module, and the modules that it may use besides itself. Empty: no rule.
    pub modules: &'static [(&'static str, &'static [&'static str])],
    /// Groups of files or top-level modules that may use each other in a circle. `None`: no rule.
    pub circles: Option<&'static [&'static [&'static str]]>,
}

/// The packages that applications depend on. A package that depends on the runtime is never a
/// dependency of it.
pub const PACKAGES: &[PackageRules] = &[
    PackageRules {
        name: "outbox-macros",
        siblings: &[],
        modules: &[],
        circles: None,
    },
    PackageRules {
        name: "outbox-runtime",
        siblings: &["outbox-macros"],
        modules: RUNTIME,
        circles: Some(RUNTIME_CIRCLES),
    },
    PackageRules {
        name: "outbox-testing",
        siblings: &["outbox-runtime"],
        modules: &[],
        circles: Some(TESTING_CIRCLES),
    },
    PackageRules {
        name: "outbox-import",
        siblings: &["outbox-runtime"],
        modules: &[],
        circles: Some(IMPORT_CIRCLES),
    },
    PackageRules {
        name: "outbox-postgres",
        siblings: &["outbox-runtime"],
        modules: &[],
        circles: Some(POSTGRES_CIRCLES),
    },
    PackageRules {
        name: "outbox-operate",
        siblings: &["outbox-runtime"],
        modules: &[],
        circles: Some(&[]),
    },
    PackageRules {
        name: "outbox-console",
        siblings: &["outbox-operate", "outbox-runtime"],
        modules: &[],
        circles: Some(&[]),
    },
    PackageRules {
        name: "outbox-cli",
        siblings: &[
            "outbox-console",
            "outbox-import",
            "outbox-operate",
            "outbox-postgres",
            "outbox-runtime",
        ],
        modules: &[],
        circles: Some(&[]),
    },
];

/// The modules that each module of the runtime may use, in the order in which an event passes
/// through them.
const RUNTIME: &[(&str, &[&str])] = &[
    // Foundations.
    ("cancel", &[]),
    ("clock", &[]),
    ("error", &[]),
    ("fnv", &[]),
    ("meter", &[]),
    ("redaction", &[]),
    ("retry", &[]),
    ("waiting", &["error"]),
    // Data types.
    ("headers", &["redaction"]),
    ("trace", &[]),
    ("metadata", &["redaction"]),
    ("entity", &["metadata", "redaction"]),
    (
        "event",
        &["clock", "entity", "headers", "metadata", "trace"],
    ),
    (
        "enqueue",
        &[
            "clock",
            "entity",
            "error",
            "event",
            "fnv",
            "headers",
            "metadata",
            "meter",
            "redaction",
            "trace",
        ],
    ),
    ("cancellation", &["entity", "event"]),
    ("claim", &["event"]),
    ("completion", &["claim", "enqueue", "error", "event"]),
    ("outage", &["event"]),
    ("history", &[]),
    ("outcome", &["claim", "clock", "entity", "event", "retry"]),
    ("pause", &["claim", "event"]),
    ("presence", &["claim", "event"]),
    (
        "statistics",
        &["claim", "entity", "event", "outage", "pause"],
    ),
    (
        "handler",
        &[
            "entity",
            "error",
            "event",
            "metadata",
            "outcome",
            "redaction",
        ],
    ),
    (
        "repository",
        &[
            "cancellation",
            "claim",
            "clock",
            "completion",
            "enqueue",
            "entity",
            "error",
            "event",
            "history",
            "outcome",
            "pause",
            "presence",
            "statistics",
        ],
    ),
    // Stores and the processor, which do not know each other.
    (
        "store",
        &[
            "cancel",
            "cancellation",
            "claim",
            "clock",
            "completion",
            "enqueue",
            "entity",
            "error",
            "event",
            "fnv",
            "headers",
            "metadata",
            "meter",
            "history",
            "outcome",
            "pause",
            "presence",
            "repository",
            "retry",
            "statistics",
            "trace",
            "waiting",
        ],
    ),
    (
        "processor",
        &[
            "cancel",
            "claim",
            "clock",
            "dead_letters",
            "enqueue",
            "entity",
            "error",
            "event",
            "handler",
            "metadata",
            "meter",
            "outage",
            "outcome",
            "presence",
            "redaction",
            "repository",
            "retry",
            "statistics",
            "trace",
            "waiting",
        ],
    ),
    // Additions beside the core.
    ("cloud_event", &["entity", "event", "headers", "metadata"]),
    ("dead_letters", &["entity", "error", "event", "repository"]),
    ("http", &["clock", "error", "event", "handler"]),
    (
        "wire",
        &[
            "__private",
            "clock",
            "enqueue",
            "entity",
            "event",
            "headers",
            "metadata",
            "trace",
        ],
    ),
    // Interfaces for generated code and for applications.
    (
        "support",
        &["enqueue", "entity", "handler", "metadata", "redaction"],
    ),
    (
        "__private",
        &[
            "clock",
            "enqueue",
            "entity",
            "event",
            "handler",
            "metadata",
            "outcome",
            "redaction",
            "retry",
        ],
    ),
    (
        "prelude",
        &[
            "enqueue",
            "entity",
            "error",
            "event",
            "handler",
            "processor",
            "repository",
            "statistics",
            "store",
        ],
    ),
];

/// Circles to be removed, or of files that belong together.
const RUNTIME_CIRCLES: &[&[&str]] = &[
    &[
        "store/memory/folding.rs",
        "store/memory/lanes.rs",
        "store/memory/state.rs",
    ],
    &["store/process/linux.rs", "store/process/mod.rs"],
    &["store/sqlite/elders.rs", "store/sqlite/lane.rs"],
];

const TESTING_CIRCLES: &[&[&str]] = &[
    &[
        "wire_lock/difference.rs",
        "wire_lock/explore.rs",
        "wire_lock/shape.rs",
    ],
    &["wire_lock/trace/access.rs", "wire_lock/trace/mod.rs"],
];

const IMPORT_CIRCLES: &[&[&str]] = &[];

const POSTGRES_CIRCLES: &[&[&str]] = &[&["builder", "notes", "sink", "store", "tally"]];
