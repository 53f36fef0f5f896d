//! Strings of others go through every screen as text: ids, users, types, errors, payloads.

use axum::http::StatusCode;
use outbox_runtime::store::Announcement;
use outbox_runtime::{NewEvent, Operation, Pause, PauseScope, RawMetadata};
use outbox_tests::hostile::{KEYS, MARKUP};

use crate::scene::{
    PAGES, Store, Visitor, bury, console, decoded, form_of, id, memory, on_each_store, settle,
};

/// A name for the console.
const SCRIPT: &str = "<script>alert(1)</script>";

/// Valid keys: the corpus of the stores, and one that nobody sees.
fn keys() -> impl Iterator<Item = &'static str> {
    let corpus = KEYS.into_iter().chain(MARKUP);
    corpus.chain(["\u{2028}\u{feff}\u{200f}"])
}

/// Texts of errors and payloads, where control characters are possible, too.
const TEXTS: [&str; 6] = [
    "line\nevent: change\ndata: {}\n\n",
    "\u{1b}[31mred\u{7}",
    "nul\0nul",
    "\r\nSet-Cookie: a=b\r\n\r\n",
    "\u{85}\u{9b}",
    "<!--<script>",
];

/// The attributes of our templates.
const ATTRIBUTES: [&str; 30] = [
    "action",
    "aria-current",
    "aria-label",
    "autocomplete",
    "charset",
    "class",
    "content",
    "data-live",
    "datetime",
    "defer",
    "for",
    "hidden",
    "href",
    "html",
    "id",
    "lang",
    "maxlength",
    "method",
    "min",
    "name",
    "open",
    "rel",
    "required",
    "role",
    "scope",
    "selected",
    "src",
    "tabindex",
    "type",
    "value",
];

fn is_hidden(c: char) -> bool {
    let is_turning =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n') || is_turning || matches!(c, '\u{2028}' | '\u{2029}')
}

/// An event, dead, whose every string is this one. Where a key may not hold it, only its error and
/// payload are.
async fn enqueue(store: &Store, number: u128, key: &'static str, text: &str) {
    let payload = serde_json::json!({ text: [text, { "deep": text }] });
    // A dead letter holds up its entity, so each has its own.
    let entity = format!("{key}{number}");
    let event = NewEvent::new(key, entity, key, Operation::Update)
        .with_id(id(number))
        .with_destination(key)
        .with_header("x-hostile", key)
        .with_metadata(RawMetadata::encode(&payload).unwrap());
    store.create_event(event).await.unwrap();
    settle(store, bury(text)).await;
}

/// The page without the values of its filter, which a form has to give back as they are.
fn checked(page: &str, body: &str) {
    let mut outside = String::new();
    let mut parts = body.split(" value=\"");
    outside.push_str(parts.next().unwrap_or_default());
    for part in parts {
        outside.push_str(part.split_once('"').map_or("", |(_, after)| after));
    }
    if let Some(c) = outside.chars().find(|c| is_hidden(*c)) {
        panic!("{page} has {c:?}");
    }
    let tags: Vec<&str> = body
        .split('<')
        .skip(1)
        .map(|part| part.split([' ', '>', '\n']).next().unwrap())
        .collect();
    for tag in tags {
        let name = tag.trim_start_matches('/');
        let known = [
            "!DOCTYPE", "html", "head", "meta", "title", "link", "script", "body", "a", "header",
            "p", "nav", "ul", "li", "div", "button", "form", "input", "main", "h1", "h2", "footer",
            "table", "caption", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "time",
            "select", "option", "label", "span", "strong", "code", "ol", "details", "summary",
        ];
        assert!(known.contains(&name), "{page} has the tag {tag:?}");
    }
    assert_eq!(
        body.matches("<script").count(),
        body.matches("live.js\" defer").count(),
        "{page}"
    );
    for tag in body.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        // Attributes without their values: a quote that is not ours would end a value.
        let names: String = tag.split('"').step_by(2).collect();
        for name in names.split_whitespace().skip(1) {
            let name = name.trim_end_matches('=');
            assert!(
                ATTRIBUTES.contains(&name),
                "{page} has the attribute {name:?}"
            );
        }
    }
    // Links lead to the console, whatever they are about.
    for name in ["href=\"", "action=\"", "src=\""] {
        for link in body.split(name).skip(1) {
            let link = decoded(link.split('"').next().unwrap());
            assert!(
                link.starts_with('/') && !link.starts_with("//") || link == "#main",
                "{link}"
            );
        }
    }
}

#[tokio::test]
async fn strings_of_others_are_text_on_every_screen() {
    on_each_store(|store| async move {
        let mut number = 0;
        for (key, text) in keys().zip(TEXTS.into_iter().cycle()) {
            for text in [text, key] {
                number += 1;
                enqueue(&store, number, key, text).await;
            }
        }
        for key in keys() {
            store
                .pause(&Pause::user(key).because(key).by(key))
                .await
                .unwrap();
            let run = Announcement::new(store.clock().now()).with_user(key);
            let run = run.with_event_types(vec![key.to_owned()]);
            store.announce(&run).await.unwrap();
        }
        let console = console(&store)
            .writable()
            .show_payload_except([""; 0])
            .name(SCRIPT);
        let mut visitor = Visitor::signed_in(console.into_router()).await;
        let mut pages: Vec<String> = PAGES.map(str::to_owned).into();
        pages.extend((1..=number).map(|number| format!("/event?id={}", id(number))));
        for key in keys().chain(TEXTS) {
            for (path, fields) in [
                (
                    "/events",
                    &["user", "type", "entity", "text", "state", "after", "done"][..],
                ),
                ("/retry", &["user", "text", "reason", "id", "until"]),
                ("/event", &["id"]),
                ("/cleanup", &["older"]),
                ("/login", &["next"]),
                ("/maintenance", &["check"]),
            ] {
                let page = |field: &&str| format!("{path}?{}", form_of(&[(*field, key)]));
                pages.extend(fields.iter().map(page));
            }
            pages.push(format!("/{}", form_of(&[("", key)])));
        }
        for page in &pages {
            let answer = visitor.get(page).await;
            assert!(!answer.status.is_server_error(), "{page}: {}", answer.body);
            assert!(!answer.headers.contains_key("a"), "{page}");
            checked(page, &answer.body);
        }
    })
    .await;
}

#[tokio::test]
async fn a_link_selects_exactly_what_it_is_about() {
    on_each_store(|store| async move {
        for (number, key) in (1..).zip(keys()) {
            enqueue(&store, number, key, key).await;
        }
        let mut visitor = Visitor::signed_in(console(&store).writable().into_router()).await;
        for (number, _) in (1..).zip(keys()) {
            let event = visitor.get(&format!("/event?id={}", id(number))).await;
            let mut links = event.attributes("href").into_iter();
            let of_user = links
                .rfind(|href| href.starts_with("/events?user="))
                .unwrap();
            let listed = visitor.get(&of_user).await;
            assert_eq!(
                listed.body.matches("<th scope=\"row\">").count(),
                1,
                "{of_user}"
            );
            // So do its bulk acts.
            let mut links = listed.attributes("href").into_iter();
            let discard = links.find(|href| href.starts_with("/discard?")).unwrap();
            let action = visitor.get(&discard).await.action("confirm");
            let done = visitor.post(&action, &[]).await;
            assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
            assert!(
                done.location().ends_with("&done=discard&count=1"),
                "{}",
                done.location()
            );
            assert_eq!(store.fetch_event(id(number)).await.unwrap(), None);
        }
    })
    .await;
}

#[tokio::test]
async fn a_pause_of_a_hostile_name_is_set_and_lifted_by_its_forms() {
    let (store, _) = memory();
    let mut visitor = Visitor::signed_in(console(&store).writable().into_router()).await;
    for key in keys() {
        let fields = [("scope", "user"), ("name", key), ("because", key)];
        let set = visitor.post("/pause", &fields).await;
        assert_eq!(set.status, StatusCode::SEE_OTHER, "{key:?}: {}", set.body);
        let paused = store.paused().await.unwrap();
        assert_eq!(paused[0].scope, PauseScope::User(key.to_owned()));
        let page = visitor.get("/pauses").await;
        let mut actions = page.attributes("action").into_iter();
        let resume = actions
            .find(|action| action.starts_with("/resume?"))
            .unwrap();
        visitor.post(&resume, &[]).await;
        assert!(store.paused().await.unwrap().is_empty(), "{key:?}");
    }
    for text in ["nul\0nul", "line\nline", "\u{1b}[31m"] {
        let refused = visitor
            .post("/pause", &[("scope", "user"), ("name", text)])
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{text:?}");
        checked("/pause", &refused.body);
    }
}
