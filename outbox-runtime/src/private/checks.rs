//! Compile-time checks called by generated code.

use super::set::StoredTypes;
use crate::entity::{Charge, EntityOptions, Order, Retired, is_any_of, is_same, retired_fault};
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

/// Fails to compile if another variant of a set has the event type of the variant at `index`, or if
/// an alias of this one is taken by another. `messages` contains the errors about each variant,
/// because formatting is not available in a `const fn`.
#[track_caller]
pub const fn assert_event_type(types: &[StoredTypes], messages: &[[&str; 2]], index: usize) {
    let (own, aliases) = types[index];
    let mut other = 0;
    while other < types.len() {
        let (others, others_aliases) = types[other];
        // A type that is not an entity has an empty event type.
        if other != index && !own.is_empty() {
            if is_same(others, own) {
                panic!("{}", messages[other][0]);
            }
            // Of two aliases, the later one is the mistake.
            if is_any_of(others, aliases) || other < index && have_common(aliases, others_aliases) {
                panic!("{}", messages[other][1]);
            }
        }
        other += 1;
    }
}

/// Fails to compile if the retired type at `index` is no event type, is retired twice, or is
/// handled by a variant of the set. `messages` contains the error about each variant.
#[track_caller]
pub const fn assert_retired(
    types: &[StoredTypes],
    messages: &[&str],
    retired: &[Retired],
    index: usize,
) {
    if let Some(fault) = retired_fault(retired, index) {
        panic!("{}", fault);
    }
    let own = retired[index].event_type();
    let mut variant = 0;
    while variant < types.len() {
        let (event_type, aliases) = types[variant];
        if is_same(event_type, own) || is_any_of(own, aliases) {
            panic!("{}", messages[variant]);
        }
        variant += 1;
    }
}

const fn have_common(one: &[&str], other: &[&str]) -> bool {
    let mut rest = one;
    while let [name, after @ ..] = rest {
        if is_any_of(name, other) {
            return true;
        }
        rest = after;
    }
    false
}
