//! `migrate`: the version of the tables.

use outbox_postgres::PostgresStore;
use outbox_runtime::{SqliteStore, StoreErrorKind};
use serde::Serialize;

use crate::args::{Migrate, Target};
use crate::database::{Access, Place};
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};

/// The state of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    Current,
    /// There are none, or those of an older version.
    NeedsMigration,
    /// A newer program wrote them.
    Newer,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    outbox: String,
    state: State,
    /// The version of this command.
    supported: i64,
    message: String,
}

pub(crate) async fn run(step: Migrate, target: &Target, out: &mut Out) -> Outcome {
    match step {
        Migrate::Sql => sql(target, out),
        Migrate::Status => {
            let answer = state(&Place::of(target)?).await?;
            print(&answer, out)?;
            Ok(Verdict::look_at(answer.state != State::Current))
        }
        Migrate::Up { yes } => {
            let place = Place::of(target)?;
            let mut answer = state(&place).await?;
            if answer.state == State::Newer {
                return Err(Failure::new(answer.message));
            }
            let is_to_do = answer.state == State::NeedsMigration;
            if is_to_do && yes {
                place.open(Access::Migrate).await?.close().await;
                answer = state(&place).await?;
            } else if is_to_do {
                answer.message.push_str(": add --yes to migrate");
            }
            print(&answer, out)?;
            Ok(Verdict::look_at(answer.state != State::Current))
        }
    }
}

fn sql(target: &Target, out: &mut Out) -> Outcome {
    let script = match &target.db {
        Some(_) => match Place::of(target)? {
            Place::File(_) => SqliteStore::migration_sql(),
            Place::Server { schema, .. } => PostgresStore::migration_sql(&schema)?,
        },
        None => {
            return Err(Failure::new(
                "name the outbox with --db: the statements differ between SQLite and PostgreSQL",
            ));
        }
    };
    out.line(script.trim_end())?;
    Ok(Verdict::Fine)
}

async fn state(place: &Place) -> Result<Answer, Failure> {
    let supported = match place {
        Place::File(_) => SqliteStore::SCHEMA_VERSION,
        Place::Server { .. } => i64::from(PostgresStore::SCHEMA_VERSION),
    };
    let answer = |state, message: String| Answer {
        outbox: place.name(),
        state,
        supported,
        message,
    };
    // A file that is missing, or an empty one, becomes an outbox by `up`.
    if let Place::File(path) = place
        && !path.exists()
    {
        let message = format!("{}: there is no such file", path.display());
        return Ok(answer(State::NeedsMigration, message));
    }
    match place.try_open(Access::ReadOnly).await? {
        Ok(database) => {
            database.close().await;
            let message = format!("the tables have version {supported}, that of this command");
            Ok(answer(State::Current, message))
        }
        Err(error) => match error.kind() {
            StoreErrorKind::NotInstalled => {
                Ok(answer(State::NeedsMigration, Failure::text_of(&error)))
            }
            StoreErrorKind::SchemaTooNew => Ok(answer(State::Newer, Failure::text_of(&error))),
            _ => Err(error.into()),
        },
    }
}

fn print(answer: &Answer, out: &mut Out) -> Result<(), Failure> {
    if out.is_json {
        return out.json(answer);
    }
    let tone = match answer.state {
        State::Current => Tone::Good,
        State::NeedsMigration | State::Newer => Tone::Unsure,
    };
    out.line(out.tone(tone, &answer.message, 0))
}
