//! Accounts, short-lived access tokens, and single-use refresh tokens.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The number of used or revoked refresh tokens to remember; older ones count as unknown.
const REMEMBERED: usize = 10_000;

/// The accounts that can log in.
///
/// A user's id is derived from the lower-case e-mail address, so it is the same in every run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accounts {
    /// Any address with an `@`, with any password that is not empty.
    Any,
    /// These, as passwords by e-mail address.
    Listed(BTreeMap<String, String>),
}

impl Accounts {
    /// The user id of an address.
    ///
    /// ```
    /// use backend::Accounts;
    ///
    /// assert_eq!(Accounts::user_id("Ada@example.org"), Accounts::user_id("ada@example.org"));
    /// assert_ne!(Accounts::user_id("ada@example.org"), Accounts::user_id("bob@example.org"));
    /// ```
    #[must_use]
    pub fn user_id(email: &str) -> String {
        let address = email.trim().to_lowercase();
        Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("mailto:{address}").as_bytes()).to_string()
    }

    fn admit(&self, email: &str, password: &str) -> bool {
        match self {
            Self::Any => email.contains('@') && !password.is_empty(),
            Self::Listed(passwords) => passwords.iter().any(|(listed, expected)| {
                listed.trim().eq_ignore_ascii_case(email.trim()) && expected == password
            }),
        }
    }
}

/// A pair of tokens.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) user: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// The reason why a refresh token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRefresh {
    /// It was used before, or its session was revoked.
    Revoked,
    /// It was never issued.
    Unknown,
}

/// All sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    accounts: Accounts,
    ttl: Duration,
    access: HashMap<String, Access>,
    refresh: HashMap<String, Refresh>,
    /// Invalid refresh tokens, the oldest first.
    revoked: VecDeque<String>,
    emails: HashMap<String, String>,
}

#[derive(Debug)]
struct Access {
    user: String,
    /// `None` if it never expires.
    ends: Option<DateTime<Utc>>,
}

#[derive(Debug)]
enum Refresh {
    Good { user: String },
    Revoked,
}

impl Sessions {
    pub(crate) fn new(accounts: Accounts, ttl: Duration) -> Self {
        Self {
            accounts,
            ttl,
            access: HashMap::new(),
            refresh: HashMap::new(),
            revoked: VecDeque::new(),
            emails: HashMap::new(),
        }
    }

    /// A pair for an account with a correct password.
    pub(crate) fn log_in(
        &mut self,
        email: &str,
        password: &str,
        now: DateTime<Utc>,
    ) -> Option<Tokens> {
        self.accounts.admit(email, password).then(|| {
            let user = Accounts::user_id(email);
            self.emails
                .insert(user.clone(), email.trim().to_lowercase());
            self.issue(user, now)
        })
    }

    /// The next pair; it uses the token up.
    pub(crate) fn refresh(&mut self, token: &str, now: DateTime<Utc>) -> Result<Tokens, NoRefresh> {
        match self.refresh.get_mut(token) {
            None => Err(NoRefresh::Unknown),
            Some(Refresh::Revoked) => Err(NoRefresh::Revoked),
            Some(state @ Refresh::Good { .. }) => {
                let was = std::mem::replace(state, Refresh::Revoked);
                self.remember_revoked(token.to_owned());
                match was {
                    Refresh::Good { user } => Ok(self.issue(user, now)),
                    Refresh::Revoked => Err(NoRefresh::Revoked),
                }
            }
        }
    }

    /// The user of an access token that is still valid.
    pub(crate) fn user_of(&self, token: &str, now: DateTime<Utc>) -> Option<&str> {
        let access = self.access.get(token)?;
        let good = access.ends.is_none_or(|ends| now < ends);
        good.then_some(access.user.as_str())
    }

    /// The address of a user's login.
    pub(crate) fn email_of(&self, user: &str) -> Option<&str> {
        self.emails.get(user).map(String::as_str)
    }

    /// Expires all access tokens. Refresh tokens stay valid.
    pub(crate) fn expire_access(&mut self) {
        self.access.clear();
    }

    /// Ends all sessions: only a new login helps.
    pub(crate) fn revoke(&mut self) {
        self.access.clear();
        let good: Vec<String> = self
            .refresh
            .iter()
            .filter(|(_, state)| matches!(state, Refresh::Good { .. }))
            .map(|(token, _)| token.clone())
            .collect();
        for token in good {
            self.refresh.insert(token.clone(), Refresh::Revoked);
            self.remember_revoked(token);
        }
    }

    fn issue(&mut self, user: String, now: DateTime<Utc>) -> Tokens {
        self.access
            .retain(|_, access| access.ends.is_none_or(|ends| now < ends));
        let tokens = Tokens {
            user: user.clone(),
            access: Uuid::new_v4().simple().to_string(),
            refresh: Uuid::new_v4().simple().to_string(),
        };
        let ends = chrono::TimeDelta::from_std(self.ttl)
            .ok()
            .and_then(|ttl| now.checked_add_signed(ttl));
        let access = Access {
            user: user.clone(),
            ends,
        };
        self.access.insert(tokens.access.clone(), access);
        self.refresh
            .insert(tokens.refresh.clone(), Refresh::Good { user });
        tokens
    }

    fn remember_revoked(&mut self, token: String) {
        self.revoked.push_back(token);
        if self.revoked.len() > REMEMBERED
            && let Some(oldest) = self.revoked.pop_front()
        {
            self.refresh.remove(&oldest);
        }
    }
}
