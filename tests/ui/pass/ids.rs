//! An id may be a field, a value of the struct, or come from the call.
#![deny(warnings)]

use std::marker::PhantomData;

use outbox_runtime::support::AsUserId;
use outbox_runtime::{EntityId, Enqueue, OutboxEntity};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const TENANT: &str = "acme";

/// A constant user, and an id of two parts.
#[derive(OutboxEntity)]
#[outbox(event_type = "invoice", user_id = "shop", entity_id = (self.tenant, self.number))]
struct Invoice {
    tenant: String,
    number: u32,
}

/// Methods, a constant, and a tuple that a method returns.
#[derive(OutboxEntity)]
#[outbox(event_type = "order", user_id = TENANT, entity_id = self.tenant_and_number())]
struct Order {
    number: u32,
}

impl Order {
    fn tenant_and_number(&self) -> (&'static str, u32) {
        (TENANT, self.number)
    }
}

/// A field of a field, and a singleton.
#[derive(Clone, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "settings", snapshot, user_id = self.owner.id, entity_id = "settings")]
struct Settings {
    owner: Owner,
}

#[derive(Clone, Serialize, Deserialize)]
struct Owner {
    id: Uuid,
}

/// A field that is a tuple, and a user that is one.
#[derive(OutboxEntity)]
#[outbox(event_type = "seat", user_id = (self.tenant, self.person))]
struct Seat {
    #[outbox(entity_id)]
    row_and_number: (char_id::Row, u8),
    tenant: &'static str,
    person: u64,
}

mod char_id {
    #[derive(Clone, outbox_runtime::EntityId)]
    pub struct Row(pub String);
}

/// The user comes from the call.
#[derive(OutboxEntity)]
#[outbox(event_type = "document")]
struct Document<T> {
    #[outbox(entity_id)]
    id: Id<T>,
    #[outbox(metadata)]
    body: T,
}

/// One id type for every entity.
#[derive(EntityId)]
struct Id<T> {
    value: Uuid,
    of: PhantomData<T>,
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        Self { value: self.value, of: PhantomData }
    }
}

#[derive(Debug, Clone, PartialEq, EntityId)]
struct Keyed<K>(K)
where
    K: Clone;

fn ids(change: Enqueue) -> (String, String) {
    let event = change.into_event().unwrap();
    (event.entity_id().to_string(), event.user_id().to_owned())
}

fn pair(id: &str, user: &str) -> (String, String) {
    (id.to_owned(), user.to_owned())
}

fn main() {
    let invoice = Invoice { tenant: "a:b".into(), number: 7 };
    assert_eq!(ids(invoice.enqueue_create()), pair("a%3Ab:7", "shop"));
    assert_eq!(ids(Order { number: 7 }.enqueue_sync()), pair("acme:7", "acme"));
    let settings = Settings { owner: Owner { id: Uuid::nil() } };
    let nil = Uuid::nil().to_string();
    assert_eq!(ids(settings.enqueue_update()), pair("settings", &nil));
    let seat = Seat { row_and_number: (char_id::Row("F".into()), 3), tenant: "opera", person: 9 };
    assert_eq!(ids(seat.enqueue_delete()), pair("F:3", "opera:9"));

    let id = Id { value: Uuid::nil(), of: PhantomData };
    let document = Document { id, body: 1_u8 };
    let of_call = |user: &str| document.enqueue_create().priority(2).for_user(user).priority(1);
    assert_eq!(ids(of_call("user-1")), pair(&nil, "user-1"));

    let key = Keyed("k".to_owned());
    assert_eq!(EntityId::from(&key), EntityId::from("k"));
    assert_eq!(EntityId::from((key.clone(), 1)).to_string(), "k:1");
    assert_eq!(key.as_user_id(), "k");
    assert_eq!(EntityId::from(key), EntityId::from("k"));
}
