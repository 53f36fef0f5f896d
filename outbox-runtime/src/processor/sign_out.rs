//! Sign-out: drains, deletes, or exports the events of a user who leaves.

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

/// The treatment of the events of a user who signs out.
///
/// # Examples
///
/// ```
/// use std::path::Path;
/// use std::time::Duration;
/// use outbox_runtime::SignOut;
///
/// /// What the user chose.
/// fn how(keeps: bool, backup: Option<&Path>) -> SignOut {
///     match backup {
///         Some(file) => SignOut::Export(file.to_owned()),
///         None if keeps => SignOut::Drain { deadline: Duration::from_secs(10) },
///         None => SignOut::Abandon,
///     }
/// }
///
/// assert_eq!(how(false, None), SignOut::Abandon);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignOut {
    /// Delivers what can be delivered until `deadline` from now. The rest stays in the store until
    /// the user signs in again.
    Drain {
        /// The maximum time to keep delivering.
        deadline: Duration,
    },
    /// Deletes all events of the user, delivered or not.
    Abandon,
    /// Writes all undelivered events to a new file, as JSON with one event per line. Once the file
    /// is on the medium, deletes all events of the user at once.
    ///
    /// Events that others change, enqueue, or deliver while the file is written stay in the store,
    /// together with all events that wait for them or that they wait for;
    /// [`SignedOut::undelivered`] counts them. The file may contain them as well, under the same
    /// ids.
    Export(PathBuf),
}

/// The result of a sign-out.
///
/// # Examples
///
/// ```
/// # use std::time::Duration;
/// # use outbox_runtime::{ExportError, Running, SignOut, SignedOut};
/// # async fn sign_out(running: &Running) -> Result<(), ExportError> {
/// let how = SignOut::Drain { deadline: Duration::from_secs(10) };
/// let left: SignedOut = running.sign_out("user-1", how).await?;
/// if left.undelivered + left.dead > 0 {
///     println!("{} changes stay on this device, {} of them dead", left.undelivered, left.dead);
/// }
/// # Ok(())
/// # }
/// ```
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
    /// Ends this run's work on a user's events: when this returns, no attempt for the user is in
    /// flight here, and none is made until [`sign_in`](Self::sign_in).
    ///
    /// Other runs and processes on the same store are not affected; sign out there, too. Events
    /// that are enqueued for the user later wait in the store.
    ///
    /// The guide: [credentials](https://docs.rs/outbox-guide/latest/outbox_guide/credentials/).
    ///
    /// # Errors
    ///
    /// [`ExportError`] if the store failed, or if the file already exists or cannot be written. An
    /// export deletes no undelivered event before it is written. The user is signed out even so,
    /// except inside a [`transaction`](crate::SqliteStore::transaction) of a store: there the call
    /// is refused (`NotAllowedHere`) and does nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the user signed out or not; call it again.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # use std::time::Duration;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let processor = Processor::builder(store.clone()).handle::<Goal>(|_| async { Ok(()) }).build()?;
    /// # let running = processor.start("user-1");
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// use outbox_runtime::SignOut;
    ///
    /// goal.enqueue_create().on(&store).await?;
    /// let how = SignOut::Drain { deadline: Duration::from_secs(10) };
    /// let left = running.sign_out("user-1", how).await?;
    /// assert_eq!(left.undelivered, 0);
    ///
    /// running.sign_in("user-1").await;
    /// # running.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
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

    /// Resumes work on a user's events. The credentials are assumed to be new.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::Running;
    /// # async fn signed_in(running: &Running) {
    /// running.sign_in("user-1").await; // after `sign_out`, or with another password
    /// # }
    /// ```
    #[allow(
        clippy::unused_async,
        reason = "async like all calls that concern a user's work"
    )]
    pub async fn sign_in(&self, user_id: impl Into<String>) {
        let user_id = user_id.into();
        // A run that has ended has no work to resume.
        let _ = self.inner.commands.send(Command::SignIn { user_id });
    }

    /// Waits until no event of the user is left to deliver, or until the deadline.
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
        // A run that ends instead of answering has no attempt in flight either.
        answer.await.unwrap_or(Ok(()))
    }

    /// Exports the undelivered events. Then deletes only events that the store still has exactly as
    /// they were read, so that no event is lost that is not in the file.
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
        // An event may change its status between two listings.
        undelivered.sort_by_key(|event| event.seq);
        undelivered.dedup_by_key(|event| event.seq);
        // File I/O blocks, so it runs on a blocking thread.
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

/// Writes a new file, and returns once its content and its name are on the medium. Removes the file
/// if it cannot be written completely.
fn write_file(path: &Path, events: &[OutboxEvent]) -> io::Result<u64> {
    let with_path =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(with_path)?;
    let written = write_all(&file, events).and_then(|count| {
        sync_folder(path)?;
        Ok(count)
    });
    if written.is_err() {
        drop(file);
        // If this fails too, the first error is the one to report.
        let _ = fs::remove_file(path);
    }
    written.map_err(with_path)
}

fn write_all(file: &File, events: &[OutboxEvent]) -> io::Result<u64> {
    let mut writer = BufWriter::new(file);
    let count = write_lines(events, &mut writer)?;
    drop(writer);
    file.sync_all()?;
    Ok(count)
}

/// Syncs the file's folder: only then does a new file survive a power loss. Windows has no such
/// call and needs none.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
