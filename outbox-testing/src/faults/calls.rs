//! The methods of a store, listed once for every wrapper.

use std::fmt;

/// Passes the methods of each trait of a store to `$then!`, in two calls that begin with the
/// trait's name.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_calls {
    ($then:ident) => {
        $crate::__repository_calls! { $then OutboxRepository: }
        $crate::__queue_calls! { $then OutboxQueue: }
    };
}

/// The methods of `OutboxRepository`, after the given tokens.
#[doc(hidden)]
#[macro_export]
macro_rules! __repository_calls {
    ($then:ident $($before:tt)*) => {
        $then! {
            $($before)*
            CreateEvent: create_event(event: $crate::__runtime::NewEvent) -> $crate::__runtime::OutboxEvent, $crate::__runtime::EnqueueError;
            FetchPendingEvents: fetch_pending_events(user_id: Option<&str>, limit: Option<usize>) -> Vec<$crate::__runtime::OutboxEvent>, $crate::__runtime::StoreError;
            FetchEvents: fetch_events(status: $crate::__runtime::OutboxStatus, user_id: Option<&str>, limit: Option<usize>) -> Vec<$crate::__runtime::OutboxEvent>, $crate::__runtime::StoreError;
            FetchEvent: fetch_event(id: ::uuid::Uuid) -> Option<$crate::__runtime::OutboxEvent>, $crate::__runtime::StoreError;
            FetchEventsForEntity: fetch_events_for_entity(entity_id: &$crate::__runtime::EntityId, event_type: Option<&str>, user_id: Option<&str>) -> Vec<$crate::__runtime::OutboxEvent>, $crate::__runtime::StoreError;
            Attempts: attempts(id: ::uuid::Uuid) -> Vec<$crate::__runtime::PastAttempt>, $crate::__runtime::StoreError;
            Page: page(filter: &$crate::__runtime::EventFilter, from: Option<$crate::__runtime::store::PageKey>, limit: usize) -> $crate::__runtime::store::Page, $crate::__runtime::StoreError;
            UpdateEvent: update_event(event: &$crate::__runtime::OutboxEvent) -> (), $crate::__runtime::StoreError;
            MarkAsProcessing: mark_as_processing(id: ::uuid::Uuid, lease: ::std::time::Duration) -> $crate::__runtime::store::Claim, $crate::__runtime::StoreError;
            MarkAsCompleted: mark_as_completed(lease: &$crate::__runtime::store::Lease) -> $crate::__runtime::store::Settled, $crate::__runtime::StoreError;
            MarkAsFailed: mark_as_failed(lease: &$crate::__runtime::store::Lease, error: &str) -> $crate::__runtime::store::Settled, $crate::__runtime::StoreError;
            CompleteEvent: complete_event(completion: $crate::__runtime::store::Completion, next: Option<$crate::__runtime::NewEvent>) -> Option<$crate::__runtime::Enqueued>, $crate::__runtime::CompleteError;
            ResetForRetry: reset_for_retry(ids: &[::uuid::Uuid]) -> u64, $crate::__runtime::StoreError;
            ReassignUser: reassign_user(from: &str, to: &str) -> u64, $crate::__runtime::StoreError;
            DeleteCompletedEvents: delete_completed_events(older_than: ::chrono::DateTime<::chrono::Utc>) -> u64, $crate::__runtime::StoreError;
            OldestCompleted: oldest_completed() -> Option<::chrono::DateTime<::chrono::Utc>>, $crate::__runtime::StoreError;
            DeleteEvent: delete_event(id: ::uuid::Uuid) -> bool, $crate::__runtime::StoreError;
            Discard: discard(ids: &[::uuid::Uuid]) -> u64, $crate::__runtime::StoreError;
            DeleteSeen: delete_seen(seen: &[$crate::__runtime::OutboxEvent], unit: $crate::__runtime::store::DeleteUnit) -> u64, $crate::__runtime::StoreError;
            DeleteEventsForEntities: delete_events_for_entities(entity_ids: &[$crate::__runtime::EntityId], user_id: Option<&str>) -> u64, $crate::__runtime::StoreError;
            Cancel: cancel(cancel: &$crate::__runtime::Cancel) -> $crate::__runtime::Canceled, $crate::__runtime::StoreError;
            DeleteAllEventsForUser: delete_all_events_for_user(user_id: &str) -> u64, $crate::__runtime::StoreError;
            Statistics: statistics(user_id: Option<&str>) -> $crate::__runtime::OutboxStatistics, $crate::__runtime::StoreError;
            Breakdown: breakdown(user_id: Option<&str>, most: usize) -> $crate::__runtime::Breakdown, $crate::__runtime::StoreError;
            OldestDue: oldest_due() -> Option<::chrono::DateTime<::chrono::Utc>>, $crate::__runtime::StoreError;
            StaleEvents: stale_events(user_id: Option<&str>) -> Vec<$crate::__runtime::OutboxEvent>, $crate::__runtime::StoreError;
            PendingDeletes: pending_deletes(user_id: Option<&str>) -> Vec<$crate::__runtime::store::PendingDelete>, $crate::__runtime::StoreError;
            EventTypes: event_types() -> Vec<String>, $crate::__runtime::StoreError;
            Explain: explain(entity_id: &$crate::__runtime::EntityId, user_id: Option<&str>) -> $crate::__runtime::Explanation, $crate::__runtime::StoreError;
            Pause: pause(pause: &$crate::__runtime::Pause) -> (), $crate::__runtime::StoreError;
            Unpause: unpause(scope: &$crate::__runtime::PauseScope) -> bool, $crate::__runtime::StoreError;
            Paused: paused() -> Vec<$crate::__runtime::Paused>, $crate::__runtime::StoreError;
            Announce: announce(run: &$crate::__runtime::store::Announcement) -> (), $crate::__runtime::StoreError;
            Withdraw: withdraw(run_id: ::uuid::Uuid) -> (), $crate::__runtime::StoreError;
            Processes: processes() -> Vec<$crate::__runtime::store::StoreProcess>, $crate::__runtime::StoreError;
            Check: check(depth: $crate::__runtime::store::CheckDepth) -> Vec<$crate::__runtime::store::Finding>, $crate::__runtime::StoreError;
            Repair: repair() -> $crate::__runtime::store::Repaired, $crate::__runtime::StoreError;
            Suspend: suspend() -> (), $crate::__runtime::StoreError;
            Resume: resume() -> (), $crate::__runtime::StoreError;
        }
    };
}

/// The methods of `OutboxQueue`, after the given tokens.
#[doc(hidden)]
#[macro_export]
macro_rules! __queue_calls {
    ($then:ident $($before:tt)*) => {
        $then! {
            $($before)*
            Claim: claim(request: &$crate::__runtime::store::ClaimRequest) -> Vec<$crate::__runtime::store::Claim>, $crate::__runtime::StoreError;
            Follow: follow(request: &$crate::__runtime::store::FollowRequest) -> Vec<$crate::__runtime::store::Claim>, $crate::__runtime::StoreError;
            Settle: settle(settlements: Vec<$crate::__runtime::store::Settlement>) -> Vec<$crate::__runtime::store::Settled>, $crate::__runtime::StoreError;
            Extend: extend(leases: &[$crate::__runtime::store::Lease], lease: ::std::time::Duration) -> Vec<Option<$crate::__runtime::store::Lease>>, $crate::__runtime::StoreError;
            Rescue: rescue() -> $crate::__runtime::store::Rescued, $crate::__runtime::StoreError;
            RescueOthers: rescue_others(held: &[($crate::__runtime::store::Lease, ::std::time::Duration)], only: Option<&[$crate::__runtime::store::Lease]>) -> (Vec<Option<$crate::__runtime::store::Lease>>, $crate::__runtime::store::Rescued), $crate::__runtime::StoreError;
            NextDue: next_due(request: &$crate::__runtime::store::ClaimRequest) -> Option<::chrono::DateTime<::chrono::Utc>>, $crate::__runtime::StoreError;
        }
    };
}

/// Appends the methods of the queue to those of the repository.
macro_rules! all_calls {
    ($($repository:tt)+) => {
        __queue_calls! { store_call $($repository)+ }
    };
}

macro_rules! store_call {
    ($($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        /// A method of a store, for [`FaultStore`](super::FaultStore): of
        /// [`OutboxRepository`](outbox_runtime::OutboxRepository) or
        /// [`OutboxQueue`](outbox_runtime::store::OutboxQueue).
        ///
        /// # Examples
        ///
        /// ```
        /// use outbox_testing::StoreCall;
        ///
        /// assert_eq!(StoreCall::FetchEvents.as_str(), "fetch_events");
        /// assert!(StoreCall::FetchEvents.is_listing() && !StoreCall::CreateEvent.is_listing());
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum StoreCall {
            $(
                #[doc = concat!("`", stringify!($method), "`")]
                $call,
            )+
        }

        impl StoreCall {
            /// All methods, in the order of the traits.
            pub const ALL: &'static [Self] = &[$(Self::$call),+];

            /// The method's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$call => stringify!($method)),+ }
            }
        }
    };
}

__repository_calls!(all_calls);

impl StoreCall {
    /// Whether the method lists or counts something. A slightly outdated result is harmless there.
    #[must_use]
    pub const fn is_listing(self) -> bool {
        matches!(
            self,
            Self::FetchPendingEvents
                | Self::FetchEvents
                | Self::FetchEvent
                | Self::FetchEventsForEntity
                | Self::Page
                | Self::OldestCompleted
                | Self::Statistics
                | Self::StaleEvents
                | Self::PendingDeletes
                | Self::EventTypes
                | Self::Explain
                | Self::Attempts
                | Self::Paused
                | Self::Processes
                | Self::Check
        )
    }
}

impl fmt::Display for StoreCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
