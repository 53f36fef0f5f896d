//! The store's two threads: opens the connections on them, and waits for their end.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::cancel::Cancel;
use tokio::sync::oneshot;

use super::own_thread::{self, Role};
use super::reader::{self, Reader};
use super::settings::Settings;
use super::watch::Watch;
use super::writer::{Writer, WriterThread};
use super::{connect, counter, fault};
use crate::clock::{self, Clock};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::kit::Signal;

/// Handles on the two threads, each of which owns a connection. The threads end when the last
/// handle is dropped, or when they are told to.
#[derive(Clone)]
pub(super) struct Connections {
    /// Tells the threads to end after completing earlier requests.
    pub(super) closing: Cancel,
    pub(super) writer: Writer,
    pub(super) reader: Reader,
}

/// The parts of an opened store.
pub(super) struct Opened {
    pub(super) connections: Connections,
    pub(super) threads: Vec<JoinHandle<()>>,
    /// Detects foreign commits to the file.
    pub(super) watch: Arc<Watch>,
}

/// Opens both connections. `watch` comes from an earlier opening of the same store.
pub(super) async fn open(
    path: &Arc<Path>,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    signal: &Arc<Signal>,
    watch: Option<Arc<Watch>>,
) -> Result<Opened, StoreError> {
    let closing = Cancel::new();
    let (ready, opened) = oneshot::channel();
    // Carries no messages: the sender is dropped after the reader's connection is closed.
    let (reading, reader_ended) = std::sync::mpsc::channel::<Infallible>();

    // Opening blocks too, so each connection is opened on its own thread.
    let writer_thread = {
        let (path, settings) = (Arc::clone(path), settings.clone());
        let (clock, signal) = (Arc::clone(clock), Arc::clone(signal));
        let closing = closing.clone();
        spawn("outbox-writer", move || {
            counter::count_here(settings.statements.clone());
            match connect::open_writer(&path, &settings) {
                Ok(connection) => {
                    let alone = settings.single_process;
                    let register =
                        || Watch::register(&connection.conn, Arc::clone(&clock), signal, alone);
                    let watch = watch.unwrap_or_else(register);
                    own_thread::set(&watch, Role::Writer, &clock);
                    let identity = connection.identity.clone();
                    let (writer, mut thread) = WriterThread::new(
                        connection,
                        path,
                        settings,
                        clock,
                        Arc::clone(&watch),
                        closing,
                    );
                    if ready.send(Ok((writer, watch, identity))).is_ok() {
                        thread.serve();
                        // The last connection to close checkpoints the `-wal` into the database,
                        // which a read-only connection cannot do.
                        let _ = reader_ended.recv();
                    }
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?
    };
    let opened = clock::awaited(opened).await;
    let (writer, watch, identity) = opened.ok_or_else(|| fault::closed("open"))??;

    let (reader, questions) = Reader::new(
        Arc::clone(path),
        Arc::clone(&watch),
        settings.queue_bound,
        closing.clone(),
    );
    let (ready, opened) = oneshot::channel();
    let reader_thread = {
        let (path, settings) = (Arc::clone(path), settings.clone());
        let (watch, clock) = (Arc::clone(&watch), Arc::clone(clock));
        spawn("outbox-reader", move || {
            let _reading = reading;
            counter::count_here(settings.statements.clone());
            match connect::open_reader(&path, &settings, &identity) {
                Ok(conn) => {
                    own_thread::set(&watch, Role::Reader, &clock);
                    if ready.send(Ok(())).is_ok() {
                        reader::serve(&conn, &identity, questions);
                    }
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?
    };
    let opened = clock::awaited(opened).await;
    opened.ok_or_else(|| fault::closed("open"))??;

    Ok(Opened {
        connections: Connections {
            closing,
            writer,
            reader,
        },
        threads: vec![writer_thread, reader_thread],
        watch,
    })
}

/// Waits until the threads have ended and closed their connections. Blocks.
pub(super) fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A thread that panicked has ended, too.
        let _ = thread.join();
    }
}

/// Starts a thread.
pub(super) fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                "open",
                "cannot start the store's thread",
            )
            .with_source(error)
        })
}
