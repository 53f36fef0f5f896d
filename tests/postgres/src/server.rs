//! The server of a test binary.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use outbox_postgres::tokio_postgres::Config;

use crate::installation::{programs, user};

/// A running server. It ends with the process that started it, however that ends: a shell waits for
/// the end of a pipe that only this process holds open, and then ends the server by its id and
/// removes its files.
#[derive(Debug)]
pub struct Server {
    port: u16,
    folder: std::path::PathBuf,
    _keeper: Child,
}

/// Waits until the server is up, says so, and ends it with its starter.
const KEEPER: &str = r#"
bin=$1 folder=$2 port=$3
"$bin/initdb" -D "$folder/data" -U tester -A trust -E UTF8 --locale=C -N >"$folder/initdb.log" 2>&1 || { echo failed; exit 1; }
"$bin/postgres" -D "$folder/data" -p "$port" -k "$folder" -c listen_addresses=127.0.0.1 \
    -c max_connections=300 -c fsync=off -c full_page_writes=off >"$folder/server.log" 2>&1 </dev/null &
server=$!
trap '' INT TERM
for _ in $(seq 300); do
    kill -0 "$server" 2>/dev/null || break
    if "$bin/pg_isready" -q -h "$folder" -p "$port"; then echo ready; up=1; break; fi
    sleep 0.1
done
[ -n "$up" ] || echo failed
cat >/dev/null
kill -INT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

impl Server {
    /// The server of this binary, started by the first test that asks.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is installed and does not start, or is not and must be.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| match Self::start() {
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
        })
    }

    /// Starts a server; `None` if there is no PostgreSQL.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is installed and does not start.
    #[must_use]
    #[allow(clippy::expect_used, reason = "a failed test panics")]
    pub fn start() -> Option<Self> {
        let programs = programs()?;
        for _ in 0..3 {
            if let Some(server) = Self::start_from(&programs) {
                return Some(server);
            }
        }
        panic!("the server in {} does not start", programs.display());
    }

    #[allow(clippy::expect_used, reason = "a failed test panics")]
    fn start_from(programs: &Path) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("outbox-pg-").tempdir();
        // The keeper removes it, after the server has ended.
        let folder = folder.expect("a temporary folder").keep();
        // Free a moment ago; if somebody took it since, the next attempt has another.
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", KEEPER, "sh"])
            .args([programs.as_os_str(), folder.as_os_str()])
            .arg(port.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A signal to this process's group must not reach it.
            .process_group(0);
        if let Some((uid, gid)) = user() {
            chown(&folder, Some(uid), Some(gid)).expect("root may give a folder away");
            keeper.uid(uid).gid(gid);
        }
        let private = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&folder, private).expect("it is ours or we are root");
        let mut keeper = keeper.spawn().expect("a shell");
        let said = keeper.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).expect("UTF-8");
        if line.trim() != "ready" {
            let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
            eprintln!("the server did not start: {line} {log}");
            drop(keeper.stdin.take());
            keeper.wait().expect("it ends with its input");
            return None;
        }
        Some(Self {
            port,
            folder,
            _keeper: keeper,
        })
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
}
