//! A valid entity.

use std::time::Duration;

use proc_macro2::Span;
use syn::{Attribute, Expr, Field, Generics, Ident, Meta, Path, Type, TypePath, Visibility};

use super::given;
use crate::attr::{
    Aliases, Choice, Constant, Delays, EntityAttrs, EntitySource, FieldSource, Keyed, Older,
    json_name, serde_rename_all,
};
use crate::parameters;
use crate::words;

/// A struct that can be an outbox entity.
pub(crate) struct Entity<'a> {
    pub(crate) name: &'a Ident,
    pub(crate) vis: &'a Visibility,
    pub(crate) generics: &'a Generics,
    /// The path of the runtime, if `crate = ..` gives one.
    pub(crate) krate: Option<Path>,
    pub(crate) options: Options,
    /// The destination of its events, if `destination = ..` gives one.
    pub(crate) destination: Option<Expr>,
    pub(crate) entity_id: Id<'a>,
    /// `None`: it comes from the call.
    pub(crate) user_id: Option<Id<'a>>,
    /// The entities that the service must have first.
    pub(crate) parents: Vec<Parent<'a>>,
    pub(crate) metadata: Metadata<'a>,
    /// The name of the metadata struct, if `metadata = ".."` gives one.
    pub(crate) metadata_name: Option<Ident>,
    /// The struct's `rename_all`.
    pub(crate) rename_all: Option<Meta>,
    /// The versions of the metadata before `options.version`, all of them.
    pub(crate) older: Vec<Older>,
}

/// An id of the entity.
pub(crate) enum Id<'a> {
    Field(Member<'a>),
    /// A value of the user's, boxed because it is rare and large.
    Computed(Box<Expr>),
}

/// An entity that the service must have first: the field with its id, and its type.
pub(crate) struct Parent<'a> {
    pub(crate) field: Member<'a>,
    pub(crate) ty: TypePath,
}

/// The options of the entity's events.
pub(crate) struct Options {
    pub(crate) event_type: Constant<String>,
    pub(crate) aliases: Option<Aliases>,
    pub(crate) display_name: Constant<String>,
    pub(crate) priority: Option<Constant<i32>>,
    pub(crate) max_attempts: Option<Constant<u32>>,
    pub(crate) max_snoozes: Option<Constant<u32>>,
    pub(crate) charge: Option<Constant<Choice>>,
    pub(crate) retry: Option<Delays>,
    pub(crate) timeout: Option<Constant<Duration>>,
    pub(crate) lease: Option<Constant<Duration>>,
    pub(crate) order: Option<Constant<Choice>>,
    pub(crate) on_dead: Option<Constant<Choice>>,
    pub(crate) coalesce: Option<Constant<Choice>>,
    pub(crate) expires_after: Option<Constant<Duration>>,
    pub(crate) on_expiry: Option<Constant<Choice>>,
    pub(crate) version: Option<u32>,
}

/// The metadata of the entity's events.
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
    pub(crate) vis: &'a Visibility,
    pub(crate) ty: &'a Type,
    /// The span of its `sensitive` mark.
    pub(crate) sensitive: Option<Span>,
    attrs: &'a [Attribute],
}

impl<'a> Entity<'a> {
    /// The entity of a source. `None` if a rule is broken.
    pub(crate) fn from_source(source: &EntitySource<'a>) -> Option<Self> {
        let input = source.input;
        let id = |mark: fn(&FieldSource<'_>) -> bool, computed: &Option<Keyed<Expr>>| {
            let mut fields = source.fields.iter();
            let marked = fields.find(|field| mark(field)).map(Member::from_source);
            let computed = || Some(Id::Computed(Box::new(given(computed)?)));
            marked.map(Id::Field).or_else(computed)
        };
        Some(Self {
            name: &input.ident,
            vis: &input.vis,
            generics: &input.generics,
            entity_id: id(
                |field| field.attrs.entity_id.is_some(),
                &source.attrs.entity_id,
            )?,
            user_id: id(|field| field.attrs.user_id.is_some(), &source.attrs.user_id),
            parents: source
                .fields
                .iter()
                .filter_map(Parent::from_source)
                .collect(),
            metadata: Metadata::from_source(source),
            metadata_name: given(&source.attrs.metadata),
            rename_all: serde_rename_all(&input.attrs),
            older: given(&source.attrs.upcast).unwrap_or_default(),
            krate: given(&source.attrs.krate),
            destination: given(&source.attrs.destination),
            options: Options::from_attrs(&source.attrs, &input.ident)?,
        })
    }
}

impl<'a> Parent<'a> {
    /// The parent that the field names, if it names one.
    fn from_source(source: &FieldSource<'a>) -> Option<Self> {
        Some(Self {
            field: Member::from_source(source),
            ty: given(&source.attrs.after)?,
        })
    }
}

impl Options {
    fn from_attrs(attrs: &EntityAttrs, name: &Ident) -> Option<Self> {
        Some(Self {
            event_type: given(&attrs.event_type)?,
            aliases: given(&attrs.alias),
            display_name: given(&attrs.display_name)
                .unwrap_or_else(|| Constant::Known(words::title(name))),
            priority: given(&attrs.priority),
            max_attempts: given(&attrs.max_attempts),
            max_snoozes: given(&attrs.max_snoozes),
            charge: given(&attrs.charge),
            retry: given(&attrs.retry),
            timeout: given(&attrs.timeout),
            lease: given(&attrs.lease),
            order: given(&attrs.order),
            on_dead: given(&attrs.on_dead),
            coalesce: given(&attrs.coalesce),
            expires_after: given(&attrs.expires_after),
            on_expiry: given(&attrs.on_expiry),
            version: given(&attrs.version),
        })
    }
}

impl Options {
    /// The first constant that only the compiler can evaluate.
    pub(crate) fn first_path(&self) -> Option<&TypePath> {
        fn of<T>(option: Option<&Constant<T>>) -> Option<&TypePath> {
            match option? {
                Constant::Known(_) => None,
                Constant::Path(path) => Some(path),
            }
        }
        // Without `..`, so that a new key does not compile until it stands in the list.
        let Self {
            event_type,
            aliases,
            display_name,
            priority,
            max_attempts,
            max_snoozes,
            charge,
            retry,
            timeout,
            lease,
            order,
            on_dead,
            coalesce,
            expires_after,
            on_expiry,
            version: _, // a literal
        } = self;
        let delays = retry.as_ref().and_then(Constant::known);
        let delays = delays.into_iter().flatten().map(|delay| of(Some(delay)));
        let names = aliases.as_ref().and_then(Constant::known);
        let names = names
            .into_iter()
            .flatten()
            .map(|alias| of(Some(&alias.name)));
        [
            of(Some(event_type)),
            of(aliases.as_ref()),
            of(Some(display_name)),
            of(priority.as_ref()),
            of(max_attempts.as_ref()),
            of(max_snoozes.as_ref()),
            of(charge.as_ref()),
            of(retry.as_ref()),
            of(timeout.as_ref()),
            of(lease.as_ref()),
            of(order.as_ref()),
            of(on_dead.as_ref()),
            of(coalesce.as_ref()),
            of(expires_after.as_ref()),
            of(on_expiry.as_ref()),
        ]
        .into_iter()
        .chain(delays)
        .chain(names)
        .flatten()
        .next()
    }
}

impl<'a> Metadata<'a> {
    /// The chosen fields, or the entity if there are none and `snapshot` is given.
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
    /// The fields of the metadata.
    pub(crate) fn fields(&self) -> &[Member<'a>] {
        match self {
            Self::Snapshot(fields) => fields,
            Self::Fields(metadata) => &metadata.fields,
        }
    }

    /// The span of the first `sensitive` mark.
    pub(crate) fn sensitive(&self) -> Option<Span> {
        self.fields().iter().find_map(|field| field.sensitive)
    }
}

impl MetadataFields<'_> {
    /// The largest number of fields that the runtime's helpers support.
    const MAX_HELPER_FIELDS: usize = 16;

    /// Whether serde's derives serialize the fields: the user's `#[serde(..)]` decides about their
    /// names and forms, or they are too many for the runtime's helpers.
    pub(crate) fn uses_serde_derives(&self) -> bool {
        self.fields.len() > Self::MAX_HELPER_FIELDS
            || self.rename_all.is_some()
            || self
                .fields
                .iter()
                .any(|field| field.serde().next().is_some())
    }
}

impl MetadataFields<'_> {
    /// Whether the runtime's helpers also clone and format the struct: no field is sensitive, and
    /// no bound of the user's is missing for it.
    pub(crate) fn is_shown(&self) -> bool {
        !self.uses_serde_derives()
            && self.generics.type_params().next().is_none()
            && self.fields.iter().all(|field| field.sensitive.is_none())
    }
}

impl<'a> Member<'a> {
    fn from_source(source: &FieldSource<'a>) -> Self {
        let Field { ty, attrs, vis, .. } = source.field;
        Self {
            ident: source.ident,
            vis,
            ty,
            sensitive: source.attrs.sensitive.as_ref().map(|mark| mark.key.span()),
            attrs,
        }
    }

    /// The user's documentation of the field.
    pub(crate) fn docs(&self) -> impl Iterator<Item = &'a Attribute> {
        self.attrs_named("doc")
    }

    /// The JSON name of the field, if known.
    pub(crate) fn json_name(&self, rename_all: Option<&Meta>) -> Option<String> {
        json_name(self.ident, self.attrs, rename_all)
    }

    /// The `#[serde(..)]` attributes of the field.
    pub(crate) fn serde(&self) -> impl Iterator<Item = &'a Attribute> {
        self.attrs_named("serde")
    }

    fn attrs_named(&self, name: &'static str) -> impl Iterator<Item = &'a Attribute> {
        self.attrs
            .iter()
            .filter(move |attr| attr.path().is_ident(name))
    }
}
