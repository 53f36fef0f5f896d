//! Event types that an application no longer delivers, while rows of them may still wait.

use super::event_type::{event_type_fault, is_same};

/// An event type that an event set has retired:
/// `#[outbox(retired("legacyType" = drop))]`.
///
/// # Examples
///
/// ```
/// use outbox_runtime::support::{Retired, Retirement};
///
/// const OLD: Retired = Retired::new("legacyType", Retirement::Hold);
/// assert_eq!(OLD.event_type(), "legacyType");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Retired {
    event_type: &'static str,
    policy: Retirement,
}

/// The fate of stored events of a retired type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retirement {
    /// They are completed without a delivery, each when its turn comes:
    /// [`RunOutcome::Retired`](crate::RunOutcome::Retired). A
    /// [`flush`](crate::Running::flush) and the statistics count them as delivered.
    Drop,
    /// They become dead letters, each when its turn comes:
    /// [`DeadReason::Retired`](crate::DeadReason::Retired). An operator can read, export and
    /// discard them.
    Dead,
    /// They stay where they are, and no run claims them. Later events of their lanes wait behind
    /// them.
    Hold,
}

impl Retired {
    /// An event type, and what happens to its stored events.
    pub const fn new(event_type: &'static str, policy: Retirement) -> Self {
        Self { event_type, policy }
    }

    /// The event type.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// The fate of its stored events.
    #[must_use]
    pub const fn policy(&self) -> Retirement {
        self.policy
    }
}

/// The rule that a list of retired types breaks with the one at `index`, if any.
pub(crate) const fn retired_fault(retired: &[Retired], index: usize) -> Option<&'static str> {
    let own = retired[index].event_type;
    if let Some(fault) = event_type_fault(own) {
        return Some(fault);
    }
    let mut earlier = 0;
    while earlier < index {
        if is_same(retired[earlier].event_type, own) {
            return Some("this event type is retired twice");
        }
        earlier += 1;
    }
    None
}
