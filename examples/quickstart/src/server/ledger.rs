//! The received requests and the accepted changes: two append-only files, and the state derived
//! from them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use super::jsonl::{self, JsonLines};

/// An authenticated request as received.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Received {
    /// The position in the common order of both files.
    pub(crate) seq: u64,
    /// The requested change.
    #[serde(flatten)]
    pub(crate) request: Request,
}

/// An accepted change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Accepted {
    /// The position in the common order of both files.
    pub(crate) seq: u64,
    /// The requested change.
    #[serde(flatten)]
    pub(crate) request: Request,
    /// The entry's new content; none after a delete.
    pub(crate) content: Option<Content>,
}

/// A requested change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The idempotency key.
    pub(crate) key: Uuid,
    /// The user of the token.
    pub(crate) user: String,
    /// The entry.
    pub(crate) entity: Uuid,
    /// The operation.
    pub(crate) operation: Verb,
    /// The line of the input, according to the sender.
    pub(crate) line: u64,
}

/// The operation of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    /// POST
    Create,
    /// PUT
    Update,
    /// DELETE
    Delete,
}

/// The server's copy of an entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    /// From -1 to 1.
    pub(crate) valence: f64,
    /// The feelings by name.
    pub(crate) labels: Vec<String>,
    /// The time of the mood.
    pub(crate) logged_at: String,
}

/// All entries, by user and id.
pub(crate) type Entries = HashMap<(String, Uuid), Content>;

/// The reason why a request has no effect.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("valence {0:?} is out of range; it must be from -1 to 1")]
    OutOfRange(f64),
    #[error("there is no such entry")]
    NotFound,
    #[error("the entry exists already")]
    Exists,
    #[error("the request has no content")]
    Empty,
    #[error("the ledger cannot be written")]
    Storage(#[from] io::Error),
}

/// The files, and the state derived from them.
#[derive(Debug)]
pub(super) struct Ledger {
    received: JsonLines<Received>,
    accepted: JsonLines<Accepted>,
    next_seq: u64,
    /// The number of requests per key.
    sights: HashMap<Uuid, u32>,
    /// The accepted keys.
    done: HashSet<Uuid>,
    entries: Entries,
}

impl Ledger {
    /// Rebuilds the state from the files.
    pub(super) fn open(received: &Path, accepted: &Path) -> anyhow::Result<Self> {
        let (received, requests) = JsonLines::<Received>::open(received)?;
        let (accepted, changes) = JsonLines::<Accepted>::open(accepted)?;
        let last = requests.iter().map(|record| record.seq);
        let last = last.chain(changes.iter().map(|record| record.seq)).max();
        let mut sights = HashMap::new();
        for record in &requests {
            *sights.entry(record.request.key).or_default() += 1;
        }
        Ok(Self {
            received,
            accepted,
            next_seq: last.map_or(1, |last| last + 1),
            sights,
            done: changes.iter().map(|record| record.request.key).collect(),
            entries: entries(&changes),
        })
    }

    /// Records a request, and returns how often its key has been seen.
    pub(super) fn receive(&mut self, request: &Request) -> io::Result<u32> {
        self.received.append(&Received {
            seq: self.next_seq,
            request: request.clone(),
        })?;
        self.next_seq += 1;
        let sights = self.sights.entry(request.key).or_default();
        *sights += 1;
        Ok(*sights)
    }

    /// Whether a request with this key was accepted.
    pub(super) fn has_accepted(&self, key: Uuid) -> bool {
        self.done.contains(&key)
    }

    /// Applies a request once: it is in the file before anyone is told. The same key again changes
    /// nothing.
    pub(super) fn accept(
        &mut self,
        request: Request,
        content: Option<Content>,
    ) -> Result<(), Refusal> {
        if self.has_accepted(request.key) {
            return Ok(());
        }
        self.check(&request, content.as_ref())?;
        let record = Accepted {
            seq: self.next_seq,
            request,
            content,
        };
        self.accepted.append(&record)?;
        self.next_seq += 1;
        self.done.insert(record.request.key);
        apply(&mut self.entries, &record);
        Ok(())
    }

    fn check(&self, request: &Request, content: Option<&Content>) -> Result<(), Refusal> {
        let exists = self
            .entries
            .contains_key(&(request.user.clone(), request.entity));
        match (request.operation, content) {
            (Verb::Create | Verb::Update, None) => Err(Refusal::Empty),
            (_, Some(content)) if !(-1.0..=1.0).contains(&content.valence) => {
                Err(Refusal::OutOfRange(content.valence))
            }
            (Verb::Create, _) if exists => Err(Refusal::Exists),
            (Verb::Update | Verb::Delete, _) if !exists => Err(Refusal::NotFound),
            _ => Ok(()),
        }
    }
}

/// The entries after a history of accepted changes.
pub(crate) fn entries(changes: &[Accepted]) -> Entries {
    let mut entries = Entries::new();
    for change in changes {
        apply(&mut entries, change);
    }
    entries
}

fn apply(entries: &mut Entries, change: &Accepted) {
    let key = (change.request.user.clone(), change.request.entity);
    match &change.content {
        Some(content) => drop(entries.insert(key, content.clone())),
        None => drop(entries.remove(&key)),
    }
}

/// The records of both files on disk.
pub(crate) fn read(
    received: &Path,
    accepted: &Path,
) -> anyhow::Result<(Vec<Received>, Vec<Accepted>)> {
    Ok((jsonl::read(received)?, jsonl::read(accepted)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: Verb) -> Request {
        Request {
            key: Uuid::new_v4(),
            user: "ada".to_owned(),
            entity: Uuid::nil(),
            operation,
            line: 1,
        }
    }

    fn content(valence: f64) -> Option<Content> {
        Some(Content {
            valence,
            labels: vec!["happy".to_owned()],
            logged_at: "2026-03-01T06:30:00Z".to_owned(),
        })
    }

    #[test]
    fn everything_survives_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let (received, accepted) = (folder.path().join("r"), folder.path().join("a"));
        let create = request(Verb::Create);
        let mut ledger = Ledger::open(&received, &accepted).unwrap();
        assert_eq!(ledger.receive(&create).unwrap(), 1);
        ledger.accept(create.clone(), content(0.5)).unwrap();

        let mut ledger = Ledger::open(&received, &accepted).unwrap();
        assert_eq!(ledger.receive(&create).unwrap(), 2);
        ledger.accept(create.clone(), content(-0.5)).unwrap();
        ledger.accept(request(Verb::Update), content(0.7)).unwrap();

        let (received, accepted) = read(&received, &accepted).unwrap();
        assert_eq!(received.len(), 2);
        assert_eq!(accepted.len(), 2, "the same key has no second effect");
        let seqs: Vec<u64> = received.iter().map(|record| record.seq).collect();
        assert_eq!(seqs, [1, 3]);
        assert_eq!(accepted[1].seq, 4);
        assert_eq!(entries(&accepted).into_values().next(), content(0.7));
    }

    #[test]
    fn invalid_changes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&folder.path().join("r"), &folder.path().join("a")).unwrap();
        let mut accept = |verb, content| ledger.accept(request(verb), content);
        let refused = accept(Verb::Create, content(1.01));
        assert!(matches!(refused, Err(Refusal::OutOfRange(_))));
        let refused = accept(Verb::Delete, None);
        assert!(matches!(refused, Err(Refusal::NotFound)));
        accept(Verb::Create, content(1.0)).unwrap();
        let refused = accept(Verb::Create, content(1.0));
        assert!(matches!(refused, Err(Refusal::Exists)));
    }
}
