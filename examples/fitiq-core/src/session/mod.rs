//! The session: one account, one pair of tokens and one refresh at a time for the whole process.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outbox_runtime::SqliteStore;
use outbox_runtime::store::BoxError;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::api::{ApiError, Said, Service, data_of};
use crate::ids::UserId;

mod keeper; // the tokens in the app's database

use self::keeper::Keeper;

/// The only session of the app. Its tokens are in the app's database and survive the process.
///
/// A refresh token is single-use. Refreshes therefore run one at a time, and a new pair is on disk
/// before it is used. Only the service's word ends a session; being unable to ask it does not.
pub struct Session {
    service: Service,
    keeper: Keeper,
    /// Every call reads it, so it is never held across an await.
    held: Mutex<Held>,
    /// Held during a refresh.
    exchange: tokio::sync::Mutex<()>,
}

/// The state of the session.
#[derive(Default)]
struct Held {
    credentials: Option<Credentials>,
    /// Counts the refreshes, so that a caller that waited for one need not start another.
    generation: u64,
}

/// An account and its tokens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: UserId,
    pub(crate) email: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// An access token, hidden from `Debug`.
#[derive(Debug)]
pub(crate) struct AccessToken(Secret);

/// A text that `Debug` hides.
pub(crate) struct Secret(String);

/// There are no new tokens.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The service could not be reached or gave no answer: the session is unchanged.
    #[error("the service could not be reached for tokens")]
    Unreachable(#[source] BoxError),
    /// The service ended the session. The tokens are deleted; the service is not asked again before
    /// the next sign-in.
    #[error("the session has ended{0}; sign in again")]
    Ended(Said),
    /// Nobody is signed in, or another user is.
    #[error("{0} is not signed in; sign in first")]
    NotSignedIn(String),
    /// The service refuses the address and password.
    #[error("the service refuses this address and password{0}")]
    Refused(Said),
    /// The app's database cannot store the tokens.
    #[error("the tokens cannot be stored")]
    Storage(#[source] BoxError),
}

#[derive(Serialize)]
struct LogIn<'a> {
    email: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct Refresh<'a> {
    refresh_token: &'a str,
}

/// The response of login and refresh.
#[derive(Deserialize)]
struct Pair {
    access_token: String,
    refresh_token: String,
    user_id: Option<UserId>,
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    id: UserId,
}

impl Session {
    /// The session stored in the app's database, signed in or not.
    ///
    /// # Errors
    ///
    /// [`SessionError::Storage`].
    pub async fn open(store: &SqliteStore, service: Service) -> Result<Self, SessionError> {
        let keeper = Keeper::open(store).await?;
        let credentials = keeper.load().await?;
        Ok(Self {
            service,
            keeper,
            held: Mutex::new(Held {
                credentials,
                generation: 0,
            }),
            exchange: tokio::sync::Mutex::default(),
        })
    }

    /// The signed-in account.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.held()
            .credentials
            .as_ref()
            .map(|held| held.user.clone())
    }

    /// The account's e-mail address.
    #[must_use]
    pub fn email(&self) -> Option<String> {
        self.held()
            .credentials
            .as_ref()
            .map(|held| held.email.clone())
    }

    /// The service of the session.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Signs an account in, and replaces the current one.
    ///
    /// # Errors
    ///
    /// [`SessionError::Refused`], [`Unreachable`](SessionError::Unreachable),
    /// [`Storage`](SessionError::Storage).
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<UserId, SessionError> {
        let _one_at_a_time = self.exchange.lock().await;
        let request = self.request("login").json(&LogIn { email, password });
        let pair = match ask(request).await? {
            Ok(pair) => pair,
            Err(said) => return Err(SessionError::Refused(said)),
        };
        let user = match pair.user_id.or(pair.user.map(|user| user.id)) {
            Some(user) => user,
            // Without an id in the response, the address identifies the account.
            None => UserId::new(&email.trim().to_lowercase()).map_err(unreachable)?,
        };
        let credentials = Credentials {
            user: user.clone(),
            email: email.trim().to_owned(),
            access: pair.access_token,
            refresh: pair.refresh_token,
        };
        self.adopt(Some(credentials)).await?;
        Ok(user)
    }

    /// Forgets the tokens.
    ///
    /// # Errors
    ///
    /// [`SessionError::Storage`].
    pub async fn sign_out(&self) -> Result<(), SessionError> {
        let _one_at_a_time = self.exchange.lock().await;
        self.adopt(None).await
    }

    /// Gets new tokens for a user. A processor calls it when the service refused the credentials
    /// ([`ProcessorBuilder::on_unauthenticated`](outbox_runtime::ProcessorBuilder::on_unauthenticated)),
    /// as does any other caller whose token is refused. Callers during a refresh share its result.
    ///
    /// # Errors
    ///
    /// [`SessionError`], except `Refused`. After `Ended` the service is not asked again.
    pub async fn refresh(&self, user: &str) -> Result<(), SessionError> {
        let seen = self.held().generation;
        let _one_at_a_time = self.exchange.lock().await;
        let not_signed_in = || SessionError::NotSignedIn(user.to_owned());
        let held = {
            let held = self.held();
            if held.generation != seen && held.credentials.is_some() {
                return Ok(());
            }
            held.credentials
                .clone()
                .filter(|held| held.user.as_str() == user)
        };
        let held = held.ok_or_else(not_signed_in)?;
        // Another process of the app may have used the token and stored the next one.
        match self.keeper.load().await? {
            Some(kept) if kept == held => {}
            Some(kept) if kept.user == held.user => {
                self.hold(Some(kept));
                return Ok(());
            }
            _ => {
                self.hold(None);
                return Err(not_signed_in());
            }
        }
        let refresh_token = &held.refresh;
        let request = self.request("refresh").json(&Refresh { refresh_token });
        match ask(request).await? {
            Ok(pair) => {
                let renewed = Credentials {
                    access: pair.access_token,
                    refresh: pair.refresh_token,
                    ..held
                };
                self.adopt(Some(renewed)).await
            }
            Err(said) => {
                self.adopt(None).await?;
                Err(SessionError::Ended(said))
            }
        }
    }

    /// The token of the event's user, and of nobody else.
    pub(crate) fn access(&self, user: &str) -> Result<AccessToken, ApiError> {
        let held = self.held();
        let credentials = held.credentials.as_ref();
        credentials
            .filter(|held| held.user.as_str() == user)
            .map(|held| AccessToken(Secret(held.access.clone())))
            .ok_or_else(|| ApiError::Unauthenticated(Said::default()))
    }

    fn request(&self, what: &'static str) -> RequestBuilder {
        let path = ["api", "v1", "auth", what];
        self.service.request(Method::POST, path)
    }

    /// Store first: a token that is used and then lost ends the session.
    async fn adopt(&self, credentials: Option<Credentials>) -> Result<(), SessionError> {
        self.keeper.save(credentials.clone()).await?;
        self.hold(credentials);
        Ok(())
    }

    fn hold(&self, credentials: Option<Credentials>) {
        let mut held = self.held();
        held.credentials = credentials;
        held.generation += 1;
    }

    /// A panic cannot leave the guarded state half-changed.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests a pair: the inner `Err` is a refusal by the service, the outer one any other failure.
async fn ask(request: RequestBuilder) -> Result<Result<Pair, Said>, SessionError> {
    let response = request
        .send()
        .await
        .map_err(|error| unreachable(error.without_url()))?;
    let status = response.status();
    let body = response
        .bytes()
        .await
        .map_err(|error| unreachable(error.without_url()))?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match status {
        _ if status.is_success() => Pair::deserialize(data_of(&answer))
            .map(Ok)
            .map_err(unreachable),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Ok(Err(Said::by(&answer)))
        }
        _ => Err(unreachable(format!(
            "it answered {status}{}",
            Said::by(&answer)
        ))),
    }
}

fn unreachable(error: impl Into<BoxError>) -> SessionError {
    SessionError::Unreachable(error.into())
}

impl AccessToken {
    pub(crate) fn reveal(&self) -> &str {
        &self.0.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user", &self.user())
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
