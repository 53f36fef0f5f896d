//! The newest events of a filter: pages list the oldest first, so this reads windows of rows, each
//! older than the one before, until there are enough.

use outbox_runtime::store::{Page, PageKey};
use outbox_runtime::{EventFilter, OutboxEvent, OutboxRepository, StoreError};

use crate::pages::PAGE;

/// The newest events that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Newest {
    /// The newest first.
    pub events: Vec<OutboxEvent>,
    /// The `seq` up to which older events are still to be looked at. `None`: there are no others.
    pub next: Option<i64>,
}

/// Returns the newest events that the filter selects, at most `most`, of those up to the `seq`
/// `from`, or of all. Each read is a short transaction of its own; after the first `most` rows,
/// `go_on` tells before each whether there is time for it.
///
/// # Errors
///
/// The errors of the store.
pub async fn newest<G>(
    store: &dyn OutboxRepository,
    filter: &EventFilter,
    from: Option<i64>,
    most: usize,
    go_on: G,
) -> Result<Newest, StoreError>
where
    G: Fn() -> bool + Send + Sync,
{
    let most = most.max(1);
    let Some((lowest, highest)) = ends(store).await? else {
        return Ok(Newest::default());
    };
    let mut found = Newest::default();
    let mut until = from.map_or(highest, |from| from.min(highest));
    // As many rows as may be listed hold no more events than that.
    let mut width = rows(most);
    let mut is_first = true;
    while until >= lowest {
        let left = most - found.events.len();
        let (first, go_on) = (is_first, &go_on);
        let go_on = move || first || go_on();
        if left == 0 || !go_on() {
            found.next = Some(until);
            break;
        }
        is_first = false;
        let after = until.saturating_sub(width).max(lowest.saturating_sub(1));
        let window = PageKey::new(after, until);
        let events = match read(store, filter, window, left, &go_on).await? {
            Window::Read(events) => events,
            Window::Full => {
                width = rows(left);
                continue;
            }
            Window::OutOfTime => {
                found.next = Some(until);
                break;
            }
        };
        // Wide enough for what is left, as far as this window tells.
        let (count, left) = (rows(events.len()), rows(left - events.len()));
        let expected = width.saturating_mul(left) / count;
        width = expected.clamp(left, width.saturating_mul(2).max(left));
        found.events.extend(events.into_iter().rev());
        until = after;
    }
    Ok(found)
}

/// The rows of a window, or a number of events as such a number.
fn rows(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX).max(1)
}

/// The `seq` of the first and of the last row.
async fn ends(store: &dyn OutboxRepository) -> Result<Option<(i64, i64)>, StoreError> {
    let all = EventFilter::default();
    let mut key = None;
    loop {
        let Page { events, next, .. } = store.page(&all, key, 1).await?;
        match (events.first(), next.or(key)) {
            (Some(first), Some(key)) => return Ok(Some((first.seq, key.until()))),
            (Some(only), None) => return Ok(Some((only.seq, only.seq))),
            (None, _) if next.is_none() => return Ok(None),
            (None, _) => key = next,
        }
    }
}

/// The outcome of a look at a window.
enum Window {
    /// All its events, the oldest first.
    Read(Vec<OutboxEvent>),
    /// It has more than are wanted.
    Full,
    OutOfTime,
}

async fn read<G>(
    store: &dyn OutboxRepository,
    filter: &EventFilter,
    window: PageKey,
    most: usize,
    go_on: &G,
) -> Result<Window, StoreError>
where
    G: Fn() -> bool + Send + Sync,
{
    let mut found = Vec::new();
    let mut key = Some(window);
    while key.is_some() {
        if !go_on() {
            return Ok(Window::OutOfTime);
        }
        let limit = (most - found.len()).saturating_add(1).min(PAGE);
        let page = store.page(filter, key, limit).await?;
        found.extend(page.events);
        if found.len() > most {
            return Ok(Window::Full);
        }
        key = page.next;
    }
    Ok(Window::Read(found))
}
