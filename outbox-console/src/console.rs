//! The console as an application sets it up.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use outbox_operate::{Hidden, Outbox};
use outbox_runtime::OutboxRepository;
use outbox_runtime::store::BoxError;

use crate::app::App;
use crate::gate::hosts::Hosts;
use crate::live::Live;
use crate::route;
use crate::secret;
use crate::settings::{Settings, Writers};
use crate::stores::Stores;

/// A console for this store. It is closed: set a way in, and the names of the host.
///
/// The guide: [the web console](https://docs.rs/outbox-guide/latest/outbox_guide/console/).
///
/// # Examples
///
/// ```
/// use outbox_runtime::MemoryStore;
///
/// let console = outbox_console::router(MemoryStore::new())
///     .allow_if(|request| request.headers.contains_key("x-staff"))
///     .operator_if(|request| request.headers.contains_key("x-operator"))
///     .hosts(["ops.example.com"]);
/// let app: axum::Router = axum::Router::new().nest_service("/outbox", console.into_router());
/// # drop(app);
/// ```
pub fn router(store: impl OutboxRepository) -> Console {
    Console::of(Stores::of(Arc::new(store)))
}

/// A console for a store that it opens itself: at the first request, and again after a failure,
/// such as that of a SQLite store that read a file alone until an application opened it. The store
/// that failed is [suspended](OutboxRepository::suspend).
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use outbox_runtime::{OutboxRepository, SqliteStore};
///
/// let console = outbox_console::router_opening(|| async {
///     let store = SqliteStore::builder("app.db").read_only().open().await?;
///     Ok(Arc::new(store) as Arc<dyn OutboxRepository>)
/// });
/// # drop(console);
/// ```
pub fn router_opening<F>(open: impl Fn() -> F + Send + Sync + 'static) -> Console
where
    F: Future<Output = Result<Arc<dyn OutboxRepository>, BoxError>> + Send + 'static,
{
    Console::of(Stores::opened_by(open))
}

/// A web console, as it is set up. Nobody gets in, and nobody writes, unless a setting says so.
///
/// # Examples
///
/// For the people who operate a service:
///
/// ```
/// use outbox_console::Console;
/// use outbox_runtime::MemoryStore;
///
/// let token = Console::random_token();
/// let console: Console = outbox_console::router(MemoryStore::new())
///     .token(&token) // for a link in the terminal
///     .password("correct horse battery staple")
///     .hosts(["ops.example.com"])
///     .https()
///     .prefix("/outbox") // where a reverse proxy takes another path away
///     .name("lume, production")
///     .live_streams(8)
///     .operator_if(|request| request.headers.contains_key("x-operator"))
///     .named_by(|request| Some(request.headers.get("x-user")?.to_str().ok()?.to_owned()))
///     .show_payload_except(["email", "birthday"]);
/// let app: axum::Router = axum::Router::new().nest_service("/outbox", console.into_router());
/// # drop(app);
/// ```
#[derive(Debug)]
#[must_use = "a console answers nothing until it is a router"]
pub struct Console {
    stores: Stores,
    settings: Settings,
    live: Option<Arc<Live>>,
}

/// Ends the live streams of a console. A server that waits for open connections before it stops
/// would wait for them.
///
/// # Examples
///
/// ```
/// use outbox_console::LiveStreams;
/// use outbox_runtime::MemoryStore;
///
/// let mut console = outbox_console::router(MemoryStore::new());
/// let streams: LiveStreams = console.streams();
/// // When the server is told to stop:
/// println!("ending {} live pages", streams.count());
/// streams.end();
/// # drop(console);
/// ```
#[derive(Debug, Clone)]
pub struct LiveStreams(Arc<Live>);

impl Console {
    fn of(stores: Stores) -> Self {
        Self {
            stores,
            settings: Settings::new(),
            live: None,
        }
    }

    // Ways in.

    /// Lets in everybody who has this token, by the form to sign in or by a link to
    /// `/login?token=..`. It should be long and random: see [`random_token`](Self::random_token).
    /// Default: none.
    pub fn token(mut self, token: impl AsRef<str>) -> Self {
        self.settings.secrets.add(token.as_ref());
        self
    }

    /// A token that nobody can guess, for [`token`](Self::token).
    #[must_use]
    pub fn random_token() -> String {
        secret::hex(&secret::random()[..20])
    }

    /// Lets in everybody who has this password, by the form to sign in. After ten failures a minute
    /// from one address, or a hundred from all, no login is looked at for a while. Default: none.
    pub fn password(mut self, password: impl AsRef<str>) -> Self {
        self.settings.secrets.add(password.as_ref());
        self
    }

    /// Lets in the requests for which the application says so, such as those of its own sessions.
    /// Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::MemoryStore;
    /// let console = outbox_console::router(MemoryStore::new())
    ///     .allow_if(|request| request.extensions.get::<Session>().is_some());
    ///
    /// /// Which a layer of the application puts into each request that has signed in.
    /// #[derive(Clone)]
    /// struct Session;
    /// # drop(console);
    /// ```
    pub fn allow_if(mut self, check: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.settings.allowed = Some(Arc::new(check));
        self
    }

    // Leave to change something.

    /// Lets nobody change anything, which is the default.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::MemoryStore;
    /// # let is_support = true;
    /// let console = outbox_console::router(MemoryStore::new()).password("for this example").writable();
    /// let console = if is_support { console.read_only() } else { console };
    /// # drop(console);
    /// ```
    pub fn read_only(mut self) -> Self {
        self.settings.writers = Writers::Nobody;
        self
    }

    /// Lets everybody who gets in change something. Default: nobody may.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::MemoryStore;
    /// // One person's own machine: who gets in may do everything.
    /// let token = outbox_console::Console::random_token();
    /// let console = outbox_console::router(MemoryStore::new()).token(&token).writable();
    /// # drop(console);
    /// ```
    pub fn writable(mut self) -> Self {
        self.settings.writers = Writers::Everybody;
        self
    }

    /// Lets those change something for whose requests the application says so. They must get in as
    /// well. Default: nobody may.
    pub fn operator_if(mut self, check: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.settings.writers = Writers::Those(Arc::new(check));
        self
    }

    /// Names the person behind a request, for the log of changes and for pauses. Default: the name
    /// given when signing in, or the session.
    pub fn named_by(
        mut self,
        name: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.settings.naming = Some(Arc::new(name));
        self
    }

    // Where it is.

    /// The names of the host under which it answers, each with any port. Default: `127.0.0.1`,
    /// `localhost` and `[::1]`.
    pub fn hosts<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.settings.hosts = Hosts::named(names);
        self
    }

    /// Answers under any name of the host. For an application that checks the name itself. Default:
    /// only under names of this machine, see [`hosts`](Self::hosts).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::MemoryStore;
    /// let console = outbox_console::router(MemoryStore::new())
    ///     .allow_if(|_| true) // behind a proxy that checks the session and the name
    ///     .any_host();
    /// # drop(console);
    /// ```
    pub fn any_host(mut self) -> Self {
        self.settings.hosts = Hosts::Any;
        self
    }

    /// The path of the console for a browser, such as `/outbox`, where a reverse proxy changes it.
    /// Default: the path at which a router nests it.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.prefix = Some(prefix.into());
        self
    }

    /// Browsers reach it by HTTPS alone: its cookie is `Secure`. Default: it is not, so that HTTP
    /// on this machine works.
    pub fn https(mut self) -> Self {
        self.settings.is_https = true;
        self
    }

    /// The number of live streams at the same time, one for each page that is open and visible.
    /// Default: 32.
    pub fn live_streams(mut self, most: usize) -> Self {
        self.settings.streams = most;
        self
    }

    // Content.

    /// Shows the values of payloads, except those of fields with these names at any depth, and of
    /// fields whose names have `password`, `secret`, `token`, `apikey` or `credential` in them.
    /// Default: no value is shown, as a row does not tell which fields are sensitive.
    pub fn show_payload_except<N: AsRef<str>>(
        mut self,
        sensitive: impl IntoIterator<Item = N>,
    ) -> Self {
        let names = sensitive.into_iter();
        let names: Vec<String> = names.map(|name| name.as_ref().to_owned()).collect();
        self.settings.hidden = Hidden::of(Some(&names.join(",")));
        self
    }

    /// The name of the outbox, in the head of every page. Default: `outbox`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name: String = name.into();
        self.settings.name = outbox_operate::clean(&name).into_owned();
        self
    }

    /// The SQLite file of the outbox, for the commands that mend findings. Default: none; they name
    /// no file.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::MemoryStore;
    /// let console = outbox_console::router(MemoryStore::new()).of_file("/var/lib/lume/app.db");
    /// # drop(console);
    /// ```
    pub fn of_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.outbox = Outbox::File(path.into());
        self
    }

    /// The PostgreSQL schema of the outbox, for the commands that mend findings. Default: none;
    /// they name no schema.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::MemoryStore;
    /// let console = outbox_console::router(MemoryStore::new()).of_schema("billing_outbox");
    /// # drop(console);
    /// ```
    pub fn of_schema(mut self, schema: impl Into<String>) -> Self {
        self.settings.outbox = Outbox::Schema(schema.into());
        self
    }

    /// A handle to end the live streams with when the server stops. Take it after
    /// [`live_streams`](Self::live_streams).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::MemoryStore;
    /// let mut console = outbox_console::router(MemoryStore::new()).live_streams(8);
    /// let streams = console.streams();
    /// assert_eq!(streams.count(), 0);
    /// ```
    pub fn streams(&mut self) -> LiveStreams {
        let most = self.settings.streams;
        let live = self.live.get_or_insert_with(|| Arc::new(Live::new(most)));
        LiveStreams(Arc::clone(live))
    }

    /// The console as a router, to be nested by `nest_service`: `nest` alone does not answer under
    /// its path with a slash at the end.
    pub fn into_router(mut self) -> Router {
        let LiveStreams(live) = self.streams();
        let app = App::new(self.settings, self.stores, live);
        Router::new()
            .fallback(route::handle)
            .with_state(Arc::new(app))
    }
}

impl LiveStreams {
    /// Ends the streams that are open, and opens no others.
    pub fn end(&self) {
        self.0.end();
    }

    /// The number of streams that are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count()
    }
}
