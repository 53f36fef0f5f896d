//! A full disk: what the outbox is stored on has no room, and then has again.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::servers::blocking;
use super::{Report, Settings};
use crate::chaos::arena::{Arena, Worker};
use crate::chaos::pause;
use crate::chaos::producers::{Load, Tally};
use crate::{Server, give_to_server};

/// A small file system in memory, unmounted on drop.
#[derive(Debug)]
struct Small(tempfile::TempDir);

impl Small {
    /// `None` where this process may not mount one.
    fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "none"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        is_mounted.then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=4k"])
            .arg(format!("of={}", self.path().join("ballast").display()))
            .stderr(Stdio::null())
            .status();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("ballast")).expect("it is there");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Fills the tablespace of the outbox under load, `count` times. `None` where that is not
/// permitted.
pub async fn full(settings: &Settings) -> Option<Report> {
    let mut report = Report::begin("full disk", settings);
    let small = Small::mount(128)?;
    let server = Arc::new(blocking(Server::required).await);
    let place = small.path().join("tables");
    std::fs::create_dir(&place).expect("there is room");
    give_to_server(&place);
    let client = server.connect().await;
    let create = format!("CREATE TABLESPACE small LOCATION '{}'", place.display());
    client
        .batch_execute(&create)
        .await
        .expect("the folder is the server's");
    let default = "ALTER DATABASE postgres SET default_tablespace = small";
    client
        .batch_execute(default)
        .await
        .expect("the tablespace is there");
    let mut arena = Arena::new(settings.program.clone(), server.config(), server.address()).await;
    let _workers: Vec<Worker> = (0..2).map(|_| arena.start_worker()).collect();
    let producing = arena.produce(Load::default(), settings.seed);
    let tally = producing.tally();
    let mut went_on = 0;
    for _ in 0..settings.count {
        pause(400).await;
        small.fill();
        let before = tally.of("StorageFull");
        // Until the free room within the tables is used up, and for a while after.
        for _ in 0..100 {
            pause(50).await;
            if tally.of("StorageFull") >= before + 20 {
                break;
            }
        }
        small.make_room();
        went_on += u64::from(goes_on(&tally).await);
    }
    let tally = producing.stop().await;
    let verdict = arena.judge().await;
    report.fire("times full", settings.count);
    report.fire("enqueues refused as StorageFull", tally.of("StorageFull"));
    report.fire(
        "53100 in calls of workers",
        arena.failures(Some("53100")) as u64,
    );
    report.fire("times that enqueueing went on", went_on);
    let report = report.end(tally, verdict);
    drop(arena);
    drop(server);
    Some(report)
}

/// Fills the disk of a whole server under load, `count` times, until it cannot write its log and
/// gives up. `None` where that is not permitted.
pub async fn full_server(settings: &Settings) -> Option<Report> {
    let mut report = Report::begin("full disk of the server", settings);
    let small = Small::mount(256)?;
    let place = small.path().to_owned();
    let server = Arc::new(blocking(move || Server::start_in(&place)).await?);
    // Few files of the log, so that few have to be used up.
    server.set("min_wal_size", "32MB");
    server.set("max_wal_size", "32MB");
    let mut arena = Arena::new(settings.program.clone(), server.config(), server.address()).await;
    let _workers: Vec<Worker> = (0..2).map(|_| arena.start_worker()).collect();
    let producing = arena.produce(Load::default(), settings.seed);
    let tally = producing.tally();
    let mut went_on = 0;
    for _ in 0..settings.count {
        pause(600).await;
        let client = arena.connect().await;
        small.fill();
        // Each needs another file, of which some are left.
        for _ in 0..50 {
            let next = "SELECT pg_switch_wal(), pg_logical_emit_message(false, 'x', 'x')";
            if client.batch_execute(next).await.is_err() {
                break;
            }
            pause(20).await;
        }
        pause(300).await;
        small.make_room();
        let starting = Arc::clone(&server);
        // It may be up again by itself.
        blocking(move || starting.start_again()).await;
        went_on += u64::from(goes_on(&tally).await);
    }
    let tally = producing.stop().await;
    let verdict = arena.judge().await;
    report.fire("times full", settings.count);
    // It has no room for words about its end, but for those about its recovery.
    let recoveries = server.log().matches("not properly shut down").count();
    report.fire("recoveries in the server's log", recoveries as u64);
    report.fire("times that enqueueing went on", went_on);
    report.fire("calls of workers failed", arena.failures(None) as u64);
    let report = report.end(tally, verdict);
    drop(arena);
    drop(server);
    Some(report)
}

/// Waits until producers enqueue again, for ten seconds.
async fn goes_on(tally: &Tally) -> bool {
    let before = tally.of("acknowledged");
    for _ in 0..200 {
        pause(50).await;
        if tally.of("acknowledged") > before + 20 {
            return true;
        }
    }
    false
}
