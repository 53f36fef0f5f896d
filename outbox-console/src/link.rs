//! Addresses within the console.

use form_urlencoded::Serializer;

/// Makes addresses that begin with the prefix of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Links {
    prefix: String,
}

impl Links {
    /// `prefix` is where the console is: empty, or a path without a slash at its end. One that a
    /// browser would take for another host is left out.
    pub(crate) fn new(prefix: &str) -> Self {
        let prefix = prefix.trim_end_matches('/');
        let is_path = prefix.starts_with('/') && !prefix.starts_with("//");
        let prefix = if is_path { prefix } else { "" };
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The prefix with a slash: the path that cookies are for.
    pub(crate) fn cookie_path(&self) -> &str {
        match self.prefix.as_str() {
            "" => "/",
            prefix => prefix,
        }
    }

    /// A page, by its path: `/events`.
    pub(crate) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// A page with a query.
    pub(crate) fn with<N: AsRef<str>, V: AsRef<str>>(
        &self,
        path: &str,
        query: impl IntoIterator<Item = (N, V)>,
    ) -> String {
        let query = encoded(query);
        match query.is_empty() {
            true => self.to(path),
            false => format!("{}{path}?{query}", self.prefix),
        }
    }
}

/// A query. Everything but letters, digits and `*-._` is percent-encoded.
pub(crate) fn encoded<N: AsRef<str>, V: AsRef<str>>(
    query: impl IntoIterator<Item = (N, V)>,
) -> String {
    let mut encoder = Serializer::new(String::new());
    encoder.extend_pairs(query);
    encoder.finish()
}

/// A path and query within the console, as asked for by a visitor who has to sign in first. `None`
/// where it could lead elsewhere.
pub(crate) fn local(next: &str) -> Option<&str> {
    let is_safe = |c: char| c.is_ascii_graphic() && c != '\\';
    let is_path = next.starts_with('/') && !next.starts_with("//");
    (is_path && next.len() < 8_192 && next.chars().all(is_safe)).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path_of_this_host() {
        let of = |prefix: &str| Links::new(prefix).to("/events");
        assert_eq!(of(""), "/events");
        assert_eq!(of("/"), "/events");
        assert_eq!(of("/outbox/"), "/outbox/events");
        assert_eq!(of("//evil.example"), "/events");
        assert_eq!(of("javascript:x"), "/events");
    }

    #[test]
    fn a_query_is_encoded() {
        let links = Links::new("/o");
        let hostile = "a&b=c\"<>\0\n/?#é";
        let link = links.with("/events", [("user", hostile)]);
        assert_eq!(
            link,
            "/o/events?user=a%26b%3Dc%22%3C%3E%00%0A%2F%3F%23%C3%A9"
        );
        assert_eq!(links.with("/events", [("", ""); 0]), "/o/events");
    }

    #[test]
    fn only_a_path_of_the_console_is_gone_to_after_signing_in() {
        assert_eq!(local("/events?user=a%20b"), Some("/events?user=a%20b"));
        for elsewhere in [
            "",
            "events",
            "//evil.example",
            "/\\evil.example",
            "/a\nb",
            "https://x",
        ] {
            assert_eq!(local(elsewhere), None, "{elsewhere:?}");
        }
    }
}
