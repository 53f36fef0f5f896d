//! Sessions: access tokens that wear out, and single-use refresh tokens.
//!
//! There are no passwords: naming a user is enough. Sessions are not stored; after a restart
//! everyone logs in again, as if all tokens had expired.

use std::collections::HashMap;

use uuid::Uuid;

/// The number of requests after which an access token is refused. A real one expires with time.
const REQUESTS: u32 = 150;

/// All valid tokens.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    access: HashMap<String, Session>,
    refresh: HashMap<String, String>,
}

#[derive(Debug)]
struct Session {
    user: String,
    requests_left: u32,
}

/// A new access token, and a refresh token for the next pair.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) access: String,
    pub(super) refresh: String,
}

impl Sessions {
    /// A pair for a user.
    pub(super) fn log_in(&mut self, user: &str) -> Pair {
        let pair = Pair {
            access: Uuid::new_v4().to_string(),
            refresh: Uuid::new_v4().to_string(),
        };
        let session = Session {
            user: user.to_owned(),
            requests_left: REQUESTS,
        };
        self.access.insert(pair.access.clone(), session);
        self.refresh.insert(pair.refresh.clone(), user.to_owned());
        pair
    }

    /// The next pair, for an unused refresh token.
    pub(super) fn refresh(&mut self, token: &str) -> Option<Pair> {
        let user = self.refresh.remove(token)?;
        Some(self.log_in(&user))
    }

    /// The user of an access token that is valid for another request.
    pub(super) fn let_in(&mut self, token: &str) -> Option<String> {
        let session = self.access.get_mut(token)?;
        let Some(left) = session.requests_left.checked_sub(1) else {
            self.access.remove(token);
            return None;
        };
        session.requests_left = left;
        Some(session.user.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_wears_out() {
        let mut sessions = Sessions::default();
        let pair = sessions.log_in("ada");
        for _ in 0..REQUESTS {
            assert_eq!(sessions.let_in(&pair.access).as_deref(), Some("ada"));
        }
        assert_eq!(sessions.let_in(&pair.access), None);
    }

    #[test]
    fn a_refresh_token_can_be_used_once() {
        let mut sessions = Sessions::default();
        let first = sessions.log_in("ada");
        let second = sessions.refresh(&first.refresh).unwrap();
        assert!(sessions.refresh(&first.refresh).is_none());
        assert_eq!(sessions.let_in(&second.access).as_deref(), Some("ada"));
        assert!(sessions.let_in("guessed").is_none());
    }
}
