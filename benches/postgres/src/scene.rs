//! Databases to measure on: the store's, the floor's, empty or with a backlog.

use outbox_postgres::{Durability, PostgresStore};
use outbox_runtime::enqueue_all;

use crate::database::{Database, Databases};
use crate::entity::{MoodEntry, Row};
use crate::floor;

/// The server of a run, with an empty outbox and an empty floor to copy.
#[derive(Debug)]
pub(crate) struct Scenes {
    pub(crate) databases: Databases,
    outbox: Database,
    floor: Database,
}

/// Content of a database before the measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    pub(crate) pending: usize,
    /// Pending events per lane.
    pub(crate) per_lane: usize,
    pub(crate) completed: usize,
}

impl Content {
    /// This many pending events, each of its own lane, and nothing else.
    pub(crate) fn pending(pending: usize) -> Self {
        Self {
            pending,
            per_lane: 1,
            completed: 0,
        }
    }
}

/// The index that the first worker for all users creates. A backlog is delivered with it in place,
/// as in any outbox that was used before.
const USER_INDEX: &str = "CREATE INDEX IF NOT EXISTS events_by_user
    ON outbox.events (user_id, priority DESC, due, seq) WHERE slot = 'r'";

/// Rows of events that were delivered.
const COMPLETED: &str = "INSERT INTO outbox.events (id, lane, lane_order, event_type, operation, user_id,
        entity_id, priority, max_attempts, metadata, metadata_version, on_dead, created_at, due,
        last_attempt_at, completed_at, attempt_count, status, slot)
    SELECT gen_random_uuid(), hashint8extended(g, 1), 'e', 'moodEntry', 'u', 'user-' || g % 97, 'old-' || g,
        5, 10, repeat('x', 60), 1, 'h', now(), now(), now(), now(), 1, 'c', NULL
    FROM generate_series(1, $1::bigint) g";

impl Scenes {
    /// Starts the server with PostgreSQL's own settings; `None` where it is not installed.
    pub(crate) async fn start() -> anyhow::Result<Option<Self>> {
        let Some(databases) = Databases::start(&[]).await? else {
            return Ok(None);
        };
        eprintln!("PostgreSQL {}", databases.version);
        let outbox = databases.create().await?;
        open(&outbox).await?;
        let floor = databases.create().await?;
        floor::install(&floor.connect().await?).await?;
        Ok(Some(Self {
            databases,
            outbox,
            floor,
        }))
    }

    /// An empty outbox.
    pub(crate) async fn outbox(&self) -> anyhow::Result<Database> {
        self.databases.copy(&self.outbox).await
    }

    /// An empty table of the floor's.
    pub(crate) async fn floor(&self) -> anyhow::Result<Database> {
        self.databases.copy(&self.floor).await
    }

    /// An outbox with this content, to be copied.
    pub(crate) async fn outbox_with(&self, content: Content) -> anyhow::Result<Database> {
        let database = self.outbox().await?;
        let client = database.connect().await?;
        if content.completed > 0 {
            let completed = i64::try_from(content.completed)?;
            client.execute(COMPLETED, &[&completed]).await?;
            client.batch_execute("VACUUM ANALYZE outbox.events").await?;
        }
        // Setup is not measured, and its data can be made again.
        let builder = PostgresStore::builder().durability(Durability::Asynchronous);
        let store = builder.connect_with(database.config()).await?;
        let mut events = MoodEntry::many(content.pending, content.per_lane);
        loop {
            let batch: Vec<MoodEntry> = events.by_ref().take(1_000).collect();
            if batch.is_empty() {
                break;
            }
            enqueue_all(&batch).on(&store).await?;
        }
        client.batch_execute(USER_INDEX).await?;
        Ok(database)
    }

    /// The floor's table with as many pending events, to be copied.
    pub(crate) async fn floor_with(&self, content: Content) -> anyhow::Result<Database> {
        let database = self.floor().await?;
        let events = MoodEntry::many(content.pending, content.per_lane);
        floor::fill(&database, events.map(|event| Row::of(&event))).await?;
        Ok(database)
    }

    /// A copy of the database, to be used up.
    pub(crate) async fn copy(&self, template: &Database) -> anyhow::Result<Database> {
        self.databases.copy(template).await
    }

    pub(crate) async fn drop(&self, database: Database) -> anyhow::Result<()> {
        self.databases.drop(database).await
    }
}

/// The store with its default settings.
pub(crate) async fn open(database: &Database) -> anyhow::Result<PostgresStore> {
    let builder = PostgresStore::builder();
    Ok(builder.connect_with(database.config()).await?)
}

/// The number of events in the outbox, delivered or not: measurements check with it that their work
/// was done.
pub(crate) async fn count(database: &Database, is_completed: bool) -> anyhow::Result<usize> {
    let sql = "SELECT count(*) FROM outbox.events WHERE (status = 'c') = $1";
    let client = database.connect().await?;
    let count: i64 = client.query_one(sql, &[&is_completed]).await?.try_get(0)?;
    Ok(usize::try_from(count)?)
}
