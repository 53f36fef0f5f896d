//! Report: the health of a run, as its handles read it.

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::error::StoreErrorKind;
use crate::outage::Outage;
use crate::processor::health::{Health, Trouble, TroubleKind};

/// The health that handles read.
pub(super) struct Report {
    health: watch::Sender<Health>,
    /// The outages last reported.
    outages: Vec<Outage>,
}

impl Report {
    pub(super) fn new(health: watch::Sender<Health>) -> Self {
        Self {
            health,
            outages: Vec::new(),
        }
    }

    /// Replaces the reported outages.
    pub(super) fn set_outages(&mut self, outages: Vec<Outage>) {
        if outages != self.outages {
            self.health
                .send_modify(|health| health.set_outages(&outages));
            self.outages = outages;
        }
    }

    pub(super) fn store_failed(
        &self,
        kind: StoreErrorKind,
        text: String,
        now: DateTime<Utc>,
        retry_at: Option<DateTime<Utc>>,
    ) {
        let trouble = Trouble::new(TroubleKind::Store(kind), now, text, retry_at);
        self.health.send_modify(|health| health.add(trouble));
    }

    pub(super) fn store_works(&self) {
        let is_of_store = |kind: &TroubleKind| matches!(kind, TroubleKind::Store(_));
        self.health.send_modify(|health| health.clear(is_of_store));
    }

    pub(super) fn suspended(&self) {
        self.health.send_replace(Health::Suspended);
    }

    pub(super) fn resumed(&mut self) {
        self.health.send_replace(Health::Healthy);
        self.outages.clear();
    }
}
