//! A console on a port of its own.

use std::net::Ipv4Addr;

use axum::Router;
use outbox_runtime::SqliteStore;

use crate::HOST;
use crate::browser::Browser;
use crate::served::Served;

/// The token of every console of the tests.
pub const TOKEN: &str = "token-of-the-tests-0123456789abcdef";

/// The settings of a console.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup {
    /// The path under which an application has it, such as `/ops/outbox`; empty: at the root.
    pub prefix: &'static str,
    /// Whether it changes nothing.
    pub read_only: bool,
}

/// A console that serves one store.
#[derive(Debug)]
pub struct Console {
    setup: Setup,
    router: Router,
    served: Served,
}

impl Console {
    /// A console at the root that may change everything.
    #[must_use]
    pub fn of(store: &SqliteStore) -> Self {
        Self::with(store, Setup::default())
    }

    /// A console with these settings.
    #[must_use]
    pub fn with(store: &SqliteStore, setup: Setup) -> Self {
        let router = router(store, setup);
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        Self {
            setup,
            router: router.clone(),
            served: Served::start(any, router),
        }
    }

    /// Closes the port and ends all connections.
    pub async fn stop(&mut self) {
        self.served.close().await;
    }

    /// Opens the port again, with the sessions that were open.
    pub fn resume(&mut self) {
        self.served.open(self.router.clone());
    }

    /// Opens the port again as a new process would, which knows no session.
    pub fn restart(&mut self, store: &SqliteStore) {
        self.router = router(store, self.setup);
        self.resume();
    }

    /// The address of a page, by the number of this machine.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        self.url_at("127.0.0.1", path)
    }

    /// The address of a page, by this host name.
    #[must_use]
    pub fn url_at(&self, host: &str, path: &str) -> String {
        let (port, prefix) = (self.port(), self.setup.prefix);
        format!("http://{host}:{port}{prefix}{path}")
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.served.address().port()
    }

    /// Logs in and opens this page.
    pub async fn open(&self, browser: &Browser, path: &str) {
        self.open_at("127.0.0.1", browser, path).await;
    }

    /// Logs in under this host name and opens this page.
    pub async fn open_at(&self, host: &str, browser: &Browser, path: &str) {
        browser.open_page(&self.url_at(host, path)).await;
        Self::log_in(browser).await;
    }

    /// Gives the token to the form on the page.
    pub async fn log_in(browser: &Browser) {
        browser.fill("#main input[type=password]", TOKEN).await;
        browser.submit("#main form").await;
        browser.wait_gone("#main input[type=password]").await;
        browser.wait("nav[aria-label=Sections]").await;
        // The form came with an answer that says no, which a browser notes.
        browser.complaints().await;
    }
}

fn router(store: &SqliteStore, setup: Setup) -> Router {
    let console = outbox_console::router(store.clone())
        .token(TOKEN)
        .hosts(["127.0.0.1", HOST]);
    let console = if setup.read_only {
        console.read_only()
    } else {
        console.writable()
    };
    let router = console.into_router();
    match setup.prefix {
        "" => router,
        prefix => Router::new().nest_service(prefix, router),
    }
}
