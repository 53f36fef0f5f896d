//! Signing out: what becomes of a user's events when the user goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Running;
use super::command::Command;
use crate::dead_letters::{ExportError, write_lines};
use crate::error::StoreError;
use crate::event::{OutboxEvent, OutboxStatus};
use crate::repository::DeleteUnit;
use crate::waiting;

/// What becomes of the events of a user who signs out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignOut {
    /// Delivers what can be delivered until `deadline` from now. The rest stays, to go on when the user is back.
    Drain {
        /// How long to deliver, at most.
        deadline: Duration,
    },
    /// Deletes everything of the user's, delivered or not.
    Abandon,
    /// Writes what is not delivered to a new file, as JSON, one event a line, and once that is on the medium deletes
    /// everything of the user's, all at once.
    ///
    /// What others change, enqueue or deliver while the file is written stays in the store, together with all events that wait
    /// for it or that it waits for: [`SignedOut::undelivered`] counts them. The file may have them too, under the same ids.
    Export(PathBuf),
}

/// What a sign-out left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SignedOut {
    /// Events that are still to be delivered.
    pub undelivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// Events that were written to the file.
    pub exported: u64,
    /// Events that were deleted, delivered ones included.
    pub deleted: u64,
}

impl Running {
    /// Ends this run's work on a user's events: when it returns, nothing of the user is under way here, and nothing more is
    /// sent until [`sign_in`](Self::sign_in).
    ///
    /// Other runs and processes on the same store are not affected; sign out there, too. Events that are enqueued for the user
    /// later wait.
    ///
    /// # Errors
    ///
    /// [`ExportError`]: the store failed, or the file is there already or cannot be written.
    /// Nothing is deleted that was not written before. The user is signed out all the same, but
    /// inside a [`transaction`](crate::SqliteStore::transaction) of a store, where it is refused
    /// (`NotAllowedHere`) and nothing is done.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the user signed out or not; call it again.
    pub async fn sign_out(
        &self,
        user_id: impl Into<String>,
        how: SignOut,
    ) -> Result<SignedOut, ExportError> {
        waiting::refuse_to_wait_for_a_run("sign_out")?;
        let user_id = user_id.into();
        if let SignOut::Drain { deadline } = how {
            self.drain(&user_id, deadline).await?;
        }
        self.end_work_of(&user_id).await?;
        let mut left = SignedOut::default();
        match how {
            SignOut::Drain { .. } => {}
            SignOut::Abandon => {
                let repository = &self.inner.shared.repository;
                left.deleted = repository.delete_all_events_for_user(&user_id).await?;
            }
            SignOut::Export(path) => self.export_and_delete(&user_id, path, &mut left).await?,
        }
        let statistics = self
            .inner
            .shared
            .repository
            .statistics(Some(&user_id))
            .await?;
        left.undelivered = statistics.undelivered();
        left.dead = statistics.dead_count;
        Ok(left)
    }

    /// Takes up a user's work again, with credentials that are taken to be new.
    #[allow(
        clippy::unused_async,
        reason = "callers await it, as all that concerns a user's work"
    )]
    pub async fn sign_in(&self, user_id: impl Into<String>) {
        let user_id = user_id.into();
        // A run that has ended has nothing to take up.
        let _ = self.inner.commands.send(Command::SignIn { user_id });
    }

    /// Waits until nothing of the user's is left to deliver, or until the deadline.
    async fn drain(&self, user_id: &str, deadline: Duration) -> Result<(), StoreError> {
        let mut changes = self.changes_within(deadline);
        loop {
            changes.look();
            let statistics = self
                .inner
                .shared
                .repository
                .statistics(Some(user_id))
                .await?;
            if statistics.undelivered() == 0 || !changes.next().await {
                return Ok(());
            }
        }
    }

    async fn end_work_of(&self, user_id: &str) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::SignOut {
            user_id: user_id.to_owned(),
            reply,
        };
        if self.inner.commands.send(command).is_err() {
            return Ok(());
        }
        // A run that ends instead of answering has nothing under way either.
        answer.await.unwrap_or(Ok(()))
    }

    /// Nothing is deleted that is not in the file just as it is in the store.
    async fn export_and_delete(
        &self,
        user_id: &str,
        path: PathBuf,
        left: &mut SignedOut,
    ) -> Result<(), ExportError> {
        let repository = &self.inner.shared.repository;
        let mut undelivered = Vec::new();
        let mut delivered = Vec::new();
        for status in OutboxStatus::ALL {
            let events = repository
                .fetch_events(*status, Some(user_id), None)
                .await?;
            match status {
                OutboxStatus::Completed => delivered.extend(events),
                _ => undelivered.extend(events),
            }
        }
        // An event may have moved on from one status to the next between two listings.
        undelivered.sort_by_key(|event| event.seq);
        undelivered.dedup_by_key(|event| event.seq);
        // Files block, which a task must not.
        let written = tokio::task::spawn_blocking(move || {
            write_file(&path, &undelivered).map(|count| (count, undelivered))
        });
        let (exported, mut seen) = written.await.map_err(io::Error::other)??;
        left.exported = exported;
        seen.append(&mut delivered);
        left.deleted = repository.delete_seen(&seen, DeleteUnit::Lane).await?;
        Ok(())
    }
}

/// Writes a new file, and returns once it and its name are on the medium. What cannot be written whole is not left behind.
fn write_file(path: &Path, events: &[OutboxEvent]) -> io::Result<u64> {
    let told =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(told)?;
    let written = write_all(&file, events).and_then(|count| {
        sync_folder(path)?;
        Ok(count)
    });
    if written.is_err() {
        drop(file);
        // Where this fails too, the first error is the one to tell.
        let _ = fs::remove_file(path);
    }
    written.map_err(told)
}

fn write_all(file: &File, events: &[OutboxEvent]) -> io::Result<u64> {
    let mut writer = BufWriter::new(file);
    let count = write_lines(events, &mut writer)?;
    drop(writer);
    file.sync_all()?;
    Ok(count)
}

/// A new file is found after a loss of power only once its folder is on the medium. Windows has no such call, and needs none.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
