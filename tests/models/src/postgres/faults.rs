//! What can be wrong with the algorithm: the controls of the model.

/// A fault, or none. Each breaks a promise that the model must find broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// The algorithm as it is.
    #[default]
    None,
    /// `UNBLOCK_NEXT` is a part of the statement that settles, and so sees the lane as it was
    /// before the wait for the row.
    OldSnapshot,
    /// `UNBLOCK_NEXT` takes the time of the transaction's start, by which an event that was
    /// enqueued since is due later.
    TimeOfTheStart,
    /// A claim whose second statement fails forgets what the first one leased.
    FoundIsDropped,
    /// `events_taken` is not unique.
    NoUniqueIndex,
    /// A claim does not look for earlier candidates of the lane.
    NoFrontCheck,
    /// `DEMOTE` does not lock the front behind which it blocks.
    FrontNotLocked,
    /// `DEMOTE` also blocks candidates that are before the leased event that it takes for the
    /// front.
    BlocksEarlier,
    /// `UNBLOCK_NEXT` leaves no note where the next event is locked.
    NoNote,
    /// `UNBLOCK` skips the next event where it is locked.
    UnblockSkips,
    /// `UNBLOCK` gives up if the next event is gone when its lock is free.
    UnblockOnce,
    /// A create that is cancelled at the front of its lane unblocks nothing.
    CancelUnblocksNothing,
    /// A create that is cancelled leaves no note where its lane has one, which is not locked.
    CancelTrustsANote,
    /// A settlement under a lease that was taken away leaves a note too.
    StaleNote,
    /// A worker does not know that others of the lane may be leased.
    ForgetsFollowers,
    /// `UNBLOCK_AFTER_BATCH` does not wait where all followers are locked.
    FollowersSkipped,
    /// `TAKE_UP_NOTES` does not look for followers.
    NoteMissesFollowers,
    /// `UNBLOCK` does not look for followers.
    DeletionMissesFollowers,
    /// Followers are leased although the event before them is not locked.
    FollowsUnlocked,
    /// Followers are leased although an earlier event has joined the lane.
    FollowsPastEarlier,
}
