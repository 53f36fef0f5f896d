//! `serve`: the console from outside, as a process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use outbox_runtime::{NewEvent, Operation, OutboxRepository as _, OutboxStatus, SqliteStore};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::scene::{Scene, id};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The command at work. Killed when it goes out of scope.
struct Served {
    child: Child,
    lines: BufReader<ChildStdout>,
    about: Value,
    cookie: String,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Served {
    fn start(scene: &Scene, args: &[&str]) -> Self {
        Self::start_with(scene.path().to_str().unwrap(), args, &[])
    }

    fn start_with(db: &str, args: &[&str], vars: &[(&str, &str)]) -> Self {
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("outbox"))
            .env("OUTBOX_DB", db)
            .env_remove("OUTBOX_SENSITIVE")
            .envs(vars.iter().copied())
            .args(["serve", "--port", "0", "--json"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let about = serde_json::from_str(&line);
        let about = about.unwrap_or_else(|_| panic!("{line:?}: {:?}", stderr(&mut child)));
        Self {
            child,
            lines,
            about,
            cookie: String::new(),
        }
    }

    fn port(&self) -> u64 {
        self.about["port"].as_u64().unwrap()
    }

    fn connect(&self) -> TcpStream {
        let address = format!("127.0.0.1:{}", self.port());
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "")
    }

    fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = self.connect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nCookie: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.port(),
            self.cookie,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_owned();
        let cookies = head
            .lines()
            .filter_map(|line| line.strip_prefix("set-cookie: "));
        for cookie in cookies {
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: body.to_owned(),
        }
    }

    /// Signs in by the printed address.
    fn sign_in(mut self) -> Self {
        let url = self.about["url"].as_str().unwrap().to_owned();
        let start = format!("http://127.0.0.1:{}", self.port());
        let answer = self.get(url.strip_prefix(&start).unwrap());
        assert_eq!(answer.status, 303, "{answer:?}");
        self
    }

    /// Sends the only form on this page of confirmation.
    fn confirm(&mut self, path: &str) -> Answer {
        let page = self.get(path).body;
        let part = |start: &str| {
            let after = page.split(start).last().unwrap();
            after.split('"').next().unwrap().replace("&#38;", "&")
        };
        let action = part("<form id=\"confirm\" method=\"post\" action=\"");
        let token = part("name=\"csrf\" value=\"");
        self.send("POST", &action, &format!("csrf={token}"))
    }

    /// Ends it by a signal. Returns its exit code, the rest of its output, and its messages.
    fn stop(mut self, signal: Signal) -> (i32, String, String) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        let messages = stderr(&mut self.child);
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, rest, messages)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stderr(child: &mut Child) -> String {
    let mut text = String::new();
    let stderr = child.stderr.as_mut().unwrap();
    stderr.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_prints_a_token_once_answers_and_stops() {
    for signal in [Signal::INT, Signal::TERM] {
        let scene = Scene::with_each_state().await;
        let mut served = Served::start(&scene, &[]);
        assert_eq!(served.about["isWritable"], false);
        assert_eq!(served.get("/").status, 401);
        let token = served.about["token"].as_str().unwrap().to_owned();
        let mut served = served.sign_in();
        for page in [
            "/",
            "/events",
            "/dead",
            "/types",
            "/users",
            "/processes",
            "/pauses",
            "/maintenance",
        ] {
            let answer = served.get(page);
            assert_eq!(answer.status, 200, "{page}: {answer:?}");
            assert!(
                answer
                    .head
                    .contains("content-security-policy: default-src 'none'")
            );
        }
        assert!(served.get("/events?state=dead").body.contains("HTTP 422"));
        // An open stream does not hold up the end.
        let mut live = served.connect();
        let request = format!(
            "GET /live HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nCookie: {}\r\n\r\n",
            served.port(),
            served.cookie
        );
        live.write_all(request.as_bytes()).unwrap();
        let mut first = [0; 15];
        live.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        let (code, rest, messages) = served.stop(signal);
        assert_eq!((code, rest.as_str(), messages.as_str()), (0, "", ""));
        assert!(!messages.contains(&token));
        assert_eq!(scene.files(), ["app.db"], "nothing is left beside the file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_changes_nothing_unless_it_may_write() {
    let scene = Scene::with_each_state().await;
    let mut reader = Served::start(&scene, &[]).sign_in();
    for path in ["/retry?state=dead", "/discard?state=dead"] {
        assert_eq!(reader.get(path).status, 403);
        assert_eq!(reader.send("POST", path, "").status, 403);
    }
    assert_eq!(reader.stop(Signal::TERM).0, 0);
    assert_eq!(scene.json(1, &["status"])["statistics"]["deadCount"], 1);

    let mut writer = Served::start(&scene, &["--write"]).sign_in();
    let done = writer.confirm("/retry?state=dead");
    assert!(done.head.contains("done=retry&count=1"), "{done:?}");
    assert_eq!(writer.stop(Signal::TERM).0, 0);
    // Those that wait are still something to look at.
    assert_eq!(scene.json(1, &["status"])["statistics"]["deadCount"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_goes_on_when_an_application_opens_the_file() {
    let scene = Scene::with_each_state().await;
    let mut served = Served::start(&scene, &[]).sign_in();
    assert_eq!(served.get("/").status, 200);
    let store = SqliteStore::open(scene.path()).await.unwrap();
    let meal = NewEvent::new("meal", 70, "zoe", Operation::Update);
    store.create_event(meal).await.unwrap();
    let listed = served.get("/events?user=zoe");
    assert!(listed.body.contains(">zoe<"), "{listed:?}");
    // And takes up what the application commits from now on.
    let mood = NewEvent::new("mood", 71, "yan", Operation::Update);
    store.create_event(mood).await.unwrap();
    assert!(served.get("/events?user=yan").body.contains(">yan<"));
    store.close().await;
    assert_eq!(served.stop(Signal::TERM).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_writes_beside_an_application() {
    let scene = Scene::with_each_state().await;
    let store = SqliteStore::open(scene.path()).await.unwrap();
    let mut served = Served::start(&scene, &["--write"]).sign_in();
    let done = served.confirm("/discard?state=dead");
    assert!(done.head.contains("done=discard&count=1"), "{done:?}");
    let dead = store.fetch_events(OutboxStatus::Dead, None, None).await;
    assert!(dead.unwrap().is_empty());
    let shown = served.get(&format!("/event?id={}", id(2)));
    assert!(shown.body.contains("(text of 12)"), "{shown:?}");
    assert_eq!(served.stop(Signal::INT).0, 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_is_public_only_with_a_password_and_a_name() {
    let scene = Scene::with_each_state().await;
    for args in [
        &["serve", "--public"][..],
        &["serve", "--public", "--host", "ops.example.com"],
        &[
            "serve",
            "--public",
            "--host",
            "ops.example.com",
            "--password",
            "short",
        ],
        &["serve", "--password", ""],
    ] {
        let refused = scene.expect(2, args);
        assert_eq!(refused.stdout, "", "{args:?}");
        assert!(refused.stderr.contains("password") || refused.stderr.contains("--host"));
    }
    let vars = [("OUTBOX_CONSOLE_PASSWORD", "correct horse battery")];
    let args = ["--public", "--host", "ops.example.com"];
    let mut served = Served::start_with(scene.path().to_str().unwrap(), &args, &vars);
    assert_eq!(served.about["isPublic"], true);
    let wrong = served.send("POST", "/login", "secret=correct+horse");
    assert_eq!(wrong.status, 401);
    let right = served.send("POST", "/login", "secret=correct+horse+battery");
    assert_eq!(right.status, 303, "{right:?}");
    assert_eq!(served.get("/").status, 200);
    assert_eq!(served.stop(Signal::TERM).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_fails_at_once_where_it_cannot_serve() {
    let scene = Scene::with_each_state().await;
    let served = Served::start(&scene, &[]);
    let port = served.port().to_string();
    let taken = scene.expect(2, &["serve", "--port", &port]);
    assert!(
        taken.stderr.contains("cannot listen on 127.0.0.1"),
        "{taken:?}"
    );
    let missing = crate::scene::run("/nowhere/app.db", &["serve", "--port", "0"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("no such file"), "{missing:?}");
    assert_eq!(scene.files(), ["app.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_listens_on_this_machine_alone() {
    let scene = Scene::with_each_state().await;
    let served = Served::start(&scene, &[]);
    // Any other address of this machine, as another machine would ask it.
    let other = format!("127.0.0.2:{}", served.port());
    assert!(TcpStream::connect(other).is_err());
    let vars = [("OUTBOX_CONSOLE_PASSWORD", "correct horse battery")];
    let args = ["--public", "--host", "ops.example.com"];
    let public = Served::start_with(scene.path().to_str().unwrap(), &args, &vars);
    // The control.
    let other = format!("127.0.0.2:{}", public.port());
    assert!(TcpStream::connect(other).is_ok());
}
