//! Fields whose types are projections of a type parameter, serialized by serde: the parameter
//! itself needs no bound.
#![deny(warnings)]

use std::marker::PhantomData;

use outbox_runtime::OutboxEntity;
use outbox_runtime::support::MetadataValue;

pub trait Owner: 'static {
    type Id: MetadataValue + Clone + std::fmt::Debug;
}

impl Owner for PhantomData<u8> {
    type Id = u64;
}

#[derive(OutboxEntity)]
#[outbox(event_type = "owned")]
#[serde(rename_all = "camelCase")]
pub struct Owned<T: Owner, const N: usize> {
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    #[outbox(metadata, sensitive)]
    pub owner_id: T::Id,
    #[outbox(metadata)]
    pub other_ids: Vec<<T as Owner>::Id>,
    pub rest: [Option<T>; N],
}

fn main() {
    let owned: Owned<PhantomData<u8>, 0> =
        Owned { id: 1, user_id: "u".into(), owner_id: 7, other_ids: vec![8], rest: [] };
    let json = owned.metadata_json().unwrap();
    assert_eq!(json.as_str(), Some(r#"{"ownerId":7,"otherIds":[8]}"#));
    let metadata: OwnedMetadata<PhantomData<u8>> = json.decode().unwrap();
    assert_eq!(format!("{metadata:?}"), "OwnedMetadata { owner_id: [redacted], other_ids: [8] }");
}
