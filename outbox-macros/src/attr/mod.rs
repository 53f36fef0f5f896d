//! The grammar of `#[outbox(..)]`: nothing else parses.
//!
//! No function returns early: a mistake is recorded, the rest of that key is skipped, and reading
//! goes on with the next key. [`value`] checks each value on its own; [`check`] checks keys against
//! each other.

mod computed; // ids that are expressions
mod delivery; // what #[derive(DeliveryError)] reads
mod details; // for how long an answer holds, and whom it is about
mod duration; // syntax of durations
mod id; // what #[derive(EntityId)] reads
mod json_name; // the name of a field in JSON
mod level; // the position of an attribute, and the keys allowed there
mod names; // older names of a type, and retired types
mod value; // the value of each key
mod variant; // the attributes of a variant of an event set
mod versions; // the values of version and upcast

use std::time::Duration;

use proc_macro2::TokenTree;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, DeriveInput, Error, Expr, Field, Ident, Meta, Path, Result, Token, TypePath};

pub(crate) use self::delivery::{CaseSource, Class, ErrorSource, Place};
pub(crate) use self::details::About;
pub(crate) use self::id::IdSource;
pub(crate) use self::json_name::json_name;
pub(crate) use self::level::CLASSES;
use self::level::{Level, unknown};
pub(crate) use self::names::{Alias, Aliases, RetiredType};
pub(crate) use self::value::{Choice, Constant, Delays};
pub(crate) use self::variant::VariantAttrs;
pub(crate) use self::versions::Older;
use crate::check;
use crate::diag::Diagnostics;

/// A value and its key, for error spans.
pub(crate) struct Keyed<T> {
    pub(crate) key: Ident,
    pub(crate) value: T,
}

/// The attributes of a struct.
#[derive(Default)]
pub(crate) struct EntityAttrs {
    pub(crate) event_type: Option<Keyed<Constant<String>>>,
    pub(crate) alias: Option<Keyed<Aliases>>,
    pub(crate) entity_id: Option<Keyed<Expr>>,
    pub(crate) user_id: Option<Keyed<Expr>>,
    pub(crate) priority: Option<Keyed<Constant<i32>>>,
    pub(crate) display_name: Option<Keyed<Constant<String>>>,
    pub(crate) destination: Option<Keyed<Expr>>,
    pub(crate) max_attempts: Option<Keyed<Constant<u32>>>,
    pub(crate) max_snoozes: Option<Keyed<Constant<u32>>>,
    pub(crate) charge: Option<Keyed<Constant<Choice>>>,
    pub(crate) retry: Option<Keyed<Delays>>,
    pub(crate) timeout: Option<Keyed<Constant<Duration>>>,
    pub(crate) lease: Option<Keyed<Constant<Duration>>>,
    pub(crate) order: Option<Keyed<Constant<Choice>>>,
    pub(crate) on_dead: Option<Keyed<Constant<Choice>>>,
    pub(crate) coalesce: Option<Keyed<Constant<Choice>>>,
    pub(crate) expires_after: Option<Keyed<Constant<Duration>>>,
    pub(crate) on_expiry: Option<Keyed<Constant<Choice>>>,
    pub(crate) snapshot: Option<Keyed<()>>,
    pub(crate) metadata: Option<Keyed<Ident>>,
    pub(crate) version: Option<Keyed<u32>>,
    pub(crate) upcast: Option<Keyed<Vec<Older>>>,
    pub(crate) krate: Option<Keyed<Path>>,
}

/// The attributes of a field.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) entity_id: Option<Keyed<()>>,
    pub(crate) user_id: Option<Keyed<()>>,
    pub(crate) metadata: Option<Keyed<()>>,
    pub(crate) sensitive: Option<Keyed<()>>,
    pub(crate) after: Option<Keyed<TypePath>>,
}

/// The attributes of an enum.
#[derive(Default)]
pub(crate) struct EnumAttrs {
    pub(crate) retired: Option<Keyed<Vec<RetiredType>>>,
    pub(crate) krate: Option<Keyed<Path>>,
}

/// A struct with all its attributes, valid or not.
pub(crate) struct EntitySource<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) attrs: EntityAttrs,
    pub(crate) fields: Vec<FieldSource<'a>>,
}

/// A named field with all its attributes.
pub(crate) struct FieldSource<'a> {
    pub(crate) field: &'a Field,
    pub(crate) ident: &'a Ident,
    pub(crate) attrs: FieldAttrs,
    /// An error about its attributes was recorded: an absent one may just be misspelled.
    pub(crate) is_faulty: bool,
}

impl<'a> EntitySource<'a> {
    /// Reads a struct. Any other item is recorded, and read as a struct without fields.
    pub(crate) fn read(input: &'a DeriveInput, diag: &mut Diagnostics) -> Self {
        let attrs = EntityAttrs::read(&input.attrs, diag);
        let fields = check::named_fields(input, diag)
            .into_iter()
            .flat_map(|fields| &fields.named)
            .filter_map(|field| FieldSource::read(field, diag))
            .collect();
        Self {
            input,
            attrs,
            fields,
        }
    }
}

impl<'a> FieldSource<'a> {
    fn read(field: &'a Field, diag: &mut Diagnostics) -> Option<Self> {
        let before = diag.recorded();
        Some(Self {
            field,
            ident: field.ident.as_ref()?,
            attrs: FieldAttrs::read(&field.attrs, diag),
            is_faulty: diag.recorded() > before,
        })
    }
}

impl EntityAttrs {
    fn read(attrs: &[Attribute], diag: &mut Diagnostics) -> Self {
        let mut read = Self::default();
        each_key(attrs, Level::Struct, diag, |key, input, diag| {
            match key.name.as_str() {
                // #[outbox(event_type = "moodEntry")]
                "event_type" => key.set(&mut read.event_type, input, diag, value::event_type),
                // #[outbox(alias = ["mood_entry"])]
                "alias" => key.set(&mut read.alias, input, diag, names::alias),
                // #[outbox(entity_id = (self.tenant, self.number))]
                "entity_id" => key.set(&mut read.entity_id, input, diag, computed::entity_id),
                // #[outbox(user_id = "shop")]
                "user_id" => key.set(&mut read.user_id, input, diag, computed::user_id),
                // #[outbox(priority = -5)]
                "priority" => key.set(&mut read.priority, input, diag, value::priority),
                // #[outbox(display_name = "Mood Entry")]
                "display_name" => key.set(&mut read.display_name, input, diag, value::display_name),
                // #[outbox(destination = self.host)]
                "destination" => key.set(&mut read.destination, input, diag, computed::destination),
                // #[outbox(max_attempts = 5)]
                "max_attempts" => key.set(&mut read.max_attempts, input, diag, value::max_attempts),
                // #[outbox(max_snoozes = 20)]
                "max_snoozes" => key.set(&mut read.max_snoozes, input, diag, value::max_snoozes),
                // #[outbox(charge = "always")]
                "charge" => key.set(&mut read.charge, input, diag, value::charge),
                // #[outbox(retry = ["1s", "5s", "2m"])]
                "retry" => key.set(&mut read.retry, input, diag, value::retry),
                // #[outbox(timeout = "30s")]
                "timeout" => key.set(&mut read.timeout, input, diag, value::timeout),
                // #[outbox(lease = "2m")]
                "lease" => key.set(&mut read.lease, input, diag, value::lease),
                // #[outbox(order = "user")]
                "order" => key.set(&mut read.order, input, diag, value::order),
                // #[outbox(on_dead = "skip")]
                "on_dead" => key.set(&mut read.on_dead, input, diag, value::on_dead),
                // #[outbox(coalesce = "latest")]
                "coalesce" => key.set(&mut read.coalesce, input, diag, value::coalesce),
                // #[outbox(expires_after = "7d")]
                "expires_after" => {
                    key.set(&mut read.expires_after, input, diag, value::expires_after);
                }
                // #[outbox(on_expiry = "drop")]
                "on_expiry" => key.set(&mut read.on_expiry, input, diag, value::on_expiry),
                // #[outbox(snapshot)]
                "snapshot" => key.set(&mut read.snapshot, input, diag, value::flag),
                // #[outbox(metadata = "MoodChange")]
                "metadata" => key.set(&mut read.metadata, input, diag, value::type_name),
                // #[outbox(version = 2)]
                "version" => key.set(&mut read.version, input, diag, versions::version),
                // #[outbox(upcast(1 = MoodEntryMetadataV1))]
                "upcast" => key.set(&mut read.upcast, input, diag, versions::upcast),
                // #[outbox(crate = ::outbox_runtime)]
                "crate" => key.set(&mut read.krate, input, diag, value::crate_path),
                _ => return false,
            }
            true
        });
        read
    }
}

impl FieldAttrs {
    fn read(attrs: &[Attribute], diag: &mut Diagnostics) -> Self {
        let mut read = Self::default();
        each_key(attrs, Level::Field, diag, |key, input, diag| {
            match key.name.as_str() {
                // #[outbox(entity_id)]
                "entity_id" => key.set(&mut read.entity_id, input, diag, value::flag),
                // #[outbox(user_id)]
                "user_id" => key.set(&mut read.user_id, input, diag, value::flag),
                // #[outbox(metadata)]
                "metadata" => key.set(&mut read.metadata, input, diag, value::flag),
                // #[outbox(sensitive)]
                "sensitive" => key.set(&mut read.sensitive, input, diag, value::flag),
                // #[outbox(after = Journal)]
                "after" => key.set(&mut read.after, input, diag, value::entity_type),
                _ => return false,
            }
            true
        });
        read
    }
}

impl EnumAttrs {
    /// Reads the attributes of an enum of events.
    pub(crate) fn read(attrs: &[Attribute], diag: &mut Diagnostics) -> Self {
        Self::read_at(Level::Enum, attrs, diag)
    }

    fn read_at(level: Level, attrs: &[Attribute], diag: &mut Diagnostics) -> Self {
        let mut read = Self::default();
        each_key(attrs, level, diag, |key, input, diag| {
            match key.name.as_str() {
                // #[outbox(retired("legacyType" = drop))]
                "retired" if level == Level::Enum => {
                    key.set(&mut read.retired, input, diag, names::retired);
                }
                // #[outbox(crate = ::outbox_runtime)]
                "crate" => key.set(&mut read.krate, input, diag, value::crate_path),
                _ => return false,
            }
            true
        });
        read
    }
}

/// Whether an attribute is `#[outbox(..)]`.
pub(crate) fn is_outbox(attr: &Attribute) -> bool {
    attr.path().is_ident("outbox")
}

/// The `rename_all` of a struct's `#[serde(..)]`, which applies to its metadata.
///
/// Input that serde would reject is left for serde to report.
pub(crate) fn serde_rename_all(attrs: &[Attribute]) -> Option<Meta> {
    serde_keys(attrs).find(|meta| meta.path().is_ident("rename_all"))
}

/// The `default` of a struct's `#[serde(..)]`.
pub(crate) fn serde_default(attrs: &[Attribute]) -> Option<Meta> {
    serde_keys(attrs).find(|meta| meta.path().is_ident("default"))
}

/// Whether a field's `#[serde(..)]` keeps it from being serialized.
pub(crate) fn is_skipped_by_serde(attrs: &[Attribute]) -> bool {
    serde_keys(attrs)
        .any(|meta| meta.path().is_ident("skip") || meta.path().is_ident("skip_serializing"))
}

/// The readable contents of the `#[serde(..)]` attributes.
fn serde_keys(attrs: &[Attribute]) -> impl Iterator<Item = Meta> {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("serde"))
        .filter_map(|attr| match &attr.meta {
            Meta::List(list) => Some(list.tokens.clone()),
            Meta::Path(_) | Meta::NameValue(_) => None,
        })
        .filter_map(|tokens| {
            Punctuated::<Meta, Token![,]>::parse_terminated
                .parse2(tokens)
                .ok()
        })
        .flatten()
}

/// A key that is being read.
struct Key {
    ident: Ident,
    name: String,
}

impl Key {
    /// Stores the value, unless it is a duplicate or unreadable.
    fn set<T>(
        self,
        slot: &mut Option<Keyed<T>>,
        input: ParseStream<'_>,
        diag: &mut Diagnostics,
        read: impl FnOnce(&Self, ParseStream<'_>) -> Result<T>,
    ) {
        match (read(&self, input), slot) {
            (Err(error), _) => {
                diag.attempted(&self.name);
                diag.push(error);
            }
            (Ok(_), Some(first)) => diag.duplicate(
                self.ident.span(),
                first.key.span(),
                format_args!("`{}` is given twice", self.name),
            ),
            (Ok(value), slot) => {
                *slot = Some(Keyed {
                    key: self.ident,
                    value,
                });
            }
        }
    }

    fn with<T>(self, value: T) -> Keyed<T> {
        Keyed {
            key: self.ident,
            value,
        }
    }

    fn error(&self, message: &str) -> Error {
        Error::new(self.ident.span(), format!("`{}` {message}", self.name))
    }
}

/// Reads the keys of every `#[outbox(..)]` in `attrs`. `known` reads the value of a key and returns
/// whether it knows the key.
fn each_key(
    attrs: &[Attribute],
    level: Level,
    diag: &mut Diagnostics,
    mut known: impl FnMut(Key, ParseStream<'_>, &mut Diagnostics) -> bool,
) {
    for attr in attrs.iter().filter(|attr| is_outbox(attr)) {
        let read = attr.parse_args_with(|input: ParseStream<'_>| {
            while !input.is_empty() {
                one_key(input, level, diag, &mut known);
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(())
        });
        if let Err(error) = read {
            level.keys().iter().for_each(|key| diag.attempted(key));
            diag.push(error);
        }
    }
}

/// Reads one key and its value, and stops before the comma after it in any case.
fn one_key(
    input: ParseStream<'_>,
    level: Level,
    diag: &mut Diagnostics,
    known: &mut impl FnMut(Key, ParseStream<'_>, &mut Diagnostics) -> bool,
) {
    match input.call(Ident::parse_any) {
        Ok(ident) => {
            let name = ident.unraw().to_string();
            let span = ident.span();
            let key = Key {
                ident,
                name: name.clone(),
            };
            if !known(key, input, diag) {
                unknown(&name, span, level, diag);
            } else if !input.is_empty() && !input.peek(Token![,]) && !diag.is_attempted(&name) {
                diag.error(input.span(), format_args!("expected `,` after `{name}`"));
            }
        }
        Err(error) => {
            // It may be the value of a key whose name is missing.
            level.keys().iter().for_each(|key| diag.attempted(key));
            diag.error_with_help(error.span(), "expected a key", level.help());
        }
    }
    while !input.is_empty() && !input.peek(Token![,]) {
        // Any token tree parses; an error would mean the end, which the condition excludes.
        if input.parse::<TokenTree>().is_err() {
            break;
        }
    }
}
