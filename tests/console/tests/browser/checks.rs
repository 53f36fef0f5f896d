//! What holds for every page.

use outbox_console_tests::{Browser, Console, Outbox};
use outbox_runtime::OutboxStatus;

/// The screens, with the page of one dead letter and the questions before a change.
pub(crate) async fn all_paths(outbox: &Outbox) -> Vec<String> {
    let mut paths = screens(outbox).await;
    let of_dead = outbox.dead().await[0].id;
    paths.extend([
        "/events?state=dead".to_owned(),
        "/retry?state=dead".to_owned(),
        "/discard?state=dead".to_owned(),
        format!("/retry?id={of_dead}"),
    ]);
    paths
}

/// The screens, with the page of one dead letter.
pub(crate) async fn screens(outbox: &Outbox) -> Vec<String> {
    let dead = outbox.ids(OutboxStatus::Dead).await;
    let of_event = format!("/event?id={}", dead[0]);
    [
        "/",
        "/events",
        &of_event,
        "/dead",
        "/types",
        "/users",
        "/processes",
        "/maintenance",
        "/pauses",
    ]
    .map(str::to_owned)
    .into()
}

/// Opens a page and checks its structure.
pub(crate) async fn open_sound(browser: &Browser, console: &Console, path: &str) {
    let url = console.url(path);
    browser.open_page(&url).await;
    browser.wait("#main").await;
    assert_eq!(faults(browser).await, [""; 0], "{path}");
    assert_eq!(browser.complaints().await, [""; 0], "{path}");
}

/// Breaches of the structure that every page has.
pub(crate) async fn faults(browser: &Browser) -> Vec<String> {
    let script = r##"
        const found = [];
        const count = (css) => document.querySelectorAll(css).length;
        const one = (css) => count(css) === 1 || found.push(`${count(css)} of ${css}`);
        const none = (css) => count(css) === 0 || found.push(`${count(css)} of ${css}`);
        document.documentElement.lang === 'en' || found.push('the language is missing');
        document.title || found.push('the title is missing');
        one('h1');
        one('nav[aria-label="Sections"]');
        one('main#main');
        none('table:not(:has(caption))');
        none('th:not([scope])');
        none('time:not([datetime])');
        none('[style]');
        none('script:not([src])');
        const first = document.querySelector('a[href], button, input, select, textarea, summary');
        first && first.getAttribute('href') === '#main' || found.push('the skip link is not first');
        for (const field of document.querySelectorAll('input, select, textarea')) {
            const isShown = !['hidden', 'submit'].includes(field.type);
            if (isShown && field.labels.length === 0) found.push(`no label: ${field.outerHTML}`);
        }
        const ids = [...document.querySelectorAll('[id]')].map((it) => it.id);
        for (const id of ids) ids.filter((it) => it === id).length === 1 || found.push(`twice: ${id}`);
        return found;
    "##;
    browser.eval_texts(script).await
}

/// The text of the page, also where it is folded.
pub(crate) async fn whole_text(browser: &Browser) -> String {
    browser.eval_text("return document.body.textContent").await
}

/// A query with these values.
pub(crate) fn query(values: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    pairs.join("&")
}

/// A value in a query.
pub(crate) fn encoded(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}
