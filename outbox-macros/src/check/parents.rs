//! The rules of `after`: entities that the service must have first.

use syn::TypePath;

use crate::attr::EntitySource;
use crate::diag::Diagnostics;

/// Applies every rule.
pub(super) fn check(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    no_entity_waits_for_itself(source, diag);
    no_parent_is_sensitive(source, diag);
}

/// Whether the events of the entity wait for a parent.
pub(super) fn any(source: &EntitySource<'_>) -> bool {
    source
        .fields
        .iter()
        .any(|field| field.attrs.after.is_some())
}

/// Its own id names the entity itself, unless the parent is of another type.
fn no_entity_waits_for_itself(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    for field in &source.fields {
        if let (Some(after), Some(_)) = (&field.attrs.after, &field.attrs.entity_id)
            && is_itself(&after.value, source)
        {
            diag.error_with_help(
                after.key.span(),
                "the entity would wait for its own creation: this field is its own id",
                "remove `after`; the changes of one entity are delivered in order anyway",
            );
        }
    }
}

fn is_itself(parent: &TypePath, source: &EntitySource<'_>) -> bool {
    let name = parent.path.segments.last().map(|segment| &segment.ident);
    name.is_some_and(|name| name == "Self" || *name == source.input.ident)
}

/// The row has the id of the parent, and explanations name it.
fn no_parent_is_sensitive(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    for field in &source.fields {
        if let (Some(_), Some(sensitive)) = (&field.attrs.after, &field.attrs.sensitive) {
            diag.error_with_help(
                sensitive.key.span(),
                "the id of a parent cannot be sensitive: rows and messages contain it",
                "use an id that reveals nothing, such as a UUID",
            );
        }
    }
}
