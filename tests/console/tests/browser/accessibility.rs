//! WCAG 2.2, light and dark, on pages with up to 200 rows.

use outbox_console_tests::{Axe, Browser, Console, Options, Outbox, Pages, in_browser};
use uuid::Uuid;

use crate::checks::all_paths;

async fn no_screen_has_a_fault(browser: &Browser, axe: &Axe, outbox: &Outbox) {
    let console = Console::of(&outbox.store);
    browser.open_page(&console.url("/login")).await;
    assert_eq!(axe.faults(browser).await, [""; 0], "/login");
    console.open(browser, "/").await;
    let mut paths = all_paths(outbox).await;
    // Pages that say no.
    paths.extend(["/nothing".to_owned(), format!("/event?id={}", Uuid::nil())]);
    for path in paths {
        browser.open_page(&console.url(&path)).await;
        assert_eq!(axe.faults(browser).await, [""; 0], "{path}");
    }
}

#[test]
fn no_screen_has_a_fault_in_light_mode() {
    let Some(axe) = Axe::installed() else {
        return;
    };
    in_browser(Options::default(), async |browser| {
        no_screen_has_a_fault(browser, &axe, &Outbox::typical().await).await;
    });
}

#[test]
fn no_screen_has_a_fault_in_dark_mode() {
    let Some(axe) = Axe::installed() else {
        return;
    };
    let options = Options {
        dark: true,
        ..Options::default()
    };
    in_browser(options, async |browser| {
        no_screen_has_a_fault(browser, &axe, &Outbox::typical().await).await;
    });
}

#[test]
fn no_crowded_screen_has_a_fault() {
    let Some(axe) = Axe::installed() else {
        return;
    };
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::crowded().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/events").await;
        let rows = browser.count("#events tbody tr").await;
        assert!((50..=200).contains(&rows), "{rows} rows");
        for path in all_paths(&outbox).await {
            for dark in [false, true] {
                browser.prefer_dark(dark).await;
                browser.open_page(&console.url(&path)).await;
                assert_eq!(axe.faults(browser).await, [""; 0], "{path}, dark: {dark}");
            }
        }
    });
}

/// Text of 200 % on a small screen, or a phone. Tables scroll by themselves.
#[test]
fn no_screen_is_wider_than_320_pixels() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        let width = "return document.scrollingElement.scrollWidth";
        browser.resize(320, 640).await;
        console.open(browser, "/").await;
        for path in all_paths(&outbox).await {
            browser.open_page(&console.url(&path)).await;
            assert!(browser.eval_count(width).await <= 320, "{path}");
        }
        // A control.
        let wide = Pages::of("<p style=\"width: 400px\">wide</p>");
        browser.open_page(&wide.url("127.0.0.1")).await;
        assert!(browser.eval_count(width).await > 320);
    });
}

/// A control: each of these has a fault, or an element that cannot be judged.
#[test]
fn deliberate_faults_are_found() {
    let Some(axe) = Axe::installed() else {
        return;
    };
    in_browser(Options::default(), async |browser| {
        let whole = |inside: &str| format!("<main><h1>Control</h1>{inside}</main>");
        for (fault, inside) in [
            ("", "<p>Fine.</p>"),
            (
                "violation image-alt",
                "<img src=\"data:,\" width=\"40\" height=\"40\">",
            ),
            ("violation label", "<input type=\"text\">"),
            (
                "violation color-contrast",
                "<p style=\"color: #bbb; background: #fff\">Pale</p>",
            ),
            (
                "incomplete color-contrast",
                "<p style=\"background-image: linear-gradient(#fff, #000); color: #777\">Unsure</p>",
            ),
        ] {
            let page = Pages::of(&whole(inside));
            browser.open_page(&page.url("127.0.0.1")).await;
            let found = axe.faults(browser).await;
            match fault {
                "" => assert_eq!(found, [""; 0]),
                _ => assert!(
                    found.iter().any(|it| it.starts_with(fault)),
                    "{fault}: {found:?}"
                ),
            }
        }
    });
}
