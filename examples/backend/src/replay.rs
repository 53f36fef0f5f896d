//! First answers, by idempotency key.

use std::collections::{HashMap, VecDeque};

use crate::answer::Answer;

/// The identity of a call: user, endpoint, path and key.
pub(crate) type Slot = (String, &'static str, String, String);

/// Successful first answers. Refused calls had no effect and run again.
#[derive(Debug)]
pub(crate) struct Replays {
    capacity: usize,
    first: HashMap<Slot, First>,
    /// The oldest first.
    order: VecDeque<Slot>,
}

#[derive(Debug)]
struct First {
    body: Vec<u8>,
    answer: Answer,
    entity: Option<String>,
}

/// The state of a key.
#[derive(Debug)]
pub(crate) enum Seen {
    Never,
    /// The same body: the first answer and its entity.
    Before(Answer, Option<String>),
    /// Another body.
    OtherBody,
}

impl Replays {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            first: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn look_up(&self, slot: &Slot, body: &[u8]) -> Seen {
        match self.first.get(slot) {
            None => Seen::Never,
            Some(first) if same(&first.body, body) => {
                Seen::Before(first.answer.clone(), first.entity.clone())
            }
            Some(_) => Seen::OtherBody,
        }
    }

    pub(crate) fn keep(
        &mut self,
        slot: Slot,
        body: &[u8],
        answer: &Answer,
        entity: Option<String>,
    ) {
        let first = First {
            body: body.to_vec(),
            answer: answer.clone(),
            entity,
        };
        if self.first.insert(slot.clone(), first).is_none() {
            self.order.push_back(slot);
        }
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.first.remove(&oldest);
        }
    }
}

/// The order of keys in an object is irrelevant.
fn same(one: &[u8], other: &[u8]) -> bool {
    let parse = |body| serde_json::from_slice::<serde_json::Value>(body).ok();
    one == other || parse(one).is_some_and(|one| Some(one) == parse(other))
}
