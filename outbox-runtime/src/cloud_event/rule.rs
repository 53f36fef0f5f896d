//! What attributes may be: the type system of CloudEvents 1.0, and the syntax of URIs (RFC 3986).

/// The longest name of an extension attribute, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 20;

/// The attributes of the specification, and the member for the data.
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "specversion"
            | "id"
            | "source"
            | "type"
            | "subject"
            | "time"
            | "datacontenttype"
            | "dataschema"
            | "data"
    )
}

/// The rule that the name of an extension attribute breaks, if any.
pub(super) fn name_fault(name: &str) -> Option<String> {
    let most = MAX_NAME_BYTES;
    if name.is_empty() {
        return Some("has an empty name".to_owned());
    }
    let is_in_names = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some((at, c)) = name.char_indices().find(|(_, c)| !is_in_names(*c)) {
        return Some(format!(
            "has {c:?} at byte {at} of its name; a name has the letters a to z and digits"
        ));
    }
    let length = name.len();
    (length > most).then(|| format!("has a name of {length} bytes, more than {most}"))
}

/// The rule that a text breaks, if any: it has no control characters and no noncharacters.
pub(super) fn text_fault(text: &str) -> Option<String> {
    let is_allowed = |c: char| {
        let code = u32::from(c);
        !c.is_control() && !(0xfdd0..=0xfdef).contains(&code) && code & 0xfffe != 0xfffe
    };
    let (at, c) = text.char_indices().find(|(_, c)| !is_allowed(*c))?;
    let what = if c.is_control() {
        "control character"
    } else {
        "noncharacter"
    };
    Some(format!("has the {what} {c:?} at byte {at}"))
}

/// The rule of a URI reference that is not empty.
pub(super) fn source_fault(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("is empty; it is a URI or a reference such as /billing".to_owned());
    }
    if let Some(fault) = characters_fault(text) {
        return Some(fault);
    }
    // A colon in the first segment ends a scheme.
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    let (scheme, _) = first.split_once(':')?;
    scheme_fault(scheme)
}

/// The rule of an absolute URI.
pub(super) fn schema_fault(text: &str) -> Option<String> {
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    match first.contains(':') {
        true => source_fault(text),
        false => Some("has no scheme; it is an absolute URI".to_owned()),
    }
}

fn scheme_fault(scheme: &str) -> Option<String> {
    let mut chars = scheme.chars();
    let is_scheme = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    (!is_scheme).then(|| {
        format!("has {scheme:?} before its first colon, which is no scheme; write ./ before it")
    })
}

/// The characters of a URI, each in its place.
fn characters_fault(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?@!$&'()*+,;=".contains(c);
    let host = host_of(text);
    let mut fragments = 0;
    for (at, c) in text.char_indices() {
        let is_right = match c {
            '%' => {
                let digits = text.as_bytes().get(at + 1..at + 3);
                digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            }
            '#' => {
                fragments += 1;
                fragments == 1
            }
            '[' | ']' => host.contains(&at),
            c => is_plain(c),
        };
        if !is_right {
            return Some(format!(
                "has {c:?} at byte {at}, which a URI does not have there; percent-encode it"
            ));
        }
    }
    None
}

/// Where the host of a URI with an IP literal begins and ends.
fn host_of(text: &str) -> std::ops::Range<usize> {
    let path = text.find("//").map_or(0, |at| at + 2);
    let is_authority = path > 0 && !text[..path - 2].contains(['/', '?', '#']);
    let rest = &text[path..];
    let end = path + rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &text[path..end];
    let begin = path + authority.rfind('@').map_or(0, |at| at + 1);
    let host = &text[begin..end];
    match host.find(']') {
        Some(close)
            if is_authority && host.starts_with('[') && host.matches(['[', ']']).count() == 2 =>
        {
            begin..begin + close + 1
        }
        _ => 0..0,
    }
}
