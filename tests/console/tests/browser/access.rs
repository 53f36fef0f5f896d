//! The token, the cookie, host names, and forms of other sites, as a browser has them.

use outbox_console_tests::{
    Browser, Console, ELSEWHERE, HOST, Options, Outbox, Pages, Setup, TOKEN, in_browser,
};
use outbox_runtime::{OutboxRepository as _, PauseScope};
use serde_json::json;

use crate::checks::query;

async fn is_login(browser: &Browser) -> bool {
    browser.count("#main input[type=password]").await == 1
}

#[test]
fn a_wrong_token_opens_nothing_and_the_right_one_sets_a_cookie_of_this_port() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        browser.open_page(&console.url("/events")).await;
        assert!(is_login(browser).await);
        browser.fill("#main input[type=password]", "wrong").await;
        browser.submit("#main form").await;
        browser.wait("[role=alert], #message").await;
        assert!(is_login(browser).await);
        assert!(!browser.page_text().await.contains("ann"));
        assert_eq!(browser.cookies().await, [json!(null); 0]);
        Console::log_in(browser).await;
        let cookies = browser.cookies().await;
        let [cookie] = &cookies[..] else {
            panic!("{cookies:?}");
        };
        let name = cookie["name"].as_str().expect("a name");
        assert!(name.contains(&console.port().to_string()), "{name}");
        let flags = ["httpOnly", "sameSite", "secure"].map(|flag| cookie[flag].clone());
        assert_eq!(flags, [json!(true), json!("Lax"), json!(false)]);
        assert_eq!(browser.eval_text("return document.cookie").await, "");
        assert!(!browser.address().await.contains("token"));
    });
}

#[test]
fn the_link_with_the_token_signs_in_and_leaves_it_nowhere() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        let link = console.url(&format!("/login?{}", query(&[("token", TOKEN)])));
        browser.open_page(&link).await;
        browser.wait("nav[aria-label=Sections]").await;
        assert!(!browser.address().await.contains(TOKEN));
        assert_eq!(browser.eval_text("return document.referrer").await, "");
        browser.open_page(&console.url("/events")).await;
        browser.wait("#events").await;
    });
}

#[test]
fn a_deep_link_survives_the_login() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        let filter = query(&[
            ("state", "dead"),
            ("user", "ann"),
            ("text", "unknown unit \"cup\""),
        ]);
        console
            .open_at(HOST, browser, &format!("/events?{filter}"))
            .await;
        assert_eq!(browser.count("#events tbody tr").await, 7);
        let field = "return document.querySelector('#main [name=text]').value";
        assert_eq!(browser.eval_text(field).await, "unknown unit \"cup\"");
    });
}

#[test]
fn the_login_leads_to_no_other_site() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        let other = Pages::of("<h1>Elsewhere</h1>").url(ELSEWHERE);
        let (_, rest) = other.split_once("//").expect("an address");
        for next in [
            other.clone(),
            format!("//{rest}"),
            format!("/\\{rest}"),
            format!("/%2f{rest}"),
            format!("/\t/{rest}"),
            "javascript:alert(1)".to_owned(),
        ] {
            let path = format!("/login?{}", query(&[("next", &next)]));
            console.open_at(HOST, browser, &path).await;
            let address = browser.address().await;
            assert!(
                address.starts_with(&console.url_at(HOST, "/")),
                "{next}: {address}"
            );
            browser.click("form[action$='/logout'] button").await;
            browser.wait("#main input[type=password]").await;
        }
    });
}

async fn a_link_of_another_site_leads_in(browser: &Browser) {
    let outbox = Outbox::typical().await;
    let console = Console::of(&outbox.store);
    console.open_at(HOST, browser, "/").await;
    let link = console.url_at(HOST, "/events?state=dead");
    let chat = Pages::of(&format!(
        "<a id=\"go\" href=\"{link}\">the dead letters</a>"
    ));
    browser.open_page(&chat.url(ELSEWHERE)).await;
    browser.click("#go").await;
    browser.wait("#events").await;
    assert!(browser.address().await.ends_with("/events?state=dead"));
}

/// A browser leaves a strict cookie out of such a request.
#[test]
fn a_link_of_another_site_leads_in_without_a_second_login() {
    in_browser(Options::default(), a_link_of_another_site_leads_in);
    let options = Options {
        scripts: false,
        ..Options::default()
    };
    in_browser(options, a_link_of_another_site_leads_in);
}

/// Chooses to pause everything, and does.
async fn pause_all(browser: &Browser) {
    browser
        .eval("document.querySelector('#scope').value = 'everything'")
        .await;
    browser.submit("#pause").await;
}

#[test]
fn a_form_works_by_plain_http_under_a_host_name() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let console = Console::of(&outbox.store);
        console.open_at(HOST, browser, "/pauses").await;
        pause_all(browser).await;
        browser.wait("#message").await;
        let paused = outbox.store.paused().await.expect("pauses");
        assert_eq!(paused.len(), 1, "{paused:?}");
        assert_eq!(paused[0].scope, PauseScope::Everything);
        browser.submit("#main form[action*='/resume']").await;
        browser.wait_gone("#pauses tbody tr").await;
        assert_eq!(outbox.store.paused().await.expect("pauses"), []);
        assert_eq!(browser.complaints().await, [""; 0]);
    });
}

#[test]
fn a_form_of_another_site_or_with_another_token_changes_nothing() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        let console = Console::of(&outbox.store);
        console.open_at(HOST, browser, "/pauses").await;
        let form = browser
            .eval_text("return document.querySelector('#pause').outerHTML")
            .await;
        let form = form.replace("value=\"everything\"", "value=\"everything\" selected");
        let action = console.url_at(HOST, "/pause");
        // Even with the token of the page.
        let copy = form.replacen("action=\"/pause", &format!("action=\"{action}"), 1);
        assert!(copy.contains(&action), "{form}");
        let other = Pages::of(&copy);
        browser.open_page(&other.url(ELSEWHERE)).await;
        browser.submit("#pause").await;
        browser.wait("h1").await;
        assert!(browser.address().await.starts_with(&action));
        assert_eq!(outbox.store.paused().await.expect("pauses"), []);

        browser.open_page(&console.url_at(HOST, "/pauses")).await;
        let forge = "const field = document.querySelector('#pause [name=csrf]');
             field.value = field.value.replace(/[0-9a-f]/g, '0')";
        browser.eval(forge).await;
        pause_all(browser).await;
        browser.wait("h1").await;
        assert_eq!(browser.count("#message").await, 0);
        assert_eq!(outbox.store.paused().await.expect("pauses"), []);
        // A control: the same form, as it is.
        browser.open_page(&console.url_at(HOST, "/pauses")).await;
        pause_all(browser).await;
        browser.wait("#message").await;
        assert_eq!(outbox.store.paused().await.expect("pauses").len(), 1);
    });
}

#[test]
fn an_unknown_host_name_shows_nothing() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        browser
            .open_page(&console.url_at(ELSEWHERE, "/login"))
            .await;
        assert_eq!(browser.count("form").await, 0);
        assert!(!browser.page_text().await.trim().is_empty());
        browser.open_page(&console.url_at(HOST, "/login")).await;
        assert_eq!(browser.count("form").await, 1);
    });
}

#[test]
fn a_console_that_only_reads_has_no_form_that_changes_something() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let setup = Setup {
            read_only: true,
            ..Setup::default()
        };
        let console = Console::with(&outbox.store, setup);
        console.open(browser, "/").await;
        let changing =
            "#main form[method=post], #main a[href*='/retry'], #main a[href*='/discard']";
        for path in crate::checks::screens(&outbox).await {
            browser.open_page(&console.url(&path)).await;
            browser.wait("#main").await;
            assert_eq!(browser.count(changing).await, 0, "{path}");
        }
        // A control: one that writes has them.
        let console = Console::of(&outbox.store);
        console.open(browser, "/events?state=dead").await;
        assert!(browser.count(changing).await > 0);
    });
}
