//! Strings that attack a browser are shown as they are, in every field of every screen.

use outbox_console_tests::{
    Browser, Console, ELSEWHERE, HOSTILE, Options, Outbox, Pages, in_browser,
};

use crate::checks::{all_paths, encoded, faults, query, whole_text};

/// What a string has become if it is not only text.
const INJECTED: &str = r#"
    const found = [];
    if (window.hostileScripts) found.push(`${window.hostileScripts} scripts`);
    for (const it of document.querySelectorAll('*')) {
        const tag = it.tagName.toLowerCase();
        if (['iframe', 'object', 'embed', 'base', 'img', 'style'].includes(tag)) found.push(tag);
        for (const { name, value } of it.attributes) {
            if (name.startsWith('on') || ['style', 'srcdoc', 'autofocus', 'x'].includes(name)) {
                found.push(`${tag} ${name}`);
            }
            if (!['href', 'src', 'action', 'formaction'].includes(name)) continue;
            const to = new URL(value, document.baseURI);
            if (to.origin !== location.origin) found.push(`${tag} ${name}=${value}`);
        }
    }
    return found;
"#;

/// Complaints about scripts and policies; a page that says no is none.
async fn complaints(browser: &Browser) -> Vec<String> {
    let mut all = browser.complaints().await;
    all.retain(|it| !it.contains("Failed to load resource"));
    all
}

/// A string as it is shown: characters that change the direction of the text or end the line are
/// escaped.
fn shown(text: &str) -> String {
    let is_escaped = |c: char| ('\u{2028}'..='\u{202e}').contains(&c);
    let parts = text.chars().map(|c| match is_escaped(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    parts.collect()
}

async fn check(browser: &Browser, console: &Console, path: &str) {
    let url = console.url(path);
    browser.open_page(&url).await;
    browser.wait("h1").await;
    assert!(
        browser.address().await.starts_with(&console.url("/")),
        "{path} leads to {}",
        browser.address().await
    );
    assert_eq!(browser.eval_texts(INJECTED).await, [""; 0], "{path}");
    assert_eq!(complaints(browser).await, [""; 0], "{path}");
}

#[test]
fn no_string_of_the_store_is_more_than_text_on_any_screen() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::hostile().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/").await;
        for path in all_paths(&outbox).await {
            check(browser, &console, &path).await;
            assert_eq!(faults(browser).await, [""; 0], "{path}");
        }
        // Each string, in all fields of its event.
        for event in outbox.dead().await {
            let path = format!("/event?id={}", event.id);
            check(browser, &console, &path).await;
            assert_eq!(faults(browser).await, [""; 0], "{path}");
            let text = shown(&event.user_id);
            let times = whole_text(browser).await.matches(text.as_str()).count();
            // Its type, entity, user, destination and error.
            assert!(times >= 5, "{text:?} is there {times} times");
        }
    });
}

#[test]
fn links_lead_to_exactly_the_named_user_and_type() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::hostile().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/").await;
        for (screen, field) in [("/users", "user"), ("/types", "type")] {
            browser.open_page(&console.url(screen)).await;
            let links = format!(
                "return [...document.querySelectorAll('#main a[href*=\"{field}=\"]')].map((it) => it.href)"
            );
            let mut links = browser.eval_texts(&links).await;
            links.sort_unstable();
            links.dedup();
            let mut named = Vec::new();
            for link in links.iter().filter(|link| link.contains("/events?")) {
                browser.open_page(link).await;
                let value = format!("return document.querySelector('#main [name={field}]').value");
                named.push(browser.eval_text(&value).await);
                assert!(browser.count("#events tbody tr").await >= 1, "{link}");
            }
            named.sort_unstable();
            named.dedup();
            let mut expected = HOSTILE.map(str::to_owned);
            expected.sort_unstable();
            assert_eq!(named, expected, "{screen}");
        }
    });
}

#[test]
fn no_string_of_an_address_is_more_than_text() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        for text in HOSTILE {
            check(browser, &console, &format!("/login?next={}", encoded(text))).await;
        }
        console.open(browser, "/").await;
        for text in HOSTILE {
            let filter = query(&[
                ("state", text),
                ("type", text),
                ("user", text),
                ("entity", text),
                ("text", text),
                ("reason", text),
                ("after", text),
            ]);
            let valid = query(&[
                ("type", text),
                ("user", text),
                ("entity", text),
                ("text", text),
            ]);
            for path in [
                format!("/events?{filter}"),
                format!("/events?{valid}"),
                format!("/event?id={}", encoded(text)),
                format!("/retry?{valid}"),
                format!("/dead?{filter}"),
                format!("/x{}", encoded(text)),
            ] {
                check(browser, &console, &path).await;
            }
            browser
                .open_page(&console.url(&format!("/events?{valid}")))
                .await;
            let fields =
                "return [...document.querySelectorAll('#main [name=user], #main [name=text]')]
                 .map((it) => it.value)";
            assert_eq!(browser.eval_texts(fields).await, [text; 2]);
        }
    });
}

/// A control: the checks find scripts, foreign addresses and violations on a page that has them.
#[test]
fn an_injection_is_found() {
    in_browser(Options::default(), async |browser| {
        let injected = format!(
            "<h1>Control</h1><script>alert(1)</script><img src=x onerror=alert(1)>\
             <a href=\"javascript:alert(1)\">a</a><form action=\"http://{ELSEWHERE}/\"></form>"
        );
        let open = Pages::of(&injected);
        browser.open_page(&open.url("127.0.0.1")).await;
        browser.wait_path("//h1[contains(., 'Control')]").await;
        let found = browser.eval_texts(INJECTED).await.join("\n");
        for part in [
            "scripts",
            "img onerror",
            "a href=javascript",
            "form action=http",
        ] {
            assert!(found.contains(part), "{part}: {found}");
        }
        let closed = Pages::with_policy(&injected, "default-src 'none'");
        browser.complaints().await;
        browser.open_page(&closed.url("127.0.0.1")).await;
        assert_eq!(browser.eval_count("return window.hostileScripts").await, 0);
        let complaints = complaints(browser).await.join("\n");
        assert!(
            complaints.contains("Content Security Policy"),
            "{complaints}"
        );
    });
}
