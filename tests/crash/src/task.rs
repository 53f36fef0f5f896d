//! The entity that workers enqueue, and its handler's behavior.

use std::fmt;

use outbox_runtime::Enqueue;
use outbox_runtime::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A task of one of several users. Its event id is derived from its producer and number, so that a
/// worker that replaces a killed one can enqueue the same event again.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "task")]
pub struct Task {
    /// Several tasks share an entity, so that order matters.
    #[outbox(entity_id)]
    pub entity: i64,
    /// Owner of the entity.
    #[outbox(user_id)]
    pub user: String,
    /// Its number among all tasks of its producer.
    #[outbox(metadata)]
    pub number: u32,
    /// How its handler behaves.
    #[outbox(metadata)]
    pub chore: Chore,
}

/// A handler's behavior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chore {
    /// Answers that it is delivered.
    Deliver,
    /// Fails this often, and then delivers.
    Fail(u32),
    /// Snoozes once in each process, and then delivers.
    Snooze,
    /// Rejects for good.
    Reject,
    /// Aborts the process, every time.
    Abort,
    /// Aborts the process the first time, before anything is done.
    AbortBefore,
    /// Delivers, the first time with the database locked, so that the outcome cannot be recorded.
    DeliverLocked,
    /// Never answers.
    Hang,
    /// Delivers after this many milliseconds.
    Slow(u32),
}

impl fmt::Display for Chore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A producer's entities start at its number times this.
const ENTITIES: i64 = 1_000_000;
/// First entity of the lanes that contain a rejected event.
const LANES: i64 = 500_000;

impl Task {
    /// A single task.
    #[must_use]
    pub fn new(entity: i64, number: u32, chore: Chore) -> Self {
        Self {
            entity,
            user: format!("u{}", entity % 3),
            number,
            chore,
        }
    }

    /// The task with this number in the mixture: three users, seven entities with order to keep,
    /// failures, snoozes, and in every fifty a lane of five whose third is rejected, so that the
    /// last two are held back.
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

    /// The event id: always the same for a producer and number.
    #[must_use]
    pub fn event_id(producer: u32, number: u32) -> Uuid {
        // A version 8 id, whose content is free to choose.
        uuid::Builder::from_custom_bytes(
            (u128::from(producer) << 32 | u128::from(number)).to_be_bytes(),
        )
        .into_uuid()
    }

    /// Producer and number of an event id.
    #[must_use]
    pub fn made_by(event: Uuid) -> (u32, u32) {
        let (_, low) = event.as_u64_pair();
        // The highest two bits are the variant.
        let producer = (low >> 32) & 0x3fff_ffff;
        let number = low & u64::from(u32::MAX);
        let fits = "the field has at most 32 bits";
        (
            u32::try_from(producer).expect(fits),
            u32::try_from(number).expect(fits),
        )
    }

    /// The event, with a priority that would violate an entity's order if priorities could.
    pub fn enqueue(&self, id: Uuid, max_attempts: u32) -> Enqueue {
        let priority = i32::try_from(self.number * 7 % 5).expect("the number is below five");
        self.enqueue_update()
            .with_event_id(id)
            .priority(priority)
            .max_attempts(max_attempts)
    }
}
