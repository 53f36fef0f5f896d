//! The restore: what comes back, and what does not.

use backend::{Fault, FaultRule, Settings};
use lume::entities::{JournalEntry, MoodEntry};
use lume::sync::restore;

use crate::scene::Scene;

/// Failure 43.
#[tokio::test]
async fn a_deleted_entity_does_not_come_back() {
    let scene = Scene::new().await;
    let (gone, kept, edited) = (
        scene.add_mood(0.1).await,
        scene.add_mood(0.2).await,
        scene.add_mood(0.3).await,
    );
    scene.deliver().await;
    scene.delete::<MoodEntry>(gone).await;
    scene.edit_mood(edited, 0.9).await;
    for _ in 0..2 {
        let restored = restore(scene.app.ground.api(), scene.store(), &scene.user())
            .await
            .unwrap();
        assert_eq!(
            (
                restored.added,
                restored.updated,
                restored.kept,
                restored.deleted
            ),
            (0, 1, 1, 1)
        );
    }
    assert_eq!(scene.load::<MoodEntry>(gone).await, None);
    assert_eq!(scene.load::<MoodEntry>(edited).await.unwrap().valence, 0.9);
    scene.deliver().await;
    let restored = restore(scene.app.ground.api(), scene.store(), &scene.user())
        .await
        .unwrap();
    assert_eq!((restored.added, restored.updated), (0, 2));
    assert!(scene.load::<MoodEntry>(kept).await.is_some());
    assert_eq!(scene.list::<MoodEntry>().await.len(), 2);
}

/// Failure 43: also if the response of the create was lost and the remote id is unknown.
#[tokio::test]
async fn an_entity_that_is_deleted_before_its_id_is_known_does_not_come_back() {
    let rule = FaultRule::nth(Fault::Drop, 1).on("POST /api/v1/journal");
    let scene = Scene::with(Settings::new().fault(rule)).await;
    let id = scene
        .app
        .repository
        .add(scene.journal("Forget this", None))
        .await
        .unwrap();
    let running = scene.start();
    scene.until_called("POST /api/v1/journal").await;
    running.stop().await.unwrap();
    scene.delete::<JournalEntry>(id).await;
    let restored = restore(scene.app.ground.api(), scene.store(), &scene.user())
        .await
        .unwrap();
    assert_eq!((restored.added, restored.deleted), (0, 1));
    scene.deliver().await;
    assert_eq!(scene.held("journal"), 0);
}

/// Failure 43: a response is older than a local change made while it is on its way.
#[tokio::test]
async fn a_change_during_a_restore_is_kept() {
    let scene = Scene::new().await;
    let edited = scene.add_mood(0.3).await;
    scene.deliver().await;
    // The change waits for this transaction, and the restore waits for the change.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let busy = scene.store().transaction(move |_| Ok(released.recv()?));
    let user = scene.user();
    let restored = async {
        let restored = restore(scene.app.ground.api(), scene.store(), &user);
        let (restored, ()) = tokio::join!(restored, async {
            scene
                .until_called("GET /api/v1/wellness/mood-entries")
                .await;
            drop(release);
        });
        restored.unwrap()
    };
    let (busy, (), restored) = tokio::join!(busy, scene.edit_mood(edited, 0.9), restored);
    assert!(busy.is_err(), "it was let go by the end of the channel");
    assert_eq!((restored.updated, restored.kept), (0, 1));
    assert_eq!(scene.load::<MoodEntry>(edited).await.unwrap().valence, 0.9);
}

/// Failure 54.
#[tokio::test]
async fn a_restore_adds_entities_that_this_device_lacks() {
    let scene = Scene::new().await;
    let mood = scene.add_mood(0.5).await;
    scene.add_page(mood).await;
    let goal = scene.add_goal().await;
    let chat = scene.begin(Some(goal)).await;
    scene.say(chat, "Hello").await;
    scene.deliver().await;
    let fresh = scene.other_device().await;
    let restored = restore(fresh.ground.api(), fresh.ground.store(), &scene.user())
        .await
        .unwrap();
    assert_eq!((restored.added, restored.updated), (4, 0));
    let again = restore(fresh.ground.api(), fresh.ground.store(), &scene.user())
        .await
        .unwrap();
    assert_eq!((again.added, again.updated, again.kept), (0, 3, 1));
}
