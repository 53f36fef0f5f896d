//! Keeps the tokens in the app's own database, where they are as safe as the data they protect.

use outbox_runtime::SqliteStore;
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension};

use super::{Credentials, SessionError};

/// Keeps one account's credentials, or none.
#[derive(Debug)]
pub(super) struct Keeper {
    store: SqliteStore,
}

impl Keeper {
    pub(super) async fn open(store: &SqliteStore) -> Result<Self, SessionError> {
        let store = store.clone();
        let made = store.transaction(|tx| {
            tx.execute_batch(
                "CREATE TABLE IF NOT EXISTS fitiq_session (
                    one           INTEGER PRIMARY KEY CHECK (one = 1),
                    user_id       TEXT NOT NULL,
                    email         TEXT NOT NULL,
                    access_token  TEXT NOT NULL,
                    refresh_token TEXT NOT NULL
                ) STRICT",
            )?;
            Ok(())
        });
        made.await.map_err(storage)?;
        Ok(Self { store })
    }

    pub(super) async fn load(&self) -> Result<Option<Credentials>, SessionError> {
        let loaded = self.store.transaction(|tx| Ok(load(tx)?));
        loaded.await.map_err(storage)
    }

    /// Returns once the data is on the medium.
    pub(super) async fn save(&self, credentials: Option<Credentials>) -> Result<(), SessionError> {
        let saved = self.store.transaction(move |tx| {
            match credentials {
                Some(credentials) => save(tx, &credentials)?,
                None => tx.execute_batch("DELETE FROM fitiq_session")?,
            }
            Ok(())
        });
        saved.await.map_err(storage)
    }
}

fn load(conn: &Connection) -> rusqlite::Result<Option<Credentials>> {
    let mut select = conn
        .prepare_cached("SELECT user_id, email, access_token, refresh_token FROM fitiq_session")?;
    select
        .query_row([], |row| {
            Ok(Credentials {
                user: row.get(0)?,
                email: row.get(1)?,
                access: row.get(2)?,
                refresh: row.get(3)?,
            })
        })
        .optional()
}

fn save(conn: &Connection, credentials: &Credentials) -> rusqlite::Result<()> {
    let mut upsert = conn.prepare_cached(
        "INSERT OR REPLACE INTO fitiq_session (one, user_id, email, access_token, refresh_token)
         VALUES (1, ?1, ?2, ?3, ?4)",
    )?;
    let Credentials {
        user,
        email,
        access,
        refresh,
    } = credentials;
    upsert.execute((user, email, access, refresh)).map(drop)
}

fn storage(error: outbox_runtime::TransactionError) -> SessionError {
    SessionError::Storage(error.into())
}
