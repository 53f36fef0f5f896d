//! Compile-time checks called by generated code.

use crate::entity::{Charge, EntityOptions, Order};
use crate::handler::Batching;

/// Fails to compile if the options of an entity violate a rule.
#[track_caller]
pub const fn assert_options(options: &EntityOptions) {
    if let Some(fault) = options.fault() {
        panic!("{}", fault);
    }
}

/// Fails to compile if the bounds of a batch violate a rule.
#[track_caller]
pub const fn assert_batching(batching: &Batching) {
    if let Some(fault) = batching.fault() {
        panic!("{}", fault);
    }
}

/// Fails to compile if the events of an entity cannot be delivered in batches.
#[track_caller]
pub const fn assert_batched(options: &EntityOptions) {
    match (options.order(), options.charge(), options.max_attempts()) {
        (Order::User, _, _) => panic!(
            "`batch` conflicts with `order = \"user\"` of the entity: a batch has at most one event of a lane, and all events of a user are one lane"
        ),
        (_, Charge::Always, _) => panic!(
            "`batch` conflicts with `charge = \"always\"` of the entity: a batch that is refused may be sent again in halves"
        ),
        (_, _, 1) => panic!(
            "`batch` conflicts with `max_attempts = 1` of the entity: a batch that is refused may be sent again in halves"
        ),
        _ => {}
    }
}

/// Fails to compile if another variant of a set has the event type of the variant at `index`.
/// `messages` contains the error of each variant, because formatting is not available in a `const
/// fn`.
#[track_caller]
pub const fn assert_event_type(event_types: &[&str], messages: &[&str], index: usize) {
    let own = event_types[index].as_bytes();
    let mut other = 0;
    while other < event_types.len() {
        // A type that is not an entity has an empty event type.
        if other != index && !own.is_empty() && same_str(event_types[other].as_bytes(), own) {
            panic!("{}", messages[other]);
        }
        other += 1;
    }
}

/// `==` on strings is not a `const fn`.
const fn same_str(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
