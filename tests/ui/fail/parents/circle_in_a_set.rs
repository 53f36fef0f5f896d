use outbox_runtime::prelude::*;

#[derive(OutboxEntity)]
#[outbox(event_type = "journal", user_id = "me")]
struct Journal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Cover)]
    cover: i64,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "page", user_id = "me")]
struct Page {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Journal)]
    journal: i64,
    // A tree is no circle.
    #[outbox(after = Page)]
    below: Option<i64>,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "cover", user_id = "me")]
struct Cover {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(after = Page)]
    page: Option<i64>,
}

#[derive(OutboxEvents)]
enum Events {
    Journal(Event<Journal>),
    Page(Event<Page>),
    Cover(Event<Cover>),
}

fn main() {}
