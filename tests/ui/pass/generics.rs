//! Entities with parameters, bounds, defaults and constants.
#![deny(warnings)]
#![no_implicit_prelude]

use ::outbox_runtime::{Event, OutboxEntity, OutboxEvents};
use ::serde::{Deserialize, Serialize};
use ::std::clone::Clone;
use ::std::string::String;
use ::std::vec::Vec;

/// Names that generated code could stumble over.
#[derive(::std::fmt::Debug, Clone, Serialize, Deserialize)]
pub struct S<T>(T);

/// The parameters' bounds mention each other, and one has a default.
#[derive(OutboxEntity)]
#[outbox(event_type = "pair")]
pub struct Pair<T: Clone, U, const N: usize = 3>
where
    U: ::std::convert::AsRef<[T]> + ::std::iter::IntoIterator<Item = T>,
    String: Clone,
{
    #[outbox(entity_id)]
    pub id: i64,
    #[outbox(user_id)]
    pub user_id: String,
    /// The left one.
    #[outbox(metadata)]
    pub left: S<T>,
    pub right: U,
    pub rest: [u8; N],
}

/// A type of whose parameters none is metadata.
#[derive(OutboxEntity)]
#[outbox(event_type = "opaque")]
pub struct Opaque<T>
where
    T: ?::std::marker::Sized + 'static,
{
    #[outbox(entity_id, user_id)]
    pub id: String,
    pub held: &'static T,
}

#[derive(OutboxEvents)]
pub enum LumeEvent {
    Pair(Event<Pair<i32, Vec<i32>>>),
    Opaque(Event<Opaque<str>>),
}

fn main() {
    let pair = Pair::<i32, Vec<i32>> {
        id: 1,
        user_id: String::new(),
        left: S(1),
        right: Vec::new(),
        rest: [0; 3],
    };
    let _ = pair.enqueue_delete();
    let left = |metadata: &PairMetadata<i32>| metadata.left.0;
    let _ = left;
}
