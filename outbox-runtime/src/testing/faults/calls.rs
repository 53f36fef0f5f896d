//! The calls of a store, listed once for whoever stands between it and its users.

use std::fmt;

/// Hands the signature of every method of [`OutboxRepository`](crate::OutboxRepository) that asks the store something to the
/// macro `$then`. `clock`, `revision` and `changed` are left to be written by hand,
/// and `settle_and_claim` to its default: these two, one after the other.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_calls {
    ($then:ident) => {
        $then! {
            CreateEvent: create_event(event: $crate::NewEvent) -> $crate::OutboxEvent, $crate::EnqueueError;
            FetchPendingEvents: fetch_pending_events(user_id: Option<&str>, limit: Option<usize>) -> Vec<$crate::OutboxEvent>, $crate::StoreError;
            FetchEvents: fetch_events(status: $crate::OutboxStatus, user_id: Option<&str>, limit: Option<usize>) -> Vec<$crate::OutboxEvent>, $crate::StoreError;
            FetchEvent: fetch_event(id: ::uuid::Uuid) -> Option<$crate::OutboxEvent>, $crate::StoreError;
            FetchEventsForEntity: fetch_events_for_entity(entity_id: &$crate::EntityId, event_type: Option<&str>, user_id: Option<&str>) -> Vec<$crate::OutboxEvent>, $crate::StoreError;
            UpdateEvent: update_event(event: &$crate::OutboxEvent) -> (), $crate::StoreError;
            MarkAsProcessing: mark_as_processing(id: ::uuid::Uuid, lease: ::std::time::Duration) -> $crate::Claim, $crate::StoreError;
            MarkAsCompleted: mark_as_completed(lease: &$crate::Lease) -> $crate::Settled, $crate::StoreError;
            MarkAsFailed: mark_as_failed(lease: &$crate::Lease, error: &str) -> $crate::Settled, $crate::StoreError;
            ResetForRetry: reset_for_retry(ids: &[::uuid::Uuid]) -> u64, $crate::StoreError;
            ReassignUser: reassign_user(from: &str, to: &str) -> u64, $crate::StoreError;
            DeleteCompletedEvents: delete_completed_events(older_than: ::chrono::DateTime<::chrono::Utc>) -> u64, $crate::StoreError;
            OldestCompleted: oldest_completed() -> Option<::chrono::DateTime<::chrono::Utc>>, $crate::StoreError;
            DeleteEvent: delete_event(id: ::uuid::Uuid) -> bool, $crate::StoreError;
            Discard: discard(ids: &[::uuid::Uuid]) -> u64, $crate::StoreError;
            DeleteSeen: delete_seen(seen: &[$crate::OutboxEvent], unit: $crate::DeleteUnit) -> u64, $crate::StoreError;
            DeleteEventsForEntities: delete_events_for_entities(entity_ids: &[$crate::EntityId], user_id: Option<&str>) -> u64, $crate::StoreError;
            DeleteAllEventsForUser: delete_all_events_for_user(user_id: &str) -> u64, $crate::StoreError;
            Statistics: statistics(user_id: Option<&str>) -> $crate::OutboxStatistics, $crate::StoreError;
            StaleEvents: stale_events(user_id: Option<&str>) -> Vec<$crate::OutboxEvent>, $crate::StoreError;
            PendingDeletes: pending_deletes(user_id: Option<&str>) -> Vec<$crate::PendingDelete>, $crate::StoreError;
            EventTypes: event_types() -> Vec<String>, $crate::StoreError;
            Explain: explain(entity_id: &$crate::EntityId, user_id: Option<&str>) -> $crate::Explanation, $crate::StoreError;
            Claim: claim(request: &$crate::ClaimRequest) -> Vec<$crate::Claim>, $crate::StoreError;
            Settle: settle(settlements: Vec<$crate::Settlement>) -> Vec<$crate::Settled>, $crate::StoreError;
            Extend: extend(leases: &[$crate::Lease], lease: ::std::time::Duration) -> Vec<Option<$crate::Lease>>, $crate::StoreError;
            Rescue: rescue() -> $crate::Rescued, $crate::StoreError;
            RescueOthers: rescue_others(held: &[($crate::Lease, ::std::time::Duration)], only: Option<&[$crate::Lease]>) -> (Vec<Option<$crate::Lease>>, $crate::Rescued), $crate::StoreError;
            NextDue: next_due(request: &$crate::ClaimRequest) -> Option<::chrono::DateTime<::chrono::Utc>>, $crate::StoreError;
            Suspend: suspend() -> (), $crate::StoreError;
            Resume: resume() -> (), $crate::StoreError;
        }
    };
}

macro_rules! store_call {
    ($($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        /// A method of [`OutboxRepository`](crate::OutboxRepository), for [`FaultStore`](super::FaultStore).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum StoreCall {
            $(
                #[doc = concat!("[`", stringify!($method), "`](crate::OutboxRepository::", stringify!($method), ")")]
                $call,
            )+
        }

        impl StoreCall {
            /// Every one, in the order of the trait.
            pub const ALL: &'static [Self] = &[$(Self::$call),+];

            /// The method's name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$call => stringify!($method)),+ }
            }
        }
    };
}

__store_calls!(store_call);

impl StoreCall {
    /// Whether it lists or counts something, which may be a moment old without harm.
    #[must_use]
    pub const fn is_listing(self) -> bool {
        matches!(
            self,
            Self::FetchPendingEvents
                | Self::FetchEvents
                | Self::FetchEvent
                | Self::FetchEventsForEntity
                | Self::OldestCompleted
                | Self::Statistics
                | Self::StaleEvents
                | Self::PendingDeletes
                | Self::EventTypes
                | Self::Explain
        )
    }
}

impl fmt::Display for StoreCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
