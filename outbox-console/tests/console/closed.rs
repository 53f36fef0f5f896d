//! Closed by default: each line of it, with a control, a request that differs in one thing and must
//! pass.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use outbox_console::router;
use outbox_runtime::OutboxStatus;
use tracing_subscriber::fmt::MakeWriter;

use crate::scene::{ACTS, PAGES, Store, TOKEN, Visitor, console, fill, form_of, memory};

async fn dead(store: &Store) -> u64 {
    store.statistics(None).await.unwrap().dead_count
}

async fn filled() -> Store {
    let (store, _) = memory();
    fill(&store).await;
    store
}

#[tokio::test]
async fn nobody_sees_anything_without_signing_in() {
    let store = filled().await;
    let router = console(&store).writable().into_router();
    let mut stranger = Visitor::of(router.clone());
    let event = "/event?id=0190b5e2-7b1c-7cc3-8f4e-000000000003";
    for page in PAGES
        .into_iter()
        .chain([event, "/retry?state=dead", "/live", "/nowhere"])
    {
        let refused = stranger.get(page).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{page}");
        assert!(!refused.body.contains("mood"), "{page}: {}", refused.body);
    }
    for act in ACTS {
        let refused = stranger.post(act, &[]).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{act}");
    }
    assert_eq!(dead(&store).await, 1);
    // The control.
    let mut operator = Visitor::signed_in(router).await;
    for page in PAGES.into_iter().chain([event, "/retry?state=dead"]) {
        let answer = operator.get(page).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_console_without_a_way_in_lets_nobody_in() {
    let store = filled().await;
    let mut stranger = Visitor::of(router(Arc::clone(&store)).writable().into_router());
    for path in ["/", "/login", "/login?token=", "/live"] {
        let refused = stranger.get(path).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
    let refused = stranger.post("/login", &[("secret", "")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    // The control: a check of the application is a way in.
    let allowed = router(store).allow_if(|request| request.headers.contains_key("x-staff"));
    let allowed = allowed.into_router();
    let refused = Visitor::of(allowed.clone()).get("/").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let mut staff = Visitor::of(allowed).header("x-staff", "yes");
    assert_eq!(staff.get("/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_the_whole_token_or_password_signs_in() {
    let store = filled().await;
    let password = "correct horse battery staple";
    let router = console(&store).password(password).into_router();
    for wrong in [
        "",
        "a",
        "a token of the tes",
        "a token of the test ",
        "A TOKEN OF THE TEST",
        "\0",
    ] {
        let mut visitor = Visitor::of(router.clone());
        let link = format!("/login?{}", form_of(&[("token", wrong)]));
        for answer in [
            visitor.get(&link).await,
            visitor.post("/login", &[("secret", wrong)]).await,
        ] {
            let is_form = wrong.is_empty() && answer.status == StatusCode::OK;
            assert!(
                is_form || answer.status == StatusCode::UNAUTHORIZED,
                "{wrong:?}"
            );
            assert!(!answer.headers.contains_key("set-cookie"), "{wrong:?}");
        }
    }
    for right in [TOKEN, password] {
        // From another address: the failures above are as many as one may have.
        let mut visitor = Visitor::of(router.clone()).from([192, 0, 2, 9]);
        let answer = visitor.post("/login", &[("secret", right)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        assert_eq!(visitor.get("/").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_session_is_a_cookie_that_scripts_and_other_sites_do_not_have() {
    let store = filled().await;
    for (is_https, name) in [(false, "outbox-7625="), (true, "__Secure-outbox-7625=")] {
        let console = console(&store);
        let console = if is_https { console.https() } else { console };
        let mut visitor = Visitor::of(console.into_router());
        let answer = visitor.post("/login", &[("secret", TOKEN)]).await;
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        assert!(cookie.starts_with(name), "{cookie}");
        assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), is_https, "{cookie}");
        assert!(!answer.body.contains(TOKEN) && !answer.location().contains("token"));
    }
    // An id that somebody made up is none.
    let router = console(&store).into_router();
    let mut forger = Visitor::of(router);
    forger.cookie = Some(format!("outbox-7625={}", "0".repeat(64)));
    assert_eq!(forger.get("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_session_ends_by_signing_out_and_by_resting() {
    let (store, clock) = memory();
    let router = console(&store).into_router();
    let mut visitor = Visitor::signed_in(router.clone()).await;
    let session = visitor.cookie.clone();
    let out = visitor.post("/logout", &[]).await;
    assert_eq!(out.location(), "/login");
    visitor.cookie = session;
    assert_eq!(visitor.get("/").await.status, StatusCode::UNAUTHORIZED);
    let mut rests = Visitor::signed_in(router).await;
    clock.advance(Duration::from_secs(7 * 3_600));
    assert_eq!(rests.get("/").await.status, StatusCode::OK);
    clock.advance(Duration::from_secs(8 * 3_600));
    assert_eq!(rests.get("/").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn failed_logins_are_limited_by_address() {
    let (store, clock) = memory();
    let router = console(&store).into_router();
    let mut guesser = Visitor::of(router.clone()).from([192, 0, 2, 1]);
    for guess in 0..10 {
        let guess = guess.to_string();
        let wrong = guesser.post("/login", &[("secret", &guess)]).await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    let link = format!("/login?{}", form_of(&[("token", TOKEN)]));
    for refused in [
        guesser.post("/login", &[("secret", TOKEN)]).await,
        guesser.get(&link).await,
    ] {
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers["retry-after"], "60");
    }
    // The controls: another address, and a minute later.
    let mut other = Visitor::of(router).from([192, 0, 2, 2]);
    let answer = other.post("/login", &[("secret", TOKEN)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    clock.advance(Duration::from_secs(60));
    let answer = guesser.post("/login", &[("secret", TOKEN)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_carries_the_token_of_its_session() {
    let store = filled().await;
    let router = console(&store).writable().into_router();
    let mut operator = Visitor::signed_in(router.clone()).await;
    let mut other = Visitor::signed_in(router).await;
    let action = operator.get("/retry?state=dead").await.action("confirm");
    let right = operator.csrf.clone();
    other.get("/retry?state=dead").await;
    for wrong in ["", "x", &other.csrf, &right[1..]] {
        operator.csrf = wrong.to_owned();
        let refused = operator.post(&action, &[]).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{wrong}");
        assert_eq!(dead(&store).await, 1);
    }
    let bare = operator.send(Method::POST, &action, String::new()).await;
    assert_eq!(bare.status, StatusCode::FORBIDDEN);
    operator.csrf = right;
    let done = operator.post(&action, &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    assert_eq!(dead(&store).await, 0);
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let store = filled().await;
    let router = console(&store).writable().into_router();
    let mut operator = Visitor::signed_in(router).await;
    let action = operator.get("/retry?state=dead").await.action("confirm");
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "http://127.0.0.1:9999"),
        ("origin", "null"),
    ] {
        let mut lured = operator.clone().header(name, value);
        for path in [action.as_str(), "/login", "/logout"] {
            let refused = lured.post(path, &[("secret", TOKEN)]).await;
            assert_eq!(
                refused.status,
                StatusCode::FORBIDDEN,
                "{name} {value} {path}"
            );
        }
        assert_eq!(dead(&store).await, 1);
    }
    let mut own = operator
        .header("sec-fetch-site", "same-origin")
        .header("origin", "http://127.0.0.1:7625");
    let done = own.post(&action, &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert_eq!(dead(&store).await, 0);
}

#[tokio::test]
async fn only_names_of_this_machine_are_answered() {
    let store = filled().await;
    let router = console(&store).into_router();
    let operator = Visitor::signed_in(router.clone()).await;
    for host in [
        "evil.example",
        "127.0.0.1.evil.example:7625",
        "",
        "10.0.0.1",
    ] {
        let mut rebound = operator.clone().host(host);
        for path in ["/", "/login", "/assets/style.css", "/live"] {
            let refused = rebound.get(path).await;
            assert_eq!(
                refused.status,
                StatusCode::MISDIRECTED_REQUEST,
                "{host} {path}"
            );
        }
    }
    let mut local = operator.clone().host("localhost:7625");
    assert_eq!(local.get("/").await.status, StatusCode::OK);
    let named = console(&store).hosts(["ops.example.com"]).into_router();
    let mut named = Visitor::of(named).host("ops.example.com");
    assert_eq!(named.get("/login").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_has_the_headers_that_shut_others_out() {
    let store = filled().await;
    let router = console(&store).into_router();
    let mut stranger = Visitor::of(router.clone());
    let mut operator = Visitor::signed_in(router).await;
    let mut answers = Vec::new();
    for path in [
        "/",
        "/login",
        "/assets/style.css",
        "/assets/live.js",
        "/assets/x",
        "/live",
    ] {
        answers.push(stranger.get(path).await);
    }
    for path in PAGES
        .into_iter()
        .chain(["/nowhere", "/event?id=x", "/retry"])
    {
        answers.push(operator.get(path).await);
    }
    answers.push(stranger.send(Method::PUT, "/", String::new()).await);
    answers.push(stranger.host("evil.example").get("/").await);
    for answer in answers {
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-store");
        // With `no-referrer` a browser sends `Origin: null` with our own forms.
        assert_eq!(header("referrer-policy"), "same-origin");
        assert!(!answer.body.is_empty(), "{}", answer.status);
    }
}

#[tokio::test]
async fn windows_of_other_sites_are_shut_out_where_a_browser_heeds_it() {
    let (store, _) = memory();
    let named = || console(&store).hosts(["ops.example.com", "localhost"]);
    for (console, host, is_heeded) in [
        (named(), "localhost:7625", true),
        (named(), "ops.example.com", false),
        (named().https(), "ops.example.com", true),
    ] {
        let mut visitor = Visitor::of(console.into_router()).host(host);
        let headers = visitor.get("/login").await.headers;
        let opener = headers.get("cross-origin-opener-policy");
        assert_eq!(opener.is_some(), is_heeded, "{host}");
        assert!(opener.is_none_or(|opener| opener == "same-origin"));
    }
}

#[tokio::test]
async fn pages_have_no_script_or_style_of_their_own() {
    let store = filled().await;
    let router = console(&store).writable().into_router();
    let mut operator = Visitor::signed_in(router).await;
    for page in PAGES.into_iter().chain(["/login", "/retry?state=dead"]) {
        let body = operator.get(page).await.body;
        for inline in [
            "<script>",
            "<style",
            " style=",
            " onclick",
            " onload",
            "javascript:",
        ] {
            assert!(!body.contains(inline), "{page} has {inline}");
        }
        let elsewhere = ["src=\"http", "href=\"http", "action=\"http", "//"];
        for link in elsewhere {
            assert!(!body.contains(link), "{page} has {link}");
        }
    }
}

#[tokio::test]
async fn a_read_only_console_refuses_every_change() {
    let store = filled().await;
    let before = store
        .fetch_events(OutboxStatus::Dead, None, None)
        .await
        .unwrap();
    let readers = [
        console(&store).into_router(),
        console(&store).writable().read_only().into_router(),
        console(&store).operator_if(|_| false).into_router(),
    ];
    for router in readers {
        let mut reader = Visitor::signed_in(router).await;
        for act in ACTS {
            let refused = reader
                .post(act, &[("scope", "everything"), ("priority", "9")])
                .await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{act}");
        }
        for ask in [
            "/retry?state=dead",
            "/discard?state=dead",
            "/cleanup?older=1s",
        ] {
            assert_eq!(reader.get(ask).await.status, StatusCode::FORBIDDEN, "{ask}");
        }
        for page in PAGES {
            let body = reader.get(page).await.body;
            assert!(
                !body.contains("<form id=") && !body.contains("class=\"button"),
                "{page}"
            );
        }
    }
    assert!(store.paused().await.unwrap().is_empty());
    let after = store
        .fetch_events(OutboxStatus::Dead, None, None)
        .await
        .unwrap();
    assert_eq!(before, after);
    // The control: with leave, each of them does something.
    let allowed = console(&store).operator_if(|request| request.headers.contains_key("x-operator"));
    let mut operator = Visitor::signed_in(allowed.into_router()).await;
    operator = operator.header("x-operator", "yes");
    let done = operator.post("/pause", &[("scope", "everything")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    assert_eq!(store.paused().await.unwrap().len(), 1);
    let done = operator.post("/resume?scope=everything", &[]).await;
    assert_eq!(done.location(), "/pauses?done=resume&count=1");
    let done = operator.post(ACTS[2], &[("priority", "9")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    let clean = operator.get("/cleanup?older=0s").await;
    assert_eq!(clean.status, StatusCode::OK, "{}", clean.body);
    let action = operator.get("/discard?state=dead").await.action("confirm");
    operator.post(&action, &[]).await;
    assert_eq!(dead(&store).await, 0);
}

#[tokio::test]
async fn nobody_is_sent_to_another_site_after_signing_in() {
    let store = filled().await;
    let router = console(&store).into_router();
    for elsewhere in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/a\r\nb",
    ] {
        let path = format!("/login?{}", form_of(&[("next", elsewhere)]));
        let answer = Visitor::of(router.clone())
            .post(&path, &[("secret", TOKEN)])
            .await;
        assert_eq!(answer.location(), "/", "{elsewhere:?}");
    }
    // The control: the page that was asked for.
    let mut visitor = Visitor::of(router);
    let asked = visitor.get("/events?user=a%20b").await;
    let action = asked.attributes("action").remove(0);
    let answer = visitor.post(&action, &[("secret", TOKEN)]).await;
    assert_eq!(answer.location(), "/events?user=a%20b");
}

#[tokio::test]
async fn forms_are_bounded_and_other_methods_refused() {
    let store = filled().await;
    let router = console(&store).writable().into_router();
    let mut operator = Visitor::signed_in(router).await;
    let long = "x".repeat(70_000);
    let refused = operator
        .post("/pause", &[("scope", "user"), ("name", &long)])
        .await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    let short = operator
        .post("/pause", &[("scope", "user"), ("name", "ann")])
        .await;
    assert_eq!(short.status, StatusCode::SEE_OTHER, "{}", short.body);
    for method in [
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::OPTIONS,
        Method::TRACE,
    ] {
        let refused = operator.send(method, "/", String::new()).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    for path in ["/edit", "/pause", "/resume", "/logout"] {
        let refused = operator.get(path).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}

#[tokio::test]
async fn payloads_are_shown_without_values_unless_the_sensitive_fields_are_named() {
    let store = filled().await;
    let path = "/event?id=0190b5e2-7b1c-7cc3-8f4e-000000000003";
    let mut visitor = Visitor::signed_in(console(&store).into_router()).await;
    let hidden = visitor.get(path).await.body;
    assert!(hidden.contains("(text of 10)"), "{hidden}");
    assert!(
        !hidden.contains("private") && !hidden.contains("250"),
        "{hidden}"
    );
    let named = console(&store).show_payload_except(["notes"]).into_router();
    let mut visitor = Visitor::signed_in(named).await;
    let named = visitor.get(path).await.body;
    assert!(
        named.contains("(sensitive)") && named.contains("250"),
        "{named}"
    );
    assert!(!named.contains("private"), "{named}");
    let all = console(&store).show_payload_except([""; 0]).into_router();
    let all = Visitor::signed_in(all).await.get(path).await.body;
    assert!(all.contains("so private"), "{all}");
}

/// Lines of a log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn every_change_is_in_the_log_with_who_did_it() {
    let log = Log::default();
    let lines = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false);
    let _guard = tracing::subscriber::set_default(lines.finish());
    let store = filled().await;
    let router = console(&store).writable().into_router();
    let mut operator = Visitor::of(router);
    let name = "Ada\n\u{1b}[31m INFO forged";
    let fields = [("secret", TOKEN), ("name", name)];
    operator.post("/login", &fields).await;
    let before = log.text().lines().count();
    operator.get("/events").await;
    assert_eq!(log.text().lines().count(), before, "a look is no change");
    let pause = [("scope", "user"), ("name", "ann"), ("because", "hush")];
    operator.post("/pause", &pause).await;
    operator.post("/resume?scope=user&name=ann", &[]).await;
    operator.post(ACTS[2], &[("priority", "9")]).await;
    operator.post(ACTS[5], &[]).await;
    for ask in ["/retry?state=failed", "/discard?state=dead"] {
        let action = operator.get(ask).await.action("confirm");
        let done = operator.post(&action, &[]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    }
    let text = log.text();
    let acts = ["pause", "resume", "edit", "cleanup", "retry", "discard"];
    let lines: Vec<&str> = text.lines().skip(before).collect();
    assert_eq!(lines.len(), acts.len(), "{text}");
    for (line, act) in lines.iter().zip(acts) {
        assert!(line.contains(&format!("{act} by the console")), "{line}");
        assert!(
            line.contains("who=\"Ada") && line.contains("session "),
            "{line}"
        );
    }
    assert!(
        !text.contains('\u{1b}') && !text.contains("so private"),
        "{text}"
    );
    assert!(!text.contains(TOKEN), "{text}");
}

#[tokio::test]
async fn the_application_names_who_did_it() {
    let store = filled().await;
    let console = router(Arc::clone(&store)).allow_if(|_| true).writable();
    let console = console.named_by(|request| {
        let name = request.headers.get("x-name")?;
        Some(name.to_str().ok()?.to_owned())
    });
    let mut staff = Visitor::of(console.into_router()).header("x-name", "grace");
    staff.get("/pauses").await;
    let done = staff.post("/pause", &[("scope", "everything")]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    let paused = store.paused().await.unwrap();
    assert_eq!(paused[0].by.as_deref(), Some("grace"));
    // Without a page of ours, a form has no token.
    let mut lured = staff.clone();
    lured.cookie = None;
    lured.csrf = String::new();
    let refused = lured.post("/resume?scope=everything", &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(store.paused().await.unwrap().len(), 1);
}
