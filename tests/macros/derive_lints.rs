//! Generated code is silent under the lints that a strict crate denies, whether or not all of it is
//! used.
#![deny(
    warnings,
    future_incompatible,
    keyword_idents,
    let_underscore,
    nonstandard_style,
    rust_2018_idioms,
    rust_2021_compatibility,
    rust_2024_compatibility,
    unused,
    absolute_paths_not_starting_with_crate,
    closure_returning_async_block,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    missing_copy_implementations,
    missing_debug_implementations,
    missing_docs,
    non_ascii_idents,
    redundant_lifetimes,
    single_use_lifetimes,
    trivial_bounds,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::absolute_paths,
    clippy::missing_docs_in_private_items,
    clippy::missing_inline_in_public_items,
    clippy::module_name_repetitions,
    clippy::panic,
    clippy::same_name_method,
    clippy::unwrap_used
)]

/// Everything that the derives generate, public and documented.
pub mod generated {
    use outbox_runtime::{EntityId, Event, OutboxEntity, OutboxEvents};
    use serde::{Deserialize, Serialize};

    /// With the runtime's helpers.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "moodEntry", priority = 100_000, retry = ["1s", "2h"], timeout = "1m")]
    pub struct MoodEntry {
        /// The id.
        #[outbox(entity_id)]
        pub id: i64,
        /// The user.
        #[outbox(user_id)]
        pub user_id: String,
        /// From -1 to 1.
        #[outbox(metadata)]
        pub valence: f64,
    }

    /// Without metadata.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "session")]
    pub struct Session {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
    }

    /// With serde's derives.
    #[derive(Debug, Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "journal")]
    #[serde(rename_all = "camelCase")]
    pub struct Journal {
        /// The id.
        #[outbox(entity_id)]
        pub id: i64,
        /// The user.
        #[outbox(user_id)]
        pub user_id: String,
        /// How long it is.
        #[outbox(metadata)]
        pub word_count: u32,
    }

    /// The whole entity.
    #[derive(Debug, Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "goal", snapshot)]
    pub struct Goal {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
    }

    /// With parameters.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "tagged")]
    pub struct Tagged<T, U> {
        /// The id.
        #[outbox(entity_id)]
        pub id: i64,
        /// The user.
        #[outbox(user_id)]
        pub user_id: String,
        /// The tags.
        #[outbox(metadata)]
        pub tags: Vec<T>,
        /// Not sent.
        pub local: U,
    }

    /// With parameters and serde's derives.
    #[derive(Debug, Serialize, Deserialize, OutboxEntity)]
    #[outbox(event_type = "renamed")]
    #[serde(rename_all = "camelCase")]
    pub struct Renamed<T, U> {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
        /// The last value.
        #[outbox(metadata)]
        pub last_value: T,
        /// Not sent.
        #[serde(skip)]
        pub local: Option<U>,
    }

    /// The id of a tenant.
    #[derive(Debug, Clone, EntityId)]
    pub struct TenantId(String);

    /// With ids that are no fields, and an older name.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "invoice", alias = ["bill"], user_id = "shop")]
    #[outbox(entity_id = (self.tenant, self.number))]
    pub struct Invoice {
        /// Whose it is.
        pub tenant: TenantId,
        /// Unique for the tenant.
        pub number: u32,
    }

    /// With a user that comes from the call.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "document")]
    pub struct Document {
        /// The id.
        #[outbox(entity_id)]
        pub id: String,
    }

    /// The set.
    #[derive(Debug, OutboxEvents)]
    #[outbox(retired("draft" = hold))]
    pub enum LumeEvent {
        /// A mood.
        MoodEntry(Event<MoodEntry>),
        /// A journal.
        Journal(Event<Journal>),
        /// A goal.
        Goal(Event<Goal>),
        /// Tags.
        Tagged(Event<Tagged<u8, u8>>),
        /// Names.
        Renamed(Event<Renamed<u8, u8>>),
    }
}

/// Errors with a delivery class.
#[allow(missing_copy_implementations, reason = "errors are moved, not copied")]
pub mod errors {
    use std::time::Duration;

    /// With every form of arm.
    #[derive(Debug, thiserror::Error, outbox_runtime::DeliveryError)]
    pub enum SyncError {
        /// A plain one.
        #[error("no connection")]
        #[outbox(offline)]
        NoConnection,
        /// One with a field.
        #[error("slow down")]
        #[outbox(rate_limited(after = wait))]
        Throttled {
            /// For how long.
            wait: Duration,
        },
        /// One that forwards.
        #[error(transparent)]
        #[outbox(transparent)]
        Login(#[from] LoginError),
        /// A second one with the answer of the first.
        #[error("unplugged")]
        #[outbox(offline)]
        Unplugged,
    }

    /// A struct.
    #[derive(Debug, Clone, Copy, thiserror::Error, outbox_runtime::DeliveryError)]
    #[error("logged out")]
    #[outbox(unauthenticated)]
    pub struct LoginError;
}

/// Deprecated items: the warning is for their users, not for generated code.
pub mod out_of_use {
    use std::time::Duration;

    use outbox_runtime::{DeliveryError, Event, OutboxEntity, OutboxEvents};
    use serde::{Deserialize, Serialize};

    /// An entity, and its fields.
    #[deprecated = "use another entity"]
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "weight")]
    pub struct Weight {
        /// The id, which is the user's.
        #[deprecated = "use another field"]
        #[outbox(entity_id, user_id)]
        pub id: String,
        /// The measured weight.
        #[deprecated = "use another field"]
        #[outbox(metadata)]
        pub kilograms: f64,
    }

    /// An entity with serde's derives.
    #[deprecated = "use another entity"]
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "steps")]
    pub struct Steps {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
        /// How many.
        #[deprecated = "use another field"]
        #[outbox(metadata)]
        #[serde(rename = "steps")]
        pub count: u64,
    }

    /// The type of a field.
    #[deprecated = "use words"]
    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub struct Color(String);

    /// An entity with a field of such a type.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "mood")]
    pub struct Mood {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
        /// How it looks.
        #[outbox(metadata)]
        #[allow(deprecated, reason = "rows of this type are still stored")]
        pub color: Color,
    }

    /// A set, its variants and what they hold.
    #[deprecated = "use another set"]
    #[derive(Debug, OutboxEvents)]
    pub enum OldEvent {
        /// A weight.
        #[deprecated = "use another variant"]
        Weight(#[allow(deprecated, reason = "events of this type are still sent")] Event<Weight>),
        /// Steps.
        Steps(#[allow(deprecated, reason = "events of this type are still sent")] Event<Steps>),
        /// A mood.
        #[deprecated = "use another variant"]
        Mood(Event<Mood>),
    }

    /// An error, its variants and its fields.
    #[deprecated = "use another error"]
    #[derive(Debug, thiserror::Error, DeliveryError)]
    pub enum OldError {
        /// No longer made.
        #[deprecated = "use another one"]
        #[error("busy: {cause}")]
        #[outbox(retry(after = wait))]
        Busy {
            /// Why.
            cause: String,
            /// For how long.
            #[deprecated = "use another field"]
            wait: Duration,
        },
    }
}

/// Clippy's lints about a type apply where the user wrote it, and are allowed there; generated code
/// must not repeat them.
pub mod said_once {
    use outbox_runtime::{Event, OutboxEntity, OutboxEvents};

    /// Large, and with many check boxes.
    #[allow(
        clippy::struct_excessive_bools,
        reason = "the form has many check boxes"
    )]
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "form")]
    pub struct Form {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
        /// A check box.
        #[outbox(metadata)]
        pub one: bool,
        /// A check box.
        #[outbox(metadata)]
        pub two: bool,
        /// A check box.
        #[outbox(metadata)]
        pub three: bool,
        /// A check box.
        #[outbox(metadata)]
        pub four: bool,
        /// Drawings.
        #[outbox(metadata)]
        pub drawings: [[u64; 16]; 16],
    }

    /// Small.
    #[derive(Debug, OutboxEntity)]
    #[outbox(event_type = "signature")]
    pub struct Signature {
        /// The id, which is the user's.
        #[outbox(entity_id, user_id)]
        pub id: String,
    }

    /// The set, with variants of all sizes.
    #[allow(clippy::large_enum_variant, reason = "few values exist at a time")]
    #[derive(Debug, OutboxEvents)]
    pub enum PaperEvent {
        /// A form.
        Form(Event<Form>),
        /// A signature.
        Signature(Event<Signature>),
    }
}

/// An entity whose generated items are all unused.
#[derive(Debug, outbox_runtime::OutboxEntity)]
#[outbox(event_type = "weight")]
struct Weight {
    /// The id, which is the user's.
    #[outbox(entity_id, user_id)]
    id: String,
    /// In kilograms.
    #[outbox(metadata)]
    kilograms: f64,
}

/// A set that is never decoded.
#[derive(Debug, outbox_runtime::OutboxEvents)]
enum Unused {
    /// A weight.
    Weight(outbox_runtime::Event<Weight>),
}

#[test]
fn generated_code_is_silent() {
    let weight = Weight {
        id: String::new(),
        kilograms: 72.5,
    };
    assert!(weight.kilograms > 0.0, "{}", weight.id);
    assert_eq!(Unused::EVENT_TYPES, ["weight"]);
}
