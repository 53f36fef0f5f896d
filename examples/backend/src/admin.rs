//! Settings and queries at run time: `/admin`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::audit::Audit;
use crate::backend::Control;
use crate::faults::{FaultRule, FaultSyntaxError};

pub(crate) fn router(control: &Arc<Control>) -> Router {
    Router::new()
        .route("/admin/audit", get(audit).delete(reset))
        .route("/admin/faults", post(switch).get(show))
        .with_state(Arc::clone(control))
}

/// Absent keys change nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switches {
    offline: Option<bool>,
    /// Replaces the current rules; the syntax is that of the command line.
    rules: Option<Vec<String>>,
    #[serde(default)]
    expire_tokens: bool,
    #[serde(default)]
    revoke_sessions: bool,
}

/// The current settings.
#[derive(Debug, Serialize)]
struct Switched {
    offline: bool,
    rules: Vec<String>,
}

async fn audit(State(control): State<Arc<Control>>) -> Json<Audit> {
    Json(control.service.audit())
}

async fn reset(State(control): State<Arc<Control>>) -> StatusCode {
    control.service.reset_audit();
    StatusCode::NO_CONTENT
}

async fn show(State(control): State<Arc<Control>>) -> Json<Switched> {
    let rules = control.service.faults();
    Json(Switched {
        offline: !control.is_online().await,
        rules: rules.iter().map(ToString::to_string).collect(),
    })
}

async fn switch(State(control): State<Arc<Control>>, Json(switches): Json<Switches>) -> Response {
    let parse = |rules: Vec<String>| rules.iter().map(|rule| rule.parse()).collect();
    let rules: Option<Result<Vec<FaultRule>, FaultSyntaxError>> = switches.rules.map(parse);
    match rules {
        Some(Ok(rules)) => control.service.set_faults(rules),
        Some(Err(error)) => return failure(StatusCode::BAD_REQUEST, &error),
        None => {}
    }
    if switches.expire_tokens {
        control.service.expire_tokens();
    }
    if switches.revoke_sessions {
        control.service.revoke_sessions();
    }
    match switches.offline {
        // A caller on the endpoints' own port gets no answer any more.
        Some(true) => control.go_offline().await,
        Some(false) => {
            if let Err(error) = control.go_online().await {
                return failure(StatusCode::INTERNAL_SERVER_ERROR, &error);
            }
        }
        None => {}
    }
    show(State(control)).await.into_response()
}

fn failure(status: StatusCode, error: &dyn std::error::Error) -> Response {
    (
        status,
        Json(json!({ "error": { "message": error.to_string() } })),
    )
        .into_response()
}
