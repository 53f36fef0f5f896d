//! Ids of every type that is an integer or a string.
#![deny(warnings)]

use std::borrow::Cow;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::Arc;

use outbox_runtime::EntityId;
use outbox_runtime::prelude::*;
use outbox_testing::wire_lock::{EntityIdType, EventShapes};

macro_rules! entity {
    ($($name:ident $entity:ty, $user:ty;)*) => {$(
        #[derive(OutboxEntity)]
        #[outbox(event_type = "thing")]
        struct $name {
            #[outbox(entity_id)]
            id: $entity,
            #[outbox(user_id)]
            user_id: $user,
        }
    )*};
}

entity! {
    Size usize, i64;
    SignedSize isize, u32;
    Large u128, u64;
    SignedLarge i128, i8;
    Positive NonZero<u64>, NonZero<u32>;
    NotZero NonZero<i32>, usize;
    Borrowed Cow<'static, str>, Cow<'static, str>;
    Shared Arc<str>, Arc<str>;
    Counted Rc<str>, Rc<str>;
    Boxed Box<str>, Box<str>;
    Static &'static str, &'static str;
}

macro_rules! check {
    ($($name:ident $id:expr, $user_id:expr => $stored:expr, $user:expr;)*) => {$(
        let entity = $name { id: $id, user_id: $user_id };
        assert_eq!(entity.entity_id(), EntityId::from($stored));
        assert_eq!(entity.user_id(), $user);
    )*};
}

fn id_type<E: OutboxEntity>() -> EntityIdType {
    EventShapes::of::<E>().entity_id_type().clone()
}

fn main() {
    check! {
        Size 7, -7 => 7, "-7";
        SignedSize -7, 7 => -7, "7";
        Large 7, u64::MAX => 7, "18446744073709551615";
        Large u128::MAX, 7 => "340282366920938463463374607431768211455", "7";
        SignedLarge i128::MIN, -7 => "-170141183460469231731687303715884105728", "-7";
        Positive NonZero::new(7).unwrap(), NonZero::new(7).unwrap() => 7, "7";
        NotZero NonZero::new(-7).unwrap(), 7 => -7, "7";
        Borrowed "goal:7".into(), "user-1".into() => "goal:7", "user-1";
        Shared "goal:7".into(), "user-1".into() => "goal:7", "user-1";
        Counted "goal:7".into(), "user-1".into() => "goal:7", "user-1";
        Boxed "7".into(), "user-1".into() => 7, "user-1";
        Static "goal:7", "user-1" => "goal:7", "user-1";
    }
    for integer in [id_type::<Size>(), id_type::<Large>(), id_type::<Positive>()] {
        assert_eq!(integer, EntityIdType::INTEGER);
    }
    for text in [id_type::<Borrowed>(), id_type::<Shared>(), id_type::<Boxed>(), id_type::<Static>()] {
        assert_eq!(text, EntityIdType::TEXT);
    }
}
