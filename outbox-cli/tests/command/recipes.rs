//! Recipes of the guide, with the command and a running application.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::{OutboxRepository, OutboxStatus};

use crate::scene::Scene;

const SOON: Duration = Duration::from_secs(30);

#[derive(OutboxEntity)]
#[outbox(event_type = "journal")]
struct Journal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: &'static str,
    #[outbox(metadata)]
    title: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "page")]
struct Page {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: &'static str,
    #[outbox(after = Journal)]
    journal_id: i64,
}

fn journal(title: &str) -> Journal {
    Journal {
        id: 7,
        user_id: "ann",
        title: title.to_owned(),
    }
}

/// A service that refuses long titles, and takes a page of any journal.
type Taken = Arc<Mutex<Vec<&'static str>>>;

fn run(store: &SqliteStore, taken: &Taken) -> Running {
    let (journals, pages) = (Arc::clone(taken), Arc::clone(taken));
    let processor = Processor::builder(store.clone())
        .handle(move |event: Event<Journal>| {
            let journals = Arc::clone(&journals);
            async move {
                if event.metadata().title.len() > 10 {
                    return Err(HandlerError::permanent("the title is too long"));
                }
                journals.lock().unwrap().push("journal");
                Ok(())
            }
        })
        .handle(move |_: Event<Page>| {
            let pages = Arc::clone(&pages);
            async move {
                pages.lock().unwrap().push("page");
                Ok(())
            }
        });
    processor.build().unwrap().start_all_users()
}

/// `docs/guide/dead-letters.md`, "The payload is wrong".
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_creation_is_replaced_before_its_children_while_their_type_is_paused() {
    for is_paused in [true, false] {
        let scene = Scene::empty();
        let store = SqliteStore::open(scene.path()).await.unwrap();
        let taken = Taken::default();
        let running = run(&store, &taken);
        let refused = journal("a title that is too long");
        refused.enqueue_create().on(&store).await.unwrap();
        assert!(!running.flush(7, SOON).await.unwrap().is_delivered());
        let page = Page {
            id: 1,
            user_id: "ann",
            journal_id: 7,
        };
        page.enqueue_create().on(&store).await.unwrap();
        let dead = store.fetch_events(OutboxStatus::Dead, None, None).await;
        let dead = dead.unwrap()[0].id.to_string();

        if is_paused {
            scene.expect(0, &["pause", "--type", "page", "--because", "journal 7"]);
            scene.expect(0, &["discard", &dead, "--yes"]);
            let held = scene.json(0, &["explain", "1"]);
            assert_eq!(held["waitsFor"], "pause");
        } else {
            scene.expect(0, &["discard", &dead, "--yes"]);
            assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        }
        journal("short").enqueue_create().on(&store).await.unwrap();
        assert!(running.flush(7, SOON).await.unwrap().is_delivered());
        let sent = scene.expect(0, &["explain", "7"]).stdout;
        assert!(sent.contains("no undelivered events"), "{sent}");
        if is_paused {
            scene.expect(0, &["resume", "--type", "page"]);
            assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        }
        let order = if is_paused {
            ["journal", "page"]
        } else {
            ["page", "journal"]
        };
        assert_eq!(*taken.lock().unwrap(), order, "paused: {is_paused}");
        running.stop().await.unwrap();
        store.close().await;
    }
}

/// The commands of a block of a page of the guide: `outbox --db restored.db ..`, without the file.
fn commands(page: &str) -> Vec<Vec<String>> {
    let (_, block) = page.split_once("```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let commands = block.lines().map(|line| {
        let line = line.strip_prefix("outbox --db restored.db ").unwrap();
        // Between quotation marks is one argument.
        let parts = line.split('\'').enumerate().flat_map(|(number, part)| {
            let is_quoted = number % 2 == 1;
            let words = part.split_whitespace().filter(move |_| !is_quoted);
            let whole = is_quoted.then_some(part);
            whole.into_iter().chain(words)
        });
        parts.map(str::to_owned).collect()
    });
    commands.collect()
}

/// `docs/guide/backup.md`, "What a restored copy does".
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_restored_copy_is_sent_before_somebody_has_looked() {
    let commands = commands(include_str!("../../../docs/guide/backup.md"));
    let [status, pause, list] = &commands[..] else {
        panic!("{commands:?}")
    };
    let scene = Scene::empty();
    let store = SqliteStore::open(scene.path()).await.unwrap();
    journal("short").enqueue_create().on(&store).await.unwrap();
    store.close().await;
    let outputs = [status, pause, list].map(|command| {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        scene.expect(0, &args).stdout
    });
    assert!(outputs[0].contains("pending"), "{}", outputs[0]);
    assert!(outputs[2].contains("journal"), "{}", outputs[2]);

    let store = SqliteStore::open(scene.path()).await.unwrap();
    let taken = Taken::default();
    let running = run(&store, &taken);
    let held = scene.json(0, &["explain", "7"]);
    assert_eq!(held["waitsFor"], "pause");
    let soon = Duration::from_millis(100);
    assert!(!running.flush(7, soon).await.unwrap().is_delivered());
    assert!(taken.lock().unwrap().is_empty());
    scene.expect(0, &["resume", "--all"]);
    assert!(running.flush(7, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
    store.close().await;
}
