//! The pages of `docs/guide` and `docs/operations`: each block of Rust in them is compiled, and run
//! unless it says otherwise.

/// Makes a documentation test of each page, and lists their names. Those after `in integrations`
/// need other database libraries: `integrations/guide` has their documentation tests.
macro_rules! pages {
    (
        $($page:literal: $name:ident;)+
        in integrations: $($elsewhere:literal;)+
        of operations: $($reference:literal: $of_operations:ident;)+
    ) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../../docs/guide/", $page, ".md"))]
            struct $name;
        )+

        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../../docs/operations/", $reference, ".md"))]
            struct $of_operations;
        )+

        /// The names of the pages of `docs/operations`, without `.md`.
        pub const REFERENCES: &[&str] = &[$($reference),+];

        /// The names of the pages of `docs/guide`, without `.md`.
        pub const PAGES: &[&str] = &[$($page,)+ $($elsewhere),+];

        /// The pages whose code is tested in `integrations/guide`.
        pub const PAGES_OF_INTEGRATIONS: &[&str] = &[$($elsewhere),+];
    };
}

pages! {
    "attributes": Attributes;
    "backup": Backup;
    "batches": Batches;
    "coming-from-apalis": ComingFromApalis;
    "coming-from-oban": ComingFromOban;
    "coming-from-powersync": ComingFromPowersync;
    "coming-from-river": ComingFromRiver;
    "coming-from-swift": ComingFromSwift;
    "completing": Completing;
    "core-data": CoreData;
    "credentials": Credentials;
    "dead-letters": DeadLetters;
    "decisions": Decisions;
    "errors": Errors;
    "errors-more": ErrorsMore;
    "expiry": Expiry;
    "fairness": Fairness;
    "field-types": FieldTypes;
    "http": Http;
    "http-statuses": HttpStatuses;
    "idempotency": Idempotency;
    "ids": Ids;
    "importing": Importing;
    "keys": Keys;
    "lanes": Lanes;
    "layers": Layers;
    "machines": Machines;
    "mapping-files": MappingFiles;
    "network": Network;
    "operating": Operating;
    "other-languages": OtherLanguages;
    "other-programs": OtherPrograms;
    "outages": Outages;
    "parents": Parents;
    "platforms": Platforms;
    "postgresql": Postgresql;
    "postgresql-server": PostgresqlServer;
    "relays": Relays;
    "renames": Renames;
    "settings": Settings;
    "start": Start;
    "tables": Tables;
    "tables-postgresql": TablesPostgresql;
    "testing": Testing;
    "tools": Tools;
    "upgrading": Upgrading;
    "versions": Versions;
    "waits": Waits;
    "watching": Watching;
    in integrations:
    "axum";
    "axum-tests";
    "drivers";
    of operations:
    "command": Command;
    "command-json": CommandJson;
    "console": Console;
    "console-pictures": ConsolePictures;
    "metrics": Metrics;
    "session": Session;
    "traces": Traces;
}
