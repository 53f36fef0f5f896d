//! The script, the style and the icon.

use axum::http::StatusCode;
use axum::response::Response;

use crate::respond::typed;

const SCRIPT: &str = include_str!("../assets/live.js");
const STYLE: &str = include_str!("../assets/style.css");
const ICON: &str = include_str!("../assets/icon.svg");

/// The asset of this name. They hold nothing secret, and the login page needs them.
pub(crate) fn named(name: &str) -> Option<Response> {
    let (kind, body) = match name {
        "live.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return None,
    };
    Some(typed(StatusCode::OK, kind, body))
}
