//! The schema: its versions, who may do what, and the numbers of lanes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::Client;
use outbox_postgres_tests::{config, connect, connect_with, new_schema, open};
use outbox_runtime::store::{ClaimRequest, OutboxQueue, Settled};
use outbox_runtime::{
    Cancel, EnqueueError, Enqueued, EventSink, NewEvent, Operation, Order, OutboxRepository,
    RawMetadata, StoreErrorKind,
};
use outbox_testing::ManualClock;
use shared_tests::reference::{documented, file};
use std::time::Duration;

/// The page that documents the tables and the functions.
const TABLES: &str = "docs/guide/tables-postgresql.md";

fn note(entity: i64) -> NewEvent {
    NewEvent::new("note", entity, "u1", Operation::Update)
}

async fn open_in(schema: &str) -> PostgresStore {
    let builder = PostgresStore::builder().schema(schema);
    builder.connect_with(config()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_may_start_at_once_on_an_empty_database() {
    let client = connect().await;
    // The default that made a second process read the version from before the first one's commit.
    let set = "ALTER ROLE CURRENT_USER SET default_transaction_isolation = 'repeatable read'";
    client.batch_execute(set).await.unwrap();
    let schema = new_schema();
    let opened: Vec<_> = (0..12)
        .map(|_| {
            let builder = PostgresStore::builder().schema(&schema).pool_size(1);
            tokio::spawn(builder.connect_with(config()))
        })
        .collect();
    for opened in opened {
        opened.await.unwrap().unwrap();
    }
    let reset = "ALTER ROLE CURRENT_USER RESET default_transaction_isolation";
    client.batch_execute(reset).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_not_touched() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    drop(store);
    let client = connect().await;
    let newer = format!("UPDATE {schema}.schema_version SET version = 1000");
    client.batch_execute(&newer).await.unwrap();
    for migrates in [true, false] {
        let builder = PostgresStore::builder().schema(&schema).migrate(migrates);
        let refused = builder.connect_with(config()).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::SchemaTooNew, "{refused}");
        assert!(refused.to_string().contains("1000"), "{refused}");
    }
}

#[tokio::test]
async fn a_running_program_stops_working_after_a_newer_one_changed_the_schema() {
    let clock = ManualClock::new();
    let store = open(|store| store.clock(clock.clone())).await;
    (&store).enqueue(Ok(note(1))).await.unwrap();
    let request = ClaimRequest::new(9, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    let client = connect().await;
    let set = |version: i32| {
        let schema = store.schema();
        format!("UPDATE {schema}.schema_version SET version = {version}")
    };
    client.batch_execute(&set(1_000)).await.unwrap();
    clock.advance(Duration::from_secs(11));
    let done = store.mark_as_completed(&claims[0].lease).await;
    let refused = [
        store.claim(&request).await.unwrap_err().kind(),
        done.unwrap_err().kind(),
        match (&store).enqueue(Ok(note(2))).await.unwrap_err() {
            EnqueueError::Store(error) => error.kind(),
            error => panic!("{error:?}"),
        },
    ];
    assert_eq!(refused, [StoreErrorKind::SchemaTooNew; 3]);
    client.batch_execute(&set(1)).await.unwrap();
    let done = store.mark_as_completed(&claims[0].lease).await.unwrap();
    assert_eq!(done, Settled::Recorded, "nothing was lost meanwhile");
}

#[tokio::test]
async fn events_that_were_copied_into_the_table_go_before_new_ones() {
    let copied = open(|store| store).await;
    for entity in 1..=3 {
        (&copied).enqueue(Ok(note(entity))).await.unwrap();
    }
    let (from, to) = (copied.schema(), new_schema());
    let client = connect().await;
    // As `COPY` does: with the values of `seq`, and without the sequence.
    let copy = format!(
        "{} INSERT INTO {to}.events OVERRIDING SYSTEM VALUE SELECT * FROM {from}.events",
        PostgresStore::migration_sql(&to).unwrap()
    );
    client.batch_execute(&copy).await.unwrap();
    let builder = || PostgresStore::builder().schema(&to).connect_with(config());
    let store = builder().await.unwrap();
    let again = note(1).with_metadata(RawMetadata::from_bytes("2"));
    (&store).enqueue(Ok(again)).await.unwrap();
    let seqs = store.fetch_pending_events(None, None).await.unwrap();
    let mut seqs: Vec<i64> = seqs.iter().map(|event| event.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, [1, 2, 3, 4]);
    // Another start moves it no more.
    drop(builder().await.unwrap());
    (&store).enqueue(Ok(note(5))).await.unwrap();
    let request = ClaimRequest::new(9, Duration::from_secs(60));
    let claims = store.claim(&request).await.unwrap();
    let claimed: Vec<i64> = claims.iter().map(|claim| claim.event.seq).collect();
    assert_eq!(claimed, [1, 2, 3, 5], "the second of entity 1 waits");
}

#[tokio::test]
async fn connections_of_the_store_have_its_settings() {
    let store = open(|store| store).await;
    let client = store.pool().get().await.unwrap();
    for (setting, value) in [
        ("default_transaction_isolation", "read committed"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
    ] {
        let shown = client.query_one(&format!("SHOW {setting}"), &[]).await;
        assert_eq!(shown.unwrap().get::<_, String>(0), value, "{setting}");
    }
    let newer =
        "SELECT setting FROM pg_settings WHERE name = 'transaction_timeout' AND setting <> '0'";
    assert!(client.query(newer, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn without_migrations_a_missing_outbox_is_an_error() {
    let builder = PostgresStore::builder().schema(new_schema()).migrate(false);
    let refused = builder.connect_with(config()).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::NotInstalled, "{refused}");
    for name in [
        "",
        "Outbox",
        "out-box",
        "pg_outbox",
        "1st",
        "a; DROP TABLE b",
    ] {
        let refused = PostgresStore::builder()
            .schema(name)
            .connect_with(config())
            .await;
        assert_eq!(
            refused.unwrap_err().kind(),
            StoreErrorKind::InvalidArgument,
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn the_printed_migration_makes_the_same_schema() {
    let (printed, made) = (new_schema(), new_schema());
    let client = connect().await;
    let sql = PostgresStore::migration_sql(&printed).unwrap();
    client.batch_execute(&sql).await.unwrap();
    let builder = PostgresStore::builder().schema(&printed).migrate(false);
    let store = builder.connect_with(config()).await.unwrap();
    (&store).enqueue(Ok(note(1))).await.unwrap();
    let store = open_in(&made).await;
    (&store).enqueue(Ok(note(1))).await.unwrap();
    let columns = "SELECT string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default), ',' \
        ORDER BY table_name, ordinal_position) FROM information_schema.columns WHERE table_schema = $1";
    let mut found = Vec::new();
    for schema in [&printed, &made] {
        let row = client.query_one(columns, &[schema]).await.unwrap();
        found.push(row.get::<_, String>(0));
    }
    assert!(found[0].contains("events lane bigint"), "{}", found[0]);
    assert_eq!(found[0], found[1]);
}

#[tokio::test]
async fn the_tables_have_the_documented_columns() {
    let store = open(|store| store).await;
    let schema = store.schema();
    let client = connect().await;
    let names = async |sql: &str| {
        let rows = client.query(sql, &[&schema]).await.unwrap();
        sorted(rows.iter().map(|row| row.get(0)))
    };
    let columns = names(
        "SELECT column_name::text FROM information_schema.columns
        WHERE table_schema = $1 AND table_name = 'events'",
    );
    assert_eq!(sorted(documented(TABLES, "columns: events")), columns.await);
    let tables = names(
        "SELECT table_name::text FROM information_schema.tables
        WHERE table_schema = $1 AND table_name <> 'events'",
    );
    assert_eq!(
        sorted(documented(TABLES, "tables of PostgreSQL")),
        tables.await
    );
}

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_documented_statement_enqueues_as_the_library_does() {
    let store = open(|store| store).await;
    let schema = store.schema();
    let page = file(TABLES);
    let sql = page.split("```sql\n").nth(1).expect("the example");
    let sql = sql.split("```").next().expect("its end");
    let sql = sql.replace("outbox.", &format!("{schema}."));
    let client = connect().await;
    let article =
        format!("SET search_path = {schema}; CREATE TABLE article (id bigint, stock bigint);");
    client.batch_execute(&article).await.unwrap();
    client.batch_execute(&sql).await.unwrap();
    let metadata = RawMetadata::from_bytes(r#"{"stock": 4}"#);
    let ours = NewEvent::new("article", 7, "ann", Operation::Update).with_metadata(metadata);
    (&store).enqueue(Ok(ours)).await.unwrap();
    let columns = "to_jsonb(e) - ARRAY['id', 'seq', 'created_at', 'due']";
    let sql = format!("SELECT ({columns})::text FROM {schema}.events e ORDER BY seq");
    let rows = client.query(&sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].get::<_, String>(0), rows[1].get::<_, String>(0));
}

/// The grants of the guide, word for word.
fn grants(of: &str, schema: &str, role: &str) -> String {
    let guide = concat!(
        include_str!("../../../docs/guide/postgresql.md"),
        include_str!("../../../docs/guide/completing.md"),
        include_str!("../../../docs/guide/keys.md")
    );
    let after = guide
        .split(&format!("<!-- grants: {of} -->"))
        .nth(1)
        .expect("its marker");
    let sql = after
        .split("```sql")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let sql = sql
        .expect("its SQL")
        .replace("outbox.", &format!("{schema}."));
    let sql = sql.replace("SCHEMA outbox", &format!("SCHEMA {schema}"));
    let owner = of.split(' ').next().expect("the name of a role");
    sql.replace(&format!("app_{owner}"), role)
}

async fn role(schema: &str, of: &str) -> outbox_postgres::tokio_postgres::Config {
    let admin = connect().await;
    let role = format!("{of}_{schema}");
    admin
        .batch_execute(&format!("CREATE ROLE {role} LOGIN"))
        .await
        .unwrap();
    admin
        .batch_execute(&grants(of, schema, &role))
        .await
        .unwrap();
    let mut config = config();
    config.user(&role);
    config
}

#[tokio::test]
async fn an_enqueuer_needs_only_the_documented_privileges() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let mut client = connect_with(&role(&schema, "enqueuer").await).await;
    let outbox = store.outbox();
    let tx = client.transaction().await.unwrap();
    outbox.on(&tx).enqueue(Ok(note(1))).await.unwrap();
    let latest = || note(1).with_coalesce(outbox_runtime::Coalesce::Latest);
    let folded = outbox.on(&tx).enqueue(Ok(latest())).await.unwrap();
    assert!(matches!(folded, outbox_runtime::Enqueued::Folded { .. }));
    let again = latest().with_id(folded.event_id());
    assert_eq!(outbox.on(&tx).enqueue(Ok(again)).await.unwrap(), folded);
    tx.commit().await.unwrap();
    let denied = client
        .batch_execute(&format!("DELETE FROM {schema}.events"))
        .await;
    assert!(denied.unwrap_err().as_db_error().unwrap().code().code() == "42501");
    let take = format!("UPDATE {schema}.events SET lease_token = gen_random_uuid()");
    assert!(
        client.batch_execute(&take).await.is_err(),
        "it cannot claim"
    );
}

#[tokio::test]
async fn an_enqueuer_of_keys_needs_only_the_documented_privileges() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    let config = role(&schema, "enqueuer").await;
    let mut client = connect_with(&config).await;
    let outbox = store.outbox();
    let keyed = || note(1).with_key("avatar");
    let enqueue = async |client: &mut Client| {
        let tx = client.transaction().await.unwrap();
        let enqueued = outbox.on(&tx).enqueue(Ok(keyed())).await?;
        tx.commit().await.unwrap();
        Ok::<_, EnqueueError>(enqueued)
    };
    // Without another event that has the key, it need not be refused.
    drop(enqueue(&mut client).await);
    let Err(EnqueueError::Store(denied)) = enqueue(&mut client).await else {
        panic!("it has the grants of an enqueuer alone");
    };
    assert_eq!(denied.kind(), StoreErrorKind::ReadOnly, "{denied}");
    let grants = grants("enqueuer of keys", &schema, config.get_user().unwrap());
    connect().await.batch_execute(&grants).await.unwrap();
    enqueue(&mut client).await.unwrap();
    let second = enqueue(&mut client).await.unwrap();
    assert!(matches!(second, Enqueued::Replaced { .. }), "{second:?}");
    let tx = client.transaction().await.unwrap();
    let canceled = Cancel::key("u1", "avatar").on(outbox.on(&tx)).await;
    assert!(canceled.unwrap().is_complete());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_worker_needs_only_the_documented_privileges() {
    let schema = new_schema();
    let owner = PostgresStore::builder()
        .schema(&schema)
        .connect_with(config())
        .await
        .unwrap();
    let builder = PostgresStore::builder().schema(&schema);
    let store = builder
        .connect_with(role(&schema, "worker").await)
        .await
        .unwrap();
    (&store).enqueue(Ok(note(1))).await.unwrap();
    (&owner).enqueue(Ok(note(2))).await.unwrap();
    let request = ClaimRequest::new(9, Duration::from_secs(60)).with_turns(4, "");
    let claims = store.claim(&request).await.unwrap();
    assert_eq!(claims.len(), 2);
    store.mark_as_completed(&claims[0].lease).await.unwrap();
    store.mark_as_failed(&claims[1].lease, "no").await.unwrap();
    store.reset_for_retry(&[claims[1].event.id]).await.unwrap();
    store.rescue().await.unwrap();
    let later = store.clock().now() + chrono::TimeDelta::hours(1);
    assert_eq!(store.delete_completed_events(later).await.unwrap(), 1);
    assert_eq!(store.reassign_user("u1", "u2").await.unwrap(), 1);
    assert_eq!(store.statistics(None).await.unwrap().completed_total, 1);
    assert!(store.delete_event(claims[1].event.id).await.unwrap());
}

#[tokio::test]
async fn a_handler_that_completes_needs_only_the_documented_privileges() {
    let schema = new_schema();
    let store = open_in(&schema).await;
    (&store).enqueue(Ok(note(1))).await.unwrap();
    let request = ClaimRequest::new(1, Duration::from_secs(60));
    let claim = store.claim(&request).await.unwrap().remove(0);
    let mut client = connect_with(&role(&schema, "completer").await).await;
    let tx = client.transaction().await.unwrap();
    let completed = claim.event.complete_on(store.outbox().on(&tx));
    completed.await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.statistics(None).await.unwrap().completed_count, 1);
    let denied = client
        .batch_execute(&format!("DELETE FROM {schema}.events"))
        .await;
    assert!(denied.unwrap_err().as_db_error().unwrap().code().code() == "42501");
}

#[tokio::test]
async fn the_database_numbers_lanes_as_the_library_does() {
    let store = open(|store| store).await;
    for (nth, order) in Order::ALL.iter().enumerate() {
        for user in ["u1", "ü", "a:b", "\u{1f980}x"] {
            let event = NewEvent::new("note", format!("goal:{nth}"), user, Operation::Update);
            (&store)
                .enqueue(Ok(event.with_order(*order)))
                .await
                .unwrap();
        }
    }
    let schema = store.schema();
    let client = connect().await;
    let sql = format!(
        "SELECT count(*), count(*) FILTER (WHERE
            lane IS NOT DISTINCT FROM CASE WHEN lane_order <> 'n' THEN {schema}.lane(lane_order::text, user_id, entity_id) END
            AND entity_lane IS NOT DISTINCT FROM CASE WHEN lane_order <> 'e' THEN {schema}.lane('e', user_id, entity_id) END)
        FROM {schema}.events"
    );
    let row = client.query_one(&sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (12, 12));
}

/// A role that may not create indexes leaves this to the owner.
#[tokio::test]
async fn the_documented_statements_for_the_owner_change_what_they_say() {
    let schema = new_schema();
    let _store = open_in(&schema).await;
    let client = connect().await;
    let page = include_str!("../../../docs/guide/postgresql-server.md");
    let blocks = page.split("```sql\n").skip(1);
    let blocks = blocks.filter_map(|rest| Some(rest.split_once("```")?.0));
    let sql: String = blocks.collect();
    // Several statements in one request are one transaction, which no concurrent index may be in.
    let statements: Vec<&str> = sql.split_inclusive(';').map(str::trim).collect();
    assert_eq!(statements.len(), 4, "{statements:?}");
    for statement in statements.iter().filter(|statement| !statement.is_empty()) {
        let statement = statement.replace("outbox.", &format!("{schema}."));
        client.batch_execute(&statement).await.unwrap();
    }
    let valid = format!(
        "SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid IN
             ('{schema}.events_by_user'::regclass, '{schema}.events_by_destination'::regclass)"
    );
    let valid: i64 = client.query_one(&valid, &[]).await.unwrap().get(0);
    assert_eq!(valid, 2);
    let options = format!(
        "SELECT array_to_string(reloptions, ',') FROM pg_class WHERE oid = '{schema}.events'::regclass"
    );
    let options: String = client.query_one(&options, &[]).await.unwrap().get(0);
    assert!(
        options.contains("autovacuum_vacuum_cost_delay=0"),
        "{options}"
    );
}
