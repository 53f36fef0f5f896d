//! The pictures of `docs/operations/console-pictures.md`.

use std::path::Path;

use outbox_console_tests::{Console, Options, Outbox, in_browser};

/// The most that a picture may have, in bytes.
const MOST: usize = 150 << 10;

/// The greatest height of a picture, in pixels.
const HEIGHT: u32 = 1_200;

#[test]
#[ignore = "writes the pictures of the documentation"]
fn pictures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/console");
    std::fs::create_dir_all(&folder).unwrap();
    in_browser(Options::default(), async |browser| {
        let outbox = Outbox::typical().await;
        let console = Console::of(&outbox.store);
        console.open(browser, "/").await;
        let event = outbox.dead().await[0].id;
        for (name, path) in [
            ("overview", "/".to_owned()),
            ("events", "/events?state=dead".to_owned()),
            ("event", format!("/event?id={event}")),
            ("dead", "/dead".to_owned()),
            ("types", "/types".to_owned()),
            ("users", "/users".to_owned()),
            ("processes", "/processes".to_owned()),
            ("maintenance", "/maintenance".to_owned()),
            ("pauses", "/pauses".to_owned()),
            ("retry", "/retry?state=dead&user=ann".to_owned()),
        ] {
            browser.open_page(&console.url(&path)).await;
            browser.wait("#main").await;
            let picture = browser.picture(HEIGHT).await;
            assert!(picture.len() <= MOST, "{name}: {} bytes", picture.len());
            std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
        }
    });
}

/// Every picture that the documentation shows is there, and is small.
#[test]
fn the_documentation_has_its_pictures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations");
    let text = std::fs::read_to_string(folder.join("console-pictures.md")).unwrap();
    let shown: Vec<&str> = text
        .split("](")
        .filter_map(|part| part.split(')').next())
        .filter(|target| target.ends_with(".png"))
        .collect();
    assert!(shown.len() >= 8, "{shown:?}");
    for picture in &shown {
        let size = std::fs::metadata(folder.join(picture)).unwrap().len();
        assert!(size <= MOST as u64, "{picture}: {size} bytes");
    }
    let files = std::fs::read_dir(folder.join("console")).unwrap().count();
    assert_eq!(files, shown.len(), "pictures that no text shows");
}
