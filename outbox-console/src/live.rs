//! Live updates: a stream of server-sent events for each open page, and one task that looks at the
//! store for all of them, while any is open.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use futures_util::stream;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock as _, OutboxStatistics, Paused};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::figures::Figures;
use crate::stores::Stores;

/// The first event of a stream.
const HELLO: &str = "hello";
/// The counts or the pauses differ from before.
const CHANGE: &str = "change";
/// The only event of a stream that ends at once: the session has as many as it may have.
const BUSY: &str = "busy";

/// The streams of a session at the same time. A browser has six connections to a host, for all of
/// its windows together: with six streams, no window would load any more.
const OF_SESSION: usize = 4;

/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// A look that takes long is followed by a longer pause, so that looking takes a fiftieth of the
/// time.
const SHARE: u32 = 50;
/// The time between two signs of life, which keep proxies from closing the connection.
const BEAT: Duration = Duration::from_secs(15);
/// A stream ends after this time. The browser opens another one, if its session still holds.
const LONGEST: Duration = Duration::from_secs(600);

/// The live streams of a console.
#[derive(Debug)]
pub(crate) struct Live {
    places: Arc<Semaphore>,
    changes: watch::Sender<u64>,
    ended: watch::Sender<bool>,
    /// Whether the task that looks is running. Locked to start and to end it.
    is_looking: Mutex<bool>,
    /// The sessions with streams, and how many each has.
    sessions: Arc<Mutex<HashMap<String, usize>>>,
}

/// A change of these is worth an event.
type Look = (OutboxStatistics, Arc<Vec<Paused>>);

impl Live {
    pub(crate) fn new(streams: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(streams)),
            changes: watch::Sender::new(0),
            ended: watch::Sender::new(false),
            is_looking: Mutex::new(false),
            sessions: Arc::default(),
        }
    }

    /// Ends all streams, now and later.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// The streams that are open.
    pub(crate) fn count(&self) -> usize {
        self.changes.receiver_count()
    }

    /// A place for a stream of this session.
    fn place(&self, session: &str) -> Result<Place, Refused> {
        if *self.ended.borrow() {
            return Err(Refused::ByAll);
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Refused::ByAll)?;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sessions.entry(session.to_owned()).or_default();
        if *count >= OF_SESSION {
            return Err(Refused::BySession);
        }
        *count += 1;
        Ok(Place {
            session: session.to_owned(),
            sessions: Arc::clone(&self.sessions),
            _of_all: place,
        })
    }
}

/// Why there is no place.
enum Refused {
    ByAll,
    BySession,
}

/// A place for one stream, which is free again when the stream is dropped.
struct Place {
    session: String,
    sessions: Arc<Mutex<HashMap<String, usize>>>,
    _of_all: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = sessions.get_mut(&self.session) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            sessions.remove(&self.session);
        }
    }
}

/// One stream.
struct Stream {
    changes: watch::Receiver<u64>,
    ended: watch::Receiver<bool>,
    ends_at: Duration,
    has_begun: bool,
    _place: Place,
}

/// Opens a stream; `None` if there are as many as may be. If only the session has that many, the
/// stream says so and ends; a browser would not ask again after a refusal.
pub(crate) fn open(
    live: &Arc<Live>,
    stores: &Arc<Stores>,
    figures: &Arc<Figures>,
    session: &str,
) -> Option<Body> {
    let place = match live.place(session) {
        Ok(place) => place,
        Err(Refused::ByAll) => return None,
        Err(Refused::BySession) => {
            return Some(Body::from(format!("retry: 10000\n{}", event(BUSY, 0))));
        }
    };
    let stream = Stream {
        changes: live.changes.subscribe(),
        ended: live.ended.subscribe(),
        ends_at: SystemClock.uptime() + LONGEST,
        has_begun: false,
        _place: place,
    };
    let mut is_looking = live
        .is_looking
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if !*is_looking {
        *is_looking = true;
        let (live, stores, figures) = (Arc::clone(live), Arc::clone(stores), Arc::clone(figures));
        tokio::spawn(async move { look_for_all(&live, &stores, &figures).await });
    }
    drop(is_looking);
    let frames = stream::unfold(stream, |mut stream| async move {
        let frame = stream.next().await?;
        Some((Ok::<_, Infallible>(frame), stream))
    });
    Some(Body::from_stream(frames))
}

impl Stream {
    /// The next lines of the stream; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(format!("retry: 3000\n{}", event(HELLO, 0)));
        }
        let left = self.ends_at.saturating_sub(SystemClock.uptime());
        tokio::select! {
            changed = self.changes.changed() => {
                changed.ok()?;
                let number = *self.changes.borrow_and_update();
                Some(event(CHANGE, number))
            }
            _ = self.ended.wait_for(|ended| *ended) => None,
            () = SystemClock.sleep(BEAT.min(left)) => (!left.is_zero()).then(|| ": beat\n\n".to_owned()),
        }
    }
}

/// An event whose name is one of ours and whose data is JSON.
fn event(name: &'static str, number: u64) -> String {
    format!("event: {name}\ndata: {{\"number\":{number}}}\n\n")
}

/// Looks at the store until nobody listens any more.
async fn look_for_all(live: &Live, stores: &Stores, figures: &Figures) {
    let mut ended = live.ended.subscribe();
    // A page that is open may show what was read before the first look.
    let mut before: Option<Look> = figures.last();
    loop {
        {
            let mut is_looking = live
                .is_looking
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if live.count() == 0 || *ended.borrow() {
                *is_looking = false;
                return;
            }
        }
        let began = SystemClock.uptime();
        // A page that fails tells it to its visitor.
        if let Some(look) = look(stores, figures).await {
            let is_awaited = figures.was_awaited();
            if is_awaited || before.as_ref().is_some_and(|before| *before != look) {
                figures.outdate();
                live.changes.send_modify(|number| *number += 1);
            }
            before = Some(look);
        }
        let took = SystemClock.uptime().saturating_sub(began);
        tokio::select! {
            () = SystemClock.sleep(INTERVAL.max(took * SHARE)) => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }
}

/// Pages that are read again after a change show what was found here.
async fn look(stores: &Stores, figures: &Figures) -> Option<Look> {
    let mut store = stores.current().await.ok()?;
    let mut is_renewed = false;
    loop {
        match figures.look(&store).await {
            Ok(look) => return Some(look),
            Err(_) if is_renewed => return None,
            Err(_) => {
                store = stores.renewed(&store).await?.ok()?;
                is_renewed = true;
            }
        }
    }
}
