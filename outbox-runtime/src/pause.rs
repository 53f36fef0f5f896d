//! Pauses: the controls with which an operator holds events back.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::claim::{EventTypes, Selector};
use crate::event::OutboxEvent;

/// A request to hold events back, for [`OutboxRepository::pause`](crate::OutboxRepository::pause).
///
/// The guide: [operating](https://docs.rs/outbox-guide/latest/outbox_guide/operating/).
///
/// # Examples
///
/// ```
/// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository, Pause, PauseScope};
/// use outbox_runtime::store::{ClaimRequest, OutboxQueue as _};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// store.create_event(NewEvent::new("note", 7, "user-1", Operation::Update)).await?;
///
/// let pause = Pause::user("user-1").because("support case 4711").by("ada");
/// store.pause(&pause).await?;
/// let request = ClaimRequest::new(10, Duration::from_secs(60));
/// assert!(store.claim(&request).await?.is_empty());
/// let explanation = store.explain(&7.into(), None).await?;
/// assert!(explanation.to_string().contains("support case 4711"), "{explanation}");
///
/// assert!(store.unpause(&PauseScope::User("user-1".into())).await?);
/// assert_eq!(store.claim(&request).await?.len(), 1);
/// # Ok(())
/// # }
/// ```
///
/// By destination and type; with an end:
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{Clock, Pause};
/// use outbox_runtime::store::SystemClock;
///
/// let tonight = SystemClock.now() + Duration::from_secs(8 * 3600);
/// let maintenance = Pause::destination("eu.example.com").because("maintenance").until(tonight);
/// let broken_type = Pause::event_type("goal").because("bug 4711").by("ada");
/// let stop = Pause::everything();
/// # drop((maintenance, broken_type, stop));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a pause holds nothing back until a store has it"]
pub struct Pause {
    scope: PauseScope,
    by: Option<String>,
    because: Option<String>,
    until: Option<DateTime<Utc>>,
}

/// The events that a pause holds back.
///
/// # Examples
///
/// ```
/// use outbox_runtime::PauseScope;
///
/// // As a tool keeps it in two columns.
/// let scope = PauseScope::EventType("goal".to_owned());
/// let (kind, name) = (scope.kind(), scope.name());
/// assert_eq!((kind, name), ("event_type", "goal"));
/// assert_eq!(PauseScope::from_parts(kind, name), Some(scope));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PauseScope {
    /// All events.
    Everything,
    /// The events of this type.
    EventType(String),
    /// The events of this user.
    User(String),
    /// The events to this destination.
    Destination(String),
}

/// A pause in effect, as returned by [`OutboxRepository::paused`](crate::OutboxRepository::paused).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{OutboxRepository, Paused, StoreError};
/// # async fn list(store: &dyn OutboxRepository) -> Result<(), StoreError> {
/// let paused: Vec<Paused> = store.paused().await?;
/// for pause in paused {
///     let reason = pause.because.as_deref().unwrap_or("no reason given");
///     println!("{} {} since {}: {reason}", pause.scope.kind(), pause.scope.name(), pause.since);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Paused {
    /// The events that it holds back.
    pub scope: PauseScope,
    /// When it began, by the clock of the store.
    pub since: DateTime<Utc>,
    /// The person or program that asked for it, if named.
    pub by: Option<String>,
    /// The reason, if given.
    pub because: Option<String>,
    /// When it ends by itself; `None`: not until it is [lifted](crate::OutboxRepository::unpause).
    pub until: Option<DateTime<Utc>>,
}

impl Pause {
    /// The maximum length of the reason, in bytes.
    pub const MAX_REASON_BYTES: usize = 1_000;

    /// Holds back the events of this scope.
    pub fn new(scope: PauseScope) -> Self {
        Self {
            scope,
            by: None,
            because: None,
            until: None,
        }
    }

    /// Holds back all events.
    pub fn everything() -> Self {
        Self::new(PauseScope::Everything)
    }

    /// Holds back the events of this type.
    pub fn event_type(event_type: impl Into<String>) -> Self {
        Self::new(PauseScope::EventType(event_type.into()))
    }

    /// Holds back the events of this user.
    pub fn user(user_id: impl Into<String>) -> Self {
        Self::new(PauseScope::User(user_id.into()))
    }

    /// Holds back the events to this destination.
    pub fn destination(destination: impl Into<String>) -> Self {
        Self::new(PauseScope::Destination(destination.into()))
    }

    /// Names the person or program that asks for the pause. Default: nobody.
    pub fn by(mut self, by: impl Into<String>) -> Self {
        self.by = Some(by.into());
        self
    }

    /// Gives the reason. Default: none.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.because = Some(reason.into());
        self
    }

    /// Ends the pause by itself at this time, by the clock of the store. Default: it lasts until it
    /// is [lifted](crate::OutboxRepository::unpause).
    pub fn until(mut self, until: DateTime<Utc>) -> Self {
        self.until = Some(until);
        self
    }

    /// The events that it holds back.
    #[must_use]
    pub fn scope(&self) -> &PauseScope {
        &self.scope
    }

    /// The pause that begins at `now`. For stores.
    #[must_use]
    pub fn begin(&self, now: DateTime<Utc>) -> Paused {
        Paused {
            since: now,
            scope: self.scope.clone(),
            by: self.by.clone(),
            because: self.because.clone(),
            until: self.until,
        }
    }
}

impl PauseScope {
    /// The kind of scope as one word: `everything`, `event_type`, `user` or `destination`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::EventType(_) => "event_type",
            Self::User(_) => "user",
            Self::Destination(_) => "destination",
        }
    }

    /// The name of the event type, user or destination; empty for everything.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Everything => "",
            Self::EventType(name) | Self::User(name) | Self::Destination(name) => name,
        }
    }

    /// The scope with this [kind](Self::kind) and [name](Self::name). `None` for an unknown kind.
    #[must_use]
    pub fn from_parts(kind: &str, name: impl Into<String>) -> Option<Self> {
        match kind {
            "everything" => Some(Self::Everything),
            "event_type" => Some(Self::EventType(name.into())),
            "user" => Some(Self::User(name.into())),
            "destination" => Some(Self::Destination(name.into())),
            _ => None,
        }
    }

    /// Whether the event is one of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{MemoryStore, NewEvent, Operation, OutboxRepository, PauseScope};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let event = NewEvent::new("goal", 7, "user-1", Operation::Update);
    /// let event = MemoryStore::new().create_event(event).await?;
    /// assert!(PauseScope::User("user-1".to_owned()).contains(&event));
    /// assert!(!PauseScope::EventType("mood".to_owned()).contains(&event));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn contains(&self, event: &OutboxEvent) -> bool {
        match self {
            Self::Everything => true,
            Self::EventType(event_type) => *event_type == event.event_type,
            Self::User(user_id) => *user_id == event.user_id,
            Self::Destination(to) => event.destination.as_ref() == Some(to),
        }
    }

    /// The selector of its events, for the exclusions of a claim. For stores.
    pub fn selector(&self) -> Selector {
        let all = Selector::new();
        match self {
            Self::Everything => all,
            Self::EventType(event_type) => {
                all.event_types(EventTypes::Only(vec![event_type.clone()]))
            }
            Self::User(user_id) => all.user(user_id),
            Self::Destination(to) => all.destination(Some(to)),
        }
    }
}

impl Paused {
    /// Whether the pause has not ended by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::{OutboxRepository, StoreError};
    /// # async fn list(store: &dyn OutboxRepository) -> Result<(), StoreError> {
    /// let paused = store.paused().await?;
    /// let now = store.clock().now();
    /// assert!(paused.iter().all(|pause| pause.is_in_effect(now)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_in_effect(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl fmt::Display for PauseScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::EventType(name) => write!(f, "event type {name:?}"),
            Self::User(name) => write!(f, "user {name:?}"),
            Self::Destination(name) => write!(f, "destination {name:?}"),
        }
    }
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the pause of {} since {}", self.scope, self.since)?;
        if let Some(by) = &self.by {
            write!(f, " by {by}")?;
        }
        if let Some(until) = &self.until {
            write!(f, " until {until}")?;
        }
        match &self.because {
            Some(because) => write!(f, ": {because}"),
            None => Ok(()),
        }
    }
}
