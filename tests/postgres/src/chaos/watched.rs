//! A store that records what it is asked and what it answers, in the process that uses it.

use std::fmt;
use std::sync::Arc;

use outbox_runtime::store::{
    Claim, ClaimRequest, Disposition, Exchange, Lease, OutboxQueue, Revision, Settled, Settlement,
};
use outbox_runtime::{Clock, OutboxRepository, StoreError, async_trait};
use uuid::Uuid;

use super::ledger::{Ledger, Record, millis, now};

/// A store that writes claims, outcomes and errors into the ledger.
pub struct Watched {
    inner: Arc<dyn OutboxRepository>,
    ledger: Arc<Ledger>,
    process: u32,
}

impl Watched {
    /// Wraps the store of this process.
    #[must_use]
    pub fn new(inner: impl OutboxRepository, ledger: Arc<Ledger>) -> Self {
        Self {
            inner: Arc::new(inner),
            ledger,
            process: std::process::id(),
        }
    }

    fn claimed(&self, claims: &Result<Vec<Claim>, StoreError>) {
        match claims {
            Ok(claims) if claims.is_empty() => {}
            Ok(claims) => self.ledger.write(&Record::Claimed {
                events: claims.iter().map(|claim| claim.event.id).collect(),
                process: self.process,
                at: now(),
                until: millis(
                    claims
                        .iter()
                        .map(|claim| claim.lease.expires_at)
                        .min()
                        .unwrap_or_default(),
                ),
            }),
            Err(error) => self.failed("claim", error),
        }
    }

    fn settling(&self, settlements: &[Settlement]) -> Vec<(Uuid, bool)> {
        let outcome = |settlement: &Settlement| {
            let is_delivery = matches!(settlement.disposition, Disposition::Complete);
            (settlement.lease.event_id, is_delivery)
        };
        let outcomes: Vec<(Uuid, bool)> = settlements.iter().map(outcome).collect();
        if !outcomes.is_empty() {
            self.ledger.write(&Record::Settling {
                events: outcomes.iter().map(|(event, _)| *event).collect(),
                process: self.process,
            });
        }
        outcomes
    }

    fn settled(&self, outcomes: &[(Uuid, bool)], settled: &Result<Vec<Settled>, StoreError>) {
        let process = self.process;
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => return self.failed("settle", error),
        };
        for ((event, is_delivery), settled) in outcomes.iter().zip(settled) {
            let event = *event;
            match settled {
                Settled::Recorded if *is_delivery => {
                    self.ledger.write(&Record::Settled { event, process });
                }
                Settled::LeaseLost => self.ledger.write(&Record::Fenced { event, process }),
                _ => {}
            }
        }
    }

    /// A lease that is not renewed was taken over.
    fn renewed(&self, held: &[Lease], renewed: &[Option<Lease>]) {
        for (held, renewed) in held.iter().zip(renewed) {
            let (event, process) = (held.event_id, self.process);
            match renewed {
                None => self.ledger.write(&Record::Fenced { event, process }),
                Some(renewed) if renewed == held => {}
                Some(renewed) => self.ledger.write(&Record::Renewed {
                    event,
                    process,
                    until: millis(renewed.expires_at),
                }),
            }
        }
    }

    fn failed(&self, call: &str, error: &StoreError) {
        self.ledger.write(&Record::Failed {
            call: call.to_owned(),
            kind: format!("{:?}", error.kind()),
            unknown: error.outcome_unknown(),
            text: error.to_string(),
            process: self.process,
        });
    }
}

macro_rules! watched {
    (OutboxRepository: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxRepository for Watched {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                self.inner.$method($($arg),*).await
            })+
        }
    };
    (OutboxQueue: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxQueue for Watched {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                watched!(@do $method(self, $($arg),*))
            })+

            async fn settle_and_claim(
                &self,
                settlements: Vec<Settlement>,
                request: &ClaimRequest,
            ) -> Exchange {
                let outcomes = self.settling(&settlements);
                let exchange = self.inner.settle_and_claim(settlements, request).await;
                self.settled(&outcomes, &exchange.settled);
                self.claimed(&exchange.claimed);
                exchange
            }

            fn clock(&self) -> Arc<dyn Clock> {
                self.inner.clock()
            }

            fn can_follow(&self) -> bool {
                self.inner.can_follow()
            }

            fn revision(&self) -> Revision {
                self.inner.revision()
            }

            async fn changed(&self, seen: Revision) -> Revision {
                self.inner.changed(seen).await
            }
        }
    };
    (@do claim($self:ident, $request:ident)) => {{
        let claims = $self.inner.claim($request).await;
        $self.claimed(&claims);
        claims
    }};
    (@do settle($self:ident, $settlements:ident)) => {{
        let outcomes = $self.settling(&$settlements);
        let settled = $self.inner.settle($settlements).await;
        $self.settled(&outcomes, &settled);
        settled
    }};
    (@do extend($self:ident, $leases:ident, $lease:ident)) => {{
        let renewed = $self.inner.extend($leases, $lease).await;
        match &renewed {
            Ok(renewed) => $self.renewed($leases, renewed),
            Err(error) => $self.failed("extend", error),
        }
        renewed
    }};
    (@do rescue_others($self:ident, $held:ident, $only:ident)) => {{
        let done = $self.inner.rescue_others($held, $only).await;
        match &done {
            Ok((renewed, _)) => {
                let leases: Vec<Lease> = $held.iter().map(|(lease, _)| *lease).collect();
                $self.renewed(&leases, renewed);
            }
            Err(error) => $self.failed("rescue_others", error),
        }
        done
    }};
    (@do $method:ident($self:ident, $($arg:ident),*)) => {{
        let answer = $self.inner.$method($($arg),*).await;
        if let Err(error) = &answer {
            $self.failed(stringify!($method), error);
        }
        answer
    }};
}

outbox_testing::__store_calls!(watched);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}
