//! One transaction for requests that share it, in which each fails alone.
//!
//! A failed request is rolled back to its savepoint. If that is not enough, the transaction is
//! rolled back, and the other requests run again without the failed one: when SQLite rolled back
//! everything (`ON CONFLICT ROLLBACK`, a storage fault), when an insert without a savepoint failed
//! after it may have written, and when the commit violates a constraint. When a statement with the
//! events of several requests violates a constraint, all run again, each with a statement of its
//! own; when the storage fails beneath it, all fail.

use rusqlite::ErrorCode;

use super::committer::Committer;
use super::effects::Effects;
use super::request::{Enqueueing, Failure, Ran, Request, is_broken_constraint};
use super::transaction::Transaction;
use crate::error::StoreErrorKind;
use crate::store::sqlite::connect::WriterConnection;
use crate::store::sqlite::fault::{describe, gone};
use crate::store::sqlite::insert::Inserter;
use crate::store::sqlite::rows::ROWS;
use crate::store::sqlite::schema;

/// Why a transaction did not commit.
enum Trouble {
    /// The failure concerns all requests.
    All(Failure),
    /// The request at this index broke the transaction.
    One { index: usize, is_gone: bool },
    /// Some request violated a constraint that is checked at the commit.
    Constraint(Failure),
    /// One of several events in a statement may have broken it.
    Several,
    /// The storage failed beneath a statement with several events, and would fail beneath each.
    Storage(Failure),
}

/// How events are written that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inserting {
    /// Several in a statement, where possible.
    Together,
    /// Each by itself.
    Singly,
}

impl Committer {
    /// Runs all `requests`, in one commit if nothing fails. Afterwards their answers are ready, but
    /// not yet sent.
    pub(super) fn commit(&mut self, requests: &mut [Request]) {
        // The parts still to run, the last one first.
        let mut parts = vec![(requests, Inserting::Together)];
        while let Some((part, inserting)) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.attempt(part, inserting) {
                Ok(()) => {}
                Err(Trouble::Several) => parts.push((part, Inserting::Singly)),
                Err(Trouble::All(mut failure)) => {
                    fail_all(part, &mut failure);
                    if failure.is_unknown() {
                        self.reopen();
                    }
                }
                Err(Trouble::Storage(mut failure)) => {
                    fail_all(part, &mut failure);
                    self.reopen();
                }
                Err(Trouble::Constraint(mut failure)) => match part {
                    [one] => one.fail(&mut failure),
                    several => {
                        let (first, second) = several.split_at_mut(several.len() / 2);
                        parts.extend([(second, inserting), (first, inserting)]);
                    }
                },
                Err(Trouble::One { index, is_gone }) => {
                    let (before, rest) = part.split_at_mut(index);
                    if let [one, after @ ..] = rest {
                        let is_sound = !is_gone || one.broke_a_constraint();
                        one.fail(&mut swallowed(&self.path));
                        parts.extend([(after, inserting), (before, inserting)]);
                        if !is_sound {
                            self.reopen();
                        }
                    }
                }
            }
        }
    }

    /// Runs one request. Returns false, and has written nothing, if it is to run again: another
    /// connection has the write lock, or the request failed in a way that takes more than a
    /// rollback.
    pub(super) fn commit_once(&mut self, request: &mut Request) -> bool {
        // It stays so if the attempt panics.
        self.is_suspect = true;
        let attempted = self.attempt(std::slice::from_mut(request), Inserting::Singly);
        self.is_suspect = false;
        match attempted {
            Ok(()) => true,
            Err(Trouble::All(mut failure)) if failure.is_unknown() => {
                request.fail(&mut failure);
                self.is_suspect = true;
                true
            }
            Err(_) => false,
        }
    }

    /// Runs `requests` in one transaction.
    fn attempt(&mut self, requests: &mut [Request], inserting: Inserting) -> Result<(), Trouble> {
        let WriterConnection {
            conn,
            gate,
            identity,
            ..
        } = &mut self.connection;
        let path = &self.path;
        let failed = |error: rusqlite::Error| match identity.gone() {
            // A replaced file explains every other error.
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
        // A single request needs no savepoint: the transaction is rolled back with it.
        let is_alone = requests.len() == 1;
        let mut has_work = false;
        let mut requests = requests.iter_mut().enumerate().peekable();
        while let Some((index, request)) = requests.next() {
            match request {
                Request::Enqueue(first) => {
                    effects.wakes = true;
                    let mut events = vec![&mut **first];
                    while let Some((_, Request::Enqueue(next))) =
                        requests.next_if(|(_, next)| matches!(next, Request::Enqueue(_)))
                    {
                        events.push(next);
                    }
                    let mut inserter = Inserter::new(tx.conn, self.clock.as_ref());
                    let broken = |error| match tx.is_gone() && !is_broken_constraint(&error) {
                        true => Trouble::Storage(failed(error)),
                        false => Trouble::Several,
                    };
                    has_work |= match inserting {
                        Inserting::Together => {
                            insert_all(&mut events, &mut inserter, index, &tx, broken)?
                        }
                        Inserting::Singly => insert_each(&mut events, &mut inserter, index, &tx)?,
                    };
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
                    // The closure can change it through a function of the driver, which the
                    // authorizer does not see.
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
            // No request wrote anything to keep.
            return tx.roll_back().map_err(all);
        }
        // Checked before the commit, so that nothing is written when this fails.
        if let Some(file) = identity.gone() {
            let failure = Failure::new(StoreErrorKind::FileReplaced, gone(path, &file));
            return Err(Trouble::All(failure));
        }
        tx.commit().map_err(|error| {
            let code = error.sqlite_error_code();
            let failure = failed(error);
            match code {
                // Nothing was written: dropping `tx` rolled back the transaction.
                Some(ErrorCode::ConstraintViolation) => Trouble::Constraint(failure),
                Some(ErrorCode::DatabaseBusy) => Trouble::All(failure),
                _ => Trouble::All(failure.unknown()),
            }
        })?;
        self.wakes |= effects.wakes;
        Ok(())
    }
}

/// Runs requests that follow each other and enqueue, several in a statement where possible. `first`
/// is the index of the first of them, and `broken` tells what the failure of a statement means.
/// Returns whether there is anything to keep.
fn insert_all(
    requests: &mut [&mut Enqueueing],
    inserter: &mut Inserter<'_>,
    first: usize,
    tx: &Transaction<'_>,
    broken: impl Fn(rusqlite::Error) -> Trouble,
) -> Result<bool, Trouble> {
    let mut has_work = false;
    for (nth, several) in requests.chunks_mut(ROWS).enumerate() {
        let events: Vec<_> = several.iter().map(|request| &request.event).collect();
        match inserter.insert_several(&events).map_err(&broken)? {
            Some(answers) => {
                for (request, answer) in several.iter_mut().zip(answers) {
                    has_work |= request.answered(answer) == Ran::Kept;
                }
            }
            None => has_work |= insert_each(several, inserter, first + nth * ROWS, tx)?,
        }
    }
    Ok(has_work)
}

/// Runs requests that follow each other and enqueue, one by one. `first` is the index of the first
/// of them. Returns whether there is anything to keep.
fn insert_each(
    requests: &mut [&mut Enqueueing],
    inserter: &mut Inserter<'_>,
    first: usize,
    tx: &Transaction<'_>,
) -> Result<bool, Trouble> {
    let mut has_work = false;
    for (nth, request) in requests.iter_mut().enumerate() {
        let ran = request.run(inserter);
        let is_gone = tx.is_gone();
        if is_gone || ran == Ran::Broken {
            let index = first + nth;
            return Err(Trouble::One { index, is_gone });
        }
        has_work |= ran == Ran::Kept;
    }
    Ok(has_work)
}

fn fail_all(requests: &mut [Request], failure: &mut Failure) {
    for request in requests {
        request.fail(failure);
    }
}

/// The failure of a request that broke the transaction but reports success: it discarded its
/// statement's error.
fn swallowed(path: &std::path::Path) -> Failure {
    Failure::new(
        StoreErrorKind::Other,
        format!(
            "{}: a statement rolled back the whole transaction; nothing was written",
            path.display()
        ),
    )
}
