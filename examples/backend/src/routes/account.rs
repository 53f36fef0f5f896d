//! Logging in, and the next pair of tokens.

use serde::Deserialize;
use serde_json::json;

use super::{Action, Route, Visit};
use crate::answer::{Done, Envelope, Refusal};
use crate::auth::{NoRefresh, Sessions};

pub(super) const ROUTES: &[Route] = &[
    Route {
        name: "POST /api/v1/auth/login",
        envelope: Envelope::Plain,
        action: Action::Open(log_in),
    },
    Route {
        name: "POST /api/v1/auth/refresh",
        envelope: Envelope::Plain,
        action: Action::Open(refresh),
    },
];

#[derive(Deserialize)]
struct Login {
    email: String,
    password: String,
}

#[derive(Deserialize)]
struct Refresh {
    refresh_token: String,
}

fn log_in(sessions: &mut Sessions, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let login: Login = visit.read()?;
    let tokens = sessions.log_in(&login.email, &login.password, visit.now);
    let tokens = tokens.ok_or_else(|| Refusal::unauthorized("invalid email or password"))?;
    Ok(Done::ok(json!({
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "user_id": tokens.user,
    })))
}

fn refresh(sessions: &mut Sessions, visit: &Visit<'_>) -> Result<Done, Refusal> {
    let refresh: Refresh = visit.read()?;
    let tokens = sessions
        .refresh(&refresh.refresh_token, visit.now)
        .map_err(|no| {
            Refusal::unauthorized(match no {
                NoRefresh::Revoked => "refresh token has been revoked",
                NoRefresh::Unknown => "invalid refresh token",
            })
        })?;
    Ok(Done::ok(json!({
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
    })))
}
