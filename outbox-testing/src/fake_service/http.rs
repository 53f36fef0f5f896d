//! HTTP/1.1 as bytes: as much as clients send to a service, and what it answers.

use std::io::{self, BufRead, Read, Write};

use super::request::Received;

const MOST_HEAD_BYTES: usize = 64 * 1024;
const MOST_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Why a request is not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// The client left, or was silent for too long.
    Gone,
    /// The request is answered with this status and not recorded.
    With(u16),
}

impl From<io::Error> for Refused {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// The first line and the headers of a request.
pub(super) struct Head {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Reads a head, including the empty line.
    pub(super) fn read(from: &mut impl BufRead) -> Result<Self, Refused> {
        let mut left = MOST_HEAD_BYTES;
        let first = loop {
            let line = read_line(from, &mut left)?;
            // Clients may send an empty line before a request.
            if !line.is_empty() {
                break line;
            }
        };
        let mut words = first.split(' ');
        let (Some(method), Some(path), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Refused::With(400));
        };
        if !version.starts_with("HTTP/1.") {
            return Err(Refused::With(505));
        }
        let mut headers = Vec::new();
        loop {
            let line = read_line(from, &mut left)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(Refused::With(400))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    /// Whether the client waits to be told to send the body.
    pub(super) fn expects_continue(&self) -> bool {
        let expected = self.header("expect");
        expected.is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue"))
    }

    /// Reads the body.
    pub(super) fn read_body(self, from: &mut impl BufRead) -> Result<Received, Refused> {
        let encoding = self.header("transfer-encoding");
        let body = match (encoding, self.header("content-length")) {
            (Some(encoding), _) if encoding.eq_ignore_ascii_case("chunked") => read_chunks(from)?,
            (Some(_), _) => return Err(Refused::With(501)),
            (None, Some(length)) => {
                let length = length.parse().map_err(|_| Refused::With(400))?;
                let mut body = Vec::new();
                read_exactly(from, length, &mut body)?;
                body
            }
            (None, None) => Vec::new(),
        };
        Ok(Received {
            method: self.method,
            path: self.path,
            headers: self.headers,
            body,
        })
    }
}

fn read_chunks(from: &mut impl BufRead) -> Result<Vec<u8>, Refused> {
    let (mut body, mut left) = (Vec::new(), MOST_HEAD_BYTES);
    loop {
        let line = read_line(from, &mut left)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| Refused::With(400))?;
        if size == 0 {
            // Fields after the body.
            while !read_line(from, &mut left)?.is_empty() {}
            return Ok(body);
        }
        read_exactly(from, size, &mut body)?;
        if !read_line(from, &mut left)?.is_empty() {
            return Err(Refused::With(400));
        }
        // The bound is on what the body does not bring along.
        left = MOST_HEAD_BYTES;
    }
}

/// Appends this many bytes to `body`.
fn read_exactly(from: &mut impl BufRead, length: usize, body: &mut Vec<u8>) -> Result<(), Refused> {
    let size = body.len().checked_add(length);
    if size.is_none_or(|size| size > MOST_BODY_BYTES) {
        return Err(Refused::With(413));
    }
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    let read = from.take(limit).read_to_end(body)?;
    if read == length {
        Ok(())
    } else {
        Err(Refused::Gone)
    }
}

/// Reads a line of at most `left` bytes, without its end.
fn read_line(from: &mut impl BufRead, left: &mut usize) -> Result<String, Refused> {
    let limit = u64::try_from(*left).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    let read = from.take(limit).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        let is_too_long = read > 0 && read == *left;
        return Err(if is_too_long {
            Refused::With(431)
        } else {
            Refused::Gone
        });
    }
    *left -= read;
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| Refused::With(400))
}

/// Writes an answer, after which the connection ends. A body after `HEAD` is only announced.
pub(super) fn write_answer(
    to: &mut impl Write,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    is_for_head: bool,
) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nconnection: close\r\n",
        reason(status)
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // These two have no body, and no length of one.
    if !matches!(status, 204 | 304) {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    to.write_all(head.as_bytes())?;
    if !is_for_head && !matches!(status, 204 | 304) {
        to.write_all(body)?;
    }
    to.flush()
}

/// A phrase for people.
fn reason(status: u16) -> &'static str {
    match status {
        100..=199 => "Continue",
        200..=299 => "OK",
        300..=399 => "Redirect",
        400..=499 => "Client Error",
        _ => "Server Error",
    }
}
