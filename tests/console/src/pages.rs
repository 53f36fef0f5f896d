//! Pages of the tests' own, for controls.

use std::net::Ipv4Addr;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::routing::get;

use crate::served::Served;

/// A site with one page.
#[derive(Debug)]
pub struct Pages {
    served: Served,
}

impl Pages {
    /// A site whose page has this body.
    #[must_use]
    pub fn of(body: &str) -> Self {
        Self::with_policy(body, "default-src * 'unsafe-inline'")
    }

    /// A site whose page has this body and this content security policy.
    #[must_use]
    pub fn with_policy(body: &str, policy: &str) -> Self {
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Control</title>\
             <link rel=\"icon\" href=\"data:,\"></head><body>{body}</body></html>"
        );
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (CONTENT_SECURITY_POLICY, policy.to_owned()),
        ];
        let page = move || async move { (headers, html) };
        let router = Router::new().route("/", get(page));
        let served = Served::start((Ipv4Addr::LOCALHOST, 0).into(), router);
        Self { served }
    }

    /// The address of the page, under this host name.
    #[must_use]
    pub fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/", self.served.address().port())
    }
}
