//! A path prefix of the application, and the history of the browser.

use outbox_console_tests::{Browser, Console, Options, Outbox, Setup, in_browser};

use crate::checks::{all_paths, open_sound};

/// Addresses of the page that do not begin with the prefix.
async fn strays(browser: &Browser, prefix: &str) -> Vec<String> {
    let script = format!(
        "return [...document.querySelectorAll('[href], [src], [action]')]
             .map((it) => it.getAttribute('href') ?? it.getAttribute('src') ?? it.getAttribute('action'))
             .filter((it) => !it.startsWith('{prefix}/') && !it.startsWith('#') && it !== '{prefix}')"
    );
    browser.eval_texts(&script).await
}

#[test]
fn everything_works_below_a_path_of_the_application() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let prefix = "/ops/outbox";
        let setup = Setup {
            prefix,
            ..Setup::default()
        };
        let console = Console::with(&outbox.store, setup);
        // The login leads back to the page.
        console.open(browser, "/events?state=dead").await;
        assert!(
            browser
                .address()
                .await
                .ends_with("/ops/outbox/events?state=dead")
        );
        for path in all_paths(&outbox).await {
            open_sound(browser, &console, &path).await;
            assert_eq!(strays(browser, prefix).await, [""; 0], "{path}");
        }
        let cookies = browser.cookies().await;
        assert!(
            cookies
                .iter()
                .all(|it| it["path"].as_str().is_some_and(|it| it.starts_with(prefix))),
            "{cookies:?}"
        );
        // The style sheet, the script and the stream of changes are found there, too.
        browser.open_page(&console.url("/events")).await;
        let sheets = "return [...document.styleSheets].map((it) => it.cssRules.length).reduce((a, b) => a + b, 0)";
        assert!(browser.eval_count(sheets).await > 10);
        browser.wait_live("live").await;
        outbox.add("meal", 999, "late-user").await;
        browser
            .wait_path("//*[@id='events']//tbody/tr[contains(., 'late-user')]")
            .await;
        // Without and with a slash at the end.
        for end in ["", "/"] {
            browser.open_page(&console.url(end)).await;
            browser.wait("nav[aria-label=Sections]").await;
        }
    });
}

#[test]
fn back_leads_to_the_filtered_list_and_repeats_no_change() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/events?state=dead&user=ann").await;
        let list = browser.address().await;
        let rows = browser.count("#events tbody tr").await;
        browser.click("#main a[href*='/event?id=']").await;
        browser.wait("#main a[href*='/retry?']").await;
        browser.back().await;
        browser.wait("#events").await;
        assert_eq!(browser.address().await, list);
        assert_eq!(browser.count("#events tbody tr").await, rows);

        browser.click("#main a[href*='/event?id=']").await;
        browser.wait("#main a[href*='/retry?']").await;
        browser.click("#main a[href*='/retry?']").await;
        browser.submit("#main form[action*='/retry?']").await;
        browser.wait("#message").await;
        let dead = outbox.dead().await.len();
        // The page after a change was got, not posted.
        browser.reload().await;
        browser.wait("h1").await;
        browser.back().await;
        browser.wait("h1").await;
        assert_eq!(outbox.dead().await.len(), dead);
    });
}

#[test]
fn back_shows_nothing_after_the_logout() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/events").await;
        assert!(browser.text("#main").await.contains("ann"));
        browser.click("form[action$='/logout'] button").await;
        browser.wait("#main input[type=password]").await;
        browser.back().await;
        browser.wait("#main input[type=password]").await;
        assert!(!browser.page_text().await.contains("ann"));
    });
}
