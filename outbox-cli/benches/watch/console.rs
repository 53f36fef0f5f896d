//! `outbox serve` with a page that is open: the overview, read again after each change that the
//! live stream tells, as its script does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

pub(crate) struct Console {
    serve: Child,
    window: JoinHandle<()>,
    pages: Receiver<()>,
}

impl Console {
    pub(crate) fn open(db: &Path) -> Self {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_outbox"))
            .env("OUTBOX_DB", db)
            .args(["serve", "--port", "0", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut about = String::new();
        let stdout = serve.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut about).unwrap();
        let about: Value = serde_json::from_str(&about).unwrap();
        let port = about["port"].as_u64().unwrap();
        let token = about["token"].as_str().unwrap().to_owned();
        let (sender, pages) = channel();
        let window = std::thread::spawn(move || look(port, &token, &sender));
        // The first page is no part of the measurement.
        pages.recv_timeout(Duration::from_secs(60)).unwrap();
        Self {
            serve,
            window,
            pages,
        }
    }

    /// Ends it, and returns the pages that were read.
    pub(crate) fn close(mut self) -> usize {
        self.serve.kill().unwrap();
        self.serve.wait().unwrap();
        self.window.join().unwrap();
        self.pages.try_iter().count()
    }
}

/// Looks until the server is gone.
fn look(port: u64, token: &str, pages: &Sender<()>) {
    let signed_in = read(port, &format!("/login?token={token}"), "").unwrap();
    let cookie = signed_in
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.unwrap().split(';').next().unwrap().to_owned();
    let live = BufReader::new(request(port, "/live", &cookie).unwrap());
    for line in live.lines().map_while(Result::ok) {
        if !line.starts_with("event: ") {
            continue;
        }
        match read(port, "/", &cookie) {
            Ok(page) => assert!(page.starts_with("HTTP/1.1 200"), "{page}"),
            Err(_) => return,
        }
        if pages.send(()).is_err() {
            return;
        }
    }
}

fn read(port: u64, path: &str, cookie: &str) -> std::io::Result<String> {
    let mut answer = String::new();
    request(port, path, cookie)?.read_to_string(&mut answer)?;
    match answer.is_empty() {
        true => Err(std::io::ErrorKind::UnexpectedEof.into()),
        false => Ok(answer),
    }
}

fn request(port: u64, path: &str, cookie: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}"))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
    )?;
    Ok(stream)
}
