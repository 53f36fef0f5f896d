//! Random steps.

use outbox_runtime::store::ClaimOrder;
use outbox_runtime::{OnDead, Operation, Order};
use proptest::prelude::*;

use super::words::{Change, Choice, Options, Report, Step};

pub(super) fn step() -> impl Strategy<Value = Step> {
    let lease = 500..3_000_u64;
    let id = 0..12_u8;
    let nth = 0..64_usize;
    let enqueue = (id.clone(), change(), wishes());
    prop_oneof![
        8 => enqueue.prop_map(|(id, change, wishes)| Step::Enqueue(id, change, wishes)),
        1 => nth.clone().prop_map(Step::EnqueueAgain),
        5 => (1..4_usize, user(), turns(), choice(), lease.clone()).prop_map(
            |(limit, user, turns, choice, lease)| Step::Claim { limit, user, turns, choice, lease }
        ),
        2 => (id.clone(), lease.clone()).prop_map(|(id, lease)| Step::ClaimOne(id, lease)),
        6 => (nth.clone(), report()).prop_map(|(nth, report)| Step::Settle(nth, report)),
        1 => (nth, lease).prop_map(|(nth, lease)| Step::Extend(nth, lease)),
        4 => (1..2_000_u64).prop_map(Step::Wait),
        // Until pending events are stale, or nearly.
        1 => (250_000..301_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Rescue),
        2 => id.clone().prop_map(Step::Reset),
        1 => (id.clone(), -2..3_i32, 0..2_000_u64)
            .prop_map(|(id, priority, due)| Step::Edit(id, priority, due)),
        1 => (0..3_000_u64).prop_map(Step::CleanUp),
        1 => id.clone().prop_map(Step::Delete),
        1 => id.prop_map(Step::Discard),
        1 => (0..3_i64, user()).prop_map(|(entity, user)| Step::DeleteEntity(entity, user)),
        1 => (0..2_u8).prop_map(Step::DeleteUser),
        1 => (0..2_u8, prop::option::of(1..3_000_u64))
            .prop_map(|(user, length)| Step::Pause(user, length)),
        2 => (0..2_u8).prop_map(Step::Unpause),
    ]
}

fn user() -> impl Strategy<Value = Option<u8>> {
    proptest::option::weighted(0.3, 0..2_u8)
}

fn turns() -> impl Strategy<Value = Option<(usize, u8)>> {
    proptest::option::weighted(0.3, (1..4_usize, 0..2_u8))
}

fn destination() -> impl Strategy<Value = Option<u8>> {
    proptest::option::weighted(0.3, 0..2_u8)
}

fn choice() -> impl Strategy<Value = Choice> {
    let order = prop_oneof![
        3 => Just(ClaimOrder::Usual),
        1 => Just(ClaimOrder::Newest),
        1 => Just(ClaimOrder::LeastRecent),
    ];
    let except = (destination(), user());
    (
        proptest::option::weighted(0.2, destination()),
        proptest::option::weighted(0.3, except),
        user(),
        order,
    )
        .prop_map(|(only, except, avoided, order)| Choice {
            only,
            except,
            avoided,
            order,
        })
}

fn change() -> impl Strategy<Value = Change> {
    let operation = prop_oneof![
        Just(Operation::Create),
        Just(Operation::Update),
        Just(Operation::Delete)
    ];
    let what = (any::<bool>(), 0..3_i64, 0..2_u8);
    (what, operation, 0..3_u8, destination()).prop_map(
        |((draft, entity, user), operation, text, destination)| Change {
            draft,
            entity,
            user,
            operation,
            text,
            destination,
        },
    )
}

fn wishes() -> impl Strategy<Value = Options> {
    let order = prop_oneof![
        3 => Just(Order::Entity),
        1 => Just(Order::User),
        1 => Just(Order::None),
    ];
    let on_dead = prop_oneof![Just(OnDead::Hold), Just(OnDead::Skip)];
    let delay = prop_oneof![2 => Just(0), 1 => 0..2_000_u64];
    (-2..3_i32, 1..4_u32, delay, order, on_dead).prop_map(
        |(priority, max_attempts, delay, order, on_dead)| Options {
            priority,
            max_attempts,
            delay,
            order,
            on_dead,
        },
    )
}

fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        3 => Just(Report::Complete),
        2 => (0..2_000_u64).prop_map(Report::Fail),
        1 => Just(Report::Bury),
        1 => (proptest::option::of(0..2_000_u64), any::<bool>())
            .prop_map(|(delay, refused)| Report::GiveBack(delay, refused)),
        1 => (0..2_000_u64).prop_map(Report::Defer),
        1 => (0..2_000_u64).prop_map(Report::Snooze),
    ]
}
