//! The rules of `#[derive(DeliveryError)]`.

use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{DeriveInput, Member};

use crate::attr::{About, CLASSES, CaseSource, Class, ErrorSource, Keyed, Place};
use crate::diag::{Diagnostics, did_you_mean, list};

/// Applies every rule.
pub(crate) fn error(source: &ErrorSource<'_>, diag: &mut Diagnostics) {
    for case in &source.cases {
        one_class_is_given(case, diag);
        details_name_fields(case, diag);
        transparent_has_one_field(case, diag);
    }
}

/// A union does not know which field is valid.
pub(crate) fn no_union(input: &DeriveInput, diag: &mut Diagnostics) {
    diag.error(
        input.ident.span(),
        "`DeliveryError` needs an enum or a struct; this is a union",
    );
}

/// The class of an error is never guessed, and two classes contradict each other.
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
                format_args!("`{name}` has no delivery class"),
                format_args!("mark {place} with `#[outbox(..)]` and one of {choices}"),
            );
        }
        return;
    };
    for other in others {
        let message = match (&first.key, &other.key) {
            (first, other) if first == other => format!("`{other}` is given twice"),
            (first, other) => {
                format!("`{other}` conflicts with `{first}`: an error has one delivery class")
            }
        };
        diag.duplicate(other.key.span(), first.key.span(), message);
    }
}

/// `after = wait` and `destination = host` name fields of the same variant.
fn details_name_fields(case: &CaseSource<'_>, diag: &mut Diagnostics) {
    let members: Vec<String> = case
        .fields
        .members()
        .map(|member| name_of(&member))
        .collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    let details = case
        .classes
        .iter()
        .filter_map(|class| class.value.details());
    let named = details.flat_map(|details| {
        let destination = match &details.about {
            Some(About::Destination(field)) => Some((field, "String")),
            Some(About::Scope(_)) | None => None,
        };
        let after = details.after.as_ref().map(|field| (field, "Duration"));
        after.into_iter().chain(destination)
    });
    for (field, ty) in named {
        let written = name_of(field);
        if members.contains(&written.as_str()) {
            continue;
        }
        let owner = case.place.ident();
        let help = match (did_you_mean(&written, &members), members.as_slice()) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, []) => format!("it has no fields; add one of the type `{ty}`"),
            (None, [only]) => format!("its only field is `{only}`"),
            (None, members) => format!("its fields are {}", list(members)),
        };
        let message = format_args!("`{owner}` has no field `{written}`");
        diag.error_with_help(field.span(), message, help);
    }
}

/// A forwarding case has exactly one field to forward to.
fn transparent_has_one_field(case: &CaseSource<'_>, diag: &mut Diagnostics) {
    let fields = case.fields.len();
    let is_transparent = |class: &&Keyed<Class>| matches!(class.value, Class::Transparent);
    let forwarding = case.classes.iter().filter(is_transparent);
    for class in forwarding.filter(|_| fields != 1) {
        let name = case.place.ident();
        let (found, help) = match fields {
            0 => (
                "none".to_owned(),
                "wrap another `DeliveryError`, or choose another class",
            ),
            _ => (
                format!("{fields} fields"),
                "implement `DeliveryError` by hand to forward to one of several fields",
            ),
        };
        let message = format_args!("`transparent` needs exactly one field; `{name}` has {found}");
        diag.error_with_help(class.key.span(), message, help);
    }
}

/// A field by the name that its author uses.
fn name_of(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}
