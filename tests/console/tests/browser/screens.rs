//! What each screen shows, with and without scripts, in light and dark mode.

use outbox_console_tests::{Browser, Console, Options, Outbox, Pages, in_browser};
use outbox_runtime::OutboxStatus;

use crate::checks::{open_sound, screens, whole_text};

/// What a screen of the typical store shows.
async fn shown(outbox: &Outbox) -> Vec<(String, Vec<String>)> {
    let process = std::process::id().to_string();
    let texts: [&[&str]; 9] = [
        &["pending", "dead", "support case 4711"],
        &["meal", "workout", "mood", "ann", "cleo"],
        &[
            "unknown unit \"cup\"",
            "HTTP 503: try again later",
            "amount",
            "parts",
        ],
        &["unknown unit", "the plan has ended"],
        &["meal", "workout", "progress", "mood"],
        &["ann", "ben", "cleo", "dora", "emil"],
        &[&process, "worker-1", "worker-2", "alive", "unknown"],
        &["mood"],
        &[
            "ben",
            "support case 4711",
            "ada",
            "analytics",
            "maintenance window",
        ],
    ];
    let texts = texts.map(|of| of.iter().map(|&text| text.to_owned()).collect());
    screens(outbox).await.into_iter().zip(texts).collect()
}

async fn every_screen_shows_its_data(browser: &Browser) {
    let outbox = Outbox::typical().await;
    let console = Console::of(&outbox.store);
    console.open(browser, "/").await;
    for (path, texts) in shown(&outbox).await {
        open_sound(browser, &console, &path).await;
        let whole = whole_text(browser).await;
        for text in texts {
            assert!(whole.contains(&text), "{path} lacks {text}: {whole}");
        }
    }
    open_sound(browser, &console, "/events?state=dead").await;
    let dead = outbox.ids(OutboxStatus::Dead).await.len();
    assert_eq!(browser.count("#events tbody tr").await, dead as u64);
    // The values of a payload are hidden unless somebody asks for them.
    let event = outbox.dead().await[0].id;
    open_sound(browser, &console, &format!("/event?id={event}")).await;
    assert!(!whole_text(browser).await.contains("@example.org"));
}

#[test]
fn every_screen_shows_its_data_with_scripts() {
    in_browser(Options::default(), every_screen_shows_its_data);
}

#[test]
fn every_screen_shows_its_data_without_scripts() {
    let options = Options {
        scripts: false,
        ..Options::default()
    };
    in_browser(options, async |browser| {
        every_screen_shows_its_data(browser).await;
        let scripted = Pages::of("<script>document.body.id = 'ran'</script>");
        browser.open_page(&scripted.url("127.0.0.1")).await;
        assert_eq!(browser.count("#ran").await, 0, "scripts are off");
    });
    // A control: the same page has it where scripts run.
    in_browser(Options::default(), async |browser| {
        let scripted = Pages::of("<script>document.body.id = 'ran'</script>");
        browser.open_page(&scripted.url("127.0.0.1")).await;
        assert_eq!(browser.count("#ran").await, 1);
    });
}

#[test]
fn every_screen_has_a_dark_mode() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/").await;
        for path in screens(&outbox).await {
            let mut brightness = Vec::new();
            for dark in [false, true] {
                browser.prefer_dark(dark).await;
                open_sound(browser, &console, &path).await;
                let script = "const color = (of) => getComputedStyle(document.body)[of]
                        .match(/[0-9.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
                    return Math.round(color('backgroundColor') - color('color'))";
                let brighter = browser.eval(script).await;
                brightness.push(brighter.as_i64().expect("a number"));
            }
            let [light, dark] = brightness[..] else {
                unreachable!("two modes");
            };
            assert!(light > 300 && dark < -300, "{path}: {light} and {dark}");
        }
    });
}

#[test]
fn a_group_of_dead_letters_leads_to_exactly_its_events() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/dead").await;
        let groups = "return [...document.querySelectorAll('#groups tbody tr')]
             .map((row) => `${row.cells[1].innerText} ${row.cells[0].querySelector('a').href}`)";
        let groups = browser.eval_texts(groups).await;
        let mut counts = Vec::new();
        for group in groups {
            let (count, link) = group.split_once(' ').expect("a number and a link");
            browser.open_page(link).await;
            let rows = browser.count("#events tbody tr").await;
            assert_eq!(rows.to_string(), count, "{link}");
            counts.push(rows);
        }
        counts.sort_unstable();
        assert_eq!(counts, [1, 1, 7]);
    });
}

#[test]
fn a_page_has_at_most_200_events_and_leads_to_the_next() {
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::empty().await;
        for number in 0..230 {
            outbox.add("meal", number, "ann").await;
        }
        let console = Console::of(&outbox.store);
        console.open(browser, "/events").await;
        let mut seen = browser.count("#events tbody tr").await;
        let mut pages = 1;
        while browser.count("#next").await == 1 {
            assert!(seen <= 200 * pages, "{seen} events on {pages} pages");
            browser.click("#next").await;
            browser.wait("#events").await;
            seen += browser.count("#events tbody tr").await;
            pages += 1;
        }
        assert_eq!(seen, 230);
        assert!(pages > 1);
    });
}
