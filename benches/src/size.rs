//! Bytes on disk: of a pending and of a completed event, and of the file once all events were
//! delivered and cleaned up.

use std::time::Duration;

use anyhow::Context as _;
use outbox_runtime::prelude::*;
use outbox_runtime::{Durability, OutboxRepository};

use crate::drain::drain;
use crate::report::{Report, Unit};
use crate::scale::{Scale, in_words};
use crate::scene::{Content, Scene, Scenes};

/// Handlers of a drain.
const HANDLERS: usize = 16;

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let rows = scale.rows;
    let empty = used(&scenes.empty().await?)?;
    let each = |bytes: u64| [bytes.saturating_sub(empty) as f64 / rows as f64];
    let scene = scenes.with(Content::pending(rows)).await?;
    let pending = each(used(&scene)?);
    let what = format!("bytes on disk per pending event, of {}", in_words(rows));
    report.add(what, Unit::Bytes, &pending, None, None);

    let store = SqliteStore::builder(scene.path()).durability(Durability::Normal);
    let store = store.open().await?;
    drain(&store, rows, HANDLERS).await?;
    store.close().await;
    let completed = each(used(&scene)?);
    let what = format!("bytes on disk per completed event, of {}", in_words(rows));
    report.add(what, Unit::Bytes, &completed, None, None);
    let before = std::fs::metadata(scene.path())?.len() as f64;

    let store = SqliteStore::open(scene.path()).await?;
    let last = store.statistics(None).await?.newest_completed_date;
    let last = last.context("no event was completed")?;
    let deleted = store
        .delete_completed_events(last + Duration::from_secs(1))
        .await?;
    store.close().await;
    anyhow::ensure!(deleted == rows as u64, "clean-up deleted {deleted} events");
    let after = std::fs::metadata(scene.path())?.len() as f64;
    for (name, bytes) in [
        ("after the last completion", before),
        ("after clean-up", after),
    ] {
        let what = format!("file of {} delivered events, {name}", in_words(rows));
        report.add(
            what,
            Unit::Mebibytes,
            &[bytes / f64::from(1 << 20)],
            None,
            None,
        );
    }
    let what = format!("pages in use after clean-up of {} events", in_words(rows));
    let in_use = used(&scene)? as f64 / f64::from(1 << 20);
    report.add(what, Unit::Mebibytes, &[in_use], None, None);
    Ok(())
}

/// Bytes of the pages in use, which freed pages are not.
fn used(scene: &Scene) -> anyhow::Result<u64> {
    let conn = scene.connect()?;
    let ask =
        |name: &str| conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let pages = ask("page_count")?.saturating_sub(ask("freelist_count")?);
    Ok(u64::try_from(pages.saturating_mul(ask("page_size")?))?)
}
