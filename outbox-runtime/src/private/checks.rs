//! Compile-time checks called by generated code.

use std::time::Duration;

use super::set::{StoredTypes, TypesAfter};
use crate::entity::{
    Charge, EntityOptions, IdKind, Order, Retired, is_any_of, is_same, retired_fault,
};
use crate::handler::{BatchOrder, Batching};

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
    assert_batched_in_order(options, BatchOrder::First);
}

/// Fails to compile if the events of an entity cannot be delivered in batches with this order.
#[track_caller]
pub const fn assert_batched_in_order(options: &EntityOptions, order: BatchOrder) {
    match (options.order(), options.charge(), options.max_attempts()) {
        (Order::User, _, _) if matches!(order, BatchOrder::First) => panic!(
            "`batch` conflicts with `order = \"user\"` of the entity: all events of a user are one lane, and a batch has at most one event of a lane without `batch_order = \"keep\"`"
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

/// Fails to compile if the events of an entity would expire while a batch of them waits for more.
#[track_caller]
pub const fn assert_batch_wait(options: &EntityOptions, wait: Duration) {
    if let Some(fault) = Batching::of(1).within(wait).fault_of(options) {
        panic!("{}", fault);
    }
}

/// Fails to compile if all creations of a parent belong to one user, and the events of the child do
/// not: they would not wait. `own` is the user of the child's events, if that is a constant.
#[track_caller]
pub const fn assert_parent(parent: &EntityOptions, own: Option<&str>) {
    match (parent.constant_user(), own) {
        (None, _) => {}
        (Some(of_parent), Some(own)) if is_same(of_parent, own) => {}
        (Some(_), _) => panic!(
            "all events of the parent belong to one user, the constant in its `user_id`, and an event waits only for creations of its own user; give this entity the same `user_id`, or remove `after`"
        ),
    }
}

/// Fails to compile if no entity of a parent's type has an id of the kind that the field holds.
#[track_caller]
pub const fn assert_parent_id(parent: &EntityOptions, held: IdKind) {
    if parent.id_kind().overlaps(held) {
        return;
    }
    match parent.id_kind() {
        IdKind::Integer => panic!(
            "the ids of the parent are integers, and this field holds others, so its event would wait for nobody; `after` belongs on the field with the parent's id"
        ),
        IdKind::Uuid => panic!(
            "the ids of the parent are UUIDs, and this field holds others, so its event would wait for nobody; `after` belongs on the field with the parent's id"
        ),
        IdKind::Composite | IdKind::Any | IdKind::Text => panic!(
            "the ids of the parent have several parts, and this field holds others, so its event would wait for nobody; `after` belongs on a tuple of the parent's parts"
        ),
    }
}

/// Fails to compile if a batch is to keep an order that the events of the entity do not have.
#[track_caller]
pub const fn assert_batch_order(options: &EntityOptions, order: BatchOrder) {
    if matches!((options.order(), order), (Order::None, BatchOrder::Keep)) {
        panic!(
            "`batch_order = \"keep\"` conflicts with `order = \"none\"` of the entity: its events have no order to keep"
        );
    }
}

/// Fails to compile if another variant of a set has the event type of the variant at `index`, or if
/// an alias of this one is taken by another, or if its entity waits for itself. `messages` contains
/// the errors about each variant, because formatting is not available in a `const fn`.
#[track_caller]
pub const fn assert_event_type<const N: usize>(
    types: &[StoredTypes],
    after: &[TypesAfter; N],
    messages: &[[&str; 3]],
    index: usize,
) {
    assert_acyclic(after, messages, index);
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

/// Fails to compile if the entity of the variant at `index` waits for itself through other types of
/// the set: none of them could be delivered first. Of several variants in a circle, the first is
/// the mistake. A type may be its own parent, as in a tree.
#[track_caller]
const fn assert_acyclic<const N: usize>(
    types: &[TypesAfter; N],
    messages: &[[&str; 3]],
    index: usize,
) {
    let ancestors = ancestors(types, index);
    if !ancestors[index] {
        return;
    }
    let mut before = 0;
    while before < index {
        if ancestors[before] && self::ancestors(types, before)[index] {
            return;
        }
        before += 1;
    }
    panic!("{}", messages[index][2]);
}

/// Which variants an entity of the variant at `index` waits for, directly or through others.
const fn ancestors<const N: usize>(types: &[TypesAfter; N], index: usize) -> [bool; N] {
    let mut ancestors = [false; N];
    let mut grows = true;
    while grows {
        grows = false;
        let mut child = 0;
        while child < N {
            let mut parent = 0;
            while parent < N && (child == index || ancestors[child]) {
                let (name, _) = types[parent];
                if child != parent
                    && !name.is_empty()
                    && !ancestors[parent]
                    && is_any_of(name, types[child].1)
                {
                    ancestors[parent] = true;
                    grows = true;
                }
                parent += 1;
            }
            child += 1;
        }
    }
    ancestors
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
