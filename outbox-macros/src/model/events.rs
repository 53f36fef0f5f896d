//! A valid set of events.

use std::time::Duration;

use proc_macro2::Span;
use quote::ToTokens;
use syn::{DeriveInput, Field, Fields, GenericArgument, Ident, Path, PathArguments, Type};

use super::given;
use crate::attr::{Choice, Constant, EnumAttrs, Keyed, RetiredType, VariantAttrs};
use crate::check;
use crate::diag::Diagnostics;
use crate::words;

/// An enum that can be the set of an application's events.
pub(crate) struct EventSet<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) krate: Option<Path>,
    /// The types that are no longer delivered.
    pub(crate) retired: Vec<RetiredType>,
    pub(crate) variants: Vec<Variant<'a>>,
}

/// A variant of the set: `MoodEntry(Event<MoodEntry>)`.
pub(crate) struct Variant<'a> {
    pub(crate) ident: &'a Ident,
    /// `Event<MoodEntry>`, as written.
    pub(crate) event: &'a Type,
    /// `MoodEntry`.
    pub(crate) entity: &'a Type,
    /// The handler's method.
    pub(crate) method: Ident,
    /// How its events are delivered together; `None`: one at a time.
    pub(crate) batch: Option<BatchBounds>,
}

/// The bounds of a batch.
pub(crate) struct BatchBounds {
    pub(crate) key: Ident,
    pub(crate) events: Constant<usize>,
    pub(crate) within: Option<Keyed<Constant<Duration>>>,
    pub(crate) bytes: Option<Constant<usize>>,
    pub(crate) order: Option<Keyed<Constant<Choice>>>,
}

impl BatchBounds {
    fn from_attrs(attrs: VariantAttrs) -> Option<Self> {
        let Keyed { key, value } = attrs.batch?;
        Some(Self {
            key,
            events: value,
            within: attrs.within,
            bytes: attrs.batch_bytes.map(|keyed| keyed.value),
            order: attrs.batch_order,
        })
    }
}

impl<'a> EventSet<'a> {
    /// Reads an enum. A malformed variant is recorded and left out.
    pub(crate) fn read(input: &'a DeriveInput, diag: &mut Diagnostics) -> Self {
        let attrs = EnumAttrs::read(&input.attrs, diag);
        let declared = check::is_enum(input, diag).map(|data| data.variants.iter());
        let variants = declared
            .into_iter()
            .flatten()
            .filter_map(|variant| Variant::read(variant, diag))
            .collect();
        Self {
            input,
            krate: given(&attrs.krate),
            retired: given(&attrs.retired).unwrap_or_default(),
            variants,
        }
    }
}

impl EventSet<'_> {
    /// Drops the variants whose code would conflict with that of others.
    pub(crate) fn retain_expandable(&mut self) {
        let is_generic = !self.input.generics.params.is_empty();
        let mut methods = Vec::new();
        self.variants.retain(|variant| {
            let distinct = variant.ident != "Generic" && !methods.contains(&variant.method);
            methods.push(variant.method.clone());
            distinct && !is_generic
        });
    }
}

impl<'a> Variant<'a> {
    fn read(variant: &'a syn::Variant, diag: &mut Diagnostics) -> Option<Self> {
        check::no_attributes(variant, diag);
        let attrs = VariantAttrs::read(&variant.attrs, diag);
        check::bounds_have_a_batch(&attrs, diag);
        let ident = &variant.ident;
        let event = only_field(&variant.fields).map(|field| &field.ty);
        let Some((event, entity)) = event.and_then(|event| Some((event, entity_of(event)?))) else {
            let help = format!("write `{ident}(Event<YourEntity>)`");
            diag.error_with_help(
                ident.span(),
                "each variant holds one `Event<YourEntity>`",
                help,
            );
            return None;
        };
        // Generated names have the span of the variant, and the compiler's lints ignore them.
        let span = Span::call_site().located_at(ident.span());
        Some(Self {
            ident,
            event,
            entity,
            method: words::method_name(ident, span),
            batch: BatchBounds::from_attrs(attrs),
        })
    }

    /// The entity as written, for comparison.
    pub(crate) fn entity_name(&self) -> String {
        self.entity.to_token_stream().to_string()
    }
}

fn only_field(fields: &Fields) -> Option<&Field> {
    let Fields::Unnamed(fields) = fields else {
        return None;
    };
    let mut fields = fields.unnamed.iter();
    fields.next().filter(|_| fields.next().is_none())
}

/// The `T` of `Event<T>`, by whatever path it is named.
fn entity_of(ty: &Type) -> Option<&Type> {
    let path = match ty {
        Type::Path(path) => &path.path,
        // A `$ty:ty` of a macro is a group.
        Type::Group(group) => return entity_of(&group.elem),
        _ => return None,
    };
    let event = path
        .segments
        .last()
        .filter(|segment| segment.ident == "Event")?;
    let PathArguments::AngleBracketed(arguments) = &event.arguments else {
        return None;
    };
    let mut arguments = arguments.args.iter();
    match (arguments.next(), arguments.next()) {
        (Some(GenericArgument::Type(entity)), None) => Some(entity),
        _ => None,
    }
}
