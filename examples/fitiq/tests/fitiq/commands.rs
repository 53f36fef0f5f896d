//! The program as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Output};

use backend::Settings;

use crate::scene::{EMAIL, PASSWORD, Scene};

/// The program on a database of its own, at the service of a scene.
struct Program {
    db: PathBuf,
    url: String,
}

impl Program {
    fn new(scene: &Scene) -> Self {
        Self {
            db: scene.folder().join("typed.db"),
            url: scene.backend.url(),
        }
    }

    /// The service runs on this thread's runtime, so another thread waits for the program.
    async fn output(&self, arguments: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fitiq"));
        command
            .arg("--db")
            .arg(&self.db)
            .args(["--server", &self.url]);
        command.args(arguments.split(' '));
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    async fn run(&self, arguments: &str) -> String {
        let output = self.output(arguments).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn fails(&self, arguments: &str) -> String {
        let output = self.output(arguments).await;
        assert!(!output.status.success(), "{arguments}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test]
async fn a_session_from_signing_in_to_signing_out() {
    let scene = Scene::with(Settings::new()).await;
    let fitiq = Program::new(&scene);
    let told = fitiq.fails("add meal raw_input=soup").await;
    assert!(told.contains("nobody is signed in"), "{told}");
    fitiq
        .run(&format!("sign-in --email {EMAIL} --password {PASSWORD}"))
        .await;
    let seeded = fitiq.run("seed --days 1").await;
    assert!(seeded.starts_with("48 hourly values"), "{seeded}");
    let added = fitiq
        .run("add workout activity_type=running started_at=2025-11-18T18:00:00Z")
        .await;
    let id = added.split(' ').next().unwrap();
    assert!(fitiq.run("status").await.contains("Pending"));
    let explained = fitiq.run(&format!("explain {id}")).await;
    assert!(explained.contains("create workout"), "{explained}");
    assert_eq!(
        fitiq.run("sync --once").await.trim(),
        "everything is delivered"
    );
    fitiq.run(&format!("edit {id} intensity=7")).await;
    fitiq.run("sync --once").await;
    let running = |held: &backend::Held| held.entity["activity_type"] == "running";
    let workouts = scene.held("workouts");
    let workout = workouts.iter().find(|held| running(held)).unwrap();
    assert_eq!(workout.entity["intensity"], 7.0);

    fitiq
        .run("add progress metric=water_liters value=2.5 date=2025-11-18")
        .await;
    let file = scene.folder().join("left.jsonl");
    let left = fitiq
        .run(&format!(
            "sign-out --undelivered export --file {}",
            file.display()
        ))
        .await;
    assert!(left.contains("1 exported"), "{left}");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("water_liters")
    );
    assert!(
        fitiq
            .fails("sync --once")
            .await
            .contains("nobody is signed in")
    );
}

#[tokio::test]
async fn a_mistyped_command_is_explained() {
    let scene = Scene::new().await;
    let fitiq = Program::new(&scene);
    fitiq
        .run(&format!("sign-in --email {EMAIL} --password {PASSWORD}"))
        .await;
    for (arguments, expected) in [
        ("add lunch raw_input=soup", "is no kind of thing"),
        (
            "add progress metric=step value=1 date=2025-11-18",
            "unknown variant `step`",
        ),
        (
            "add progress value=1 date=2025-11-18",
            "missing field `metric`",
        ),
        (
            "add template name=Push colour=red",
            "has no \"colour\"; it has",
        ),
        (
            "edit 00000000-0000-4000-8000-000000000000 a=1",
            "00000000-0000-4000-8000-000000000000 does not exist",
        ),
        (
            "migrate --from /nowhere/old.store",
            "the file does not exist",
        ),
    ] {
        let told = fitiq.fails(arguments).await;
        assert!(told.contains(expected), "{arguments}: {told}");
    }
    let url = "https://example.org".to_owned();
    let told = Program { url, ..fitiq }.fails("sync").await;
    assert!(told.contains("built without TLS"), "{told}");
}
