//! The syntax of `traceparent` and `tracestate`, after W3C Trace Context.

use std::borrow::Cow;

/// The length of a traceparent.
pub(super) const TRACEPARENT_BYTES: usize = 55;
/// The maximum length of a tracestate.
pub(super) const MAX_TRACESTATE_BYTES: usize = 512;
/// The maximum number of members of a tracestate.
const MAX_MEMBERS: usize = 32;
/// The maximum length of a value in a tracestate.
const MAX_VALUE_BYTES: usize = 256;

/// Returns the traceparent in version `00`, or the rule that it breaks.
pub(super) fn traceparent(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let bytes = text.as_bytes();
    if bytes.len() < TRACEPARENT_BYTES {
        return Err("has less than 55 bytes");
    }
    let (head, rest) = bytes.split_at(TRACEPARENT_BYTES);
    let is_well_formed = head.iter().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    if !is_well_formed {
        return Err("is not `version-traceid-parentid-flags` in lower-case hexadecimal digits");
    }
    let is_zero = |digits: &[u8]| digits.iter().all(|digit| *digit == b'0');
    if is_zero(&head[3..35]) {
        return Err("has a trace id of zeros");
    }
    if is_zero(&head[36..52]) {
        return Err("has a parent id of zeros");
    }
    match &head[..2] {
        b"00" if rest.is_empty() => Ok(text.into()),
        b"00" => Err("has more than 55 bytes"),
        b"ff" => Err("has the invalid version ff"),
        _ if rest.first().is_none_or(|byte| *byte == b'-') => {
            // Of the flags of a later version, only `sampled` is known here.
            let ids = &text[2..52];
            let flags = flags(&text[..TRACEPARENT_BYTES]) & 1;
            Ok(format!("00{ids}-{flags:02x}").into())
        }
        _ => Err("has a later version and goes on without a dash"),
    }
}

/// The flags of a well-formed traceparent.
pub(super) fn flags(traceparent: &str) -> u8 {
    let digits = traceparent.get(53..55);
    digits
        .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        .unwrap_or(0)
}

/// Whether the tracestate has no members, or the rule that it breaks.
pub(super) fn tracestate(text: &str) -> Result<bool, &'static str> {
    if text.len() > MAX_TRACESTATE_BYTES {
        return Err("has more than 512 bytes");
    }
    let members = text.split(',').map(|one| one.trim_matches([' ', '\t']));
    let mut keys: Vec<&str> = Vec::new();
    for member in members.filter(|member| !member.is_empty()) {
        let Some((key, value)) = member.split_once('=') else {
            return Err("has a member without `=`");
        };
        if !is_key(key) {
            return Err("has a malformed key");
        }
        if !is_value(value) {
            return Err("has a malformed value");
        }
        if keys.contains(&key) {
            return Err("has a key twice");
        }
        keys.push(key);
    }
    match keys.len() {
        0 => Ok(true),
        1..=MAX_MEMBERS => Ok(false),
        _ => Err("has more than 32 members"),
    }
}

/// `vendor`, or `tenant@vendor`.
fn is_key(key: &str) -> bool {
    let is_part = |part: &str, first: fn(u8) -> bool, longest: usize| {
        let rest = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        part.len() <= longest && part.bytes().next().is_some_and(first) && part.bytes().all(rest)
    };
    match key.split_once('@') {
        None => is_part(key, |byte| byte.is_ascii_lowercase(), 256),
        Some((tenant, vendor)) => {
            let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            is_part(tenant, first, 241) && is_part(vendor, |byte| byte.is_ascii_lowercase(), 14)
        }
    }
}

/// Printable ASCII without `,` and `=`, which does not end in a space.
fn is_value(value: &str) -> bool {
    let is_printable = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=MAX_VALUE_BYTES).contains(&value.len())
        && value.bytes().all(is_printable)
        && !value.ends_with(' ')
}
