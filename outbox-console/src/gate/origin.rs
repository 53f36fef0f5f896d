//! Requests that a page of another site makes a browser send.

use axum::http::header::{HeaderName, ORIGIN};
use axum::http::request::Parts;

use super::hosts::authority;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether nothing says that another site sent the request. A program that is no browser sends
/// neither header; the token of the form stands for itself.
pub(crate) fn is_own(parts: &Parts) -> bool {
    if let Some(site) = parts.headers.get(FETCH_SITE) {
        return site == "same-origin";
    }
    let Some(origin) = parts.headers.get(ORIGIN) else {
        return true;
    };
    let origin = origin.to_str().unwrap_or_default();
    let sender = origin.split_once("://").map(|(_, authority)| authority);
    sender.is_some() && sender == authority(parts)
}
