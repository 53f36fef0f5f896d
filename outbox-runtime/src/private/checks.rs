//! Compile-time checks called by generated code.

use crate::entity::EntityOptions;

/// Fails to compile if the options of an entity violate a rule.
#[track_caller]
pub const fn assert_options(options: &EntityOptions) {
    if let Some(fault) = options.fault() {
        panic!("{}", fault);
    }
}

/// Fails to compile if another variant of a set has the event type of the variant at `index`.
/// `messages` contains the error of each variant, because formatting is not available in a `const
/// fn`.
#[track_caller]
pub const fn assert_event_type(event_types: &[&str], messages: &[&str], index: usize) {
    let own = event_types[index].as_bytes();
    let mut other = 0;
    while other < event_types.len() {
        // A type that is not an entity has an empty event type.
        if other != index && !own.is_empty() && same_str(event_types[other].as_bytes(), own) {
            panic!("{}", messages[other]);
        }
        other += 1;
    }
}

/// `==` on strings is not a `const fn`.
const fn same_str(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
