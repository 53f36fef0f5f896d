//! How do I enqueue in a transaction of my own rusqlite connection?
//!
//! Pass the transaction to `on`: the row and its event are committed together, or not at all.

use anyhow::ensure;
use outbox_runtime::OutboxRepository;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{Connection, TransactionBehavior};

#[derive(OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    valence: f64,
}

fn save(connection: &mut Connection, mood: &Mood, commit: bool) -> anyhow::Result<()> {
    // IMMEDIATE, so that nobody else commits between a read and the write.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("INSERT INTO mood VALUES (?1, ?2)", (mood.id, mood.valence))?;
    mood.enqueue_create().on(&tx)?;
    match commit {
        true => tx.commit()?,
        false => tx.rollback()?,
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("app.db");
    // Opening the store creates the outbox's tables beside yours.
    let store = SqliteStore::open(&path).await?;
    let mut connection = Connection::open(&path)?;
    connection.execute_batch("CREATE TABLE mood (id INTEGER PRIMARY KEY, valence REAL)")?;

    let mood = |id| Mood {
        id,
        user_id: "user-1".into(),
        valence: 0.5,
    };
    save(&mut connection, &mood(1), true)?;
    save(&mut connection, &mood(2), false)?;

    let moods: i64 = connection.query_row("SELECT count(*) FROM mood", [], |row| row.get(0))?;
    let statistics = store.statistics(None).await?;
    ensure!(moods == 1 && statistics.pending_count == 1);
    println!("committed: 1 mood with 1 event; rolled back: neither");
    Ok(())
}
