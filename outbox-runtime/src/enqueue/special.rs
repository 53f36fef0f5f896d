//! Events with a key, with parents, and events that expire: how they are made.

use chrono::{DateTime, Utc};

use super::extras::{Expiry, Extras, OnSameKey};
use super::{Enqueue, NewEvent};
use crate::clock;
use crate::entity::{EntityId, OutboxEntity, Parent};

impl<User> Enqueue<User> {
    /// Gives the event a key: it replaces the event of its user that has the same key and was never
    /// claimed, whatever the type and the entity of either. At most
    /// [`MAX_KEY_BYTES`](NewEvent::MAX_KEY_BYTES), not empty, without control characters.
    /// [`on_same_key`](Self::on_same_key) can keep the waiting event instead. Default: none.
    ///
    /// The replaced event is gone: it is never sent, no hook hears of it, and to enqueue its id
    /// again has no effect. The new event stands at the end of its own lane; the lane of the
    /// replaced one goes on without it. An event that was claimed, even if it was given back, may
    /// have reached the service: it stays, and the new event is enqueued beside it.
    ///
    /// An event with a key takes no part in [coalescing](crate::Coalesce).
    ///
    /// The guide: [keys](https://docs.rs/outbox-guide/latest/outbox_guide/keys/).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "profile")]
    /// # struct Profile { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] avatar: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// for avatar in ["cat.png", "dog.png"] {
    ///     let profile = Profile { id: 1, user_id: "user-1".into(), avatar: avatar.into() };
    ///     profile.enqueue_update().key("avatar").on(&store).await?;
    /// }
    /// let waiting = store.fetch_pending_events(None, None).await?;
    /// assert_eq!(waiting.len(), 1);
    /// assert_eq!(waiting[0].dedup_key.as_deref(), Some("avatar"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.event = self.event.with_key(key);
        self
    }

    /// Sets what happens to a waiting event with the same [key](Self::key). Without a key it has no
    /// effect. Default: it is replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// use outbox_runtime::OnSameKey;
    ///
    /// // A refresh that already waits is enough.
    /// for _ in 0..3 {
    ///     goal.enqueue_update().key("refresh").on_same_key(OnSameKey::Keep).on(&store).await?;
    /// }
    /// assert_eq!(store.statistics(None).await?.pending_count, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_same_key(mut self, on_same_key: OnSameKey) -> Self {
        self.event = self.event.with_on_same_key(on_same_key);
        self
    }

    /// Sets the time at which the event expires: from then on it is neither sent nor retried.
    /// `None`: never. Default: the entity's `expires_after`, counted from the time of enqueueing;
    /// without that, never.
    ///
    /// The claim that finds the event expired makes it a dead letter with the reason
    /// [`Expired`](crate::DeadReason::Expired), or deletes it, as the `on_expiry` of its type says.
    /// Neither holds back the events behind it. No retry and no snooze is scheduled beyond this
    /// time. An attempt that began before it ends normally. By the clock of the store.
    ///
    /// An event that expires takes no part in [coalescing](crate::Coalesce).
    ///
    /// The guide: [expiry](https://docs.rs/outbox-guide/latest/outbox_guide/expiry/).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # use std::time::Duration;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "goal")]
    /// # struct Goal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String, #[outbox(metadata)] title: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let goal = Goal { id: 7, user_id: "user-1".into(), title: "Swim".into() };
    /// let in_an_hour = store.clock().now() + Duration::from_secs(3600);
    /// goal.enqueue_update().expires_at(in_an_hour).on(&store).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn expires_at(mut self, time: impl Into<Option<DateTime<Utc>>>) -> Self {
        self.event = self.event.with_expiry(time.into().map(Expiry::At));
        self
    }

    /// Adds a parent: the event waits until the creation of that entity was delivered. Of type `P`,
    /// or of one of its aliases, with this id, and of the same user. `#[outbox(after = P)]` on the
    /// field that holds the id does the same for every event of a type.
    ///
    /// The event waits for the creations that the store has when it finds the event's place, and
    /// that were enqueued before it: a creation that is enqueued later is not waited for, so no two
    /// events wait for each other. If there is none, because it was delivered, or never enqueued,
    /// the event waits for nothing. A creation that is deleted, canceled or replaced by another
    /// event, or that expires, frees the event; one that its [key](Self::key) replaces by a
    /// creation of the same entity leaves it waiting for that one. Where it is a dead letter, the
    /// `on_dead` of this event decides: with [`Hold`](crate::OnDead::Hold) the event waits until
    /// the creation is retried or discarded, with [`Skip`](crate::OnDead::Skip) it goes on.
    ///
    /// The events behind this one in its lane wait as well. At most [`Parent::MOST`] parents.
    ///
    /// The guide: [parents](https://docs.rs/outbox-guide/latest/outbox_guide/parents/).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "journal")]
    /// # struct Journal { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "page")]
    /// # struct Page { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let journal = Journal { id: 7, user_id: "user-1".into() };
    /// # let page = Page { id: 1, user_id: "user-1".into() };
    /// journal.enqueue_create().on(&store).await?;
    /// page.enqueue_create().after::<Journal>(7).on(&store).await?;
    ///
    /// let why = store.explain(&1.into(), None).await?.to_string();
    /// assert!(why.contains("which creates journal 7"), "{why}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn after<P: OutboxEntity>(mut self, entity_id: impl Into<EntityId>) -> Self {
        self.event = self.event.with_parent(Parent::of::<P>(entity_id));
        self
    }
}

impl NewEvent {
    /// Sets the key: see [`Enqueue::key`]. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{NewEvent, Operation};
    ///
    /// let event = NewEvent::new("reading", 3, "plant-1", Operation::Update).with_key("latest");
    /// assert_eq!(event.key(), Some("latest"));
    /// ```
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.extras_mut().key = Some(key.into());
        self
    }

    /// Sets what happens to a waiting event with the same key. Default: it is replaced. See
    /// [`OnSameKey`] for an example.
    pub fn with_on_same_key(mut self, on_same_key: OnSameKey) -> Self {
        self.extras_mut().on_same_key = on_same_key;
        self
    }

    /// Sets when the event expires: see [`Enqueue::expires_at`]. Default: never. See [`Expiry`] for
    /// an example.
    pub fn with_expiry(mut self, expiry: impl Into<Option<Expiry>>) -> Self {
        let expiry = expiry.into();
        if expiry.is_some() || self.extras.is_some() {
            self.extras_mut().expiry = expiry.map(|expiry| match expiry {
                Expiry::At(time) => Expiry::At(clock::to_micros(time)),
                after @ Expiry::After(_) => after,
            });
        }
        self
    }

    /// Adds a parent, the entity of this type with this id: see [`Enqueue::after`]. Default: none.
    ///
    /// See [`with_parent`](Self::with_parent) for an example.
    pub fn with_after(self, event_type: impl Into<String>, entity_id: impl Into<EntityId>) -> Self {
        self.with_parent(Parent::new(event_type, entity_id))
    }

    /// Adds a parent: see [`Enqueue::after`]. One that it has already is not added again. Default:
    /// none.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{NewEvent, Operation, Parent};
    ///
    /// let event = NewEvent::new("reading", 3, "plant-1", Operation::Create)
    ///     .with_parent(Parent::new("sensor", 12))
    ///     .with_after("plant", "plant-1"); // the same for a type and an id
    /// assert_eq!(event.parents(), [Parent::new("sensor", 12), Parent::new("plant", "plant-1")]);
    /// ```
    pub fn with_parent(mut self, parent: Parent) -> Self {
        let parents = &mut self.extras_mut().parents;
        if !parents.contains(&parent) {
            parents.push(parent);
        }
        self
    }

    /// The entities whose creations must be delivered before the event. See
    /// [`with_parent`](Self::with_parent) for an example.
    #[must_use]
    pub fn parents(&self) -> &[Parent] {
        let extras = self.extras.as_deref();
        extras.map_or(&[], |extras| &extras.parents)
    }

    /// The key that it shares with other events of its user. See [`with_key`](Self::with_key) for
    /// an example.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.extras.as_deref()?.key.as_deref()
    }

    /// The effect on a waiting event with the same key. See [`OnSameKey`] for an example.
    #[must_use]
    pub fn on_same_key(&self) -> OnSameKey {
        let extras = self.extras.as_deref();
        extras.map_or(OnSameKey::Replace, |extras| extras.on_same_key)
    }

    /// When the event expires, if it does. See [`Expiry`] for an example.
    #[must_use]
    pub fn expiry(&self) -> Option<Expiry> {
        self.extras.as_deref()?.expiry
    }

    /// Whether the event has a key or parents, or expires. A store writes such an event by itself.
    /// For stores.
    #[must_use]
    pub fn is_special(&self) -> bool {
        let extras = self.extras.as_deref();
        extras.is_some_and(|extras| {
            extras.key.is_some() || extras.expiry.is_some() || !extras.parents.is_empty()
        })
    }

    /// Whether the event has a key or expires, and so takes no part in coalescing.
    pub(crate) fn never_folds(&self) -> bool {
        self.key().is_some() || self.expiry().is_some()
    }

    /// The due time of the event if it is enqueued at `now`: after its delay, but not later than it
    /// expires, so that the run wakes for that. For stores.
    #[must_use]
    pub fn due(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let due = clock::after(now, self.delay);
        match self.expiry() {
            Some(expiry) => due.min(expiry.of(now).max(now)),
            None => due,
        }
    }

    pub(super) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}
