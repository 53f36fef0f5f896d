//! Stores as left by V6 on phones, with healthy and flawed rows, the same for the same seed.

use std::fmt;
use std::path::{Path, PathBuf};

use outbox_runtime::rusqlite::config::DbConfig;
use outbox_runtime::rusqlite::{self, Connection, params};
use thiserror::Error;

use self::life::{Entity, Kind, Row, Teller};

mod flaw; // flaws of rows
mod life; // entities and their changes
mod payload; // payloads
mod schema; // the tables

/// Settings of the store to make.
#[derive(Debug, Clone)]
pub struct V6Options {
    /// The number of rows in its outbox.
    pub rows: usize,
    /// The same seed makes the same store.
    pub seed: u64,
    /// The percentage of flawed rows. Default: 5.
    pub adversarial_percent: u8,
    /// Whether the last rows stay in the `-wal` file, like those of a running app. Default: false.
    pub leave_wal: bool,
}

impl V6Options {
    /// A store with `rows` rows.
    #[must_use]
    pub fn new(rows: usize, seed: u64) -> Self {
        Self {
            rows,
            seed,
            adversarial_percent: 5,
            leave_wal: false,
        }
    }
}

/// The expected result of a migration, known from the generation of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Made {
    /// Rows to be delivered by the new app.
    pub migrated: u64,
    /// Duplicate rows.
    pub already_there: u64,
    /// Rows that V6 delivered.
    pub delivered: u64,
    /// Undeliverable rows.
    pub rejected: u64,
}

impl Made {
    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.migrated + self.already_there + self.delivered + self.rejected
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} rows: {} to be delivered, {} twice, {} delivered, {} beyond delivery",
            self.rows(),
            self.migrated,
            self.already_there,
            self.delivered,
            self.rejected
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Migrated,
    AlreadyThere,
    Delivered,
    Rejected,
}

/// The store could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MakeError {
    /// The file exists already, and is not overwritten.
    #[error("{} is there already; name a file that is not", .0.display())]
    Exists(PathBuf),
    /// SQLite failed.
    #[error("the store could not be written")]
    Write(#[from] rusqlite::Error),
}

/// Writes a V6 store to `out`.
///
/// # Errors
///
/// [`MakeError`]; an existing file is left alone.
pub fn make_v6(out: &Path, options: &V6Options) -> Result<Made, MakeError> {
    if out.exists() {
        return Err(MakeError::Exists(out.to_owned()));
    }
    let mut conn = Connection::open(out)?;
    let mut teller = Teller::new(options.seed);
    let store_id = teller.uuid().to_string().to_uppercase();
    schema::create(&conn, &store_id)?;
    let kept_back = if options.leave_wal {
        options.rows / 4
    } else {
        0
    };
    let mut writer = Writer::default();
    for until in [options.rows - kept_back, options.rows] {
        let tx = conn.transaction()?;
        writer.profiles(&tx, &teller)?;
        while writer.rows < until {
            writer.some(&tx, &mut teller, options, until)?;
        }
        schema::finish(&tx)?;
        tx.commit()?;
        if kept_back > 0 && until < options.rows {
            conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
            conn.pragma_update(None, "wal_autocheckpoint", 0)?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        }
    }
    conn.close().map_err(|(_, error)| error)?;
    Ok(writer.made)
}

/// Writes entities until there are enough rows.
#[derive(Default)]
struct Writer {
    rows: usize,
    flawed: usize,
    flaws: usize,
    next_key: i64,
    made: Made,
}

impl Writer {
    /// Writes one entity's changes, or some flawed rows, up to the remaining count.
    fn some(
        &mut self,
        conn: &Connection,
        teller: &mut Teller,
        options: &V6Options,
        until: usize,
    ) -> rusqlite::Result<()> {
        let wanted = self.rows * usize::from(options.adversarial_percent) / 100;
        let (mut entity, rows) = if self.flawed < wanted {
            flaw::flawed(teller, self.flaws)
        } else {
            teller.life()
        };
        if rows.len() > until - self.rows {
            // The last changes did not fit; the shortest sequence always does.
            entity = teller.entity_of(Kind::Mood);
            let row = teller.row(&entity, "mood.created", false);
            self.event(conn, &row)?;
        } else {
            if self.flawed < wanted {
                self.flawed += rows.len();
                self.flaws += 1;
            }
            for row in &rows {
                self.event(conn, row)?;
            }
        }
        if entity.deleted {
            Ok(())
        } else {
            self.entity(conn, &entity)
        }
    }

    fn key(&mut self) -> i64 {
        // Deleted rows leave gaps.
        self.next_key += 1 + i64::from(self.next_key % 7 == 6);
        self.next_key
    }

    fn event(&mut self, conn: &Connection, row: &Row) -> rusqlite::Result<()> {
        self.rows += 1;
        match row.verdict {
            Verdict::Migrated => self.made.migrated += 1,
            Verdict::AlreadyThere => self.made.already_there += 1,
            Verdict::Delivered => self.made.delivered += 1,
            Verdict::Rejected => self.made.rejected += 1,
        }
        let key = self.key();
        conn.prepare_cached(
            "INSERT INTO ZSDOUTBOXEVENT (Z_PK, Z_ENT, Z_OPT, ZRETRYCOUNT, ZCOMPLETEDAT, ZCREATEDAT, ZLASTATTEMPTAT,
                 ZERRORMESSAGE, ZEVENTTYPE, ZSTATUS, ZID, ZPAYLOAD)
             VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            key,
            schema::ent::OUTBOX,
            row.retry_count,
            row.completed,
            row.created,
            row.last_attempt,
            row.error,
            row.event_type,
            row.status,
            row.id.map(uuid::Uuid::into_bytes),
            row.payload,
        ])
        .map(drop)
    }

    fn profiles(&mut self, conn: &Connection, teller: &Teller) -> rusqlite::Result<()> {
        if self.rows > 0 {
            return Ok(());
        }
        for user in teller.users() {
            let key = self.key();
            conn.execute(
                "INSERT INTO ZSDUSERPROFILE VALUES (?1, 11, 1, 730000000, 730000000, 'Somebody', ?2, ?2)",
                params![key, user.as_bytes()],
            )?;
        }
        Ok(())
    }

    fn entity(&mut self, conn: &Connection, entity: &Entity) -> rusqlite::Result<()> {
        let key = self.key();
        let (id, user) = (entity.id.as_bytes(), entity.user.as_bytes());
        let Entity {
            created,
            backend_id,
            title,
            text,
            number,
            category,
            ..
        } = entity;
        let (tags, labels) = (json(&entity.tags), json(&entity.labels));
        match entity.kind {
            Kind::Mood => conn
                .prepare_cached(
                    "INSERT INTO ZSDMOODENTRY (Z_PK, Z_ENT, Z_OPT, ZCREATEDAT, ZDATE, ZUPDATEDAT, ZVALENCE, ZBACKENDID,
                         ZNOTES, ZSOURCE, ZID, ZUSERID, ZLABELS, ZASSOCIATIONS)
                     VALUES (?1, ?2, 1, ?3, ?3, ?3, ?4, ?5, ?6, 'manual', ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    key, schema::ent::MOOD, created, number, backend_id, text, id, user, labels, tags
                ]),
            Kind::Journal => conn
                .prepare_cached(
                    "INSERT INTO ZSDJOURNALENTRY (Z_PK, Z_ENT, Z_OPT, ZISFAVORITE, ZCREATEDAT, ZDATE, ZUPDATEDAT,
                         ZBACKENDID, ZCONTENT, ZENTRYTYPE, ZTITLE, ZID, ZLINKEDMOODID, ZUSERID, ZTAGS)
                     VALUES (?1, ?2, 1, ?3, ?4, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                )?
                .execute(params![
                    key,
                    schema::ent::JOURNAL,
                    entity.flag,
                    created,
                    backend_id,
                    text,
                    category,
                    title,
                    id,
                    entity.linked.map(uuid::Uuid::into_bytes),
                    user,
                    tags
                ]),
            Kind::Goal => conn
                .prepare_cached(
                    "INSERT INTO ZSDGOAL (Z_PK, Z_ENT, Z_OPT, ZCREATEDAT, ZTARGETDATE, ZUPDATEDAT, ZCURRENTVALUE,
                         ZPROGRESS, ZTARGETVALUE, ZBACKENDID, ZCATEGORY, ZGOALDESCRIPTION, ZSTATUS, ZTARGETUNIT, ZTITLE,
                         ZID, ZUSERID)
                     VALUES (?1, ?2, 1, ?3, ?3 + 2592000, ?3, ?4, ?5, 10.0, ?6, ?7, ?8, 'active', 'times', ?9, ?10, ?11)",
                )?
                .execute(params![
                    key,
                    schema::ent::GOAL,
                    created,
                    number * 10.0,
                    number,
                    backend_id,
                    category,
                    text,
                    title,
                    id,
                    user
                ]),
            Kind::Conversation => {
                conn.prepare_cached(
                    "INSERT INTO ZSDCHATCONVERSATION (Z_PK, Z_ENT, Z_OPT, ZISARCHIVED, ZCREATEDAT, ZUPDATEDAT,
                         ZBACKENDID, ZPERSONA, ZTITLE, ZID, ZUSERID)
                     VALUES (?1, ?2, 1, 0, ?3, ?3, ?4, 'general_wellness', ?5, ?6, ?7)",
                )?
                .execute(params![
                    key,
                    schema::ent::CONVERSATION,
                    created,
                    backend_id,
                    title,
                    id,
                    user
                ])?;
                let message = uuid::Uuid::from_u128(entity.id.as_u128() ^ 1);
                conn.prepare_cached(
                    "INSERT INTO ZSDCHATMESSAGE VALUES (?1, ?2, 1, ?1, ?3, ?4, 'user', ?5)",
                )?
                .execute(params![
                    key,
                    schema::ent::MESSAGE,
                    created,
                    text,
                    message.as_bytes()
                ])
            }
        }
        .map(drop)
    }
}

/// Arrays of strings are plain JSON in a BLOB.
fn json(values: &[String]) -> Vec<u8> {
    serde_json::Value::from(values).to_string().into_bytes()
}
