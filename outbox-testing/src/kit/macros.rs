//! The macros on what is enqueued.

/// Asserts that an event is enqueued, and returns it as an [`Event`](outbox_runtime::Event) of its
/// type. It awaits the store, so it stands in an `async` test.
///
/// ```text
/// assert_enqueued!(store, Entity { field: value, .. }, condition = value)
/// ```
///
/// - `store` is any store, or a reference to one.
/// - The fields are those of the entity's metadata; each is compared with `==`. `field` alone
///   compares with the variable of that name. The pattern ends with `..`: fields that it does not
///   name may have any value. `Entity` without braces means the same as `Entity { .. }`.
/// - The conditions are `operation`, `status` (both by the names of their variants), `priority`,
///   `entity_id`, `user_id`, `destination`, `max_attempts`, `event_id`,
///   `with = |event| ..` (a closure on the typed event), and `count`: exactly that many events are
///   enqueued. Without `count` at least one is.
///
/// An event counts whatever its [status](outbox_runtime::OutboxStatus), so the answer does not
/// depend on how far a processor has come, as long as the store keeps delivered events.
///
/// # Panics
///
/// If no event is as wanted, with a message that lists what is enqueued and how the nearest event
/// differs. Values of `#[outbox(sensitive)]` fields are left out. Also if the store cannot be read.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::{assert_enqueued, refute_enqueued};
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "moodEntry", priority = 5)]
/// struct MoodEntry {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
///     #[outbox(metadata)]
///     valence: f64,
///     #[outbox(metadata)]
///     labels: Vec<String>,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let labels = vec!["calm".to_owned()];
/// let mood = MoodEntry { id: 7, user_id: "user-1".into(), valence: 0.5, labels };
/// mood.enqueue_update().on(&store).await?;
///
/// assert_enqueued!(store, MoodEntry { valence: 0.5, .. }, operation = Update, priority = 5);
/// let event = assert_enqueued!(store, MoodEntry, entity_id = 7, count = 1);
/// assert_eq!(event.metadata().labels, ["calm"]);
/// refute_enqueued!(store, MoodEntry { .. }, with = |event| event.metadata().valence > 0.9);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! assert_enqueued {
    ($store:expr, $($wanted:tt)+) => {{
        #[allow(unused_imports, reason = "the caller may have imported it")]
        use $crate::__kit::Search as _;
        let __wanted = $crate::__wanted!($($wanted)+);
        match ($store).__event_as_wanted(__wanted).await {
            ::core::result::Result::Ok(__event) => __event,
            ::core::result::Result::Err(__message) => ::core::panic!("{}", __message),
        }
    }};
    ($($other:tt)*) => {
        ::core::compile_error!(
            "expected a store and an entity: `assert_enqueued!(store, MoodEntry { valence: 0.5, .. })`"
        )
    };
}

/// Asserts that no event is enqueued as described: the opposite of
/// [`assert_enqueued!`](crate::assert_enqueued), with the same pattern and conditions.
///
/// # Panics
///
/// If an event is as described, with a message that lists what is enqueued, without sensitive
/// values. Also if the store cannot be read.
///
/// # Examples
///
/// ```
/// use outbox_runtime::prelude::*;
/// use outbox_testing::refute_enqueued;
///
/// #[derive(OutboxEntity)]
/// #[outbox(event_type = "goal")]
/// struct Goal {
///     #[outbox(entity_id)]
///     id: i64,
///     #[outbox(user_id)]
///     user_id: String,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// Goal { id: 7, user_id: "user-1".into() }.enqueue_create().on(&store).await?;
/// refute_enqueued!(store, Goal, operation = Delete);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! refute_enqueued {
    ($store:expr, $($wanted:tt)+) => {{
        #[allow(unused_imports, reason = "the caller may have imported it")]
        use $crate::__kit::Search as _;
        let __wanted = $crate::__wanted!($($wanted)+);
        match ($store).__no_event_as_wanted(__wanted).await {
            ::core::result::Result::Ok(()) => {}
            ::core::result::Result::Err(__message) => ::core::panic!("{}", __message),
        }
    }};
    ($($other:tt)*) => {
        ::core::compile_error!(
            "expected a store and an entity: `refute_enqueued!(store, MoodEntry { valence: 0.5, .. })`"
        )
    };
}

/// A [`Wanted`](crate::__kit::Wanted) from an entity's pattern and conditions.
#[doc(hidden)]
#[macro_export]
macro_rules! __wanted {
    ($entity:path { $($fields:tt)* } $(, $($conditions:tt)*)?) => {
        $crate::__wanted_conditions!(
            $crate::__wanted_fields!(
                $entity, $crate::__kit::Wanted::<$entity>::new(), $($fields)*
            ),
            $($($conditions)*)?
        )
    };
    ($entity:path $(, $($conditions:tt)*)?) => {
        $crate::__wanted_conditions!(
            $crate::__kit::Wanted::<$entity>::new(), $($($conditions)*)?
        )
    };
}

/// Adds the fields of a pattern.
#[doc(hidden)]
#[macro_export]
macro_rules! __wanted_fields {
    ($entity:path, $wanted:expr, ..) => { $wanted };
    ($entity:path, $wanted:expr, $field:ident : $value:expr, $($rest:tt)*) => {
        $crate::__wanted_fields!(
            $entity, $crate::__wanted_field!($entity, $wanted, $field, $value), $($rest)*
        )
    };
    ($entity:path, $wanted:expr, $field:ident, $($rest:tt)*) => {
        $crate::__wanted_fields!(
            $entity, $crate::__wanted_field!($entity, $wanted, $field, $field), $($rest)*
        )
    };
    ($entity:path, $wanted:expr, $($other:tt)*) => {
        ::core::compile_error!(
            "expected `field: value` for each field to compare, and `..` at the end: `MoodEntry { valence: 0.5, .. }`"
        )
    };
}

/// Adds one field. Its name is destructured, so that the compiler knows the field at its place.
#[doc(hidden)]
#[macro_export]
macro_rules! __wanted_field {
    ($entity:path, $wanted:expr, $field:ident, $value:expr) => {{
        type __Metadata = <$entity as $crate::__runtime::OutboxEntity>::Metadata;
        #[allow(clippy::float_cmp, reason = "the test says which value it wants")]
        let __ask = |__metadata: ::core::option::Option<&__Metadata>| {
            let __wanted = &$value;
            let __holds = match __metadata {
                ::core::option::Option::Some(__Metadata {
                    $field: __found, ..
                }) => *__found == *__wanted,
                ::core::option::Option::None => false,
            };
            (__holds, ::std::format!("{:?}", __wanted))
        };
        $wanted.field(::core::stringify!($field), __ask)
    }};
}

/// Adds the conditions.
#[doc(hidden)]
#[macro_export]
macro_rules! __wanted_conditions {
    ($wanted:expr $(,)?) => { $wanted };
    ($wanted:expr, operation = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__wanted_conditions!(
            $wanted.operation({
                #[allow(unused_imports, reason = "the value may be a path")]
                use $crate::__runtime::Operation::*;
                $value
            }),
            $($($rest)*)?
        )
    };
    ($wanted:expr, status = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__wanted_conditions!(
            $wanted.status({
                #[allow(unused_imports, reason = "the value may be a path")]
                use $crate::__runtime::OutboxStatus::*;
                $value
            }),
            $($($rest)*)?
        )
    };
    ($wanted:expr, $key:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__wanted_conditions!($wanted.$key($value), $($($rest)*)?)
    };
    ($wanted:expr, $($other:tt)+) => {
        ::core::compile_error!(
            "expected `condition = value` after the pattern, such as `operation = Update, priority = 5`"
        )
    };
}
