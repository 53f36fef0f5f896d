//! A network that fails: a proxy on the loopback interface between clients and server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::pause;

/// What happens to all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Both sides see the end.
    Cut,
    /// The client sees the end; what it sends still arrives.
    CloseToClient,
    /// The server sees the end; what it sends still arrives.
    CloseToServer,
    /// Nothing arrives for this many milliseconds; then both sides see the end.
    Stall(u64),
}

/// The answer `ReadyForQuery` outside a transaction: what was asked before is committed.
const IDLE: &[u8] = b"Z\0\0\0\x05I";
/// The same inside a transaction.
const OPEN: &[u8] = b"Z\0\0\0\x05T";

/// The end of a statement that commits; not that of a level's name.
const COMMIT: &[u8] = b"COMMIT\0";

/// The longest time to the answer of a commit, in milliseconds.
const LONGEST_COMMIT: u64 = 2_000;

fn has(chunk: &[u8], word: &[u8]) -> bool {
    chunk.windows(word.len()).any(|window| window == word)
}

/// Counts of what was done to connections.
#[derive(Debug, Default)]
pub struct Struck {
    /// Connections that were cut, half closed, and stalled.
    pub cut: AtomicU64,
    /// As named.
    pub half_closed: AtomicU64,
    /// As named.
    pub stalled: AtomicU64,
    /// Commits whose answer was lost.
    pub unanswered: AtomicU64,
    /// Chunks that were delayed.
    pub delayed: AtomicU64,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    harm: watch::Sender<Option<Harm>>,
    /// How long a chunk is held up, in milliseconds.
    delay: AtomicU64,
    /// How many of the next commits lose their answer.
    loses: AtomicU64,
    /// What the client reads in place of such an answer.
    last_words: Vec<u8>,
    struck: Struck,
}

/// The proxy, which ends with this value.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.state.harm.send_replace(Some(Harm::Cut));
    }
}

impl Proxy {
    /// A proxy before the server on this port.
    pub async fn before(port: u16) -> Self {
        Self::with_last_words(port, Vec::new()).await
    }

    /// A proxy that says this to clients whose answer it loses.
    pub async fn with_last_words(port: u16, last_words: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let state = Arc::new(State {
            target: SocketAddr::from(([127, 0, 0, 1], port)),
            harm: watch::Sender::new(None),
            delay: AtomicU64::new(0),
            loses: AtomicU64::new(0),
            last_words,
            struck: Struck::default(),
        });
        let port = listener.local_addr().expect("its number").port();
        let accepting = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(Arc::clone(&accepting), client));
            }
        });
        Self { port, state, task }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!(
            "host=127.0.0.1 port={} user=tester dbname=postgres",
            self.port
        )
    }

    /// Does harm to all connections that are open now.
    pub fn harm(&self, harm: Harm) {
        self.state.harm.send_replace(Some(harm));
    }

    /// Holds up each chunk for this many milliseconds from now on.
    pub fn delay(&self, millis: u64) {
        self.state.delay.store(millis, Ordering::SeqCst);
    }

    /// Loses the answers of this many commits, and cuts their connections.
    pub fn lose_answers(&self, count: u64) {
        self.state.loses.fetch_add(count, Ordering::SeqCst);
    }

    /// Counts of the harm so far.
    #[must_use]
    pub fn struck(&self) -> &Struck {
        &self.state.struck
    }
}

impl State {
    /// Whether the answer to this chunk from a client is to be lost, should it commit something.
    fn loses(&self, chunk: &[u8]) -> bool {
        (has(chunk, COMMIT) || has(chunk, b".enqueue"))
            && self
                .loses
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok()
    }

    async fn hold_up(&self) {
        let delay = self.delay.load(Ordering::SeqCst);
        if delay > 0 {
            self.struck.delayed.fetch_add(1, Ordering::SeqCst);
            pause(delay).await;
        }
    }
}

/// What the server answers, up to the end of a statement or of a transaction.
async fn answer(server: &mut ReadHalf<'_>, ends_transaction: bool) -> Vec<u8> {
    let (mut answer, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    while !has(&answer, IDLE) && (ends_transaction || !has(&answer, OPEN)) {
        match server.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&chunk[..read]),
        }
    }
    answer
}

/// Carries one connection until it ends.
async fn carry(state: Arc<State>, mut client: TcpStream) {
    let mut harms = state.harm.subscribe();
    harms.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(state.target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut is_up, mut is_down) = (true, true);
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    while is_up || is_down {
        tokio::select! {
            read = from_client.read(&mut up), if is_up => {
                let chunk = &up[..read.unwrap_or(0)];
                if chunk.is_empty() {
                    is_up = false;
                    let _ = to_server.shutdown().await;
                    continue;
                }
                state.hold_up().await;
                let is_lost = state.loses(chunk);
                if to_server.write_all(chunk).await.is_err() {
                    return;
                }
                if is_lost {
                    let ends_transaction = has(chunk, COMMIT);
                    let answer = tokio::select! {
                        answer = answer(&mut from_server, ends_transaction) => answer,
                        () = pause(LONGEST_COMMIT) => return,
                    };
                    if has(&answer, IDLE) {
                        state.struck.unanswered.fetch_add(1, Ordering::SeqCst);
                        let _ = to_client.write_all(&state.last_words).await;
                        return;
                    }
                    // An event in a transaction that is still open.
                    state.loses.fetch_add(1, Ordering::SeqCst);
                    if to_client.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
            read = from_server.read(&mut down), if is_down => {
                let chunk = &down[..read.unwrap_or(0)];
                if chunk.is_empty() {
                    is_down = false;
                    let _ = to_client.shutdown().await;
                    continue;
                }
                state.hold_up().await;
                if to_client.write_all(chunk).await.is_err() {
                    return;
                }
            }
            changed = harms.changed() => {
                let harm = *harms.borrow_and_update();
                match harm.filter(|_| changed.is_ok()) {
                    None => return,
                    Some(Harm::Cut) => {
                        state.struck.cut.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    Some(Harm::Stall(millis)) => {
                        state.struck.stalled.fetch_add(1, Ordering::SeqCst);
                        pause(millis).await;
                        return;
                    }
                    Some(Harm::CloseToClient) => {
                        state.struck.half_closed.fetch_add(1, Ordering::SeqCst);
                        is_down = false;
                        let _ = to_client.shutdown().await;
                    }
                    Some(Harm::CloseToServer) => {
                        state.struck.half_closed.fetch_add(1, Ordering::SeqCst);
                        is_up = false;
                        let _ = to_server.shutdown().await;
                    }
                }
            }
        }
    }
}
