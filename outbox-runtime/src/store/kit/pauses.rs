//! What pauses do to claims and explanations.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::claim::ClaimRequest;
use crate::enqueue::key_fault;
use crate::error::{StoreError, StoreErrorKind};
use crate::pause::{Pause, PauseScope, Paused};
use crate::statistics::Explanation;

/// The pauses of a store, some of which may have ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pauses(Vec<Paused>);

impl Pauses {
    /// The pauses that a store has on record.
    #[must_use]
    pub fn new(recorded: Vec<Paused>) -> Self {
        Self(recorded)
    }

    /// Those in effect, in the order of their scopes.
    #[must_use]
    pub fn in_effect(&self, now: DateTime<Utc>) -> Vec<Paused> {
        let in_effect = self.0.iter().filter(|paused| paused.is_in_effect(now));
        let mut in_effect: Vec<Paused> = in_effect.cloned().collect();
        in_effect.sort_by(|one, other| one.scope.cmp(&other.scope));
        in_effect
    }

    /// The request without the paused events.
    #[must_use]
    pub fn applied<'r>(
        &self,
        request: &'r ClaimRequest,
        now: DateTime<Utc>,
    ) -> Cow<'r, ClaimRequest> {
        let in_effect = self.0.iter().filter(|paused| paused.is_in_effect(now));
        in_effect.fold(Cow::Borrowed(request), |request, paused| {
            Cow::Owned(request.into_owned().except(paused.scope.selector()))
        })
    }

    /// When the next pause ends by itself.
    #[must_use]
    pub fn next_end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ends = self.0.iter().filter_map(|paused| paused.until);
        ends.filter(|until| *until > now).min()
    }

    /// Names the pause in the explanation of an event that waits for nothing that lasts longer, or
    /// of one that waits for such an event.
    #[must_use]
    pub fn explain(&self, explanation: Explanation, now: DateTime<Utc>) -> Explanation {
        let Some(event) = explanation.decisive_event() else {
            return explanation;
        };
        let holds = |paused: &&Paused| paused.is_in_effect(now) && paused.scope.contains(event);
        let longest = self
            .0
            .iter()
            .filter(holds)
            .max_by_key(|paused| paused.until.unwrap_or(DateTime::<Utc>::MAX_UTC));
        match longest {
            Some(longest) => explanation.paused(longest),
            None => explanation,
        }
    }
}

/// Checks that a store can record this pause.
///
/// # Errors
///
/// `InvalidArgument` if a name or the reason breaks a rule, or if the end has passed.
pub fn valid_pause(pause: &Pause, now: DateTime<Utc>) -> Result<(), StoreError> {
    let paused = pause.begin(now);
    let named = match &paused.scope {
        PauseScope::Everything => None,
        scope => Some((scope.kind(), scope.name())),
    };
    let by = paused.by.as_deref().map(|by| ("by", by));
    for (field, name) in named.into_iter().chain(by) {
        if let Some(fault) = key_fault(name) {
            return Err(refused(format!("{field} {name:?} {fault}")));
        }
    }
    if let Some(reason) = &paused.because {
        let (size, most) = (reason.len(), Pause::MAX_REASON_BYTES);
        if size > most {
            return Err(refused(format!(
                "the reason has {size} bytes, more than {most}"
            )));
        }
        if reason.contains('\0') {
            return Err(refused("the reason contains a NUL".to_owned()));
        }
    }
    match paused.until.filter(|_| !paused.is_in_effect(now)) {
        Some(until) => Err(refused(format!("the end, {until}, is not after {now}"))),
        None => Ok(()),
    }
}

fn refused(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::InvalidArgument, "pause", message)
}
