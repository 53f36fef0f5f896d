//! Everything without a mouse.

use outbox_console_tests::{Browser, Console, Key, Options, Outbox, in_browser};
use outbox_runtime::OutboxStatus;

use crate::checks::all_paths;

/// Numbers the elements that the keyboard has to reach, in the order of the page.
const NUMBER: &str = "
    const isShown = (it) => it.checkVisibility({ visibilityProperty: true });
    const css = 'a[href], button, input:not([type=hidden]), select, textarea, summary';
    const all = [...document.querySelectorAll(css)].filter((it) => !it.disabled && isShown(it));
    all.forEach((it, index) => { it.dataset.stop = index; });
    return all.length;
";

/// The number of the element with the focus, or its tag; and whether the focus is shown.
const FOCUS: &str = "
    const it = document.activeElement;
    if (it === document.body) return 'body true';
    const style = getComputedStyle(it);
    const box = it.getBoundingClientRect();
    const isThere = box.width > 1 && box.height > 1 && box.bottom > 0 && box.top < innerHeight;
    const isOutlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    return `${it.dataset.stop ?? it.tagName} ${isThere && isOutlined && it.matches(':focus-visible')}`;
";

/// Presses Tab through the whole page. Returns the numbered elements that had the focus in order,
/// and those whose focus was not shown.
async fn walk(browser: &Browser) -> (Vec<u64>, Vec<String>) {
    let (mut order, mut unseen) = (Vec::new(), Vec::new());
    for _ in 0..600 {
        browser.press(Key::Tab).await;
        let focus = browser.eval_text(FOCUS).await;
        let (stop, is_shown) = focus.split_once(' ').expect("two words");
        if is_shown != "true" {
            unseen.push(stop.to_owned());
        }
        if stop == "body" {
            break;
        }
        if let Ok(stop) = stop.parse() {
            if order.first() == Some(&stop) {
                break;
            }
            order.push(stop);
        }
    }
    (order, unseen)
}

#[test]
fn tab_reaches_everything_in_the_order_of_the_page_and_shows_where_it_is() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/").await;
        for path in all_paths(&outbox).await {
            for dark in [false, true] {
                browser.prefer_dark(dark).await;
                browser.open_page(&console.url(&path)).await;
                let count = browser.eval_count(NUMBER).await;
                assert!(count > 5, "{path}: {count}");
                let (order, unseen) = walk(browser).await;
                let expected: Vec<u64> = (0..count).collect();
                assert_eq!(order, expected, "{path}");
                assert_eq!(unseen, [""; 0], "{path}, dark: {dark}");
                if path != "/" {
                    // The order does not depend on the colors.
                    break;
                }
            }
        }
    });
}

#[test]
fn the_skip_link_leads_to_the_content() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/").await;
        browser.open_page(&console.url("/events")).await;
        let is_in_view =
            "const box = document.querySelector('a[href=\"#main\"]').getBoundingClientRect();
             return String(box.right > 1 && box.bottom > 1 && box.width > 1 && box.height > 1)";
        assert_eq!(
            browser.eval_text(is_in_view).await,
            "false",
            "not in the way"
        );
        browser.press(Key::Tab).await;
        let focus = "return document.activeElement.getAttribute('href')";
        assert_eq!(browser.eval_text(focus).await, "#main");
        assert_eq!(browser.eval_text(is_in_view).await, "true");
        browser.press(Key::Enter).await;
        browser.press(Key::Tab).await;
        let is_inside = "return String(document.activeElement.closest('#main') !== null)";
        assert_eq!(browser.eval_text(is_inside).await, "true");
    });
}

#[test]
fn an_operator_finds_and_retries_dead_letters_by_keyboard_alone() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        // From the form of the token on.
        browser.open_page(&console.url("/")).await;
        browser.tab_to("input[type=password]").await;
        browser.type_text(outbox_console_tests::TOKEN).await;
        browser.press(Key::Enter).await;
        browser.wait("nav[aria-label=Sections]").await;
        browser.tab_to("nav a[href$='/dead']").await;
        browser.press(Key::Enter).await;
        browser.wait_path("//h1[contains(., 'ead')]").await;
        browser.tab_to("nav a[href$='/events']").await;
        browser.press(Key::Enter).await;
        browser.wait("#events").await;
        browser.tab_to("#main [name=text]").await;
        browser.type_text("unknown unit \"mile\"").await;
        browser.press(Key::Enter).await;
        browser
            .wait_path("//*[@id='events'][count(.//tbody/tr) = 1]")
            .await;
        browser.tab_to("#main a[href*='/event?id=']").await;
        browser.press(Key::Enter).await;
        browser.wait("#main a[href*='/retry?']").await;
        browser.tab_to("#main a[href*='/retry?']").await;
        browser.press(Key::Enter).await;
        browser.wait("#main form[action*='/retry']").await;
        let before = outbox.ids(OutboxStatus::Dead).await.len();
        browser.tab_to("#main form[action*='/retry'] button").await;
        browser.press(Key::Enter).await;
        browser.wait("#message").await;
        let after = outbox.ids(OutboxStatus::Dead).await.len();
        assert_eq!((before, after), (9, 8));
    });
}
