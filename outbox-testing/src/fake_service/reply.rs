//! An answer of the service.

use std::time::Duration;

/// An answer of a [`FakeService`](crate::FakeService).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use outbox_testing::Reply;
///
/// let limited = Reply::status(429).header("retry-after", "30");
/// let created = Reply::json(201, &serde_json::json!({"id": 7}));
/// let late = Reply::status(200).after(Duration::from_millis(50));
/// # let _ = (limited, created, late);
/// ```
///
/// What a network does:
///
/// ```
/// use outbox_testing::Reply;
///
/// let busy = Reply::status(503).header("content-type", "text/html").body("<h1>Try later</h1>");
/// let accepted = Reply::ok();
/// let broken = Reply::disconnect(); // accepted or not: the client cannot know
/// let lost = Reply::hang(); // until the client's own time limit
/// # let _ = (busy, accepted, broken, lost);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "give it to `FakeService::reply` or `FakeService::otherwise`"]
pub struct Reply {
    pub(super) kind: Kind,
    pub(super) after: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// The connection ends without an answer.
    Disconnect,
    /// No answer, until the client gives up.
    Hang,
}

impl Reply {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            after: Duration::ZERO,
        }
    }

    /// An answer with this status and no body. A status outside of 100 to 999 is none that a client
    /// understands, which is a way to test just that.
    pub fn status(status: u16) -> Self {
        Self::new(Kind::Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        })
    }

    /// 200 without a body.
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// An answer with a JSON body.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::status(status)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    /// The connection ends after the request, without an answer.
    pub fn disconnect() -> Self {
        Self::new(Kind::Disconnect)
    }

    /// No answer: the connection stays open until the client or the service ends it.
    pub fn hang() -> Self {
        Self::new(Kind::Hang)
    }

    /// Adds a header. Line breaks in it become spaces. Replies that are no answer have none.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let clean = |text: String| text.replace(['\r', '\n'], " ");
        if let Kind::Answer { headers, .. } = &mut self.kind {
            headers.push((clean(name.into()), clean(value.into())));
        }
        self
    }

    /// Sets the body. Replies that are no answer have none.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        if let Kind::Answer { body, .. } = &mut self.kind {
            *body = bytes.into();
        }
        self
    }

    /// Answers this much later, by the clock of the machine. Default: at once.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }
}
