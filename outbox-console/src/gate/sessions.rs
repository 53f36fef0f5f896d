//! Sessions: visitors who signed in, by a random id in a cookie.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::request::Parts;

use super::hosts::{authority, port_of};
use crate::secret::{self, Bytes};

/// The sessions that are open at the same time. Beyond, the one that rested longest ends.
const MOST: usize = 256;
/// A session ends after this time without a request.
const IDLE: Duration = Duration::from_secs(8 * 3_600);

/// The open sessions. Their ids are kept as digests.
pub(crate) struct Sessions {
    key: Bytes,
    open: Mutex<HashMap<Bytes, Session>>,
}

struct Session {
    /// The name that the visitor gave.
    name: Option<String>,
    used: Duration,
}

/// Without the key.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            key: secret::random(),
            open: Mutex::default(),
        }
    }

    /// Opens a session and returns its id.
    pub(crate) fn open(&self, name: Option<&str>, now: Duration) -> String {
        let id = secret::hex(&secret::random());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST {
            let longest = open.iter().min_by_key(|(_, session)| session.used);
            let longest = longest.map(|(id, _)| *id);
            longest.and_then(|id| open.remove(&id));
        }
        let session = Session {
            name: name.map(str::to_owned),
            used: now,
        };
        open.insert(secret::digest(&[id.as_bytes()]), session);
        id
    }

    /// Whose session it is, if it is open: the name, or a word that stands for the session.
    pub(crate) fn holder(&self, id: &str, now: Duration) -> Option<String> {
        let digest = secret::digest(&[id.as_bytes()]);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| now.saturating_sub(session.used) < IDLE);
        let session = open.get_mut(&digest)?;
        session.used = now;
        let word = format!("session {}", secret::hex(&digest[..4]));
        Some(match &session.name {
            Some(name) => format!("{name} ({word})"),
            None => word,
        })
    }

    pub(crate) fn close(&self, id: &str) {
        let digest = secret::digest(&[id.as_bytes()]);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&digest);
    }

    /// The token that a form of this session has to send. It tells nothing about the id.
    pub(crate) fn form_token(&self, id: &str) -> String {
        secret::hex(&secret::digest(&[&self.key, b"form", id.as_bytes()]))
    }
}

/// The name of the cookie. Cookies go to every port of a host, so that two consoles on one machine
/// would sign each other out without the port.
pub(crate) fn cookie_name(parts: &Parts, is_https: bool) -> String {
    let prefix = if is_https { "__Secure-" } else { "" };
    match authority(parts).and_then(port_of) {
        Some(port) => format!("{prefix}outbox-{port}"),
        None => format!("{prefix}outbox"),
    }
}

/// The id of the session in the request's cookie.
pub(crate) fn id_in<'p>(parts: &'p Parts, name: &str) -> Option<&'p str> {
    let headers = parts.headers.get_all(COOKIE).iter();
    let cookies = headers.filter_map(|header| header.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('='));
    let (_, id) = values.find(|(its_name, _)| *its_name == name)?;
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(id)
}

/// The header that gives a browser its session, or with an empty id takes it away.
pub(crate) fn set_cookie(name: &str, id: &str, path: &str, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    let age = if id.is_empty() { "; Max-Age=0" } else { "" };
    format!("{name}={id}; Path={path}; HttpOnly; SameSite=Lax{secure}{age}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_closed_or_rests_for_long() {
        let sessions = Sessions::new();
        let (id, other) = (
            sessions.open(Some("ada"), Duration::ZERO),
            sessions.open(None, Duration::ZERO),
        );
        let holder = sessions.holder(&id, IDLE / 2).unwrap();
        assert!(holder.starts_with("ada (session "), "{holder}");
        assert!(
            sessions.holder(&id, IDLE).is_some(),
            "it was used meanwhile"
        );
        assert_eq!(sessions.holder(&other, IDLE), None);
        assert_ne!(sessions.form_token(&id), sessions.form_token(&other));
        sessions.close(&id);
        assert_eq!(sessions.holder(&id, IDLE), None);
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let sessions = Sessions::new();
        let first = sessions.open(None, Duration::ZERO);
        let second = sessions.open(None, Duration::from_secs(1));
        for _ in 2..=MOST {
            sessions.open(None, Duration::from_secs(2));
        }
        assert_eq!(sessions.holder(&first, Duration::from_secs(2)), None);
        assert!(sessions.holder(&second, Duration::from_secs(2)).is_some());
    }
}
