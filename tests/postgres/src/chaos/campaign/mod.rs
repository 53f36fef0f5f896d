//! Campaigns: one kind of fault under load, as often as asked, and the verdict.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;

use super::producers::Tally;
use super::verdict::Verdict;

pub mod completing; // workers killed while they complete events
pub mod disk; // a full disk
pub mod network; // connections that are cut, half closed and slow
pub mod processes; // workers that are killed and frozen
pub mod promotion; // a standby takes over
pub mod servers; // a server that crashes
pub mod sessions; // ended sessions, timeouts and serialization failures

/// How often, and from which seed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that is a worker when told so by its environment.
    pub program: PathBuf,
    /// How often the fault strikes.
    pub count: u64,
    /// Seed of moments and choices.
    pub seed: u64,
}

/// The result of a campaign.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    seed: u64,
    began: Duration,
    took: Duration,
    fired: Vec<(&'static str, u64)>,
    /// What happened to the producers.
    pub tally: Arc<Tally>,
    /// What the checker found.
    pub verdict: Verdict,
}

impl Report {
    fn begin(name: &'static str, settings: &Settings) -> Self {
        Self {
            name,
            seed: settings.seed,
            began: SystemClock.uptime(),
            took: Duration::ZERO,
            fired: Vec::new(),
            tally: Arc::default(),
            verdict: Verdict::default(),
        }
    }

    fn fire(&mut self, what: &'static str, count: u64) {
        self.fired.push((what, count));
    }

    fn end(mut self, tally: Arc<Tally>, verdict: Verdict) -> Self {
        self.took = SystemClock.uptime().saturating_sub(self.began);
        self.tally = tally;
        self.verdict = verdict;
        self
    }

    /// How often something struck.
    ///
    /// # Panics
    ///
    /// If the campaign does not count it.
    #[must_use]
    pub fn fired(&self, what: &str) -> u64 {
        let found = self.fired.iter().find(|(name, _)| *name == what);
        found
            .unwrap_or_else(|| panic!("{what} is not counted: {self}"))
            .1
    }

    /// Whether no promise was broken, in the ledger or before the producers' eyes.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.verdict.is_sound() && self.tally.of("problem") == 0
    }

    /// Fails a test unless the run was sound and at least this many events were at risk.
    ///
    /// # Panics
    ///
    /// If not.
    pub fn assert_sound(&self, least: usize) {
        assert!(self.is_sound(), "{self}");
        assert!(self.verdict.acknowledged >= least, "too few events: {self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fired = self
            .fired
            .iter()
            .map(|(name, count)| format!("{count} {name}"));
        write!(
            f,
            "{}, seed {}, {:.1} s: {}\n  {}\n  producers: {}",
            self.name,
            self.seed,
            self.took.as_secs_f32(),
            fired.collect::<Vec<_>>().join(", "),
            self.verdict,
            self.tally
        )
    }
}
