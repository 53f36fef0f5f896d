//! `Self` in the type of a field is the entity, wherever the type is copied to.
use outbox_runtime::OutboxEntity;
use serde::{Deserialize, Serialize};

trait Coloured {
    type Colour;
}

impl Coloured for Mood {
    type Colour = String;
}

impl Mood {
    const DIMENSIONS: usize = 2;
}

#[derive(Clone, Debug, Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "mood")]
struct Mood {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    place: [u8; Self::DIMENSIONS],
    #[outbox(metadata)]
    colour: <Self as Coloured>::Colour,
    #[outbox(metadata)]
    before: Option<Box<Self>>,
}

/// With serde's derives.
#[derive(OutboxEntity)]
#[outbox(event_type = "goal")]
struct Goal {
    #[outbox(entity_id, user_id)]
    id: String,
    #[outbox(metadata)]
    #[serde(rename = "where")]
    place: [u8; Self::DIMENSIONS + Mood::DIMENSIONS],
}

impl Goal {
    const DIMENSIONS: usize = 1;
}

fn main() {
    let (id, colour) = ("u1".to_owned(), "red".to_owned());
    let mood = Mood { id, place: [1, 2], colour, before: None };
    let before = Some(Box::new(mood.clone()));
    let metadata = MoodMetadata { place: mood.place, colour: mood.colour, before };
    assert_eq!(metadata.before.map(|before| before.id).as_deref(), Some("u1"));
    let event = Goal { id: "u1".to_owned(), place: [0; 3] }.enqueue_sync().into_event().unwrap();
    assert_eq!(event.metadata().and_then(|json| json.as_str()), Some(r#"{"where":[0,0,0]}"#));
}
