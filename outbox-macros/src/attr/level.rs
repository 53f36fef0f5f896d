//! The places of an attribute, the keys known there, and the error for an unknown one.

use proc_macro2::Span;

use crate::diag::{Diagnostics, did_you_mean, list};

/// The place of an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    // #[derive(OutboxEntity)]
    Struct,
    Field,
    // #[derive(OutboxEvents)]
    Enum,
    Variant,
    // #[derive(EntityId)]
    Id,
    IdField,
    // #[derive(DeliveryError)]
    ErrorEnum,
    ErrorVariant,
    ErrorVariantField,
    ErrorStruct,
    ErrorStructField,
}

const STRUCT_KEYS: [&str; 23] = [
    "event_type",
    "alias",
    "entity_id",
    "user_id",
    "priority",
    "display_name",
    "destination",
    "max_attempts",
    "max_snoozes",
    "charge",
    "retry",
    "timeout",
    "lease",
    "order",
    "on_dead",
    "coalesce",
    "expires_after",
    "on_expiry",
    "snapshot",
    "metadata",
    "version",
    "upcast",
    "crate",
];
const FIELD_KEYS: [&str; 5] = ["entity_id", "user_id", "metadata", "sensitive", "after"];
const ENUM_KEYS: [&str; 2] = ["retired", "crate"];
const CRATE_KEYS: [&str; 1] = ["crate"];
const VARIANT_KEYS: [&str; 4] = ["batch", "within", "batch_bytes", "batch_order"];

/// The delivery classes of an error.
pub(crate) const CLASSES: [&str; 9] = [
    "retry",
    "permanent",
    "unavailable",
    "offline",
    "unauthenticated",
    "rate_limited",
    "obsolete",
    "snooze",
    "transparent",
];
const ERROR_STRUCT_KEYS: [&str; 10] = {
    let [a, b, c, d, e, f, g, h, i] = CLASSES;
    [a, b, c, d, e, f, g, h, i, "crate"]
};

impl Level {
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Struct => &STRUCT_KEYS,
            Self::Field => &FIELD_KEYS,
            Self::Enum => &ENUM_KEYS,
            Self::ErrorEnum | Self::Id => &CRATE_KEYS,
            Self::Variant => &VARIANT_KEYS,
            Self::ErrorVariant => &CLASSES,
            Self::ErrorStruct => &ERROR_STRUCT_KEYS,
            Self::ErrorVariantField | Self::ErrorStructField | Self::IdField => &[],
        }
    }

    /// The other levels of the same derive.
    fn others(self) -> &'static [Self] {
        match self {
            Self::Struct | Self::Field | Self::Enum | Self::Variant => {
                &[Self::Struct, Self::Field, Self::Enum, Self::Variant]
            }
            Self::ErrorEnum | Self::ErrorVariant | Self::ErrorVariantField => {
                &[Self::ErrorVariant, Self::ErrorEnum]
            }
            Self::ErrorStruct | Self::ErrorStructField => &[Self::ErrorStruct],
            Self::Id | Self::IdField => &[Self::Id],
        }
    }

    /// The level that knows `key`.
    fn level_of(self, key: &str) -> Option<Self> {
        let mut others = self.others().iter().copied();
        others.find(|level| level.keys().contains(&key))
    }

    fn place(self) -> &'static str {
        match self {
            Self::Struct | Self::ErrorStruct | Self::Id => "the struct",
            Self::Field | Self::ErrorVariantField | Self::ErrorStructField | Self::IdField => {
                "a field"
            }
            Self::Enum => "the event set",
            Self::Variant => "a variant of the event set",
            Self::ErrorEnum => "the enum",
            Self::ErrorVariant => "a variant",
        }
    }

    /// The valid keys, for the end of a message.
    pub(super) fn help(self) -> String {
        match self.keys() {
            [] => format!("{} takes no `#[outbox(..)]`", self.place()),
            keys => format!("{} takes {}", self.place(), list(keys)),
        }
    }
}

/// Reports an unknown key: the level it belongs on, or the key it misspells.
pub(super) fn unknown(name: &str, span: Span, level: Level, diag: &mut Diagnostics) {
    if let Some(right) = level.level_of(name) {
        diag.attempted(name);
        let (right, wrong) = (right.place(), level.place());
        diag.error(
            span,
            format_args!("`{name}` belongs on {right}, not on {wrong}"),
        );
    } else if let Some(meant) = did_you_mean(name, level.keys()) {
        diag.attempted(meant);
        let help = format_args!("did you mean `{meant}`?");
        diag.error_with_help(span, format_args!("unknown key `{name}`"), help);
    } else {
        diag.error_with_help(span, format_args!("unknown key `{name}`"), level.help());
    }
}
