use outbox_runtime::{Event, OutboxEvents};

struct Goal;

#[derive(OutboxEvents)]
enum LumeEvent {
    Goal(Event<Goal>),
}

fn main() {}
