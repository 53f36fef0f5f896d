//! One transaction for requests that share it, in which each fails alone.
//!
//! A request that fails is rolled back to its savepoint. Where that is not enough, the transaction
//! is given up and the others are done again without the one: when SQLite rolled back everything
//! (`ON CONFLICT ROLLBACK`, a fault of the medium), when an insert without a savepoint failed after
//! it may have written, and when a constraint is violated at the commit.

use rusqlite::ErrorCode;

use super::Effects;
use super::request::{Enqueueing, Failure, Ran, Request};
use super::thread::WriterThread;
use super::transaction::Transaction;
use crate::error::StoreErrorKind;
use crate::store::sqlite::connect::WriterConnection;
use crate::store::sqlite::fault::{describe, gone};
use crate::store::sqlite::insert::Inserter;
use crate::store::sqlite::schema;

/// Why a transaction did not commit.
enum Trouble {
    /// It could not, whoever took part.
    All(Failure),
    /// The request at this place took it along.
    One { index: usize, is_gone: bool },
    /// Somebody violated a constraint that is checked at the commit.
    Somebody(Failure),
}

impl WriterThread {
    /// Does all of `requests`, in one commit where nothing goes wrong. Their answers are ready
    /// then, and not yet sent.
    pub(super) fn commit(&mut self, requests: &mut [Request]) {
        // What is still to be done, the last part first.
        let mut parts = vec![requests];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.attempt(part) {
                Ok(()) => {}
                Err(Trouble::All(mut failure)) => {
                    for request in part {
                        request.fail(&mut failure);
                    }
                    if failure.is_unknown() {
                        self.reopen();
                    }
                }
                Err(Trouble::Somebody(mut failure)) => match part {
                    [one] => one.fail(&mut failure),
                    several => {
                        let (first, second) = several.split_at_mut(several.len() / 2);
                        parts.extend([second, first]);
                    }
                },
                Err(Trouble::One { index, is_gone }) => {
                    let (before, rest) = part.split_at_mut(index);
                    if let [one, after @ ..] = rest {
                        let is_sound = !is_gone || one.broke_a_constraint();
                        one.fail(&mut swallowed(&self.path));
                        parts.extend([after, before]);
                        if !is_sound {
                            self.reopen();
                        }
                    }
                }
            }
        }
    }

    /// One transaction for `requests`.
    fn attempt(&mut self, requests: &mut [Request]) -> Result<(), Trouble> {
        let WriterConnection {
            conn,
            gate,
            identity,
            ..
        } = &mut self.connection;
        let path = &self.path;
        let failed = |error: rusqlite::Error| match identity.gone() {
            // It explains whatever else went wrong.
            Some(file) => Failure::new(StoreErrorKind::FileReplaced, gone(path, &file)),
            None => {
                let (kind, message) = describe(path, &error);
                Failure::of(message, kind, error)
            }
        };
        let all = |error| Trouble::All(failed(error));
        let mut effects = Effects {
            wakes: false,
            gate: std::sync::Arc::clone(gate),
        };
        let busy_timeout = self.settings.busy_timeout;
        let tx = Transaction::begin(conn, gate).map_err(all)?;
        if let Some(message) = schema::outgrown(tx.conn, path).map_err(all)? {
            let failure = Failure::new(StoreErrorKind::SchemaTooNew, message);
            return Err(Trouble::All(failure));
        }
        // Who is alone in the transaction can be rolled back with it.
        let is_alone = requests.len() == 1;
        let mut has_work = false;
        let mut requests = requests.iter_mut().enumerate().peekable();
        while let Some((index, request)) = requests.next() {
            match request {
                Request::Enqueue(first) => {
                    effects.wakes = true;
                    let mut inserter = Inserter::new(tx.conn, self.clock.as_ref());
                    let mut next = Some((index, &mut **first));
                    while let Some((index, enqueueing)) = next {
                        let ran = Enqueueing::run(enqueueing, &mut inserter);
                        let is_gone = tx.is_gone();
                        if is_gone || ran == Ran::Broken {
                            return Err(Trouble::One { index, is_gone });
                        }
                        has_work |= ran == Ran::Kept;
                        next = match requests
                            .next_if(|(_, next)| matches!(next, Request::Enqueue(_)))
                        {
                            Some((index, Request::Enqueue(next))) => Some((index, &mut **next)),
                            _ => None,
                        };
                    }
                }
                Request::Call(call) => {
                    if !is_alone {
                        tx.run("SAVEPOINT outbox_request").map_err(all)?;
                    }
                    let ran = call.run(tx.conn, &mut effects);
                    if tx.is_gone() {
                        let is_gone = true;
                        return Err(Trouble::One { index, is_gone });
                    }
                    has_work |= ran == Ran::Kept;
                    if !is_alone {
                        if ran != Ran::Kept {
                            tx.run("ROLLBACK TO outbox_request").map_err(all)?;
                        }
                        tx.run("RELEASE outbox_request").map_err(all)?;
                    }
                }
                Request::Closure(call) => {
                    let ran = call.run(tx.conn, &mut effects);
                    // It can be set by a function of the driver, which no authorizer sees.
                    tx.conn.busy_timeout(busy_timeout).map_err(all)?;
                    let is_gone = tx.is_gone();
                    if is_gone {
                        return Err(Trouble::One { index, is_gone });
                    }
                    has_work |= ran == Ran::Kept;
                }
            }
        }
        if !has_work {
            // Nobody wrote anything that is to be kept.
            return tx.roll_back().map_err(all);
        }
        // Before the commit, so that nothing was written when it is told.
        if let Some(file) = identity.gone() {
            let failure = Failure::new(StoreErrorKind::FileReplaced, gone(path, &file));
            return Err(Trouble::All(failure));
        }
        tx.commit().map_err(|error| {
            let code = error.sqlite_error_code();
            let failure = failed(error);
            match code {
                // Nothing was written, and the transaction was rolled back as `tx` was dropped.
                Some(ErrorCode::ConstraintViolation) => Trouble::Somebody(failure),
                Some(ErrorCode::DatabaseBusy) => Trouble::All(failure),
                _ => Trouble::All(failure.unknown()),
            }
        })?;
        self.wakes |= effects.wakes;
        Ok(())
    }
}

/// For a request that took the transaction along and reports success: its statement's error went
/// nowhere.
fn swallowed(path: &std::path::Path) -> Failure {
    Failure::new(
        StoreErrorKind::Other,
        format!(
            "{}: the transaction was rolled back by a statement in it; nothing was written",
            path.display()
        ),
    )
}
