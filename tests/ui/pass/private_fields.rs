//! Private fields of private types in public entities.
#![deny(warnings)]

pub mod entities {
    use std::collections::BTreeMap;

    use outbox_runtime::OutboxEntity;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Kind(String);

    #[derive(OutboxEntity)]
    #[outbox(event_type = "thin")]
    pub struct Thin {
        #[outbox(entity_id)]
        pub id: i64,
        #[outbox(user_id)]
        pub user_id: String,
        #[outbox(metadata)]
        kind: Kind,
        #[outbox(metadata)]
        kinds: BTreeMap<Kind, Vec<Option<Kind>>>,
        #[outbox(metadata)]
        pub valence: f64,
    }

    #[derive(OutboxEntity)]
    #[outbox(event_type = "sensitive")]
    pub struct Sensitive {
        #[outbox(entity_id)]
        pub id: i64,
        #[outbox(user_id)]
        pub user_id: String,
        #[outbox(metadata, sensitive)]
        kind: Kind,
        #[outbox(metadata)]
        pub(crate) valence: f64,
    }

    #[derive(OutboxEntity)]
    #[outbox(event_type = "bySerde")]
    #[serde(rename_all = "camelCase")]
    pub struct BySerde<T> {
        #[outbox(entity_id)]
        pub id: i64,
        #[outbox(user_id)]
        pub user_id: String,
        #[outbox(metadata)]
        last_kind: Kind,
        #[outbox(metadata)]
        pub value: T,
    }

    #[derive(Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "snapshot", snapshot)]
    pub struct Snapshot {
        #[outbox(entity_id)]
        pub id: i64,
        #[outbox(user_id)]
        pub user_id: String,
        kind: Kind,
    }

    pub fn thin() -> Thin {
        let kind = Kind("a".to_owned());
        let kinds = BTreeMap::from([(kind.clone(), vec![Some(kind.clone())])]);
        Thin { id: 1, user_id: "u".to_owned(), kind, kinds, valence: 0.5 }
    }

    pub fn by_serde() -> BySerde<u8> {
        BySerde { id: 1, user_id: "u".to_owned(), last_kind: Kind("a".to_owned()), value: 7 }
    }

    pub fn others() -> (Sensitive, Snapshot) {
        let (kind, user_id) = (Kind("a".to_owned()), "u".to_owned());
        let sensitive = Sensitive { id: 1, user_id: user_id.clone(), kind: kind.clone(), valence: 0.5 };
        (sensitive, Snapshot { id: 1, user_id, kind })
    }

    pub fn shown(metadata: &ThinMetadata) -> String {
        format!("{:?} {:?}", metadata.kind, metadata.kinds)
    }
}

fn main() {
    use outbox_runtime::OutboxEntity;

    let json = entities::thin().metadata_json().unwrap();
    assert_eq!(json.as_str(), Some(r#"{"kind":"a","kinds":{"a":["a"]},"valence":0.5}"#));
    let metadata: entities::ThinMetadata = json.decode().unwrap();
    assert_eq!(metadata.valence, 0.5);
    assert_eq!(entities::shown(&metadata), r#"Kind("a") {Kind("a"): [Some(Kind("a"))]}"#);
    let json = entities::by_serde().metadata_json().unwrap();
    assert_eq!(json.as_str(), Some(r#"{"lastKind":"a","value":7}"#));
    let metadata: entities::BySerdeMetadata<u8> = json.decode().unwrap();
    assert_eq!(metadata.value, 7);
    let (sensitive, snapshot) = entities::others();
    assert!(format!("{sensitive:?}").contains("[redacted]"));
    assert!(snapshot.metadata_json().is_ok());
}
