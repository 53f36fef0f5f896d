//! The derives work in functions, where the user's module cannot be named, and beside others with
//! the same names.
use outbox_runtime::{Event, HandlerError, OutboxEntity, OutboxEvents};

fn one() -> &'static [&'static str] {
    #[derive(OutboxEntity)]
    #[outbox(event_type = "goal")]
    struct Goal {
        #[outbox(entity_id)]
        id: i64,
        #[outbox(user_id)]
        user_id: String,
        #[outbox(metadata)]
        title: String,
    }

    #[derive(OutboxEvents)]
    enum LumeEvent {
        Goal(Event<Goal>),
    }

    struct LumeSync;

    impl LumeEventHandler for LumeSync {
        async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
            let GoalMetadata { title } = event.metadata();
            println!("{title}");
            Ok(())
        }
    }

    let _ = LumeEvent::handled_by(LumeSync);
    LumeEvent::EVENT_TYPES
}

struct Scope<T>(T);

impl<T> Scope<T> {
    /// In a method of a type with parameters, which the items in it do not have.
    fn two(&self) -> &'static [&'static str] {
        let user_id = "user-1".to_owned();

        #[derive(OutboxEntity)]
        #[outbox(event_type = "other")]
        struct Goal {
            #[outbox(entity_id, user_id)]
            user_id: String,
        }

        #[derive(OutboxEvents)]
        enum LumeEvent {
            Goal(Event<Goal>),
        }

        #[derive(Debug, thiserror::Error, outbox_runtime::DeliveryError)]
        #[error("gone")]
        #[outbox(obsolete)]
        struct Gone;

        let _ = Goal { user_id }.enqueue_sync();
        let _ = HandlerError::from(Gone);
        LumeEvent::EVENT_TYPES
    }
}

fn main() {
    assert_eq!(one(), ["goal"]);
    assert_eq!(Scope(1).two(), ["other"]);
    let in_a_closure = || {
        #[derive(OutboxEntity)]
        #[outbox(event_type = "third")]
        struct Goal {
            #[outbox(entity_id, user_id)]
            id: String,
        }
        Goal::EVENT_TYPE
    };
    assert_eq!(in_a_closure(), "third");
}
