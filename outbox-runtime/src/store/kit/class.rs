//! Classes: the categories in which statistics count events.

use crate::event::OutboxStatus;

/// The category of an event in a tally. A claim changes no class, which saves every claim a write;
/// leased events are counted as what they were before the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Pending, or leased for the first time.
    Fresh,
    /// Failed, or leased again.
    Retrying,
    /// Completed.
    Completed,
    /// Dead.
    Dead,
}

impl Class {
    /// The number of classes.
    pub const COUNT: usize = 4;

    /// The class of an event with this status and attempt count.
    #[must_use]
    pub const fn of(status: OutboxStatus, attempt_count: u32) -> Self {
        match status {
            OutboxStatus::Pending => Self::Fresh,
            OutboxStatus::Processing if attempt_count <= 1 => Self::Fresh,
            OutboxStatus::Processing | OutboxStatus::Failed => Self::Retrying,
            OutboxStatus::Completed => Self::Completed,
            OutboxStatus::Dead => Self::Dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Cause, Standing, Transition};

    #[test]
    fn no_claim_changes_a_class() {
        for (status, attempt_count) in [(OutboxStatus::Pending, 0), (OutboxStatus::Failed, 1)] {
            let standing = Standing {
                status,
                attempt_count,
                ..Standing::reported(0)
            };
            let claimed = Transition::from(standing, Cause::Claim).unwrap();
            let after = claimed.attempts.after(attempt_count);
            assert_eq!(
                Class::of(claimed.to.unwrap(), after),
                Class::of(status, attempt_count)
            );
        }
    }
}
