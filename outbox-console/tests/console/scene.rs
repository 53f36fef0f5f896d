//! Outboxes for the tests, and a visitor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use outbox_console::{Console, router};
use outbox_runtime::store::{ClaimRequest, Disposition, Settlement};
use outbox_runtime::{
    DeadReason, Durability, MemoryStore, NewEvent, Operation, OutboxRepository, RawMetadata,
    Refusal, RefusalClass, SqliteStore,
};
use outbox_testing::ManualClock;
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) const TOKEN: &str = "a token of the test";
pub(crate) const LEASE: Duration = Duration::from_secs(60);

pub(crate) type Store = Arc<dyn OutboxRepository>;

/// Every page.
pub(crate) const PAGES: [&str; 8] = [
    "/",
    "/events",
    "/dead",
    "/types",
    "/users",
    "/processes",
    "/pauses",
    "/maintenance",
];

/// Every form, with its query.
pub(crate) const ACTS: [&str; 6] = [
    "/retry?state=dead",
    "/discard?state=dead",
    "/edit?id=0190b5e2-7b1c-7cc3-8f4e-000000000006",
    "/pause",
    "/resume?scope=everything",
    "/cleanup?before=2030-01-01T00:00:00Z",
];

/// A store in memory with a clock that stands still.
pub(crate) fn memory() -> (Store, ManualClock) {
    let clock = ManualClock::new();
    (Arc::new(MemoryStore::with_clock(clock.clone())), clock)
}

/// Runs a test on each kind of store.
pub(crate) async fn on_each_store<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    test(memory().0).await;
    let folder = tempfile::tempdir().unwrap();
    let builder = SqliteStore::builder(folder.path().join("app.db"));
    let builder = builder.durability(Durability::Normal);
    let store = builder.clock(ManualClock::new()).open().await.unwrap();
    test(Arc::new(store.clone())).await;
    store.close().await;
}

/// The id that ends in this number.
pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_b5e2_7b1c_7cc3_8f4e_0000_0000_0000 + number)
}

pub(crate) fn event(number: u128, event_type: &'static str, user: &str) -> NewEvent {
    let entity = i64::try_from(number).unwrap();
    let metadata = RawMetadata::from_bytes(r#"{"notes":"so private","kcal":250,"of":{"a":[1]}}"#);
    NewEvent::new(event_type, entity, user, Operation::Update)
        .with_id(id(number))
        .with_metadata(metadata)
}

/// Claims the next event, and ends its attempt.
pub(crate) async fn settle(store: &Store, disposition: Disposition) {
    let claims = store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
    let lease = claims[0].lease;
    let settlement = Settlement { lease, disposition };
    store.settle(vec![settlement]).await.unwrap();
}

pub(crate) fn bury(message: &str) -> Disposition {
    Disposition::Bury {
        reason: DeadReason::Rejected,
        message: message.to_owned(),
    }
}

/// One event in each state: 1 is completed, 2 failed, 3 dead, 4 given back, 5 waits behind 3, and 6
/// for its time.
pub(crate) async fn fill(store: &Store) {
    let due = store.clock().now() + LEASE * 60;
    let create = async |event| store.create_event(event).await.unwrap();
    create(event(1, "meal", "ann")).await;
    settle(store, Disposition::Complete).await;
    create(event(2, "meal", "ann")).await;
    let fail = Disposition::Fail {
        next_attempt_at: due,
        message: "HTTP 500: try later".to_owned(),
    };
    settle(store, fail).await;
    create(event(3, "mood", "bob")).await;
    settle(store, bury("HTTP 422: no such meal 4711")).await;
    create(event(4, "mood", "bob")).await;
    let give_back = Disposition::GiveBack {
        next_attempt_at: Some(due),
        refusal: Some(Refusal::new(RefusalClass::Offline, "no route to host")),
    };
    settle(store, give_back).await;
    let behind = NewEvent::new("mood", 3, "bob", Operation::Delete).with_id(id(5));
    create(behind).await;
    create(event(6, "meal", "cat").with_delay(LEASE * 60)).await;
}

/// A console that lets in with [`TOKEN`].
pub(crate) fn console(store: &Store) -> Console {
    router(Arc::clone(store)).token(TOKEN)
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn location(&self) -> &str {
        self.headers[LOCATION].to_str().unwrap()
    }

    /// The values of an attribute, decoded.
    pub(crate) fn attributes(&self, name: &str) -> Vec<String> {
        let start = format!(" {name}=\"");
        let parts = self.body.split(&start).skip(1);
        let values = parts.map(|part| part.split('"').next().unwrap());
        values.map(decoded).collect()
    }

    /// The address of the form with this id.
    pub(crate) fn action(&self, form: &str) -> String {
        let start = self.body.find(&format!("<form id=\"{form}\""));
        let start = start.unwrap_or_else(|| panic!("no form {form}: {}", self.body));
        let form = &self.body[start..];
        let action = form.split("action=\"").nth(1).unwrap();
        decoded(action.split('"').next().unwrap())
    }
}

/// Text of HTML as it is read.
pub(crate) fn decoded(html: &str) -> String {
    html.replace("&#38;", "&")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
}

/// A visitor with a cookie jar.
#[derive(Clone)]
pub(crate) struct Visitor {
    router: Router,
    pub(crate) cookie: Option<String>,
    /// The token of the last page.
    pub(crate) csrf: String,
    host: &'static str,
    headers: Vec<(&'static str, String)>,
    address: Option<SocketAddr>,
    prefix: &'static str,
}

impl Visitor {
    pub(crate) fn of(router: Router) -> Self {
        Self {
            router,
            cookie: None,
            csrf: String::new(),
            host: "127.0.0.1:7625",
            headers: Vec::new(),
            address: None,
            prefix: "",
        }
    }

    /// A visitor who has signed in with the token.
    pub(crate) async fn signed_in(router: Router) -> Self {
        Self::of(router).sign_in().await
    }

    pub(crate) async fn sign_in(mut self) -> Self {
        let link = format!("/login?token={}", TOKEN.replace(' ', "+"));
        let answer = self.get(&link).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        let overview = self.get("/").await;
        assert_eq!(overview.status, StatusCode::OK, "{}", overview.body);
        self
    }

    pub(crate) fn at(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    pub(crate) fn host(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    pub(crate) fn from(mut self, address: [u8; 4]) -> Self {
        self.address = Some(SocketAddr::from((address, 1)));
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, String::new()).await
    }

    /// Sends a form, with the token of the last page.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = [("csrf", self.csrf.clone())];
        let mut form = form_of(&token);
        for field in fields {
            form.push('&');
            form.push_str(&form_of(&[*field]));
        }
        self.send(Method::POST, path, form).await
    }

    pub(crate) async fn send(&mut self, method: Method, path: &str, body: String) -> Answer {
        let request = self.request(&method, path, Body::from(body));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 8 << 20).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        for cookie in parts.headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            self.cookie = Some(cookie.to_owned());
        }
        if let Some(token) = body.split("name=\"csrf\" value=\"").nth(1) {
            self.csrf = token.split('"').next().unwrap().to_owned();
        }
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// The body of the answer as it comes.
    pub(crate) async fn stream(&self, path: &str) -> (StatusCode, Body) {
        let request = self.request(&Method::GET, path, Body::empty());
        let response = self.router.clone().oneshot(request).await.unwrap();
        (response.status(), response.into_body())
    }

    fn request(&self, method: &Method, path: &str, body: Body) -> Request<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix));
        if !self.host.is_empty() {
            request = request.header(HOST, self.host);
        }
        if *method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(address) = self.address {
            request = request.extension(ConnectInfo(address));
        }
        request.body(body).unwrap()
    }
}

/// Fields as a form sends them.
pub(crate) fn form_of<V: AsRef<str>>(fields: &[(&str, V)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(name, value.as_ref());
    }
    form.finish()
}
