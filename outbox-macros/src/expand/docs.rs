//! Links from generated documentation to the runtime, under the name that the user knows.

use quote::ToTokens;
use syn::Path;

/// Makes links.
pub(super) struct Links {
    /// `None` if the path contains `$crate`, which documentation cannot express.
    runtime: Option<String>,
}

impl Links {
    pub(super) fn new(krate: Option<&Path>) -> Self {
        let runtime = krate.map_or_else(
            || "::outbox_runtime".to_owned(),
            |path| path.to_token_stream().to_string().replace(' ', ""),
        );
        Self {
            runtime: (!runtime.contains('$')).then_some(runtime),
        }
    }

    /// ``[`on`](::outbox_runtime::Enqueue::on)``
    pub(super) fn to(&self, item: &str) -> String {
        let (_, name) = item.rsplit_once("::").unwrap_or(("", item));
        match &self.runtime {
            Some(runtime) => format!("[`{name}`]({runtime}::{item})"),
            None => format!("`{name}`"),
        }
    }
}
