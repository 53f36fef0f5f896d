//! The rules between `version` and `upcast(..)`: every older version is readable.

use crate::attr::{EntitySource, Older};
use crate::diag::Diagnostics;

/// Applies every rule.
pub(super) fn check(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    each_older_version_is_read_as_one_type(source, diag);
    only_older_versions_are_upcast(source, diag);
    no_older_version_is_left_out(source, diag);
}

fn each_older_version_is_read_as_one_type(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let older = older_versions(source);
    for (at, second) in older.iter().enumerate() {
        let mut earlier = older.iter().take(at);
        if let Some(first) = earlier.find(|first| first.version == second.version) {
            let message = format_args!("version {} is given twice", second.version);
            diag.duplicate(second.span, first.span, message);
        }
    }
}

/// The current version and newer ones are not made from an older one.
fn only_older_versions_are_upcast(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    let Some(upcast) = &source.attrs.upcast else {
        return;
    };
    let newest = upcast.value.iter().map(|older| older.version).max();
    let Some(current) = &source.attrs.version else {
        let next = newest.unwrap_or(1).saturating_add(1);
        return diag.missing(
            "version",
            upcast.key.span(),
            "`upcast` needs `version`, the current version of the metadata",
            format_args!("add `version = {next}`"),
        );
    };
    let is_newer = |older: &&Older| older.version >= current.value;
    for older in upcast.value.iter().filter(is_newer) {
        let (version, current) = (older.version, current.value);
        diag.error_with_help(
            older.span,
            format_args!("version {version} is not older than {current}"),
            "`upcast` lists the versions before `version`",
        );
    }
}

/// A missing version would turn the rows of its programs into dead letters.
fn no_older_version_is_left_out(source: &EntitySource<'_>, diag: &mut Diagnostics) {
    /// The most versions that a message lists.
    const LISTED: usize = 3;
    let Some(current) = &source.attrs.version else {
        return;
    };
    if diag.is_attempted("upcast") {
        return;
    }
    let older = older_versions(source);
    let is_left_out = |version: &u32| older.iter().all(|older| older.version != *version);
    let left_out: Vec<String> = (1..current.value)
        .filter(is_left_out)
        .take(LISTED + 1)
        .map(|version| version.to_string())
        .collect();
    let versions = match left_out.split_last() {
        None => return,
        Some((only, [])) => format!("version {only}"),
        Some((_, listed)) if listed.len() == LISTED => {
            format!("versions {} and more", listed.join(", "))
        }
        Some((last, listed)) => format!("versions {} and {last}", listed.join(", ")),
    };
    let first = left_out.first().map_or("1", String::as_str);
    let name = &source.input.ident;
    diag.error_with_help(
        current.key.span(),
        format_args!("rows of {versions} cannot be read"),
        format_args!(
            "keep the metadata struct of each older version and list it: `upcast({first} = {name}MetadataV{first})`"
        ),
    );
}

fn older_versions<'a>(source: &'a EntitySource<'_>) -> &'a [Older] {
    let upcast = source.attrs.upcast.as_ref();
    upcast.map_or(&[], |upcast| upcast.value.as_slice())
}
