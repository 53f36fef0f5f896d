//! The rules about events that expire.

use std::time::Duration;

use crate::attr::{Constant, EntitySource, Keyed};
use crate::diag::Diagnostics;

/// Applies every rule about expiry.
pub(super) fn check(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    an_event_that_expires_does_not_coalesce(source, diag);
    an_event_outlives_its_lease(source, diag);
    an_event_outlives_its_retries(source, diag);
}

/// Folded events would expire at different times.
fn an_event_that_expires_does_not_coalesce(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    if let (Some(expires_after), Some(coalesce)) =
        (&source.attrs.expires_after, &source.attrs.coalesce)
        && coalesce.value.known().is_some()
    {
        diag.error_with_help(
            expires_after.key.span(),
            "an event that expires cannot coalesce: the folded changes would expire at different times",
            "remove `coalesce` or `expires_after`",
        );
    }
}

/// A time of expiry that ends before the first attempt does is a mistake in the unit.
fn an_event_outlives_its_lease(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let attrs = &source.attrs;
    for (name, other) in [("timeout", &attrs.timeout), ("lease", &attrs.lease)] {
        if let (Some(expires_after), Some(other)) = (&attrs.expires_after, other)
            && let (Some(lives), Some(takes)) = (known(expires_after), known(other))
            && lives < takes
        {
            diag.error_with_help(
                expires_after.key.span(),
                format_args!("an event would expire before its first attempt has had its `{name}`"),
                format_args!("make this longer, or `{name}` shorter"),
            );
            return;
        }
    }
}

/// Delays that end after the event has expired are never waited for.
fn an_event_outlives_its_retries(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let (Some(expires_after), Some(retry)) = (&source.attrs.expires_after, &source.attrs.retry)
    else {
        return;
    };
    let (Some(lives), Some(delays)) = (known(expires_after), retry.value.known()) else {
        return;
    };
    let first = delays.first().and_then(Constant::known);
    if first.is_some_and(|first| first >= lives) {
        diag.error_with_help(
            retry.key.span(),
            "an event expires before its first retry is due",
            "shorten the first delay, or make `expires_after` longer",
        );
    }
}

fn known(duration: &Keyed<Constant<Duration>>) -> Option<&Duration> {
    duration.value.known()
}
