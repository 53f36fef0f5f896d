//! The same commands on a PostgreSQL server.

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::Client;
use outbox_postgres_tests::{Server, config, connect, new_schema};
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{CheckDepth, Severity, SystemClock};
use outbox_runtime::{Clock as _, OutboxRepository as _};
use serde_json::Value;

use crate::importing::{MAPPING, MEALS};
use crate::scene::{Answer, fill, id, run};

/// An outbox in a schema of its own.
struct Scene {
    schema: String,
    url: String,
}

impl Scene {
    fn new() -> Self {
        let port = config().get_ports()[0];
        let user = config().get_user().unwrap().to_owned();
        let database = config().get_dbname().unwrap_or("postgres").to_owned();
        Self {
            schema: new_schema(),
            url: format!("postgres://{user}@127.0.0.1:{port}/{database}"),
        }
    }

    async fn filled() -> (Self, PostgresStore) {
        let scene = Self::new();
        let builder = PostgresStore::builder().schema(&scene.schema);
        let store = builder.connect(&scene.url).await.unwrap();
        fill(&store, &*outbox_runtime::store::OutboxQueue::clock(&store)).await;
        (scene, store)
    }

    fn run(&self, args: &[&str]) -> Answer {
        run(&self.url, &[args, &["--schema", &self.schema]].concat())
    }

    fn expect(&self, code: i32, args: &[&str]) -> Answer {
        let answer = self.run(args);
        assert_eq!(answer.code, code, "{args:?}: {answer:?}");
        answer
    }

    fn json(&self, code: i32, args: &[&str]) -> Value {
        let answer = self.expect(code, &[args, &["--json"]].concat());
        serde_json::from_str(&answer.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_on_a_server() {
    let (scene, store) = Scene::filled().await;
    let status = scene.json(1, &["status"]);
    assert_eq!(status["statistics"]["totalEvents"], 6);
    assert_eq!(status["statistics"]["deadCount"], 1);
    let listed = scene
        .expect(0, &["list", "--state", "dead,failed", "--json"])
        .stdout;
    assert_eq!(listed.lines().count(), 2);
    let all = scene.expect(0, &["list"]).stdout;
    assert_eq!(all.lines().count(), 7, "{all}");
    let dead = id(3).to_string();
    assert!(
        scene
            .expect(1, &["show", &dead])
            .stdout
            .contains("HTTP 422")
    );
    assert!(
        scene
            .expect(1, &["explain", "3", "--user", "bob"])
            .stdout
            .contains("a decision")
    );
    assert_eq!(scene.json(1, &["retry", "--all"])["matched"], 1);
    assert_eq!(scene.json(0, &["retry", &dead, "--yes"])["done"], 1);
    scene.expect(0, &["edit", &dead, "--priority", "4", "--due", "+1h"]);
    assert_eq!(scene.json(0, &["show", &dead])["priority"], 4);
    assert_eq!(
        scene.json(1, &["cleanup", "--older-than", "0s"])["matched"],
        1
    );
    assert_eq!(
        scene.json(0, &["cleanup", "--older-than", "0s", "--yes"])["done"],
        1
    );
    let export = scene.expect(0, &["export"]).stdout;
    assert_eq!(export.lines().count(), 5);
    let watched = scene.expect(0, &["watch", "--count", "1"]).stdout;
    assert!(watched.contains("dead 0"), "{watched}");
    assert_eq!(
        scene.json(0, &["doctor"])["findings"],
        serde_json::json!([])
    );
    assert_eq!(store.statistics(None).await.unwrap().total_events, 5);

    let other = Scene::new();
    assert_eq!(
        other.json(1, &["migrate", "status"])["state"],
        "needsMigration"
    );
    let missing = other.expect(2, &["status"]);
    assert!(
        missing.stderr.contains("no outbox in schema"),
        "{missing:?}"
    );
    other.expect(0, &["migrate", "up", "--yes"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), export).unwrap();
    let imported = other.json(0, &["import", file.path().to_str().unwrap(), "--yes"]);
    assert_eq!(imported["imported"], 5);
    let sql = other.expect(0, &["migrate", "sql"]).stdout;
    assert!(sql.contains(&format!("CREATE TABLE {}.events", other.schema)));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_look_write_nothing() {
    let (scene, _store) = Scene::filled().await;
    let client = connect().await;
    // Refuses every write, as a standby does.
    let user = config().get_user().unwrap().to_owned();
    let role = format!("reader_{}", scene.schema);
    let grants = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {0} TO {role};
        GRANT SELECT ON ALL TABLES IN SCHEMA {0} TO {role};",
        scene.schema
    );
    client.batch_execute(&grants).await.unwrap();
    let url = scene.url.replace(&format!("{user}@"), &format!("{role}@"));
    let reader = Scene {
        schema: scene.schema.clone(),
        url,
    };
    assert_eq!(reader.json(1, &["status"])["statistics"]["totalEvents"], 6);
    assert_eq!(reader.expect(0, &["list"]).stdout.lines().count(), 7);
    reader.expect(0, &["doctor"]);
    let refused = reader.expect(2, &["retry", "--all", "--yes"]);
    assert!(refused.stderr.contains("permission denied"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_skip_gaps_and_end() {
    let (scene, store) = Scene::filled().await;
    let client = connect().await;
    let gap = format!(
        "SELECT setval('{}.events_seq_seq', 5000000000)",
        scene.schema
    );
    client.batch_execute(&gap).await.unwrap();
    store
        .create_event(crate::scene::event(70, "late", "zoe"))
        .await
        .unwrap();
    let listed = scene.expect(0, &["list", "--limit", "0"]).stdout;
    assert_eq!(listed.lines().count(), 8, "{listed}");
    let late = scene
        .expect(0, &["list", "--type", "late", "--json"])
        .stdout;
    assert_eq!(late.lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_the_sessions_that_hold_up_vacuum_and_mends_what_it_can() {
    // Another server, whose sessions this test alone sees.
    let server = Server::required();
    let config = server.config();
    let scene = Scene {
        schema: "outbox".to_owned(),
        url: format!(
            "postgres://{}@127.0.0.1:{}/{}",
            config.get_user().unwrap(),
            config.get_ports()[0],
            config.get_dbname().unwrap_or("postgres")
        ),
    };
    let store = PostgresStore::connect(&scene.url).await.unwrap();
    fill(&store, &SystemClock).await;
    let client = outbox_postgres_tests::connect_with(&config).await;
    let damage = "UPDATE outbox.events SET slot = 'b' WHERE slot = 'r' OR slot = 'w';
        INSERT INTO outbox.tally (block, fresh, retrying, completed, dead) VALUES (0, 99, 0, 0, 0);
        ALTER TABLE outbox.events SET (autovacuum_enabled = false);
        DROP INDEX outbox.events_dead";
    client.batch_execute(damage).await.unwrap();
    let found = scene.json(1, &["doctor"]);
    let subjects: Vec<&str> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["subject"].as_str().unwrap())
        .collect();
    assert_eq!(
        subjects,
        ["schema", "vacuum", "lanes", "statistics"],
        "{found}"
    );
    client
        .batch_execute("ALTER TABLE outbox.events RESET (autovacuum_enabled)")
        .await
        .unwrap();
    let mended = scene.json(1, &["doctor", "--repair"]);
    assert_eq!(mended["repaired"]["blocks"], 1);
    assert!(
        mended["repaired"]["lanes"].as_u64().unwrap() > 0,
        "{mended}"
    );
    let left = mended["findings"].as_array().unwrap();
    assert_eq!(left.len(), 1, "the index is left: {mended}");
    let index = "CREATE INDEX events_dead ON outbox.events (entity_id) WHERE status = 'd'";
    client.batch_execute(index).await.unwrap();

    let mut named = config.clone();
    named.application_name("nightly report");
    let report = outbox_postgres_tests::connect_with(&named).await;
    let open = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM outbox.events";
    report.batch_execute(open).await.unwrap();
    SystemClock.sleep(std::time::Duration::from_secs(6)).await;
    let found = scene.json(0, &["doctor", "--quick"]);
    let held = &found["findings"][0];
    assert_eq!(held["subject"], "transactions", "{found}");
    let message = held["message"].as_str().unwrap();
    assert!(
        message.contains("\"nightly report\"") && message.contains("idle in transaction"),
        "{message}"
    );
    // The command ends that session, and nothing else.
    let (_, sql) = held["command"]
        .as_str()
        .unwrap()
        .split_once(" -c ")
        .unwrap();
    client.batch_execute(sql.trim_matches('\'')).await.unwrap();
    assert!(report.batch_execute("SELECT 1").await.is_err());
    assert_eq!(
        scene.json(0, &["doctor"])["findings"],
        serde_json::json!([])
    );
}

/// A certificate of a server on the loopback interface, for openssl.
const CERTIFICATE: &str = "[req]
distinguished_name = name
x509_extensions = server
prompt = no
[name]
CN = localhost
[server]
basicConstraints = critical,CA:FALSE
subjectAltName = IP:127.0.0.1
";

/// Makes a certificate and its key; returns whether openssl is installed.
#[cfg(unix)]
fn make_certificate(folder: &std::path::Path, name: &str) -> bool {
    let config = folder.join("openssl.cnf");
    std::fs::write(&config, CERTIFICATE).unwrap();
    let made = std::process::Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config",
        ])
        .arg(config)
        .arg("-keyout")
        .arg(folder.join(format!("{name}.key")))
        .arg("-out")
        .arg(folder.join(format!("{name}.pem")))
        .output();
    made.is_ok_and(|made| made.status.success())
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_for_tls_gets_it_from_a_trusted_server_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    if !make_certificate(folder.path(), "server") || !make_certificate(folder.path(), "other") {
        eprintln!("skipped: openssl, which makes the certificate, is not installed");
        return;
    }
    for path in [folder.path(), &file("server.key")] {
        outbox_postgres_tests::give_to_server(path);
    }
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(file("server.key"), private).unwrap();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file='{}'", file("server.pem").display()),
        format!("ssl_key_file='{}'", file("server.key").display()),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    // Absent only where PostgreSQL is, which the other tests say.
    let Some(server) = Server::start_with(&settings) else {
        return;
    };
    PostgresStore::connect(&server.url()).await.unwrap();
    let url = format!("{}?sslmode=require", server.url());
    let trusting = |name: &str| {
        let mut command = crate::scene::command(&url, &["status"]);
        crate::scene::answer(command.env("SSL_CERT_FILE", file(name)).output().unwrap())
    };
    let trusted = trusting("server.pem");
    assert_eq!(trusted.code, 0, "{trusted:?}");
    let refused = trusting("other.pem");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("certificate"), "{refused:?}");
    // The control: a server without TLS does not get a plain connection.
    let scene = Scene::new();
    let refused = run(&format!("{}?sslmode=require", scene.url), &["status"]);
    assert!(
        refused.code == 2 && refused.stderr.contains("TLS"),
        "{refused:?}"
    );
}

/// A store of another program and a mapping, in a folder.
struct Source {
    folder: tempfile::TempDir,
}

impl Source {
    fn new() -> Self {
        let source = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        source.execute(MEALS);
        std::fs::write(source.path("meals.toml"), MAPPING).unwrap();
        source
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn execute(&self, sql: &str) {
        let source = Connection::open(self.path("default.store")).unwrap();
        source.execute_batch(sql).unwrap();
    }

    fn import(&self, scene: &Scene, code: i32, more: &[&str]) -> Value {
        let (mapping, source) = (self.path("meals.toml"), self.path("default.store"));
        let args = ["import", "--mapping", &mapping, &source];
        scene.json(code, &[&args, more].concat())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_program_is_imported_into_a_server_by_a_mapping_once() {
    let scene = Scene::new();
    let builder = PostgresStore::builder().schema(&scene.schema);
    let store = builder.connect(&scene.url).await.unwrap();
    let source = Source::new();
    let counts = |answer: &Value| {
        [
            "read",
            "imported",
            "alreadyThere",
            "alreadyDelivered",
            "rejected",
        ]
        .map(|name| answer[name].as_u64().unwrap())
    };
    let counted = source.import(&scene, 1, &["--dry-run"]);
    assert_eq!(counts(&counted), [4, 2, 0, 1, 1]);
    let events = || async { store.statistics(None).await.unwrap().total_events };
    assert_eq!(events().await, 0);
    let imported = source.import(&scene, 1, &["--yes"]);
    assert_eq!(counts(&imported), [4, 2, 0, 1, 1]);
    let pending = store.fetch_pending_events(None, None).await.unwrap();
    let titles: Vec<_> = pending
        .iter()
        .map(|event| serde_json::from_slice::<Value>(event.metadata.as_ref().unwrap().as_bytes()))
        .map(|metadata| metadata.unwrap()["title"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(titles, ["Soup", "Tea"]);
    // 758,550,600.5 seconds after the reference date of Core Data.
    assert_eq!(pending[0].created_at.timestamp_millis(), 1_736_857_800_500);
    let client = connect().await;
    let rejects = format!(
        "SELECT reason, resolved_run IS NULL FROM {}.import_rejects",
        scene.schema
    );
    let rejected = client.query_one(&rejects, &[]).await.unwrap();
    assert!(rejected.get::<_, String>(0).contains("kcal"));
    assert!(rejected.get::<_, bool>(1));

    // Delivered and cleaned up, an event is not imported again.
    assert_eq!(store.delete_all_events_for_user("ann").await.unwrap(), 1);
    let again = source.import(&scene, 1, &["--yes"]);
    assert_eq!(counts(&again), [4, 0, 3, 0, 1]);
    assert_eq!(events().await, 1);
    // A row that is mended is, and then there is nothing left to look at.
    source.execute("UPDATE ZSDMEAL SET ZKCAL = 300 WHERE Z_PK = 3");
    let mended = source.import(&scene, 0, &["--yes"]);
    assert_eq!(counts(&mended), [4, 1, 3, 0, 0]);
    assert_eq!(events().await, 2);
    let rejected = client.query_one(&rejects, &[]).await.unwrap();
    assert!(!rejected.get::<_, bool>(1));
    let findings = store.check(CheckDepth::Full).await.unwrap();
    let faults = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Fault);
    assert_eq!(faults.count(), 0, "{findings:?}");
}

/// Forgets which rows imports have taken.
async fn forget_imports(scene: &Scene, client: &Client) {
    for name in [
        "import_tables",
        "import_runs",
        "import_rows",
        "import_rejects",
    ] {
        let forget = format!("DELETE FROM {}.{name}", scene.schema);
        client.execute(&forget, &[]).await.unwrap();
    }
}

/// The part of an answer that is the same for a SQLite file and for a server.
fn judged(answer: &Value) -> Value {
    let table = &answer["tables"][0];
    serde_json::json!([
        answer["read"],
        answer["imported"],
        answer["alreadyThere"],
        answer["alreadyDelivered"],
        answer["rejected"],
        table["imported"],
        table["alreadyThere"],
        table["rejected"],
        table["firstRejected"],
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_judges_each_row_as_on_sqlite_when_the_outbox_has_its_id() {
    let scene = Scene::new();
    let builder = PostgresStore::builder().schema(&scene.schema);
    let store = builder.connect(&scene.url).await.unwrap();
    let (source, client) = (Source::new(), connect().await);
    let file = source.path("other.db");
    let on_sqlite = |code: i32, more: &[&str]| {
        let (mapping, path) = (source.path("meals.toml"), source.path("default.store"));
        let args = ["import", "--mapping", &mapping, &path, "--json"];
        let answer = crate::scene::run(&file, &[&args, more].concat());
        assert_eq!(answer.code, code, "{answer:?}");
        serde_json::from_str::<Value>(&answer.stdout).unwrap()
    };
    assert_eq!(
        crate::scene::run(&file, &["migrate", "up", "--yes"]).code,
        0
    );
    // The events come another way than by an import: the ledgers do not know them.
    source.import(&scene, 1, &["--yes"]);
    on_sqlite(1, &["--yes"]);
    forget_imports(&scene, &client).await;
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch("DELETE FROM outbox_import_rows; DELETE FROM outbox_import_rejects")
        .unwrap();
    drop(conn);

    // One has the same content there, one other content, and one is new.
    source.execute(
        "UPDATE ZSDMEAL SET ZTITLE = 'Chai' WHERE Z_PK = 4;
         UPDATE ZSDMEAL SET ZSYNCED = 0 WHERE Z_PK = 2;",
    );
    for more in [&["--dry-run"][..], &["--yes"]] {
        let (here, there) = (on_sqlite(1, more), source.import(&scene, 1, more));
        assert_eq!(judged(&there), judged(&here), "{more:?}");
        let table = &there["tables"][0];
        assert_eq!(table["imported"], serde_json::json!({ "meal": 1 }));
        assert_eq!(table["alreadyThere"], 1);
        assert_eq!(table["rejected"]["duplicate id, other content"], 1);
    }
    let pending = store.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(pending.len(), 3);
    let ends_with = |ending: &[u8]| {
        let metadata = pending.iter().filter_map(|event| event.metadata.as_ref());
        metadata
            .filter(|it| it.as_bytes().ends_with(ending))
            .count()
    };
    assert_eq!((ends_with(b"\"Tea\"}"), ends_with(b"\"Chai\"}")), (1, 0));

    // The row is aside, whole, and is taken once it is mended.
    let rejects = format!(
        "SELECT raw, resolved_run IS NULL FROM {}.import_rejects
         WHERE reason = 'duplicate id, other content'",
        scene.schema
    );
    let aside = client.query_one(&rejects, &[]).await.unwrap();
    assert!(aside.get::<_, String>(0).contains("Chai"));
    assert!(aside.get::<_, bool>(1));
    source.execute("UPDATE ZSDMEAL SET ZTITLE = 'Tea' WHERE Z_PK = 4");
    let mended = source.import(&scene, 1, &["--yes"]);
    assert_eq!(judged(&mended), judged(&on_sqlite(1, &["--yes"])));
    assert_eq!(mended["alreadyThere"], 3);
    let aside = client.query_one(&rejects, &[]).await.unwrap();
    assert!(!aside.get::<_, bool>(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_into_a_server_writes_all_or_nothing() {
    let scene = Scene::new();
    let builder = PostgresStore::builder().schema(&scene.schema);
    let store = builder.connect(&scene.url).await.unwrap();
    let (source, client) = (Source::new(), connect().await);
    // The server refuses the second event.
    let refuse = format!(
        "ALTER TABLE {}.events ADD CONSTRAINT not_ben CHECK (user_id <> 'ben')",
        scene.schema
    );
    client.batch_execute(&refuse).await.unwrap();
    let (mapping, path) = (source.path("meals.toml"), source.path("default.store"));
    let refused = scene.expect(2, &["import", "--mapping", &mapping, &path, "--yes"]);
    assert!(refused.stderr.contains("not_ben"), "{refused:?}");
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    let allow = format!(
        "ALTER TABLE {}.events DROP CONSTRAINT not_ben",
        scene.schema
    );
    client.batch_execute(&allow).await.unwrap();
    assert_eq!(source.import(&scene, 1, &["--yes"])["imported"], 2);
}
