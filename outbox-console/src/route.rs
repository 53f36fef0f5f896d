//! From a request to an answer: what it has to pass, in order, and then the screen or act.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request, State};
use axum::http::header::{ALLOW, RETRY_AFTER, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use outbox_operate::{Deed, cut};

use crate::act::{bulk, cleanup, edit, pausing};
use crate::app::{App, address};
use crate::gate::hosts::{Hosts, authority};
use crate::gate::logins::Login;
use crate::gate::{origin, sessions};
use crate::link::{Links, local};
use crate::page::trouble::refuse;
use crate::page::{
    dead, event, events, login, maintenance, overview, pauses, processes, trouble, types, users,
};
use crate::query::Pairs;
use crate::respond::{line, seal, see_other};
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;
use crate::{asset, live, secret, turns};

/// The bytes of a form.
const FORM: usize = 64 << 10;
/// The characters of a visitor's name.
const NAME: usize = 60;

const NOT_ALLOWED: &str = "This console is read-only for you.";

/// Answers a request.
pub(crate) async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let is_local = authority(&parts).is_some_and(|host| Hosts::Loopback.accept(host));
    let is_trusted = is_local || app.settings.is_https;
    let mut response = answer(&app, parts, body).await;
    seal(&mut response, is_trusted);
    response
}

/// A request under way to its screen.
struct Inbound<'a> {
    app: &'a Arc<App>,
    parts: Parts,
    links: Links,
    path: String,
    query: Pairs,
    is_form: bool,
}

/// The sender of a request that was let in.
struct Visitor {
    who: String,
    /// The id in the cookie; for a visitor that the application lets in, one that is new.
    session: String,
    is_signed_in: bool,
    is_new: bool,
}

async fn answer(app: &Arc<App>, parts: Parts, body: Body) -> Response {
    let host = authority(&parts);
    if !host.is_some_and(|host| app.settings.hosts.accept(host)) {
        let text = "This console does not answer under this name of the host.";
        return line(StatusCode::MISDIRECTED_REQUEST, text);
    }
    let is_form = match parts.method {
        Method::GET | Method::HEAD => false,
        Method::POST => true,
        _ => return not_allowed("GET, HEAD, POST"),
    };
    let (links, path) = place(&parts, app.settings.prefix.as_deref());
    if let Some(name) = path.strip_prefix("/assets/").filter(|_| !is_form) {
        let asset = asset::named(name);
        return asset.unwrap_or_else(|| line(StatusCode::NOT_FOUND, "There is no such asset."));
    }
    let inbound = Inbound {
        query: Pairs::parse(parts.uri.query().unwrap_or_default().as_bytes()),
        app,
        parts,
        links,
        path,
        is_form,
    };
    if !app.settings.has_way_in() {
        let text = "This console has no way in: the application sets a token, a password, or a check of its own.";
        return inbound.refuse(StatusCode::FORBIDDEN, text);
    }
    if is_form && !origin::is_own(&inbound.parts) {
        return inbound.refuse(StatusCode::FORBIDDEN, "Another site sent this form.");
    }
    if inbound.path == "/login" {
        return inbound.login(body).await;
    }
    let Some(visitor) = inbound.visitor() else {
        return inbound.ask_to_sign_in();
    };
    inbound.visit(visitor, body).await
}

/// The address of the console and the path within it. A router that nests the console tells the
/// address by what it took off the path. A prefix that is set may still be on it: not every proxy
/// takes it off.
fn place(parts: &Parts, prefix: Option<&str>) -> (Links, String) {
    let path = parts.uri.path();
    let asked = parts.extensions.get::<OriginalUri>();
    let asked = asked.map_or(path, |OriginalUri(uri)| uri.path());
    let found = asked.strip_suffix(path).unwrap_or(asked);
    let within = prefix.and_then(|prefix| path.strip_prefix(prefix.trim_end_matches('/')));
    let within = within.filter(|within| within.is_empty() || within.starts_with('/'));
    let path = match within.unwrap_or(path).trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    (Links::new(prefix.unwrap_or(found)), path.to_owned())
}

fn not_allowed(methods: &'static str) -> Response {
    let mut response = line(StatusCode::METHOD_NOT_ALLOWED, "Not this method.");
    let methods = HeaderValue::from_static(methods);
    response.headers_mut().insert(ALLOW, methods);
    response
}

impl Inbound<'_> {
    fn refuse(&self, status: StatusCode, text: &str) -> Response {
        refuse(status, self.links.to("/assets/style.css"), text)
    }

    fn cookie(&self) -> String {
        sessions::cookie_name(&self.parts, self.app.settings.is_https)
    }

    fn set_cookie(&self, response: &mut Response, id: &str) {
        let is_https = self.app.settings.is_https;
        let cookie = sessions::set_cookie(&self.cookie(), id, self.links.cookie_path(), is_https);
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }

    /// The visitor, if the session or the application lets them in.
    fn visitor(&self) -> Option<Visitor> {
        let settings = &self.app.settings;
        let cookie = self.cookie();
        let id = sessions::id_in(&self.parts, &cookie);
        let holder = id.and_then(|id| self.app.sessions.holder(id, self.app.uptime()));
        let is_allowed = || {
            let check = settings.allowed.as_ref();
            check.is_some_and(|check| check(&self.parts))
        };
        if holder.is_none() && !is_allowed() {
            return None;
        }
        let named = settings.naming.as_ref();
        let named = named.and_then(|named| named(&self.parts));
        let address = address(&self.parts).map(|address| format!(" from {address}"));
        let is_signed_in = holder.is_some();
        let who = named.map(|name| cut(&name, NAME)).or(holder);
        let who = who.unwrap_or_else(|| format!("a visitor{}", address.unwrap_or_default()));
        Some(Visitor {
            who,
            session: id.map_or_else(|| secret::hex(&secret::random()), str::to_owned),
            is_signed_in,
            is_new: id.is_none(),
        })
    }

    /// Where a visitor goes on after signing in.
    fn next(&self) -> Option<String> {
        let query = self.parts.uri.query();
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        let next = format!("{}{query}", self.path);
        local(&next).filter(|next| *next != "/").map(str::to_owned)
    }

    fn ask_to_sign_in(&self) -> Response {
        const STATUS: StatusCode = StatusCode::UNAUTHORIZED;
        let settings = &self.app.settings;
        match self.path.as_str() {
            "/live" => line(STATUS, "Sign in first."),
            _ if settings.secrets.is_empty() => {
                self.refuse(STATUS, "The application does not let you in.")
            }
            _ if self.is_form => self.form(STATUS, Some("Sign in first: nothing was done.")),
            _ => {
                let next = self.next();
                login::form(STATUS, &self.links, next.as_deref(), None)
            }
        }
    }

    /// The form to sign in, which keeps where the visitor goes on.
    fn form(&self, status: StatusCode, text: Option<&str>) -> Response {
        let next = self.query.get("next").and_then(local);
        login::form(status, &self.links, next, text)
    }

    async fn login(self, body: Body) -> Response {
        let given = match self.is_form {
            true => match read_form(body).await {
                Ok(form) => form,
                Err(response) => return response,
            },
            false => self.query.clone(),
        };
        // A link brings the token, the form a token or the password.
        let secret = if self.is_form { "secret" } else { "token" };
        let Some(secret) = given.get(secret) else {
            return self.form(StatusCode::OK, None);
        };
        let app = self.app;
        let now = app.uptime();
        let address = address(&self.parts);
        let login = app
            .logins
            .attempt(&app.settings.secrets, secret, address, now);
        match login {
            Login::In => {}
            Login::Wrong => {
                tracing::warn!(?address, "a login to the console failed");
                let text = "That is not the token or the password.";
                return self.form(StatusCode::UNAUTHORIZED, Some(text));
            }
            Login::TooMany(wait) => {
                let wait = wait.as_secs().max(1);
                let text = format!("Too many logins failed. Try again in {wait} seconds.");
                let mut response = self.form(StatusCode::TOO_MANY_REQUESTS, Some(&text));
                response.headers_mut().insert(RETRY_AFTER, wait.into());
                return response;
            }
        }
        let cookie = self.cookie();
        if let Some(id) = sessions::id_in(&self.parts, &cookie) {
            app.sessions.close(id);
        }
        let name = given.get("name").map(|name| cut(name, NAME));
        let id = app.sessions.open(name.as_deref(), now);
        let who = app.sessions.holder(&id, now);
        tracing::info!(?who, ?address, "signed in to the console");
        let next = self.query.get("next").and_then(local).unwrap_or("/");
        let mut response = see_other(&self.links.to(next));
        self.set_cookie(&mut response, &id);
        response
    }

    async fn visit(self, visitor: Visitor, body: Body) -> Response {
        let app = self.app;
        let mut visit = Visit {
            app: Arc::clone(app),
            links: self.links.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            form: Pairs::default(),
            who: visitor.who,
            may_write: app.settings.may_write(&self.parts),
            form_token: app.sessions.form_token(&visitor.session),
            is_signed_in: visitor.is_signed_in,
        };
        if self.is_form {
            visit.form = match read_form(body).await {
                Ok(form) => form,
                Err(response) => return response,
            };
            let token = visit.form.get("csrf").unwrap_or_default();
            if !secret::is_same(token, &visit.form_token) {
                let text = "The form is not from a page of this session. Nothing was done.";
                return trouble::show(&visit, &Trouble::Forbidden(text));
            }
        }
        let mut response = match (self.is_form, self.path.as_str()) {
            (true, "/logout") => {
                app.sessions.close(&visitor.session);
                let mut response = see_other(&self.links.to("/login"));
                self.set_cookie(&mut response, "");
                return response;
            }
            (false, "/live") => {
                match live::open(&app.live, &app.stores, &app.figures, &visitor.session) {
                    Some(body) => crate::respond::typed(StatusCode::OK, "text/event-stream", body),
                    None => line(StatusCode::SERVICE_UNAVAILABLE, "Too many live streams."),
                }
            }
            (true, path) if !is_act(path) => not_allowed("GET, HEAD"),
            (false, "/edit" | "/pause" | "/resume" | "/logout") => not_allowed("POST"),
            (_, path) if is_act(path) && !visit.may_write => {
                trouble::show(&visit, &Trouble::Forbidden(NOT_ALLOWED))
            }
            _ => made(&visit, self.is_form).await,
        };
        if visitor.is_new {
            self.set_cookie(&mut response, &visitor.session);
        }
        response
    }
}

/// Whether the path changes something, or asks whether it shall.
fn is_act(path: &str) -> bool {
    matches!(
        path,
        "/retry" | "/discard" | "/edit" | "/pause" | "/resume" | "/cleanup"
    )
}

async fn read_form(body: Body) -> Result<Pairs, Response> {
    match to_bytes(body, FORM).await {
        Ok(bytes) => Ok(Pairs::parse(&bytes)),
        Err(_) => Err(line(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The form is too large.",
        )),
    }
}

/// The page, in its turn. A store that the console opens itself is opened anew after a failure, as
/// an application may have opened the file of a store that read it alone.
async fn made(visit: &Visit, is_form: bool) -> Response {
    // An act, or a question about one, may take long: pages do not wait for it.
    let is_long = is_act(&visit.path) || visit.query.get("check").is_some();
    let turns = match is_long {
        true => &visit.app.acts,
        false => &visit.app.pages,
    };
    let Some(_turn) = turns.take().await else {
        return busy();
    };
    let response = made_now(visit, is_form).await;
    if is_form {
        visit.app.figures.forget();
    }
    response
}

/// Too many others ask for pages. Nothing was done.
fn busy() -> Response {
    let text = "Too many requests at once. Nothing was changed; try again in a moment.";
    let mut response = line(StatusCode::SERVICE_UNAVAILABLE, text);
    let seconds = HeaderValue::from(turns::PATIENCE.as_secs());
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

async fn made_now(visit: &Visit, is_form: bool) -> Response {
    let made = async {
        let stores = &visit.app.stores;
        let store = stores.current().await.map_err(Trouble::Opening)?;
        match dispatch(visit, is_form, &store).await {
            Err(Trouble::Store(error)) if !is_form => match stores.renewed(&store).await {
                None => Err(Trouble::Store(error)),
                Some(store) => {
                    let store = store.map_err(Trouble::Opening)?;
                    dispatch(visit, is_form, &store).await
                }
            },
            made => made,
        }
    };
    match made.await {
        Ok(response) => response,
        Err(reason) => {
            if reason.status().is_server_error() {
                tracing::warn!(
                    path = visit.path,
                    reason = reason.text(),
                    "a page of the console failed"
                );
            }
            trouble::show(visit, &reason)
        }
    }
}

async fn dispatch(visit: &Visit, is_form: bool, store: &Store) -> Result<Response, Trouble> {
    match (is_form, visit.path.as_str()) {
        (false, "/") => overview::show(visit, store).await,
        (false, "/events") => events::show(visit, store).await,
        (false, "/event") => event::show(visit, store).await,
        (false, "/dead") => dead::show(visit, store).await,
        (false, "/types") => types::show(visit, store).await,
        (false, "/users") => users::show(visit, store).await,
        (false, "/processes") => processes::show(visit, store).await,
        (false, "/pauses") => pauses::show(visit, store).await,
        (false, "/maintenance") => maintenance::show(visit, store).await,
        (false, "/retry") => bulk::ask(Deed::Retry, visit, store).await,
        (false, "/discard") => bulk::ask(Deed::Discard, visit, store).await,
        (false, "/cleanup") => cleanup::ask(visit, store).await,
        (true, "/retry") => bulk::act(Deed::Retry, visit, store).await,
        (true, "/discard") => bulk::act(Deed::Discard, visit, store).await,
        (true, "/cleanup") => cleanup::act(visit, store).await,
        (true, "/edit") => edit::act(visit, store).await,
        (true, "/pause") => pausing::pause(visit, store).await,
        (true, "/resume") => pausing::resume(visit, store).await,
        _ => Err(Trouble::Missing("There is no such page.".to_owned())),
    }
}
