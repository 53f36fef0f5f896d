//! The rules of older names and of retired types.

use crate::attr::{Alias, EntitySource, RetiredType};
use crate::diag::Diagnostics;

/// An alias is another name than the event type, and each is given once.
pub(super) fn aliases(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let event_type = source.attrs.event_type.as_ref();
    let event_type = event_type.and_then(|given| given.value.known());
    let aliases = source.attrs.alias.as_ref();
    let aliases: &[Alias] = aliases
        .and_then(|given| given.value.known())
        .map_or(&[], Vec::as_slice);
    for (at, alias) in aliases.iter().enumerate() {
        let Some(name) = alias.name.known() else {
            continue;
        };
        if event_type == Some(name) {
            diag.error_with_help(
                alias.span,
                "this is the event type itself",
                "`alias` lists the names that the type had before",
            );
        }
        let mut earlier = aliases.iter().take(at);
        if let Some(first) = earlier.find(|first| first.name.known() == Some(name)) {
            diag.duplicate(alias.span, first.span, "this alias is given twice");
        }
    }
}

/// A type has one way to go.
pub(super) fn retired(types: &[RetiredType], diag: &mut Diagnostics) {
    for (at, retired) in types.iter().enumerate() {
        let Some(name) = retired.event_type.known() else {
            continue;
        };
        let mut earlier = types.iter().take(at);
        if let Some(first) = earlier.find(|first| first.event_type.known() == Some(name)) {
            diag.duplicate(retired.span, first.span, "this event type is retired twice");
        }
    }
}
