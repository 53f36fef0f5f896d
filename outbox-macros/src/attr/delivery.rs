//! The input of `#[derive(DeliveryError)]`: the class of each variant, or of the struct.

use syn::parse::ParseStream;
use syn::{Attribute, Data, DeriveInput, Fields, Ident, Path};

use super::details::{After, Details, Takes, details};
use super::level::Level;
use super::{EnumAttrs, Key, Keyed, each_key, value};
use crate::check;
use crate::diag::Diagnostics;

/// The delivery class of an error.
pub(crate) enum Class {
    Retry(Details),
    Permanent,
    Unavailable(Details),
    Offline(Details),
    Unauthenticated,
    /// Has an `after`.
    RateLimited(Details),
    Obsolete,
    /// Has an `after`.
    Snooze(Details),
    Transparent,
}

/// An error type with all its attributes, valid or not.
pub(crate) struct ErrorSource<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) krate: Option<Keyed<Path>>,
    /// The variants of an enum, or the struct as the only case.
    pub(crate) cases: Vec<CaseSource<'a>>,
}

/// A variant or a struct with its attributes.
pub(crate) struct CaseSource<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) fields: &'a Fields,
    /// Exactly one if valid.
    pub(crate) classes: Vec<Keyed<Class>>,
    /// An error about its attributes was recorded: an absent one may just be misspelled.
    pub(crate) is_faulty: bool,
}

/// The item that has a class.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Struct(&'a Ident),
    Variant(&'a Ident),
}

impl Class {
    /// The contents of its parentheses.
    pub(crate) fn details(&self) -> Option<&Details> {
        match self {
            Self::Retry(details)
            | Self::Unavailable(details)
            | Self::Offline(details)
            | Self::RateLimited(details)
            | Self::Snooze(details) => Some(details),
            Self::Permanent | Self::Unauthenticated | Self::Obsolete | Self::Transparent => None,
        }
    }
}

impl<'a> ErrorSource<'a> {
    /// Reads an enum or a struct. A union is recorded, and read as an enum without variants.
    pub(crate) fn read(input: &'a DeriveInput, diag: &mut Diagnostics) -> Self {
        let mut krate = None;
        let cases = match &input.data {
            Data::Struct(data) => {
                let place = Place::Struct(&input.ident);
                let krate = Some(&mut krate);
                vec![CaseSource::read(
                    place,
                    &input.attrs,
                    &data.fields,
                    krate,
                    diag,
                )]
            }
            Data::Enum(data) => {
                krate = EnumAttrs::read_at(Level::ErrorEnum, &input.attrs, diag).krate;
                let variants = data.variants.iter();
                let read = |variant: &'a syn::Variant| {
                    let place = Place::Variant(&variant.ident);
                    CaseSource::read(place, &variant.attrs, &variant.fields, None, diag)
                };
                variants.map(read).collect()
            }
            Data::Union(_) => {
                check::no_union(input, diag);
                Vec::new()
            }
        };
        Self {
            input,
            krate,
            cases,
        }
    }
}

impl<'a> CaseSource<'a> {
    /// `krate` receives the path of the runtime, where an item can have one.
    fn read(
        place: Place<'a>,
        attrs: &[Attribute],
        fields: &'a Fields,
        mut krate: Option<&mut Option<Keyed<Path>>>,
        diag: &mut Diagnostics,
    ) -> Self {
        let before = diag.recorded();
        let (level, field_level) = place.levels();
        let mut classes = Vec::new();
        each_key(attrs, level, diag, |key, input, diag| {
            match (key.name.as_str(), &mut krate) {
                // #[outbox(crate = ::outbox_runtime)]
                ("crate", Some(krate)) => key.set(krate, input, diag, value::crate_path),
                _ => return class(key, &mut classes, input, diag),
            }
            true
        });
        for field in fields {
            // #[outbox(..)] on a field has no meaning; what is there tells what was meant.
            each_key(&field.attrs, field_level, diag, |_, _, _| false);
        }
        Self {
            place,
            fields,
            classes,
            is_faulty: diag.recorded() > before,
        }
    }
}

impl<'a> Place<'a> {
    pub(crate) fn ident(self) -> &'a Ident {
        match self {
            Self::Struct(ident) | Self::Variant(ident) => ident,
        }
    }

    /// The levels of its attributes and of its fields.
    fn levels(self) -> (Level, Level) {
        match self {
            Self::Struct(_) => (Level::ErrorStruct, Level::ErrorStructField),
            Self::Variant(_) => (Level::ErrorVariant, Level::ErrorVariantField),
        }
    }
}

/// Reads a class. The rules report a second one, which contradicts the first.
fn class(
    key: Key,
    classes: &mut Vec<Keyed<Class>>,
    input: ParseStream<'_>,
    diag: &mut Diagnostics,
) -> bool {
    let details = |after, about| details(&key, input, &Takes { after, about });
    let read = match key.name.as_str() {
        // #[outbox(retry)]
        // #[outbox(retry(after = wait))]
        "retry" => details(After::Optional, false).map(Class::Retry),
        // #[outbox(permanent)]
        "permanent" => value::flag(&key, input).map(|()| Class::Permanent),
        // #[outbox(unavailable)]
        // #[outbox(unavailable(after = wait))]
        "unavailable" => details(After::Optional, true).map(Class::Unavailable),
        // #[outbox(offline)]
        // #[outbox(offline(destination = host))]
        "offline" => details(After::No, true).map(Class::Offline),
        // #[outbox(unauthenticated)]
        "unauthenticated" => value::flag(&key, input).map(|()| Class::Unauthenticated),
        // #[outbox(rate_limited(after = wait))]
        // #[outbox(rate_limited(after = wait, scope = "user"))]
        "rate_limited" => details(After::Required, true).map(Class::RateLimited),
        // #[outbox(obsolete)]
        "obsolete" => value::flag(&key, input).map(|()| Class::Obsolete),
        // #[outbox(snooze(after = 0))]
        "snooze" => details(After::Required, false).map(Class::Snooze),
        // #[outbox(transparent)]
        "transparent" => value::flag(&key, input).map(|()| Class::Transparent),
        _ => return false,
    };
    let mut slot = None;
    key.set(&mut slot, input, diag, |_, _| read);
    classes.extend(slot);
    true
}
