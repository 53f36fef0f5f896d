//! One connection: a request and its answer.

use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::http::{Head, Refused, write_answer};
use super::reply::{Kind, Reply};
use super::request::Received;
use super::state::State;

/// How long a client may be silent in the middle of a request, or not read its answer.
const SILENCE: Duration = Duration::from_secs(30);

/// Serves one request. Each connection has one, so that a client never meets a connection that the
/// service is about to end.
pub(super) fn serve(stream: &TcpStream, state: &State) {
    // Errors concern the client, which sees them itself.
    let _ = try_to_serve(stream, state);
    let _ = stream.shutdown(Shutdown::Both);
}

/// Refuses a connection.
pub(super) fn refuse(stream: &TcpStream, status: u16) {
    let mut writer = stream;
    let _ = write_answer(&mut writer, status, &[], &[], false);
    let _ = stream.shutdown(Shutdown::Both);
}

fn try_to_serve(stream: &TcpStream, state: &State) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    let mut writer = stream;
    let request = match read(stream) {
        Ok(request) => request,
        Err(Refused::Gone) => return Ok(()),
        Err(Refused::With(status)) => return write_answer(&mut writer, status, &[], &[], false),
    };
    let is_for_head = request.method == "HEAD";
    let Reply { kind, after } = state.answer(request);
    let delay = (kind != Kind::Hang).then_some(after);
    if delay != Some(Duration::ZERO) && !state.be_late(delay, || has_left(stream)) {
        return Ok(());
    }
    match kind {
        Kind::Answer {
            status,
            headers,
            body,
        } => write_answer(&mut writer, status, &headers, &body, is_for_head),
        Kind::Disconnect | Kind::Hang => Ok(()),
    }
}

fn read(stream: &TcpStream) -> Result<Received, Refused> {
    let mut reader = BufReader::new(stream);
    let head = Head::read(&mut reader)?;
    if head.expects_continue() {
        let mut writer = stream;
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    head.read_body(&mut reader)
}

/// Whether the client has ended the connection.
fn has_left(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let peeked = stream.peek(&mut [0]);
    let is_blocking_again = stream.set_nonblocking(false).is_ok();
    let is_open = match peeked {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    !is_open || !is_blocking_again
}
