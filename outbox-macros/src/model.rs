//! What a valid input is, borrowed from syn.
//!
//! An [`Entity`] has everything that its expansion needs; nothing in it is optional that the expansion would have to
//! be afraid of. An [`EventSet`] holds the variants that are well-formed, which are all of them unless errors were
//! recorded. An [`ErrorType`] has one answer for each of its cases.

use std::time::Duration;

use proc_macro2::Span;
use quote::ToTokens;
use syn::{
    Attribute, DeriveInput, Field, Fields, GenericArgument, Generics, Ident, Meta, Path,
    PathArguments, Type, Visibility,
};

use crate::attr::{
    CaseSource, Choice, Class, Constant, Delays, EntityAttrs, EntitySource, EnumAttrs, ErrorSource,
    FieldSource, Keyed, Older, Place, serde_rename_all,
};
use crate::check;
use crate::diag::Diagnostics;
use crate::parameters;
use crate::words;

/// A struct that can be an outbox entity.
pub(crate) struct Entity<'a> {
    pub(crate) name: &'a Ident,
    pub(crate) vis: &'a Visibility,
    pub(crate) generics: &'a Generics,
    /// Where the runtime is, if `crate = ..` says so.
    pub(crate) krate: Option<Path>,
    pub(crate) options: Options,
    pub(crate) entity_id: Member<'a>,
    pub(crate) user_id: Member<'a>,
    pub(crate) metadata: Metadata<'a>,
    /// The versions of the metadata before `options.version`, all of them.
    pub(crate) older: Vec<Older>,
}

/// What the entity says about its events.
pub(crate) struct Options {
    pub(crate) event_type: Constant<String>,
    pub(crate) display_name: Constant<String>,
    pub(crate) priority: Option<Constant<i32>>,
    pub(crate) max_attempts: Option<Constant<u32>>,
    pub(crate) retry: Option<Delays>,
    pub(crate) timeout: Option<Constant<Duration>>,
    pub(crate) lease: Option<Constant<Duration>>,
    pub(crate) order: Option<Constant<Choice>>,
    pub(crate) on_dead: Option<Constant<Choice>>,
    pub(crate) coalesce: Option<Constant<Choice>>,
    pub(crate) version: Option<u32>,
}

/// What an event of the entity carries.
pub(crate) enum Metadata<'a> {
    /// The entity itself, with all its fields.
    Snapshot(Vec<Member<'a>>),
    /// A struct of chosen fields.
    Fields(MetadataFields<'a>),
}

/// The fields that were chosen to be metadata.
pub(crate) struct MetadataFields<'a> {
    pub(crate) fields: Vec<Member<'a>>,
    /// The entity's parameters, as far as the fields use them.
    pub(crate) generics: Generics,
    /// The struct's `rename_all`. Boxed because it is rare and large.
    pub(crate) rename_all: Option<Box<Meta>>,
}

/// A field of the entity.
pub(crate) struct Member<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    /// Where it says that it is shown to nobody.
    pub(crate) sensitive: Option<Span>,
    attrs: &'a [Attribute],
}

impl<'a> Entity<'a> {
    /// The entity that the source describes. `None` where a rule is broken.
    pub(crate) fn from_source(source: &EntitySource<'a>) -> Option<Self> {
        let input = source.input;
        let marked = |mark: fn(&FieldSource<'_>) -> bool| {
            source
                .fields
                .iter()
                .find(|field| mark(field))
                .map(Member::from_source)
        };
        Some(Self {
            name: &input.ident,
            vis: &input.vis,
            generics: &input.generics,
            entity_id: marked(|field| field.attrs.entity_id.is_some())?,
            user_id: marked(|field| field.attrs.user_id.is_some())?,
            metadata: Metadata::from_source(source),
            older: given(&source.attrs.upcast).unwrap_or_default(),
            krate: given(&source.attrs.krate),
            options: Options::from_attrs(&source.attrs, &input.ident)?,
        })
    }
}

impl Options {
    fn from_attrs(attrs: &EntityAttrs, name: &Ident) -> Option<Self> {
        Some(Self {
            event_type: given(&attrs.event_type)?,
            display_name: given(&attrs.display_name)
                .unwrap_or_else(|| Constant::Known(words::title(name))),
            priority: given(&attrs.priority),
            max_attempts: given(&attrs.max_attempts),
            retry: given(&attrs.retry),
            timeout: given(&attrs.timeout),
            lease: given(&attrs.lease),
            order: given(&attrs.order),
            on_dead: given(&attrs.on_dead),
            coalesce: given(&attrs.coalesce),
            version: given(&attrs.version),
        })
    }
}

impl Options {
    /// A constant that the compiler knows and this program does not.
    pub(crate) fn first_path(&self) -> Option<&Path> {
        fn of<T>(option: Option<&Constant<T>>) -> Option<&Path> {
            match option? {
                Constant::Known(_) => None,
                Constant::Path(path) => Some(path),
            }
        }
        let delays = self.retry.as_ref().and_then(Constant::known);
        let delays = delays.into_iter().flatten().map(|delay| of(Some(delay)));
        [
            of(Some(&self.event_type)),
            of(Some(&self.display_name)),
            of(self.priority.as_ref()),
            of(self.max_attempts.as_ref()),
            of(self.retry.as_ref()),
            of(self.timeout.as_ref()),
            of(self.lease.as_ref()),
            of(self.order.as_ref()),
            of(self.on_dead.as_ref()),
            of(self.coalesce.as_ref()),
        ]
        .into_iter()
        .chain(delays)
        .flatten()
        .next()
    }
}

impl<'a> Metadata<'a> {
    /// The chosen fields; where there are none and `snapshot` is given, the entity.
    pub(crate) fn from_source(source: &EntitySource<'a>) -> Self {
        let is_chosen = |field: &&FieldSource<'_>| field.attrs.metadata.is_some();
        if source.attrs.snapshot.is_some() && !source.fields.iter().any(|field| is_chosen(&field)) {
            return Self::Snapshot(source.fields.iter().map(Member::from_source).collect());
        }
        let chosen = source.fields.iter().filter(is_chosen);
        let fields: Vec<Member<'a>> = chosen.map(Member::from_source).collect();
        let types: Vec<&Type> = fields.iter().map(|field| field.ty).collect();
        Self::Fields(MetadataFields {
            generics: parameters::used_by(&source.input.generics, &types),
            fields,
            rename_all: serde_rename_all(&source.input.attrs).map(Box::new),
        })
    }
}

impl<'a> Metadata<'a> {
    /// Everything that an event carries.
    pub(crate) fn fields(&self) -> &[Member<'a>] {
        match self {
            Self::Snapshot(fields) => fields,
            Self::Fields(metadata) => &metadata.fields,
        }
    }

    /// Where it first says that something of it is shown to nobody.
    pub(crate) fn sensitive(&self) -> Option<Span> {
        self.fields().iter().find_map(|field| field.sensitive)
    }
}

impl MetadataFields<'_> {
    /// The runtime's helpers are written out for so many fields.
    const MOST_OF_HELPERS: usize = 16;

    /// Whether serde's derives write and read the fields: the user's `#[serde(..)]` decides about their names and forms,
    /// or they are too many for the runtime's helpers.
    pub(crate) fn is_left_to_serde(&self) -> bool {
        self.fields.len() > Self::MOST_OF_HELPERS
            || self.rename_all.is_some()
            || self
                .fields
                .iter()
                .any(|field| field.serde().next().is_some())
    }
}

impl<'a> Member<'a> {
    fn from_source(source: &FieldSource<'a>) -> Self {
        let Field { ty, attrs, .. } = source.field;
        Self {
            ident: source.ident,
            ty,
            sensitive: source.attrs.sensitive.as_ref().map(|mark| mark.key.span()),
            attrs,
        }
    }

    /// What the user documented about the field.
    pub(crate) fn docs(&self) -> impl Iterator<Item = &'a Attribute> {
        self.attrs_named("doc")
    }

    /// What the field tells serde.
    pub(crate) fn serde(&self) -> impl Iterator<Item = &'a Attribute> {
        self.attrs_named("serde")
    }

    fn attrs_named(&self, name: &'static str) -> impl Iterator<Item = &'a Attribute> {
        self.attrs
            .iter()
            .filter(move |attr| attr.path().is_ident(name))
    }
}

/// An enum that can be the set of an application's events.
pub(crate) struct EventSet<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) krate: Option<Path>,
    pub(crate) variants: Vec<Variant<'a>>,
}

/// A variant of the set: `MoodEntry(Event<MoodEntry>)`.
pub(crate) struct Variant<'a> {
    pub(crate) ident: &'a Ident,
    /// `Event<MoodEntry>`, as it is written.
    pub(crate) event: &'a Type,
    /// `MoodEntry`.
    pub(crate) entity: &'a Type,
    /// The handler's method.
    pub(crate) method: Ident,
}

impl<'a> EventSet<'a> {
    /// Reads an enum. What is not well-formed is recorded and left out.
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
            variants,
        }
    }
}

impl EventSet<'_> {
    /// Leaves out the variants for which no code could be generated beside the others.
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
        // Generated names stand where the variant stands, and the compiler's lints leave them alone.
        let span = Span::call_site().located_at(ident.span());
        Some(Self {
            ident,
            event,
            entity,
            method: words::method_name(ident, span),
        })
    }

    /// The entity as it is written, to compare it.
    pub(crate) fn entity_name(&self) -> String {
        self.entity.to_token_stream().to_string()
    }
}

/// An error type whose every case says what the runtime does about it.
pub(crate) struct ErrorType<'a> {
    pub(crate) input: &'a DeriveInput,
    pub(crate) krate: Option<Path>,
    pub(crate) cases: Vec<Case<'a>>,
}

/// A variant of an error enum, or an error struct.
pub(crate) struct Case<'a> {
    /// `None` for a struct.
    pub(crate) variant: Option<&'a Ident>,
    pub(crate) answer: Answer<'a>,
}

/// What the runtime does about a case.
pub(crate) enum Answer<'a> {
    Retry(Option<Source<'a>>),
    Permanent,
    Offline,
    Unauthenticated,
    RateLimited(Source<'a>),
    Obsolete,
    Snooze(Source<'a>),
    /// What the wrapped error answers.
    Forward(Source<'a>),
}

/// A field that knows a part of the answer, or all of it.
pub(crate) struct Source<'a> {
    pub(crate) member: syn::Member,
    pub(crate) ty: &'a Type,
}

impl<'a> ErrorType<'a> {
    /// The error that the source describes. `None` where a rule is broken.
    pub(crate) fn from_source(source: &ErrorSource<'a>) -> Option<Self> {
        let cases: Option<Vec<_>> = source.cases.iter().map(Case::from_source).collect();
        Some(Self {
            input: source.input,
            krate: given(&source.krate),
            cases: cases?,
        })
    }

    /// The wrapped types that only the user of a generic error knows, so that it is theirs to have an answer.
    pub(crate) fn generic_sources(&self) -> impl Iterator<Item = &'a Type> {
        let names: Vec<&Ident> = self
            .input
            .generics
            .type_params()
            .map(|parameter| &parameter.ident)
            .collect();
        self.cases
            .iter()
            .filter_map(|case| match &case.answer {
                Answer::Forward(source) => Some(source.ty),
                _ => None,
            })
            .filter(move |ty| parameters::mentions(*ty, &names))
    }
}

impl<'a> Case<'a> {
    fn from_source(source: &CaseSource<'a>) -> Option<Self> {
        let variant = match source.place {
            Place::Struct(_) => None,
            Place::Variant(ident) => Some(ident),
        };
        let field = |member: &syn::Member| Source::find(source.fields, member);
        let answer = match &source.classes.first()?.value {
            Class::Retry { after: None } => Answer::Retry(None),
            Class::Retry { after: Some(after) } => Answer::Retry(Some(field(after)?)),
            Class::Permanent => Answer::Permanent,
            Class::Offline => Answer::Offline,
            Class::Unauthenticated => Answer::Unauthenticated,
            Class::RateLimited { after } => Answer::RateLimited(field(after)?),
            Class::Obsolete => Answer::Obsolete,
            Class::Snooze { after } => Answer::Snooze(field(after)?),
            Class::Transparent => Answer::Forward(field(&source.fields.members().next()?)?),
        };
        Some(Self { variant, answer })
    }
}

impl<'a> Source<'a> {
    fn find(fields: &'a Fields, member: &syn::Member) -> Option<Self> {
        fields
            .members()
            .zip(fields)
            .find(|(declared, _)| declared == member)
            .map(|(member, field)| Self {
                member,
                ty: &field.ty,
            })
    }
}

fn given<T: Clone>(keyed: &Option<Keyed<T>>) -> Option<T> {
    keyed.as_ref().map(|keyed| keyed.value.clone())
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
        // What a macro passed on as `$ty:ty` is a group.
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
