//! Access tokens: one pair per user, obtained by a login and renewed with a single-use refresh
//! token.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use outbox_runtime::Operation;
use outbox_runtime::http::{SendError, send};
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize};

/// The tokens of all users of this device.
#[derive(Debug)]
pub(crate) struct Tokens {
    http: Client,
    base_url: String,
    held: Mutex<HashMap<String, Pair>>,
}

#[derive(Deserialize)]
struct Pair {
    access_token: String,
    refresh_token: String,
}

#[derive(Serialize)]
struct Login<'a> {
    user: &'a str,
}

#[derive(Serialize)]
struct Refresh {
    refresh_token: String,
}

impl Tokens {
    /// No tokens yet, for the service at `base_url`.
    pub(crate) fn new(http: Client, base_url: &str) -> Self {
        Self {
            http,
            base_url: base_url.to_owned(),
            held: Mutex::default(),
        }
    }

    /// The user's access token, if any. Only the server knows whether it is still valid.
    pub(crate) fn access(&self, user: &str) -> Option<String> {
        self.held().get(user).map(|pair| pair.access_token.clone())
    }

    /// Gets a new pair. The processor calls it, one call at a time, when a request was refused.
    pub(crate) async fn renew(&self, user: &str) -> Result<(), SendError> {
        // Removed, because it is single-use: if its response is lost, the next call logs in.
        let spent = self.held().remove(user);
        let refreshed = match spent {
            Some(pair) => self.refresh(pair.refresh_token).await?,
            None => None,
        };
        let pair = match refreshed {
            Some(pair) => pair,
            None => self.log_in(user).await?,
        };
        self.held().insert(user.to_owned(), pair);
        Ok(())
    }

    /// `None` if the server refuses the refresh token.
    async fn refresh(&self, refresh_token: String) -> Result<Option<Pair>, SendError> {
        let refresh = Refresh { refresh_token };
        match self.post("/api/v1/auth/refresh", &refresh).await {
            Ok(response) => read(response).await.map(Some),
            Err(SendError::Refused(refused)) if refused.status() == StatusCode::UNAUTHORIZED => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn log_in(&self, user: &str) -> Result<Pair, SendError> {
        let response = self.post("/api/v1/auth/login", &Login { user }).await?;
        read(response).await
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Response, SendError> {
        let url = format!("{}{path}", self.base_url);
        send(self.http.post(url).json(body), Operation::Create).await
    }

    /// A panic cannot leave the guarded state half-changed.
    fn held(&self) -> MutexGuard<'_, HashMap<String, Pair>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(response: Response) -> Result<Pair, SendError> {
    response.json().await.map_err(SendError::Unanswered)
}

/// Keeps tokens out of logs.
impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}
