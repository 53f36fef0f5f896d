//! What the connections share: the script, and the requests so far.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::reply::Reply;
use super::request::Received;

/// The number of requests that are kept.
const MOST_RECEIVED: usize = 10_000;

#[derive(Debug)]
pub(super) struct State {
    book: Mutex<Book>,
    /// Wakes connections that are late when the service ends.
    ended: Condvar,
    late: watch::Sender<Late>,
}

/// Requests whose replies hang or are late.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Late {
    /// How many are late at this time. One whose client has left counts until that is noticed.
    pub(super) now: usize,
    /// How many ever were.
    pub(super) ever: u64,
}

#[derive(Debug)]
struct Book {
    script: VecDeque<Reply>,
    otherwise: Reply,
    received: Vec<Received>,
    has_ended: bool,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            book: Mutex::new(Book {
                script: VecDeque::new(),
                otherwise: Reply::ok(),
                received: Vec::new(),
                has_ended: false,
            }),
            ended: Condvar::new(),
            late: watch::Sender::new(Late::default()),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that holds the lock can panic in the middle of a change.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, reply: Reply) {
        self.book().script.push_back(reply);
    }

    pub(super) fn set_otherwise(&self, reply: Reply) {
        self.book().otherwise = reply;
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.book().received.clone()
    }

    pub(super) fn replies_left(&self) -> usize {
        self.book().script.len()
    }

    pub(super) fn clear(&self) {
        let book = &mut *self.book();
        book.script.clear();
        book.received.clear();
    }

    /// Records a request, and takes its reply in the same moment, so that the order of both is one.
    pub(super) fn answer(&self, request: Received) -> Reply {
        let book = &mut *self.book();
        if book.received.len() >= MOST_RECEIVED {
            return Reply::status(507);
        }
        book.received.push(request);
        book.script
            .pop_front()
            .unwrap_or_else(|| book.otherwise.clone())
    }

    pub(super) fn late(&self) -> watch::Receiver<Late> {
        self.late.subscribe()
    }

    /// Waits for `delay`, or forever without one; less if the service ends, or if `has_left` says
    /// that the client did. Returns whether the reply is to be sent.
    pub(super) fn be_late(
        &self,
        delay: Option<Duration>,
        mut has_left: impl FnMut() -> bool,
    ) -> bool {
        /// How often a client is looked at that may have left.
        const STEP: Duration = Duration::from_millis(50);
        self.late.send_modify(|late| {
            late.now += 1;
            late.ever += 1;
        });
        let mut left = delay;
        let is_due = loop {
            if left.is_some_and(|left| left.is_zero()) {
                break true;
            }
            let step = left.map_or(STEP, |left| left.min(STEP));
            let waited = self
                .ended
                .wait_timeout_while(self.book(), step, |book| !book.has_ended);
            let has_ended = waited.is_ok_and(|(book, _)| book.has_ended);
            if has_ended || has_left() {
                break false;
            }
            left = left.map(|left| left.saturating_sub(step));
        };
        self.late
            .send_modify(|late| late.now = late.now.saturating_sub(1));
        is_due
    }

    pub(super) fn has_ended(&self) -> bool {
        self.book().has_ended
    }

    /// Ends every connection that is late.
    pub(super) fn end(&self) {
        self.book().has_ended = true;
        self.ended.notify_all();
    }
}
