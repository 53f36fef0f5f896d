//! A request that was let in.

use std::sync::Arc;

use crate::app::App;
use crate::link::Links;
use crate::query::Pairs;

/// A request of a visitor who may see everything, with what the pages need of it.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) app: Arc<App>,
    pub(crate) links: Links,
    /// The path within the console: `/events`.
    pub(crate) path: String,
    pub(crate) query: Pairs,
    /// The fields of a form; empty for a page.
    pub(crate) form: Pairs,
    /// The visitor, for the log.
    pub(crate) who: String,
    pub(crate) may_write: bool,
    /// The token that every form sends.
    pub(crate) form_token: String,
    /// Whether the visitor signed in here, and can sign out.
    pub(crate) is_signed_in: bool,
}
