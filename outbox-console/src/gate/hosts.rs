//! The names under which the console may be asked. A page of another site that has its name lead to
//! this machine sends its own name.

use axum::http::header::HOST;
use axum::http::request::Parts;

/// The names that are accepted, each with any port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Names of this machine for itself.
    Loopback,
    Named(Vec<String>),
    Any,
}

impl Hosts {
    pub(crate) fn named<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into);
        Self::Named(names.map(|name: String| normal(&name)).collect())
    }

    pub(crate) fn accept(&self, host: &str) -> bool {
        let name = normal(host_of(host));
        match self {
            Self::Any => true,
            Self::Loopback => ["127.0.0.1", "localhost", "[::1]"].contains(&name.as_str()),
            Self::Named(names) => names.contains(&name),
        }
    }
}

/// The authority that the request was sent to: name and port. `None` where it has none, or several.
pub(crate) fn authority(parts: &Parts) -> Option<&str> {
    let mut sent = parts.headers.get_all(HOST).iter();
    match (sent.next(), sent.next()) {
        (Some(host), None) => host.to_str().ok(),
        (None, _) => parts
            .uri
            .authority()
            .map(axum::http::uri::Authority::as_str),
        _ => None,
    }
}

/// The port in an authority.
pub(crate) fn port_of(authority: &str) -> Option<&str> {
    let port = authority.strip_prefix(host_of(authority))?;
    let port = port.strip_prefix(':')?;
    let is_port = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    is_port.then_some(port)
}

/// An authority without its port. Brackets stay around an address.
fn host_of(authority: &str) -> &str {
    let end = match authority.find(']') {
        Some(bracket) if authority.starts_with('[') => bracket + 1,
        _ => authority.rfind(':').unwrap_or(authority.len()),
    };
    &authority[..end]
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_accepted_by_its_whole_name_and_any_port() {
        let hosts = Hosts::Loopback;
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "LOCALHOST:1",
            "localhost.",
            "[::1]:9",
        ] {
            assert!(hosts.accept(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil",
            "::1",
            "[::1",
        ] {
            assert!(!hosts.accept(host), "{host}");
        }
        let hosts = Hosts::named(["Ops.Example.com"]);
        assert!(hosts.accept("ops.example.com:443") && !hosts.accept("localhost"));
        assert!(Hosts::Any.accept("anything"));
    }

    #[test]
    fn a_port_is_a_number() {
        assert_eq!(port_of("127.0.0.1:80"), Some("80"));
        assert_eq!(port_of("[::1]:8080"), Some("8080"));
        for host in ["localhost", "localhost:", "localhost:8;x", "[::1]"] {
            assert_eq!(port_of(host), None);
        }
    }
}
