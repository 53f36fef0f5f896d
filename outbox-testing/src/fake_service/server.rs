//! The thread that listens, and one for each connection.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::connection;
use super::state::State;

/// The number of connections that are served at the same time.
const MOST_CONNECTIONS: usize = 64;

#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// A connection, and the thread that serves it.
struct Connection {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl Server {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new());
        let thread = thread::Builder::new()
            .name("fake-service".to_owned())
            .spawn({
                let state = Arc::clone(&state);
                move || listen(&listener, &state)
            })?;
        Ok(Self {
            address,
            state,
            thread: Some(thread),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }
}

fn listen(listener: &TcpListener, state: &Arc<State>) {
    let mut connections: Vec<Connection> = Vec::new();
    for stream in listener.incoming() {
        if state.has_ended() {
            break;
        }
        // An error concerns a client that has left meanwhile.
        let Ok(stream) = stream else {
            continue;
        };
        connections.retain(|connection| !connection.thread.is_finished());
        if connections.len() >= MOST_CONNECTIONS {
            connection::refuse(&stream, 503);
            continue;
        }
        connections.extend(serve(stream, state));
    }
    for Connection { stream, thread } in connections {
        // It may have ended by itself.
        let _ = stream.shutdown(Shutdown::Both);
        let _ = thread.join();
    }
}

/// Serves a connection on a thread of its own; `None` if there is none to be had.
fn serve(stream: TcpStream, state: &Arc<State>) -> Option<Connection> {
    let own = stream.try_clone().ok()?;
    let state = Arc::clone(state);
    let thread = thread::Builder::new()
        .name("fake-connection".to_owned())
        .spawn(move || connection::serve(&own, &state))
        .ok()?;
    Some(Connection { stream, thread })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.end();
        // Wakes the listening thread. It cannot be waited for if even that is impossible.
        let is_woken = TcpStream::connect(self.address).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| is_woken) {
            let _ = thread.join();
        }
    }
}
