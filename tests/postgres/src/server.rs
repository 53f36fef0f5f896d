//! A server that the tests start, and stop, kill, copy and promote.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use outbox_postgres::tokio_postgres::{Client, Config};

use crate::installation::{programs, user};

/// A running server. It ends with the process that started it, however that ends: a shell waits for
/// the end of a pipe that only this process holds open, and then ends the server and removes its
/// files.
#[derive(Debug)]
pub struct Server {
    port: u16,
    folder: PathBuf,
    keeper: Mutex<Keeper>,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It rolls transactions back and ends its sessions.
    Fast,
    /// Its processes exit at once, as in a crash; the next start recovers from the log.
    Immediate,
}

/// Runs commands, one a line, and ends the server with its starter.
const KEEPER: &str = r#"
bin=$1 folder=$2 port=$3
data=$folder/data
options="-p $port -k $folder -c listen_addresses=127.0.0.1 -c max_connections=300"
trap '' INT TERM
while read -r command argument; do
    case $command in
        create) "$bin/initdb" -D "$data" -U tester -A trust -E UTF8 --locale=C -N ;;
        copy) "$bin/pg_basebackup" -D "$data" -h 127.0.0.1 -p "$argument" -U tester -R -X stream -c fast --no-sync ;;
        set) echo "$argument" >>"$data/postgresql.conf" ;;
        start) "$bin/pg_ctl" -D "$data" -w -t 60 -l "$folder/server.log" -o "$options" start ;;
        stop) "$bin/pg_ctl" -D "$data" -w -t 60 -m "$argument" stop ;;
        reload) "$bin/pg_ctl" -D "$data" reload ;;
        promote) "$bin/pg_ctl" -D "$data" -w -t 60 promote ;;
        *) false ;;
    esac </dev/null >>"$folder/keeper.log" 2>&1 && echo done || echo failed
done
"$bin/pg_ctl" -D "$data" -w -m immediate stop >/dev/null 2>&1
rm -rf "$folder"
"#;

#[derive(Debug)]
struct Keeper {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    _shell: Child,
}

impl Keeper {
    /// Runs a command; returns whether it succeeded.
    #[allow(clippy::expect_used, reason = "a failed test panics")]
    fn run(&mut self, command: &str) -> bool {
        writeln!(self.commands, "{command}").expect("the keeper waits for commands");
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer);
        read.expect("the keeper answers in UTF-8");
        answer.trim() == "done"
    }
}

impl Server {
    /// The server of this binary, started by the first test that asks.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is installed and does not start, or is not and must be.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::required)
    }

    /// Starts a server. Where PostgreSQL is not installed, this prints one line and ends the binary
    /// successfully; with `OUTBOX_POSTGRES_REQUIRED` in the environment, it panics instead.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is installed and does not start, or is not and must be.
    #[must_use]
    pub fn required() -> Self {
        match Self::start() {
            Some(server) => server,
            None if std::env::var_os("OUTBOX_POSTGRES_REQUIRED").is_some() => {
                panic!("PostgreSQL is not installed")
            }
            None => {
                // Directly, because the test harness would swallow it.
                let line =
                    b"skipped: PostgreSQL is not installed (Debian: apt-get install postgresql)\n";
                let _ = std::io::stderr().write_all(line);
                std::process::exit(0);
            }
        }
    }

    /// Starts a server that does not wait for the disk; `None` if there is no PostgreSQL.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is installed and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&["fsync=off", "full_page_writes=off"])
    }

    /// Starts a server with these settings; `None` if there is no PostgreSQL.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is installed and does not start.
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        let programs = programs()?;
        for _ in 0..3 {
            let server = Self::prepare(&programs, None);
            let set = |setting: &&str| server.run(&format!("set {setting}"));
            if server.run("create") && settings.iter().all(set) && server.run("start") {
                return Some(server);
            }
            eprintln!("the server did not start: {}", server.log());
        }
        panic!("the server in {} does not start", programs.display());
    }

    /// Starts a standby, a copy of this server that follows it.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    #[allow(clippy::expect_used, reason = "a failed test panics")]
    pub fn standby(&self) -> Self {
        let programs = programs().expect("this server runs");
        let standby = Self::prepare(&programs, None);
        let started = standby.run(&format!("copy {}", self.port)) && standby.run("start");
        assert!(started, "the standby does not start: {}", standby.log());
        standby
    }

    /// Starts a server with its files in this folder; `None` if there is no PostgreSQL.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is installed and does not start.
    #[must_use]
    pub fn start_in(folder: &Path) -> Option<Self> {
        let server = Self::prepare(&programs()?, Some(folder));
        let started = server.run("create") && server.run("start");
        assert!(started, "the server does not start: {}", server.log());
        Some(server)
    }

    /// A folder and a port for a server, and its keeper.
    #[allow(clippy::expect_used, reason = "a failed test panics")]
    fn prepare(programs: &Path, within: Option<&Path>) -> Self {
        let temporary = std::env::temp_dir();
        let folder = tempfile::Builder::new()
            .prefix("outbox-pg-")
            .tempdir_in(within.unwrap_or(&temporary));
        // The keeper removes it, after the server has ended.
        let folder = folder.expect("a temporary folder").keep();
        // Free a moment ago; if somebody took it since, the next attempt has another.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", KEEPER, "sh"])
            .args([programs.as_os_str(), folder.as_os_str()])
            .arg(port.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A signal to this process's group must not reach it.
            .process_group(0);
        // Settings of other servers, such as `PGPORT`.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                shell.env_remove(name);
            }
        }
        give_to_server(&folder);
        if let Some((uid, gid)) = user() {
            shell.uid(uid).gid(gid);
        }
        let mut shell = shell.spawn().expect("a shell");
        let commands = shell.stdin.take().expect("a pipe");
        let answers = shell.stdout.take().expect("a pipe");
        let keeper = Keeper {
            commands,
            answers: BufReader::new(answers),
            _shell: shell,
        };
        Self {
            port,
            folder,
            keeper: Mutex::new(keeper),
        }
    }

    fn run(&self, command: &str) -> bool {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper.run(command)
    }

    /// Stops the server; returns whether it was running.
    pub fn stop(&self, how: Stop) -> bool {
        self.run(match how {
            Stop::Fast => "stop fast",
            Stop::Immediate => "stop immediate",
        })
    }

    /// Starts the server again, and waits until it has recovered; returns whether it came up.
    pub fn start_again(&self) -> bool {
        self.run("start")
    }

    /// Makes a standby a server of its own; returns whether it became one.
    pub fn promote(&self) -> bool {
        self.run("promote")
    }

    /// Changes a setting of the server, which must be one that takes effect without a restart.
    ///
    /// # Panics
    ///
    /// If the server does not take it.
    pub fn set(&self, name: &str, value: &str) {
        let line = format!("set {name} = '{value}'");
        assert!(self.run(&line) && self.run("reload"), "{line}");
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name| std::fs::read(self.folder.join(name)).unwrap_or_default();
        let log = [read("server.log"), read("keeper.log")].concat();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The settings of connections over its socket.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host_path(&self.folder)
            .port(self.port)
            .user("tester")
            .dbname("postgres");
        config
    }

    /// Its address on the loopback interface.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://tester@127.0.0.1:{}/postgres", self.port)
    }

    /// The same as settings in words, which other processes can be told.
    #[must_use]
    pub fn address(&self) -> String {
        let host = self.folder.display();
        format!("host={host} port={} user=tester dbname=postgres", self.port)
    }

    /// A session of an application.
    pub async fn connect(&self) -> Client {
        crate::connect_with(&self.config()).await
    }

    /// Its port on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Lets the user that runs the server write into a folder.
///
/// # Panics
///
/// If this process may not give it away.
#[allow(clippy::expect_used, reason = "a failed test panics")]
pub fn give_to_server(folder: &Path) {
    if let Some((uid, gid)) = user() {
        chown(folder, Some(uid), Some(gid)).expect("root may give a folder away");
    }
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, readable).expect("it is ours or we are root");
}
