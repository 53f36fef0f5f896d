#![no_implicit_prelude]
#![deny(warnings)]
//! Parents of every form.

use ::outbox_runtime::{OutboxEntity, OutboxEvents, Event};

#[derive(OutboxEntity)]
#[outbox(event_type = "journal", user_id = "me")]
pub struct Journal {
    #[outbox(entity_id)]
    pub id: ::uuid::Uuid,
}

mod others {
    use ::outbox_runtime::OutboxEntity;

    #[derive(OutboxEntity)]
    #[outbox(event_type = "shelf", user_id = "me", order = "none")]
    pub struct Shelf {
        #[outbox(entity_id)]
        pub id: ::std::string::String,
    }
}

#[derive(OutboxEntity)]
#[outbox(event_type = "page", user_id = "me", order = "none", on_dead = "skip")]
pub struct Page {
    #[outbox(entity_id, after = Journal)]
    pub id: ::uuid::Uuid,
    #[outbox(after = others::Shelf, metadata)]
    pub shelf: ::std::option::Option<::std::string::String>,
    #[outbox(after = self::Page)]
    pub below: ::std::option::Option<::uuid::Uuid>,
}

#[derive(OutboxEvents)]
pub enum Events {
    Journal(Event<Journal>),
    Page(Event<Page>),
    Shelf(Event<others::Shelf>),
}

fn main() {
    let page = Page {
        id: ::uuid::Uuid::nil(),
        shelf: ::std::option::Option::Some(::std::borrow::ToOwned::to_owned("a")),
        below: ::std::option::Option::None,
    };
    let parents = OutboxEntity::parents(&page);
    ::std::assert_eq!(parents.len(), 2);
}
