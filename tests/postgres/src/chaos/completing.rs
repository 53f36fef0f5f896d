//! Handlers that save the remote id of an event and complete it in the application's transaction.

use std::sync::Mutex;

use outbox_crash::plan::Completes;
use outbox_postgres::Outbox;
use outbox_postgres::tokio_postgres::{Client, Config, NoTls};
use outbox_runtime::prelude::*;
use outbox_runtime::store::BoxError;

use super::ledger::{Ledger, Record};
use super::pause;
use super::worker::{Plan, Task};

/// The application's table of remote ids in the database of this schema.
#[must_use]
pub fn table(schema: &str) -> String {
    format!("{schema}_remote_ids")
}

/// How a worker saves remote ids.
#[derive(Debug)]
pub struct RemoteIds {
    outbox: Outbox,
    config: Config,
    save: String,
    completes: Completes,
    /// Connections that no handler uses.
    idle: Mutex<Vec<Client>>,
}

impl RemoteIds {
    /// The settings of the worker with this plan.
    #[must_use]
    pub fn new(plan: &Plan, completes: Completes) -> Self {
        let mut config: Config = plan.address.parse().expect("an address");
        config.application_name(format!("{}-worker", plan.schema));
        Self {
            outbox: Outbox::in_schema(&plan.schema).expect("the schema's name is valid"),
            config,
            save: format!(
                "INSERT INTO {table} AS r VALUES ($1, 1)
                ON CONFLICT (event) DO UPDATE SET saves = r.saves + 1",
                table = table(&plan.schema)
            ),
            completes,
            idle: Mutex::default(),
        }
    }

    /// Delivers an event: pauses for `nap` milliseconds between the remote id and the completion,
    /// and gives both up unless the delivery is `ok`.
    pub(super) async fn deliver(
        &self,
        event: &Event<Task>,
        ledger: &Ledger,
        nap: u64,
        ok: bool,
    ) -> Result<(), HandlerError> {
        let idle = self.idle.lock().expect("nothing panics with it").pop();
        let mut client = match idle {
            Some(client) => client,
            None => self.connect().await.or_retry()?,
        };
        let done = self.complete(&mut client, event, ledger, nap, ok).await;
        // A connection that failed is closed.
        let is_ok = done.or_retry()?;
        self.idle
            .lock()
            .expect("nothing panics with it")
            .push(client);
        match is_ok {
            true => Ok(()),
            false => Err(HandlerError::retry("as planned")),
        }
    }

    async fn connect(&self) -> Result<Client, BoxError> {
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(async move {
            // An error shows in the statements that it concerns.
            let _ = connection.await;
        });
        Ok(client)
    }

    async fn complete(
        &self,
        client: &mut Client,
        event: &Event<Task>,
        ledger: &Ledger,
        nap: u64,
        ok: bool,
    ) -> Result<bool, BoxError> {
        let process = std::process::id();
        let answered = |ok| Record::Answered {
            event: event.id,
            ok,
            process,
        };
        let committing = Record::Committing {
            event: event.id,
            process,
        };
        let mut tx = client.transaction().await?;
        tx.execute(&self.save, &[&event.id]).await?;
        ledger.write(&Record::Saved {
            event: event.id,
            process,
        });
        if self.completes == Completes::InTwo {
            tx.commit().await?;
            pause(nap).await;
            tx = client.transaction().await?;
        } else {
            pause(nap).await;
        }
        if !ok {
            ledger.write(&answered(false));
            tx.rollback().await?;
            return Ok(false);
        }
        event.complete_on(self.outbox.on(&tx)).await?;
        // The service has it by now, whether or not the commit succeeds.
        ledger.write(&answered(true));
        ledger.write(&committing);
        tx.commit().await?;
        Ok(true)
    }
}
