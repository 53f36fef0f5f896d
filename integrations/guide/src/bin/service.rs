//! The service of `docs/guide/axum.md`: it saves notes, and sends each of them on.

use std::error::Error;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use outbox_runtime::http;
use outbox_runtime::prelude::*;
use outbox_sqlx as _; // makes `.on(..)` take transactions of sqlx
use reqwest::{Client, redirect::Policy};
use sqlx::SqlitePool;
use tokio::signal::unix::{SignalKind, signal};

#[derive(OutboxEntity)]
#[outbox(event_type = "note")]
struct Note {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    text: String,
}

/// Opens the store, which creates the tables of the outbox, and a pool on the same file.
async fn open(path: &str) -> Result<(SqliteStore, SqlitePool), Box<dyn Error>> {
    let store = SqliteStore::open(path).await?;
    let pool = SqlitePool::connect(&format!("sqlite://{path}")).await?;
    let table = "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, user_id TEXT, text TEXT)";
    sqlx::query(table).execute(&pool).await?;
    Ok((store, pool))
}

/// Saves a note and enqueues its event: both are committed, or neither.
async fn save(pool: &SqlitePool, user_id: String, text: String) -> Result<i64, Box<dyn Error>> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let insert = sqlx::query("INSERT INTO note (user_id, text) VALUES (?, ?)");
    let inserted = insert.bind(&user_id).bind(&text).execute(&mut *tx).await?;
    let id = inserted.last_insert_rowid();
    let note = Note { id, user_id, text };
    note.enqueue_create().on(&mut tx).await?;
    tx.commit().await?;
    Ok(id)
}

async fn create(
    State(pool): State<SqlitePool>,
    Path(user_id): Path<String>,
    text: String,
) -> (StatusCode, String) {
    match save(&pool, user_id, text).await {
        Ok(id) => (StatusCode::CREATED, id.to_string()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Sends a note to the partner, whose answer decides what happens next.
async fn send((client, url): (Client, String), event: Event<Note>) -> Result<(), HandlerError> {
    let request = client
        .put(format!("{url}/notes/{}", event.entity_id))
        .header("Idempotency-Key", event.idempotency_key().to_string())
        .json(event.metadata());
    http::send(request, event.operation).await?;
    Ok(())
}

fn processor(store: &SqliteStore, partner: String) -> Result<Processor, Box<dyn Error>> {
    let client = Client::builder().redirect(Policy::none()).build()?;
    let processor = Processor::builder(store.clone()).handle_with((client, partner), send);
    Ok(processor.build()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (store, pool) = open("app.db").await?;
    let running = processor(&store, std::env::var("PARTNER_URL")?)?.start_all_users();

    let notes = post(create).with_state(pool);
    let app = Router::new().route("/users/{user_id}/notes", notes);
    let listener = tokio::net::TcpListener::bind(std::env::var("LISTEN")?).await?;
    println!("listens on http://{}", listener.local_addr()?);
    let (mut terminate, ended) = (signal(SignalKind::terminate())?, running.ended());
    let stop = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
            _ = ended => {} // such as when the file was replaced
        }
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(stop);
    server.await?;
    running.stop().await?;
    store.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outbox_testing::{FakeService, Reply, assert_enqueued, drain, refute_enqueued};
    use tempfile::TempDir;

    use super::*;

    async fn new_file() -> Result<(SqliteStore, SqlitePool, TempDir), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("app.db");
        let (store, pool) = open(&path.to_string_lossy()).await?;
        Ok((store, pool, folder))
    }

    #[tokio::test]
    async fn a_note_that_is_saved_is_enqueued() -> Result<(), Box<dyn Error>> {
        let (store, pool, _folder) = new_file().await?;

        let id = save(&pool, "ada".to_owned(), "buy milk".to_owned()).await?;

        let event = assert_enqueued!(store, Note, entity_id = id, operation = Create, count = 1);
        assert_eq!(event.metadata().text, "buy milk");
        Ok(())
    }

    #[tokio::test]
    async fn a_note_that_is_refused_is_neither_saved_nor_enqueued() -> Result<(), Box<dyn Error>> {
        let (store, pool, _folder) = new_file().await?;
        let nobody = String::new(); // an event needs a user

        let (status, _) = create(State(pool.clone()), Path(nobody), "buy milk".to_owned()).await;

        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        refute_enqueued!(store, Note);
        let count = sqlx::query_scalar("SELECT count(*) FROM note");
        let saved: i64 = count.fetch_one(&pool).await?;
        assert_eq!(saved, 0);
        Ok(())
    }

    #[tokio::test]
    async fn a_note_arrives_although_the_partner_fails_at_first() -> Result<(), Box<dyn Error>> {
        let (store, pool, _folder) = new_file().await?;
        let partner = FakeService::start()?;
        partner.reply(Reply::status(503)); // then 200
        let id = save(&pool, "ada".to_owned(), "buy milk".to_owned()).await?;

        let report = drain(&processor(&store, partner.url())?, Duration::from_secs(30)).await?;

        assert_eq!(report.assert_empty(), 1);
        let received = partner.received();
        assert_eq!(received.len(), 2);
        assert_eq!(received[1].path, format!("/notes/{id}"));
        Ok(())
    }
}
