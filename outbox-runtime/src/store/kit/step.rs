//! The next statement of work, for a driver that the library does not know.

use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;

use super::desk::Desk;

/// The next statement `S` to run for some work, or its result `T`. A driver runs the statement and
/// gives the answer `A` back.
///
/// The work is an `async` function that waits for nothing but the answers to its statements
/// ([`Desk`]). It is polled once per answer, so it needs no runtime, and the driver may be
/// synchronous or asynchronous.
///
/// `SqliteStep` and `outbox_postgres::PostgresStep` are this type with their statements, and have
/// examples.
#[derive(Debug)]
#[must_use = "nothing is done until each statement has run"]
pub enum Step<S, A, T> {
    /// Run this statement, and [answer](Work::answer) with what came of it.
    Run(S, Work<S, A, T>),
    /// The work is done, or has failed.
    Done(T),
}

impl<S, A, T> Step<S, A, T> {
    /// Begins the work that a function makes, up to its first statement.
    pub fn begin(work: impl FnOnce(Desk<S, A>) -> Pin<Box<dyn Future<Output = T> + Send>>) -> Self {
        let desk = Desk::default();
        let work = work(desk.clone());
        Work { work, desk }.go_on()
    }

    /// Runs all statements with a synchronous driver, and returns the result.
    pub fn run_with(self, mut run: impl FnMut(&S) -> A) -> T {
        let mut step = self;
        loop {
            match step {
                Self::Run(statement, work) => step = work.answer(run(&statement)),
                Self::Done(done) => return done,
            }
        }
    }
}

/// Work that waits for the answer to a statement: see [`Step`].
#[must_use = "the work is not done"]
pub struct Work<S, A, T> {
    work: Pin<Box<dyn Future<Output = T> + Send>>,
    desk: Desk<S, A>,
}

impl<S, A, T> Work<S, A, T> {
    /// Goes on with what came of the statement. After a failure the work may still run statements,
    /// to undo what it has written; the failure comes back in the result.
    pub fn answer(self, answer: A) -> Step<S, A, T> {
        self.desk.answer(answer);
        self.go_on()
    }

    fn go_on(mut self) -> Step<S, A, T> {
        match self.desk.go_on(self.work.as_mut()) {
            ControlFlow::Continue(statement) => Step::Run(statement, self),
            ControlFlow::Break(done) => Step::Done(done),
        }
    }
}

impl<S, A, T> fmt::Debug for Work<S, A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}
