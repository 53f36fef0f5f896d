//! The entity that workers enqueue, and what its handler does with it.

use std::fmt;

use outbox_runtime::Enqueue;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A task of one of several users. Its event's id follows from its producer and number, so that a worker that comes after a
/// killed one can enqueue the very same event.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "task")]
pub struct Task {
    /// Several tasks share an entity, so that there is an order to keep.
    #[outbox(entity_id)]
    pub entity: i64,
    /// Whose it is.
    #[outbox(user_id)]
    pub user: String,
    /// Its place among all of its producer's.
    #[outbox(metadata)]
    pub number: u32,
    /// What becomes of it.
    #[outbox(metadata)]
    pub chore: Chore,
}

/// What a handler does with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chore {
    /// Answers that it is delivered.
    Deliver,
    /// Fails so often, and then delivers.
    Fail(u32),
    /// Asks once to come again a little later, in each process.
    Snooze,
    /// Is refused for good.
    Reject,
    /// Aborts the process, every time.
    Abort,
    /// Aborts the process the first time, before anything is done.
    AbortBefore,
    /// Answers that it is delivered, the first time while nobody can write to the database.
    DeliverLocked,
    /// Never answers.
    Hang,
    /// Delivers after so many milliseconds.
    Slow(u32),
}

impl fmt::Display for Chore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The entities of a producer begin at its number times this.
const ENTITIES: i64 = 1_000_000;
/// From here on there are lanes that end in a rejected event.
const LANES: i64 = 500_000;

impl Task {
    /// One task alone.
    #[must_use]
    pub fn new(entity: i64, number: u32, chore: Chore) -> Self {
        Self {
            entity,
            user: format!("u{}", entity % 3),
            number,
            chore,
        }
    }

    /// The task of this number in the mixture: three users, seven entities with order to keep, failures, snoozes, and in every
    /// fifty a lane of five whose third is rejected, so that the last two are held back.
    #[must_use]
    pub fn mixed(producer: u32, number: u32) -> Self {
        let base = i64::from(producer) * ENTITIES;
        if number % 10 == 9 {
            let lane = base + LANES + i64::from(number / 50);
            let chore = if number % 50 == 29 {
                Chore::Reject
            } else {
                Chore::Deliver
            };
            return Self::new(lane, number, chore);
        }
        let chore = match number {
            n if n % 11 == 3 => Chore::Fail(1),
            n if n % 13 == 5 => Chore::Fail(2),
            n if n % 17 == 4 => Chore::Snooze,
            n if n % 5 == 1 => Chore::Slow(number % 7),
            _ => Chore::Deliver,
        };
        Self::new(base + i64::from(number % 7), number, chore)
    }

    /// The event's id: the same whoever makes it.
    #[must_use]
    pub fn event_id(producer: u32, number: u32) -> Uuid {
        // A version 8 id: what is in it is ours to choose.
        uuid::Builder::from_custom_bytes(
            (u128::from(producer) << 32 | u128::from(number)).to_be_bytes(),
        )
        .into_uuid()
    }

    /// The producer and the number of an event's id.
    #[must_use]
    pub fn made_by(event: Uuid) -> (u32, u32) {
        let (_, low) = event.as_u64_pair();
        // The highest two bits are the variant's.
        let producer = (low >> 32) & 0x3fff_ffff;
        let number = low & u64::from(u32::MAX);
        let fits = "it has 32 bits at most";
        (
            u32::try_from(producer).expect(fits),
            u32::try_from(number).expect(fits),
        )
    }

    /// The event, with a priority that would mix up an entity's order if priorities could.
    pub fn enqueue(&self, id: Uuid, max_attempts: u32) -> Enqueue {
        let priority = i32::try_from(self.number * 7 % 5).expect("it is below five");
        self.enqueue_update()
            .with_event_id(id)
            .priority(priority)
            .max_attempts(max_attempts)
    }
}
