//! Snapshots of the generated code. Changing it changes a file in `snapshots/`.
//!
//! `INSTA_UPDATE=always cargo test -p outbox-macros` writes them; read the difference before you
//! commit it.
#![allow(clippy::expect_used, reason = "these are tests")]

use proc_macro2::TokenStream;
use syn::parse_quote;

use super::{delivery_error, entity_id, outbox_entity, outbox_events};

/// The generated code, formatted, which fails unless it is Rust.
fn pretty(generated: TokenStream) -> String {
    let file = syn::parse2(generated).expect("generated code is Rust");
    prettyplease::unparse(&file)
}

#[test]
fn small_entity() {
    let generated = outbox_entity(&parse_quote! {
        #[outbox(event_type = "goal")]
        struct Goal {
            #[outbox(entity_id, user_id)]
            id: String,
            #[outbox(metadata)]
            title: String,
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn large_entity() {
    let generated = outbox_entity(&parse_quote! {
        #[outbox(event_type = "moodEntry", display_name = "Mood", priority = -5, crate = crate::outbox)]
        #[outbox(destination = self.local.host.clone(), charge = "always", max_snoozes = 20)]
        #[outbox(max_attempts = MOST, retry = ["1s", SLOW, "2m"], timeout = "30s", lease = "1m")]
        #[outbox(order = "user", on_dead = "skip", expires_after = "7d", on_expiry = "drop", version = 2, upcast(1 = old::MoodV1))]
        pub(crate) struct MoodEntry {
            #[outbox(entity_id)]
            id: Uuid,
            #[outbox(user_id)]
            owner: ids::UserId,
            /// From -1 to 1.
            #[outbox(metadata)]
            valence: f64,
            #[outbox(metadata)]
            r#type: Option<Vec<String>>,
            #[outbox(metadata, sensitive)]
            notes: BTreeMap<String, [u8; 4]>,
            local: Cache,
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn generic_entity() {
    let generated = outbox_entity(&parse_quote! {
        #[outbox(event_type = "tagged")]
        pub struct Tagged<T: Clone, Key, Local = (), const N: usize = 3>
        where
            T: Ord,
            Local: Default,
        {
            #[outbox(entity_id)]
            pub id: Key,
            #[outbox(user_id)]
            pub user_id: String,
            #[outbox(metadata)]
            pub tags: Vec<T>,
            #[outbox(metadata)]
            pub grid: Grid<N>,
            pub local: Local,
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn entity_that_follows_serde() {
    let generated = outbox_entity(&parse_quote! {
        #[outbox(event_type = "measurement")]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct Measurement {
            #[outbox(entity_id, user_id)]
            pub id: String,
            #[outbox(metadata)]
            #[serde(with = "celsius")]
            pub last_temperature: f64,
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn snapshot_entity() {
    let generated = outbox_entity(&parse_quote! {
        #[outbox(event_type = "page", snapshot, coalesce = "latest")]
        pub struct Page {
            #[outbox(entity_id, user_id)]
            pub id: String,
            #[outbox(sensitive)]
            pub text: String,
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn entity_with_computed_ids() {
    let generated = outbox_entity(&parse_quote! {
        #[outbox(event_type = "invoice", alias = ["bill", OLDER], user_id = "shop")]
        #[outbox(entity_id = (self.tenant, self.number()))]
        pub struct Invoice {
            pub tenant: TenantId,
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn entity_without_a_user() {
    let generated = outbox_entity(&parse_quote! {
        #[outbox(event_type = "document")]
        pub struct Document<T> {
            #[outbox(entity_id)]
            pub id: Id<T>,
            #[outbox(metadata)]
            pub body: T,
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn id_type() {
    let generated = entity_id(&parse_quote! {
        pub struct Id<T> where T: Kind {
            value: Uuid,
            of: PhantomData<T>,
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn refused_entity() {
    let generated = outbox_entity(&parse_quote! {
        #[outbox(event_typ = "tagged", priority = "high")]
        pub struct Tagged<T> {
            #[outbox(entity_id)]
            pub id: i64,
            #[outbox(metadata)]
            pub tag: T,
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn set_of_events() {
    let generated = outbox_events(&parse_quote! {
        pub enum LumeEvent {
            MoodEntry(Event<MoodEntry>),
            Type(outbox_runtime::Event<Tagged<Mood>>),
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn set_with_batches() {
    let generated = outbox_events(&parse_quote! {
        enum FitEvent {
            #[outbox(batch = 100, within = "2s", batch_bytes = 65_536)]
            Steps(Event<Steps>),
            #[outbox(batch = MOST)]
            Sleep(Event<Sleep>),
            #[outbox(batch = 10, batch_order = "keep")]
            Edit(Event<Edit>),
            Profile(Event<Profile>),
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn set_with_retired_types() {
    let generated = outbox_events(&parse_quote! {
        #[outbox(retired("journal" = drop, DRAFT = hold))]
        enum LumeEvent {
            Goal(Event<Goal>),
        }
    });
    insta::assert_snapshot!(pretty(generated));
}

#[test]
fn error() {
    let generated = delivery_error(&parse_quote! {
        enum SyncError<E> {
            #[outbox(offline)]
            NoConnection,
            #[outbox(rate_limited(after = wait, scope = "user"))]
            Throttled { wait: Duration },
            #[outbox(unavailable(destination = host))]
            Down { host: String },
            #[outbox(retry(after = 1))]
            Busy(u16, Option<Duration>),
            #[outbox(permanent)]
            Rejected(String),
            #[outbox(obsolete)]
            Gone,
            #[outbox(transparent)]
            Login(E),
        }
    });
    insta::assert_snapshot!(pretty(generated));
}
