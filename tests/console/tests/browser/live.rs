//! A page shows what happens while it is open, says when it does not, and never blocks the browser.

use outbox_console_tests::{Browser, Console, Options, Outbox, in_browser};
use outbox_runtime::{OutboxEvent, OutboxStatus};

/// Marks the page, so that loading it again would show.
const MARK: &str = "window.marked = true";
const IS_MARKED: &str = "return String(window.marked === true)";

/// Notes on the page that it was hidden and said that it pauses, and whether it showed something
/// new nevertheless. To look into a tab makes it visible.
const NOTE_REST: &str = "
    const note = () => {
        if (!document.hidden) return;
        const has = (id, text) => document.getElementById(id).textContent.includes(text);
        if (has('live', 'paused')) document.documentElement.dataset.rested = '';
        if (has('main', 'hidden-user')) document.documentElement.dataset.showed = '';
    };
    new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true });
    document.addEventListener('visibilitychange', note);
";

/// Adds an event, for a user with a name that is easy to find.
async fn add(outbox: &Outbox, user: &str) -> OutboxEvent {
    outbox.add("meal", 1, user).await
}

/// Waits until the list has an event of this user.
async fn wait_for(browser: &Browser, user: &str) {
    browser
        .wait_path(&format!(
            "//*[@id='events']//tbody/tr[contains(., '{user}')]"
        ))
        .await;
}

async fn has(browser: &Browser, user: &str) -> bool {
    browser.text("#main").await.contains(user)
}

#[test]
fn an_event_appears_and_is_delivered_without_a_reload() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/events").await;
        browser.wait_live("live").await;
        browser.eval(MARK).await;
        let event = add(&outbox, "first-user").await;
        wait_for(browser, "first-user").await;
        outbox.deliver(event.id).await;
        browser
            .wait_path("//*[@id='events']//tbody/tr[contains(., 'completed')]")
            .await;
        assert_eq!(browser.eval_text(IS_MARKED).await, "true");
        assert_eq!(browser.complaints().await, [""; 0]);
    });
}

#[test]
fn a_hidden_tab_pauses_and_says_so_and_catches_up() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/events").await;
        browser.wait_live("live").await;
        browser.eval(MARK).await;
        browser.eval(NOTE_REST).await;
        let behind = browser.tab().await;
        browser.new_tab(false).await;
        browser.open_page(&console.url("/events")).await;
        browser.wait_live("live").await;
        // The tab in front has both, and the hidden one neither.
        for user in ["hidden-user-1", "hidden-user-2"] {
            add(&outbox, user).await;
            wait_for(browser, user).await;
        }
        browser.show(&behind).await;
        assert_eq!(
            browser.count("html[data-rested]:not([data-showed])").await,
            1
        );
        browser.wait_live("live").await;
        wait_for(browser, "hidden-user-2").await;
        assert_eq!(browser.eval_text(IS_MARKED).await, "true");
    });
}

#[test]
fn the_button_and_a_form_with_the_focus_pause() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/events").await;
        browser.wait_live("live").await;
        let page = browser.tab().await;
        let other = browser.new_tab(true).await;
        browser.open_page(&console.url("/events")).await;
        browser.wait_live("live").await;

        browser.look_into(&page).await;
        browser.click("#live-toggle").await;
        browser.wait_live("paused").await;
        add(&outbox, "button-user").await;
        browser.look_into(&other).await;
        wait_for(browser, "button-user").await;
        browser.look_into(&page).await;
        assert!(!has(browser, "button-user").await);
        browser.click("#live-toggle").await;
        browser.wait_live("live").await;
        wait_for(browser, "button-user").await;

        // A page that is read again would lose what somebody types.
        browser.fill("#main [name=user]", "half a na").await;
        browser.wait_live("paused").await;
        add(&outbox, "focus-user").await;
        browser.look_into(&other).await;
        wait_for(browser, "focus-user").await;
        browser.look_into(&page).await;
        assert!(!has(browser, "focus-user").await);
        let typed = "return document.querySelector('#main [name=user]').value";
        assert_eq!(browser.eval_text(typed).await, "half a na");
    });
}

#[test]
fn a_server_that_stops_shows_as_disconnected_until_it_is_back() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let mut console = Console::of(&outbox.store);
        console.open(browser, "/events").await;
        browser.wait_live("live").await;
        add(&outbox, "before-user").await;
        wait_for(browser, "before-user").await;
        browser.eval(MARK).await;
        console.stop().await;
        browser.wait_live("disconnected").await;
        assert!(
            has(browser, "before-user").await,
            "what was there stays readable"
        );
        add(&outbox, "during-user").await;
        console.resume();
        browser.wait_live("live").await;
        wait_for(browser, "during-user").await;
        add(&outbox, "after-user").await;
        wait_for(browser, "after-user").await;
        assert_eq!(browser.eval_text(IS_MARKED).await, "true");
    });
}

#[test]
fn a_server_that_starts_anew_asks_to_sign_in_again() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let mut console = Console::of(&outbox.store);
        add(&outbox, "first-user").await;
        console.open(browser, "/events?user=first-user").await;
        browser.wait_live("live").await;
        console.stop().await;
        console.restart(&outbox.store);
        browser.wait_live("disconnected").await;
        browser.reload().await;
        Console::log_in(browser).await;
        wait_for(browser, "first-user").await;
        assert!(browser.address().await.ends_with("/events?user=first-user"));
        browser.wait_live("live").await;
    });
}

#[test]
fn an_update_keeps_the_focus_where_it_is() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let console = Console::of(&outbox.store);
        let event = add(&outbox, "first-user").await;
        console.open(browser, "/events").await;
        browser.wait_live("live").await;
        browser.tab_to("#events a").await;
        add(&outbox, "second-user").await;
        wait_for(browser, "second-user").await;
        let focus = "return document.activeElement.getAttribute('href')";
        let focus = browser.eval_text(focus).await;
        assert!(focus.contains(&event.id.to_string()), "{focus}");
    });
}

async fn the_eighth_loads(browser: &Browser, as_windows: bool) {
    let outbox = Outbox::typical().await;
    let console = Console::of(&outbox.store);
    console.open(browser, "/events").await;
    browser.wait_live("live").await;
    for _ in 1..8 {
        browser.new_tab(as_windows).await;
        browser.open_page(&console.url("/events")).await;
        browser.wait("#events").await;
    }
    // The last one still gets answers.
    let count = outbox.ids(OutboxStatus::Pending).await.len();
    let path = console.url("/events?state=pending");
    browser.open_page(&path).await;
    assert_eq!(browser.count("#events tbody tr").await, count as u64);
}

#[test]
fn the_eighth_tab_of_a_browser_loads() {
    in_browser(Options::default(), async |browser| {
        the_eighth_loads(browser, false).await;
    });
}

#[test]
fn the_eighth_window_of_a_browser_loads() {
    in_browser(Options::default(), async |browser| {
        the_eighth_loads(browser, true).await;
    });
}

/// A button that moves between the press and the release of the mouse is not pressed.
#[test]
fn the_page_stays_where_it_is_when_the_state_changes() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/pauses").await;
        let place = "return Math.round(document.querySelector('#pause button').getBoundingClientRect().top)";
        browser.wait_live("live").await;
        let live = browser.eval_count(place).await;
        browser.fill("#pause [name=because]", "no reason").await;
        browser.wait_live("paused").await;
        assert_eq!(browser.eval_count(place).await, live);
    });
}
