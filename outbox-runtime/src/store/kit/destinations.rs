//! The destinations to which a claim may take events.

use std::collections::BTreeSet;

use crate::claim::{ClaimRequest, EventTypes, Selector};

/// The destinations to which all events go that a claim may take, where it leaves others out.
/// `None` among them stands for events without a destination.
///
/// The events for a destination that is full, paused or in an outage stay ready. In claim order,
/// each claim of the others steps over all of them; a store with an index by destination reads the
/// first events of each destination that is left instead, and merges them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destinations {
    /// Only these.
    These(BTreeSet<Option<String>>),
    /// All but these.
    AllBut(BTreeSet<Option<String>>),
}

impl Destinations {
    /// The most destinations that a store reads one by one. With more of them, claim order is
    /// faster.
    pub const MOST: usize = 64;

    /// The destinations that a request leaves. `None` if it takes events for all of them, or those
    /// of a single user, who has few.
    #[must_use]
    pub fn of(request: &ClaimRequest) -> Option<Self> {
        if request.one_user().is_some() {
            return None;
        }
        let mut included = request.included().iter().filter_map(names);
        if let Some(first) = included.next() {
            let common = |these: BTreeSet<Option<String>>, more| &these & &more;
            return Some(Self::These(included.fold(first, common)));
        }
        let excluded = request.excluded().iter();
        let excluded = excluded.filter(|selector| is_whole(selector, request.event_types()));
        let excluded: BTreeSet<_> = excluded.filter_map(names).flatten().collect();
        (!excluded.is_empty()).then_some(Self::AllBut(excluded))
    }
}

/// The destinations of a selector, if it has any.
fn names(selector: &Selector) -> Option<BTreeSet<Option<String>>> {
    Some(selector.of_destinations()?.iter().cloned().collect())
}

/// Whether an excluded selector leaves no event of these types to its destinations.
fn is_whole(selector: &Selector, types: &EventTypes) -> bool {
    let is_of_all = |of: &EventTypes| {
        of.is_everything()
            || of == types
            || matches!(types, EventTypes::Only(types) if types.iter().all(|one| of.contains(one)))
    };
    selector.of_user().is_none() && selector.of_event_types().is_none_or(is_of_all)
}
