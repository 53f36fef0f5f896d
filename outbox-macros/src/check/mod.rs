//! The rules that concern more than one key, or the shape of the input: one function a rule.
//!
//! What a single value must be is checked where it is parsed, in [`attr`](crate::attr). Each rule here has a case in
//! `tests/ui/fail` that breaks it and nothing else.

mod versions; // the rules between version and upcast

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DataEnum, DeriveInput, Fields, FieldsNamed, Member};

use crate::attr::{
    CLASSES, CaseSource, Class, EntitySource, ErrorSource, FieldAttrs, FieldSource, Keyed, Place,
    is_outbox,
};
use crate::diag::{Diagnostics, did_you_mean, list};
use crate::model::{EventSet, Variant};
use crate::words;

/// Every rule of `#[derive(OutboxEntity)]`.
pub(crate) fn entity(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    event_type_is_given(source, diag);
    one_field_is_the_entity_id(source, diag);
    one_field_is_the_user_id(source, diag);
    a_snapshot_has_no_metadata_fields(source, diag);
    metadata_borrows_nothing(source, diag);
    a_timeout_is_shorter_than_the_lease(source, diag);
    only_snapshots_coalesce(source, diag);
    something_waits_behind_a_dead_letter(source, diag);
    what_is_sensitive_is_metadata(source, diag);
    no_id_is_sensitive(source, diag);
    versions::check(source, diag);
    no_parameters(
        source.input,
        "a generic struct cannot be an outbox entity yet",
        diag,
    );
}

/// Every rule of `#[derive(OutboxEvents)]` that concerns the whole set.
pub(crate) fn events(set: &EventSet<'_>, diag: &mut Diagnostics) {
    no_variant_is_generic(&set.variants, diag);
    methods_are_distinct(&set.variants, diag);
    entities_are_distinct(&set.variants, diag);
    no_parameters(
        set.input,
        "a generic enum cannot be a set of outbox events",
        diag,
    );
}

/// Every rule of `#[derive(DeliveryError)]`.
pub(crate) fn error(source: &ErrorSource<'_>, diag: &mut Diagnostics) {
    for case in &source.cases {
        one_class_is_given(case, diag);
        after_is_a_field(case, diag);
        transparent_is_about_one_field(case, diag);
    }
}

/// An entity is a struct with named fields.
pub(crate) fn named_fields<'a>(
    input: &'a DeriveInput,
    diag: &mut Diagnostics,
) -> Option<&'a FieldsNamed> {
    let found = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => return Some(fields),
            Fields::Unnamed(_) => "this is a tuple struct",
            Fields::Unit => "this is a unit struct",
        },
        Data::Enum(_) => "this is an enum",
        Data::Union(_) => "this is a union",
    };
    diag.error(
        input.ident.span(),
        format_args!("an outbox entity is a struct with named fields; {found}"),
    );
    // It has no fields that could be marked.
    diag.attempted("entity_id");
    diag.attempted("user_id");
    None
}

/// A set of events is an enum with at least one variant.
pub(crate) fn is_enum<'a>(input: &'a DeriveInput, diag: &mut Diagnostics) -> Option<&'a DataEnum> {
    let fault = match &input.data {
        Data::Enum(data) if data.variants.is_empty() => "at least one variant; this enum has none",
        Data::Enum(data) => return Some(data),
        Data::Struct(_) => "a variant for each entity; this is a struct",
        Data::Union(_) => "a variant for each entity; this is a union",
    };
    diag.error_with_help(
        input.ident.span(),
        format_args!("a set of outbox events is an enum with {fault}"),
        "write `enum YourEvents { MoodEntry(Event<MoodEntry>) }`",
    );
    None
}

/// `#[outbox(..)]` says nothing about a variant or what it holds.
pub(crate) fn no_attributes(variant: &syn::Variant, diag: &mut Diagnostics) {
    let of_fields = variant.fields.iter().flat_map(|field| &field.attrs);
    let attrs = variant.attrs.iter().chain(of_fields);
    for attr in attrs.filter(|attr| is_outbox(attr)) {
        diag.error_with_help(
            attr.path().span(),
            "`#[outbox(..)]` is not expected on a variant of an enum of events",
            "what concerns one entity belongs on its struct",
        );
    }
}

/// Which field of a union is there, nobody knows.
pub(crate) fn no_union(input: &DeriveInput, diag: &mut Diagnostics) {
    diag.error(
        input.ident.span(),
        "an error that says what to do about it is an enum or a struct; this is a union",
    );
}

/// The event type is part of what is stored, so it is never guessed from the struct's name.
fn event_type_is_given(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    if source.attrs.event_type.is_none() {
        let name = &source.input.ident;
        let suggestion = words::lower_camel(name);
        diag.missing(
            "event_type",
            name.span(),
            format_args!("`{name}` has no event type, the name under which its events are stored"),
            format_args!("add `#[outbox(event_type = \"{suggestion}\")]` to the struct"),
        );
    }
}

fn one_field_is_the_entity_id(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let meaning = "the field that says which entity it is";
    exactly_one_field(source, diag, "entity_id", meaning, |attrs| &attrs.entity_id);
}

fn one_field_is_the_user_id(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let meaning = "the field that says whose it is";
    exactly_one_field(source, diag, "user_id", meaning, |attrs| &attrs.user_id);
}

fn exactly_one_field(
    source: &EntitySource<'_>,
    diag: &mut Diagnostics,
    key: &str,
    meaning: &str,
    given: impl Fn(&FieldAttrs) -> &Option<Keyed<()>>,
) {
    let mut marks = source
        .fields
        .iter()
        .filter_map(|field: &FieldSource<'_>| given(&field.attrs).as_ref());
    let Some(first) = marks.next() else {
        let name = &source.input.ident;
        return diag.missing(
            key,
            name.span(),
            format_args!("`{name}` has no `{key}`"),
            format_args!("mark {meaning} with `#[outbox({key})]`"),
        );
    };
    for mark in marks {
        diag.duplicate(
            mark.key.span(),
            first.key.span(),
            format_args!("only one field can be the `{key}`"),
        );
    }
}

/// With `snapshot` the entity is the metadata, so there is nothing left for a field to be chosen for.
fn a_snapshot_has_no_metadata_fields(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    if source.attrs.snapshot.is_none() {
        return;
    }
    for mark in source
        .fields
        .iter()
        .filter_map(|field| field.attrs.metadata.as_ref())
    {
        diag.error_with_help(
            mark.key.span(),
            "with `snapshot` every field is part of the metadata already",
            "remove `metadata` here, or `snapshot` from the struct",
        );
    }
}

/// Whoever holds an event must still hold it when the handler is stopped.
fn a_timeout_is_shorter_than_the_lease(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let (Some(timeout), Some(lease)) = (&source.attrs.timeout, &source.attrs.lease) else {
        return;
    };
    // What a constant says is asked by the generated code.
    let (Some(longest), Some(held)) = (timeout.value.known(), lease.value.known()) else {
        return;
    };
    if longest >= held {
        diag.error_with_help(
            timeout.key.span(),
            "the timeout must be shorter than the lease: the event would go to another worker while the handler runs",
            "make this shorter, or the lease longer",
        );
        diag.error(lease.key.span(), "the lease is here");
    }
}

/// Metadata of chosen fields may be a change, and the latest of two changes is not both of them.
fn only_snapshots_coalesce(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    if let Some(coalesce) = &source.attrs.coalesce
        && source.attrs.snapshot.is_none()
        && !diag.is_attempted("snapshot")
    {
        diag.error_with_help(
            coalesce.key.span(),
            "`coalesce` needs `snapshot`: only an event that carries the whole entity can stand for an earlier one",
            "add `snapshot`, or remove `coalesce`",
        );
    }
}

/// Where nothing is ordered nothing waits, so that there is nothing to hold.
fn something_waits_behind_a_dead_letter(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let (Some(order), Some(on_dead)) = (&source.attrs.order, &source.attrs.on_dead) else {
        return;
    };
    if order.value.known().is_some_and(|order| order.is("none")) {
        diag.error_with_help(
            on_dead.key.span(),
            "with `order = \"none\"` no event waits for another, so `on_dead` has no meaning",
            "remove `on_dead`",
        );
    }
}

/// What is in no event is shown by none.
fn what_is_sensitive_is_metadata(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let carried = source.attrs.snapshot.is_some() || diag.is_attempted("snapshot");
    for field in source.fields.iter().filter(|_| !carried) {
        if let Some(sensitive) = &field.attrs.sensitive
            && field.attrs.metadata.is_none()
            && !field.is_faulty
            && !is_id(field)
        {
            diag.error_with_help(
                sensitive.key.span(),
                "this field is in no event, so that there is nothing to keep out of sight",
                "add `metadata` beside `sensitive`, or remove it",
            );
        }
    }
}

/// Ids are columns of the row, in logs and in messages: they are how an event is talked about.
fn no_id_is_sensitive(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    for field in source.fields.iter().filter(|field| is_id(field)) {
        if let Some(sensitive) = &field.attrs.sensitive {
            diag.error_with_help(
                sensitive.key.span(),
                "an id cannot be sensitive: it is how rows, logs and messages name an event",
                "use an id that tells nothing, such as a UUID, and keep what is sensitive in a field of its own",
            );
        }
    }
}

fn is_id(field: &FieldSource<'_>) -> bool {
    field.attrs.entity_id.is_some() || field.attrs.user_id.is_some()
}

/// What is read from a row owns what it holds: there is nothing that it could borrow from.
fn metadata_borrows_nothing(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let fields = source.fields.iter();
    for field in fields.filter(|field| field.attrs.metadata.is_some()) {
        if let Some(borrow) = reference_in(field.field.ty.to_token_stream()) {
            diag.error_with_help(
                borrow,
                "metadata is read from a row, and cannot borrow what it holds",
                "use a type that owns it, such as `String` for `&str` and `Vec<T>` for `&[T]`",
            );
        }
    }
}

/// Where a type is a reference, or is made of one. What is in brackets may be the length of an array, where `&` is an
/// operator.
fn reference_in(ty: TokenStream) -> Option<Span> {
    ty.into_iter().find_map(|token| match token {
        TokenTree::Punct(punct) if punct.as_char() == '&' => Some(punct.span()),
        TokenTree::Group(group) if group.delimiter() != Delimiter::Bracket => {
            reference_in(group.stream())
        }
        _ => None,
    })
}

/// Generated names such as `<Name>Metadata` and `<Name>Handler` have no parameters.
fn no_parameters(input: &DeriveInput, message: &str, diag: &mut Diagnostics) {
    if let Some(parameter) = input.generics.params.first() {
        diag.error(parameter.span(), message);
    }
}

/// The metadata of a set has a variant of its own for what is outside of the set.
fn no_variant_is_generic(variants: &[Variant<'_>], diag: &mut Diagnostics) {
    for variant in variants.iter().filter(|variant| variant.ident == "Generic") {
        diag.error_with_help(
            variant.ident.span(),
            "`Generic` is the variant for metadata whose type is in no set",
            "give this variant another name; the event type of its entity stays as it is",
        );
    }
}

/// Two variants may differ in letters that their methods' names do not have.
fn methods_are_distinct(variants: &[Variant<'_>], diag: &mut Diagnostics) {
    each_later_pair(variants, |first, second| {
        if first.method == second.method && first.ident != second.ident {
            let method = &second.method;
            diag.duplicate(
                second.ident.span(),
                first.ident.span(),
                format_args!("two variants would have the handler method `{method}`"),
            );
        }
    });
}

/// An event of an entity could be either of two variants.
fn entities_are_distinct(variants: &[Variant<'_>], diag: &mut Diagnostics) {
    each_later_pair(variants, |first, second| {
        if first.entity_name() == second.entity_name() {
            diag.duplicate(
                second.entity.span(),
                first.entity.span(),
                "each entity has one variant",
            );
        }
    });
}

/// What the runtime does about an error is never guessed, and two answers contradict each other.
fn one_class_is_given(case: &CaseSource<'_>, diag: &mut Diagnostics) {
    let Some((first, others)) = case.classes.split_first() else {
        if !case.is_faulty {
            let name = case.place.ident();
            let place = match case.place {
                Place::Struct(_) => "the struct",
                Place::Variant(_) => "the variant",
            };
            let choices = CLASSES.map(|class| match class {
                "rate_limited" | "snooze" => format!("{class}(after = field)"),
                class => class.to_owned(),
            });
            let choices = list(&choices.each_ref().map(String::as_str));
            diag.error_with_help(
                name.span(),
                format_args!("`{name}` does not say what to do about a delivery that failed so"),
                format_args!("mark {place} with `#[outbox(..)]` and one of {choices}"),
            );
        }
        return;
    };
    for other in others {
        let message = match (&first.key, &other.key) {
            (first, other) if first == other => format!("`{other}` is given twice"),
            (first, other) => format!("`{other}` contradicts `{first}`: an error has one answer"),
        };
        diag.duplicate(other.key.span(), first.key.span(), message);
    }
}

/// `after = wait` names a field of the same variant.
fn after_is_a_field(case: &CaseSource<'_>, diag: &mut Diagnostics) {
    let members: Vec<String> = case
        .fields
        .members()
        .map(|member| name_of(&member))
        .collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let afters = case.classes.iter().filter_map(|class| class.value.after());
    for after in afters {
        let written = name_of(after);
        if members.contains(&written.as_str()) {
            continue;
        }
        let owner = case.place.ident();
        let help = match (did_you_mean(&written, &members), members.as_slice()) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, []) => "it has no fields; add one of the type `Duration`".to_owned(),
            (None, [only]) => format!("its only field is `{only}`"),
            (None, members) => format!("its fields are {}", list(members)),
        };
        let message = format_args!("`{owner}` has no field `{written}`");
        diag.error_with_help(after.span(), message, help);
    }
}

/// What is forwarded to must be the only thing there is.
fn transparent_is_about_one_field(case: &CaseSource<'_>, diag: &mut Diagnostics) {
    let fields = case.fields.len();
    let is_transparent = |class: &&Keyed<Class>| matches!(class.value, Class::Transparent);
    let forwarding = case.classes.iter().filter(is_transparent);
    for class in forwarding.filter(|_| fields != 1) {
        let name = case.place.ident();
        let (found, help) = match fields {
            0 => (
                "no field".to_owned(),
                "wrap the error that knows the answer, or choose another one",
            ),
            _ => (
                format!("{fields} fields"),
                "where one of several fields knows the answer, implement `DeliveryError` by hand",
            ),
        };
        let message =
            format_args!("`transparent` answers as the only field does; `{name}` has {found}");
        diag.error_with_help(class.key.span(), message, help);
    }
}

/// A field as its owner's author calls it.
fn name_of(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

/// Calls `pair` with every variant and the first one that comes before it and matches, in order of declaration.
fn each_later_pair<'a>(
    variants: &'a [Variant<'a>],
    mut pair: impl FnMut(&Variant<'a>, &Variant<'a>),
) {
    for (at, second) in variants.iter().enumerate() {
        for first in variants.iter().take(at) {
            pair(first, second);
        }
    }
}
