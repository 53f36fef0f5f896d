//! The rules of event types, for values that only the compiler knows.

/// The maximum length of a user id, entity id, event type or destination, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 255;

/// The rule that an event type breaks, if any.
pub(crate) const fn event_type_fault(name: &str) -> Option<&'static str> {
    match fault(name.as_bytes()) {
        None => None,
        Some(Fault::Empty) => Some("the event type is empty"),
        Some(Fault::Reserved) => Some("`generic` is a reserved event type"),
        Some(Fault::TooLong) => Some("an event type must have at most 255 bytes"),
        Some(Fault::Control) => Some("the event type contains a control character"),
    }
}

/// The rule that the aliases of an event type break, if any.
pub(crate) const fn alias_fault(event_type: &str, aliases: &[&str]) -> Option<&'static str> {
    // Iterators are not available in constants.
    let mut rest = aliases;
    while let [alias, after @ ..] = rest {
        match fault(alias.as_bytes()) {
            Some(Fault::Empty) => return Some("an alias is empty"),
            Some(Fault::Reserved) => return Some("`generic` is a reserved event type"),
            Some(Fault::TooLong) => return Some("an alias must have at most 255 bytes"),
            Some(Fault::Control) => return Some("an alias contains a control character"),
            None if is_same(alias, event_type) => {
                return Some("an alias is the event type itself; list the older names only");
            }
            None if is_any_of(alias, after) => return Some("an alias is given twice"),
            None => {}
        }
        rest = after;
    }
    None
}

/// `==` on strings is not a `const fn`.
pub(crate) const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
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

/// Whether the name is one of these.
pub(crate) const fn is_any_of(name: &str, names: &[&str]) -> bool {
    let mut rest = names;
    while let [one, after @ ..] = rest {
        if is_same(name, one) {
            return true;
        }
        rest = after;
    }
    false
}

enum Fault {
    Empty,
    Reserved,
    TooLong,
    Control,
}

const fn fault(name: &[u8]) -> Option<Fault> {
    match name {
        [] => return Some(Fault::Empty),
        b"generic" => return Some(Fault::Reserved),
        _ if name.len() > MAX_KEY_BYTES => return Some(Fault::TooLong),
        _ => {}
    }
    // In UTF-8, the control characters are these and C2 80 to C2 9F.
    let mut rest = name;
    while let [first, after @ ..] = rest {
        let control = match (first, after) {
            (0..0x20 | 0x7f, _) => true,
            (0xc2, [second, ..]) => *second < 0xa0,
            _ => false,
        };
        if control {
            return Some(Fault::Control);
        }
        rest = after;
    }
    None
}
