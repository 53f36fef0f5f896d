//! Changes ask first, with their number, and change exactly what they have counted.

use outbox_console_tests::{Browser, Console, Options, Outbox, in_browser};
use outbox_runtime::{OutboxRepository as _, OutboxStatus};
use uuid::Uuid;

use crate::checks::query;

/// Opens the question of an action over the whole filter of the list.
async fn ask(browser: &Browser, action: &str) {
    browser.click(&format!("#main a[href*='/{action}?']")).await;
    browser
        .wait(&format!("#main form[action*='/{action}?']"))
        .await;
}

/// Answers the question.
async fn confirm(browser: &Browser, action: &str) -> String {
    browser
        .submit(&format!("#main form[action*='/{action}?']"))
        .await;
    browser.wait("#message").await;
    browser.text("#message").await
}

async fn bulk_retry(browser: &Browser) {
    let outbox = Outbox::typical().await;
    let console = Console::of(&outbox.store);
    let dead = outbox.dead().await;
    let is_meant = |error: Option<&str>| error.is_some_and(|it| it.contains("\"cup\""));
    let mut meant: Vec<Uuid> = dead
        .iter()
        .filter(|it| it.user_id == "ann" && is_meant(it.error_message.as_deref()))
        .map(|it| it.id)
        .collect();
    meant.sort_unstable();
    assert_eq!((meant.len(), dead.len()), (7, 9));
    let filter = query(&[("state", "dead"), ("user", "ann"), ("text", "Unit \"cup\"")]);
    console.open(browser, &format!("/events?{filter}")).await;
    assert_eq!(browser.count("#events tbody tr").await, 7);
    let pending = outbox.ids(OutboxStatus::Pending).await;
    ask(browser, "retry").await;
    let question = browser.text("#main").await;
    assert!(question.contains('7'), "{question}");
    assert_eq!(outbox.dead().await.len(), 9, "it only asks");
    let message = confirm(browser, "retry").await;
    assert!(message.contains('7'), "{message}");
    let mut expected = pending;
    expected.extend(&meant);
    expected.sort_unstable();
    assert_eq!(outbox.ids(OutboxStatus::Pending).await, expected);
    assert_eq!(outbox.dead().await.len(), 2);
}

#[test]
fn a_retry_over_a_filter_changes_exactly_the_counted_events() {
    in_browser(Options::default(), bulk_retry);
}

#[test]
fn a_retry_over_a_filter_works_without_scripts() {
    let options = Options {
        scripts: false,
        ..Options::default()
    };
    in_browser(options, bulk_retry);
}

#[test]
fn a_filter_of_hostile_strings_means_the_same_when_it_is_confirmed() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::hostile().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/").await;
        let dead = outbox.dead().await;
        for text in [
            "x' OR user_id <> '",
            "%",
            "%2e%2e%2f&state=dead#top",
            "\"><script>alert(1)</script>",
        ] {
            let filter = query(&[("state", "dead"), ("user", text), ("text", text)]);
            browser
                .open_page(&console.url(&format!("/events?{filter}")))
                .await;
            assert_eq!(browser.count("#events tbody tr").await, 1, "{text}");
            ask(browser, "discard").await;
            let before = outbox.dead().await;
            confirm(browser, "discard").await;
            let after = outbox.dead().await;
            let gone: Vec<&str> = before
                .iter()
                .filter(|it| !after.iter().any(|left| left.id == it.id))
                .map(|it| it.user_id.as_str())
                .collect();
            assert_eq!(gone, [text]);
        }
        assert_eq!(outbox.dead().await.len(), dead.len() - 4);
    });
}

#[test]
fn a_single_dead_letter_is_retried_from_its_page() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        let event = outbox.dead().await.remove(0);
        console
            .open(browser, &format!("/event?id={}", event.id))
            .await;
        ask(browser, "retry").await;
        confirm(browser, "retry").await;
        assert_eq!(outbox.dead().await.len(), 8);
        let now = outbox.store.fetch_event(event.id).await.expect("a store");
        assert_eq!(now.expect("the event").status, OutboxStatus::Pending);
    });
}

#[test]
fn a_pause_of_a_user_has_its_reason_and_is_lifted() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/pauses").await;
        let reason = "case <b>4711</b> & \"more\"";
        browser.fill("#pause [name=name]", "ann").await;
        browser.fill("#pause [name=because]", reason).await;
        browser.submit("#pause").await;
        browser.wait("#message").await;
        let paused = outbox.store.paused().await.expect("pauses");
        assert_eq!(paused.len(), 1);
        assert_eq!(paused[0].scope.to_string(), "user \"ann\"");
        assert_eq!(paused[0].because.as_deref(), Some(reason));
        assert!(browser.text("#main").await.contains(reason));
        browser.submit("#main form[action*='/resume']").await;
        browser.wait_gone("#pauses tbody tr").await;
        assert_eq!(outbox.store.paused().await.expect("pauses"), []);
    });
}
