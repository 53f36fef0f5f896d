//! Work that others run statements for.

use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Where work leaves its statements `S`, and finds their answers `A`: an `async` function asks, and
/// the [`Step`](super::Step) that polls it answers.
///
/// Clones share the place. One statement is under way at a time.
pub struct Desk<S, A>(Arc<Mutex<Papers<S, A>>>);

struct Papers<S, A> {
    statement: Option<S>,
    answer: Option<A>,
}

impl<S, A> Desk<S, A> {
    /// Leaves a statement, and waits for its answer. For the work.
    pub async fn ask(&self, statement: S) -> A {
        self.papers().statement = Some(statement);
        poll_fn(|_| match self.papers().answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        })
        .await
    }

    /// Leaves the answer to the last statement. For the driver.
    pub(super) fn answer(&self, answer: A) {
        self.papers().answer = Some(answer);
    }

    /// Goes on with the work, which must wait for nothing but answers: to its next statement, or to
    /// its end. For the driver.
    pub(super) fn go_on<T>(
        &self,
        mut work: Pin<&mut (dyn Future<Output = T> + Send + '_)>,
    ) -> ControlFlow<T, S> {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return ControlFlow::Break(done);
            }
            if let Some(statement) = self.papers().statement.take() {
                return ControlFlow::Continue(statement);
            }
        }
    }

    fn papers(&self) -> MutexGuard<'_, Papers<S, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, A> Default for Desk<S, A> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Papers {
            statement: None,
            answer: None,
        })))
    }
}

impl<S, A> Clone for Desk<S, A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, A> fmt::Debug for Desk<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
