//! Directories for the contestants' files, and backlogs that are made once and copied.

use std::path::Path;

use anyhow::Context as _;
use outbox_bench_kit::contestant::Contestant;
use outbox_contest::Workload;
use tempfile::TempDir;

/// Events per batch of a backlog.
const BATCH: usize = 1_000;
/// Seconds that making a backlog may take.
const LIMIT: u64 = 300;

/// Where one contestant runs one workload.
#[derive(Debug)]
pub(crate) struct Places {
    folder: TempDir,
    has_backlog: bool,
}

impl Places {
    /// Makes the backlog, if the workload needs one.
    pub(crate) async fn new(
        folder: &Path,
        contestant: &Contestant,
        backlog: Option<usize>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(folder).context("cannot create a directory")?;
        if let Some(events) = backlog {
            let template = folder.path().join("backlog");
            std::fs::create_dir(&template)?;
            let workload = Workload::Batches {
                size: BATCH,
                events,
            };
            let figures = contestant.run(&template, workload, LIMIT).await?;
            anyhow::ensure!(
                !figures.is_cut(),
                "the backlog took more than {LIMIT} seconds"
            );
        }
        Ok(Self {
            folder,
            has_backlog: backlog.is_some(),
        })
    }

    /// A directory for one run: empty, or with a copy of the backlog.
    pub(crate) fn next(&self) -> anyhow::Result<TempDir> {
        let place = tempfile::tempdir_in(self.folder.path())?;
        if self.has_backlog {
            for entry in std::fs::read_dir(self.folder.path().join("backlog"))? {
                let entry = entry?;
                let copy = place.path().join(entry.file_name());
                std::fs::copy(entry.path(), &copy)?;
                // No run pays for writing its backlog back.
                std::fs::File::open(&copy)?.sync_all()?;
            }
        }
        Ok(place)
    }
}
