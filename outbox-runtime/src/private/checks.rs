//! What generated code has the compiler evaluate, so that a contradiction does not compile.

use crate::entity::EntityOptions;

/// Stops the compilation of an entity whose constants say what its attributes must not.
#[track_caller]
pub const fn assert_options(options: &EntityOptions) {
    if let Some(fault) = options.fault() {
        panic!("{}", fault);
    }
}

/// Stops the compilation of a set in which another variant has the event type of the one at `index`. `messages` name
/// the variants, as formatting is no `const fn`.
#[track_caller]
pub const fn assert_event_type(event_types: &[&str], messages: &[&str], index: usize) {
    let own = event_types[index].as_bytes();
    let mut other = 0;
    while other < event_types.len() {
        // A type that is no entity has none.
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
