//! The cases of the conformance suite. Each tests one promise and is named after it.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a failed test panics, and the name of a case is its documentation"
)]
#![deny(dead_code, reason = "a case that `conformance!` does not list")]

mod asking;
mod claiming;
mod completing;
mod deleting;
mod editing;
mod enqueueing;
mod exchanging;
mod expiry;
mod family;
mod folding;
mod followers;
mod following;
mod freeing;
mod headers;
mod helpers;
mod history;
mod keys;
mod lane;
mod ordering;
mod paging;
mod parents;
mod pausing;
mod presence;
mod reordering;
mod rescuing;
mod selecting;
mod settling;
mod sharing;
mod suspending;
mod traces;
mod transitions;

use self::{
    asking::*, claiming::*, completing::*, deleting::*, editing::*, enqueueing::*, exchanging::*,
    expiry::*, folding::*, followers::*, following::*, freeing::*, headers::*, history::*, keys::*,
    ordering::*, paging::*, parents::*, pausing::*, presence::*, reordering::*, rescuing::*,
    selecting::*, settling::*, sharing::*, suspending::*, traces::*, transitions::*,
};

/// Every case, for the tests that `conformance!` emits.
///
/// A case exists twice: as a function in a module above, and in the list of `conformance!`. The
/// compiler compares the two: a function that is not listed is dead code, and a listed name without
/// a function does not resolve.
pub mod all {
    crate::conformance! { @list @export () }
}
