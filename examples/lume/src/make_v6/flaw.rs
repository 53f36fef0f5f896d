//! The flaws of V6 rows: every way in which a migration could lose one.

use super::life::{Entity, Kind, Row, Teller};
use super::{Verdict, payload};

/// A flaw.
#[derive(Debug, Clone, Copy)]
enum Flaw {
    DuplicateId,
    ExactDuplicate,
    PendingLife,
    DeleteWithoutBackendId,
    BackendIdNone,
    NumericDates,
    TruncatedJson,
    InvalidUtf8,
    EmptyPayload,
    UnknownType,
    GivenUp,
    DistantPast,
    NoId,
    NoEventType,
    NoStatus,
    NoCreatedAt,
    NoPayload,
    NoOwner,
}

const ALL: [Flaw; 18] = [
    Flaw::DuplicateId,
    Flaw::ExactDuplicate,
    Flaw::PendingLife,
    Flaw::DeleteWithoutBackendId,
    Flaw::BackendIdNone,
    Flaw::NumericDates,
    Flaw::TruncatedJson,
    Flaw::InvalidUtf8,
    Flaw::EmptyPayload,
    Flaw::UnknownType,
    Flaw::GivenUp,
    Flaw::DistantPast,
    Flaw::NoId,
    Flaw::NoEventType,
    Flaw::NoStatus,
    Flaw::NoCreatedAt,
    Flaw::NoPayload,
    Flaw::NoOwner,
];

/// Swift's `Date.distantPast`: the first day of the year 1 by the Julian calendar, in seconds since
/// 2001.
const DISTANT_PAST: f64 = -63_114_076_800.0;

/// Rows with the next flaw, their entity, and whether it is still stored.
pub(super) fn flawed(teller: &mut Teller, nth: usize) -> (Entity, Vec<Row>) {
    let flaw = ALL[nth % ALL.len()];
    let mut entity = teller.entity_of(match flaw {
        Flaw::NumericDates => Kind::Mood,
        _ if nth.is_multiple_of(2) => Kind::Mood,
        _ => Kind::Journal,
    });
    let saved = if entity.kind == Kind::Mood {
        "mood.created"
    } else {
        "journal.created"
    };
    let deleted = if entity.kind == Kind::Mood {
        "mood.deleted"
    } else {
        "journal.deleted"
    };
    let mut row = teller.row(&entity, saved, false);
    (row.status, row.retry_count, row.error, row.last_attempt) =
        (Some("pending"), Some(0), None, None);
    let rows = match flaw {
        Flaw::DuplicateId => {
            let mut other = teller.row(&entity, saved, false);
            other.id = row.id;
            vec![row, other]
        }
        Flaw::ExactDuplicate => {
            let mut copy = row.clone();
            copy.verdict = Verdict::AlreadyThere;
            vec![row, copy]
        }
        Flaw::PendingLife => {
            entity.deleted = true;
            let created =
                payload::mood_with_numeric_dates(&mut teller.rng, &entity, entity.created);
            row.payload = Some(created);
            row.event_type = Some("mood.created".to_owned());
            let update = Row {
                id: Some(teller.uuid()),
                event_type: Some("mood.updated".to_owned()),
                ..row.clone()
            };
            let delete = teller.row(&entity, "mood.deleted", false);
            vec![row, update, delete]
        }
        Flaw::DeleteWithoutBackendId => vec![teller.row(&entity, deleted, false)],
        Flaw::BackendIdNone => {
            row.event_type = Some(deleted.to_owned());
            row.payload = Some(payload::deleted_with_sentinel(&mut teller.rng, &entity));
            vec![row]
        }
        Flaw::NumericDates => {
            let payload =
                payload::mood_with_numeric_dates(&mut teller.rng, &entity, entity.created);
            row.payload = Some(payload);
            vec![row]
        }
        Flaw::TruncatedJson => {
            if let Some(payload) = &mut row.payload {
                payload.truncate(payload.len() / 2);
            }
            vec![rejected(row)]
        }
        Flaw::InvalidUtf8 => {
            if let Some(payload) = &mut row.payload {
                payload.splice(1..1, [0xff, 0xfe]);
            }
            vec![rejected(row)]
        }
        Flaw::EmptyPayload => {
            row.payload = Some(Vec::new());
            vec![rejected(row)]
        }
        Flaw::UnknownType => {
            row.event_type = Some("profile.updated".to_owned());
            vec![rejected(row)]
        }
        Flaw::GivenUp => {
            row.status = Some("completed");
            row.retry_count = Some(5);
            row.error = Some("HTTP 400");
            row.completed = row.created;
            vec![row]
        }
        Flaw::DistantPast => {
            row.created = Some(DISTANT_PAST);
            vec![row]
        }
        Flaw::NoId => {
            row.id = None;
            vec![rejected(row)]
        }
        Flaw::NoEventType => {
            row.event_type = None;
            vec![rejected(row)]
        }
        Flaw::NoStatus => {
            row.status = None;
            vec![rejected(row)]
        }
        Flaw::NoCreatedAt => {
            row.created = None;
            vec![rejected(row)]
        }
        Flaw::NoPayload => {
            row.payload = None;
            vec![rejected(row)]
        }
        Flaw::NoOwner => {
            entity.deleted = true;
            vec![rejected(teller.row(&entity, deleted, false))]
        }
    };
    (entity, rows)
}

fn rejected(mut row: Row) -> Row {
    row.verdict = Verdict::Rejected;
    row
}
