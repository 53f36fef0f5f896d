//! The runtime by way of another crate's macro, which knows it as `$crate::outbox`.
#![deny(warnings)]

pub mod outbox {
    pub use outbox_runtime::*;
}

#[macro_export]
macro_rules! entity {
    ($name:ident $event_type:literal $(#[$meta:meta])* { $($(#[$attr:meta])* $field:ident: $ty:ty,)* }) => {
        #[derive($crate::outbox::OutboxEntity)]
        #[outbox(event_type = $event_type, crate = $crate::outbox)]
        $(#[$meta])*
        pub struct $name {
            #[outbox(entity_id)]
            pub id: i64,
            #[outbox(user_id)]
            pub user_id: String,
            $(#[outbox(metadata)] $(#[$attr])* pub $field: $ty,)*
        }
    };
}

entity!(Thin "thin" { valence: f64, });
entity!(Renamed "renamed" { #[serde(rename = "Valence", default)] valence: f64, #[outbox(sensitive)] notes: String, });
entity!(Camel "camel" #[serde(rename_all = "camelCase")] { last_valence: f64, });

fn main() {
    use outbox_runtime::OutboxEntity;

    let (id, user_id) = (7, "u".to_owned());
    let renamed = Renamed { id, user_id: user_id.clone(), valence: 0.5, notes: "n".to_owned() };
    let json = renamed.metadata_json().unwrap();
    assert_eq!(json.as_str(), Some(r#"{"Valence":0.5,"notes":"n"}"#));
    assert_eq!(json.decode::<RenamedMetadata>().unwrap().valence, 0.5);
    let camel = Camel { id, user_id: user_id.clone(), last_valence: 0.5 };
    assert_eq!(camel.metadata_json().unwrap().as_str(), Some(r#"{"lastValence":0.5}"#));
    assert!(Thin { id, user_id, valence: 0.5 }.metadata_json().is_ok());
}
