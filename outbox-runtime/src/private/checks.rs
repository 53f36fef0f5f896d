//! What generated code has the compiler evaluate, so that a contradiction does not compile.

use crate::entity::EntityOptions;

/// Stops the compilation of an entity whose constants say what its attributes must not.
#[track_caller]
pub const fn assert_options(options: &EntityOptions) {
    if let Some(fault) = options.fault() {
        panic!("{}", fault);
    }
}

/// Whether the event type at `index` is none of the earlier ones; for the derive's compile-time check of a set.
#[must_use]
pub const fn is_unique(event_types: &[&str], index: usize) -> bool {
    let mut earlier = 0;
    while earlier < index {
        if same_str(
            event_types[earlier].as_bytes(),
            event_types[index].as_bytes(),
        ) {
            return false;
        }
        earlier += 1;
    }
    true
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
