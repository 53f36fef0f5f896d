//! Promises of `#[derive(DeliveryError)]`.
#![allow(clippy::unwrap_used, reason = "test helpers are test code too")]

use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::{Delivery, Scope};
use thiserror::Error;

const WAIT: Duration = Duration::from_secs(7);

#[derive(Debug, Error, DeliveryError)]
enum SyncError {
    #[error("no connection")]
    #[outbox(offline)]
    NoConnection,
    #[error("token expired")]
    #[outbox(unauthenticated)]
    TokenExpired,
    #[error("slow down")]
    #[outbox(rate_limited(after = wait))]
    Throttled { limit: u32, wait: Duration },
    #[error("server said {0}")]
    #[outbox(retry)]
    Server(u16),
    #[error("busy: {0}")]
    #[outbox(retry(after = 1))]
    Busy(&'static str, Option<Duration>),
    #[error("restarting")]
    #[outbox(retry(after = 0))]
    Restarting(Duration),
    #[error("rejected: {0}")]
    #[outbox(permanent)]
    Rejected(String),
    #[error("already gone")]
    #[outbox(obsolete)]
    Gone,
    #[error("the photo is not uploaded yet")]
    #[outbox(snooze(after = r#in))]
    PhotoFirst { r#in: Duration },
    #[error(transparent)]
    #[outbox(transparent)]
    Login(#[from] LoginError),
}

#[derive(Debug, Error, DeliveryError)]
#[error("logged out of {realm}")]
#[outbox(unauthenticated)]
struct LoginError {
    realm: String,
}

#[test]
fn every_variant_has_the_answer_of_its_class() {
    let retry = |after| Delivery::Retry { after };
    for (error, expected) in [
        (SyncError::NoConnection, Delivery::Offline),
        (SyncError::TokenExpired, Delivery::Unauthenticated),
        (SyncError::Server(502), retry(None)),
        (SyncError::Rejected("no".to_owned()), Delivery::Permanent),
        (SyncError::Gone, Delivery::Obsolete),
    ] {
        assert_eq!(error.delivery(), expected, "{error}");
    }
}

#[test]
fn the_delay_comes_from_the_named_field() {
    let throttled = SyncError::Throttled {
        limit: 3,
        wait: WAIT,
    };
    assert_eq!(throttled.delivery(), Delivery::RateLimited { after: WAIT });
    let photo = SyncError::PhotoFirst { r#in: WAIT };
    assert_eq!(photo.delivery(), Delivery::Snooze { duration: WAIT });
    let after = Some(WAIT);
    assert_eq!(
        SyncError::Restarting(WAIT).delivery(),
        Delivery::Retry { after }
    );
    for after in [None, Some(WAIT)] {
        let busy = SyncError::Busy("database", after);
        assert_eq!(busy.delivery(), Delivery::Retry { after });
    }
}

#[test]
fn a_transparent_variant_answers_what_its_error_answers() {
    let login = LoginError {
        realm: "eu".to_owned(),
    };
    assert_eq!(login.delivery(), Delivery::Unauthenticated);
    assert_eq!(SyncError::from(login).delivery(), Delivery::Unauthenticated);
}

#[test]
fn a_question_mark_in_a_handler_keeps_the_answer_and_the_words() {
    fn handler() -> Result<(), HandlerError> {
        let sent: Result<(), SyncError> = Err(SyncError::Rejected("no title".to_owned()));
        Ok(sent?)
    }
    let error = handler().unwrap_err();
    assert_eq!(error.delivery(), Delivery::Permanent);
    assert_eq!(error.to_string(), "rejected: no title");
}

/// A struct may take its delay from a field, too.
#[derive(Debug, Error, DeliveryError)]
#[error("too many requests")]
#[outbox(rate_limited(after = 0), crate = ::outbox_runtime)]
struct TooMany(Duration);

#[test]
fn a_struct_has_one_answer() {
    assert_eq!(
        TooMany(WAIT).delivery(),
        Delivery::RateLimited { after: WAIT }
    );
}

#[derive(Debug, Error, DeliveryError)]
enum Wrapping<E, const N: usize>
where
    E: std::error::Error,
{
    #[error("{0}")]
    #[outbox(transparent)]
    Inner(E),
    #[error("{0:?}")]
    #[outbox(permanent)]
    Other([u8; N]),
}

#[derive(Debug, Error, DeliveryError)]
#[error(transparent)]
#[outbox(transparent)]
struct Boxed(#[from] Box<SyncError>);

#[test]
fn a_generic_error_answers_where_its_parameter_does() {
    let inner: Wrapping<SyncError, 1> = Wrapping::Inner(SyncError::Gone);
    assert_eq!(inner.delivery(), Delivery::Obsolete);
    let other: Wrapping<SyncError, 1> = Wrapping::Other([7]);
    assert_eq!(other.delivery(), Delivery::Permanent);
}

#[test]
fn a_boxed_error_answers_like_its_content() {
    assert_eq!(
        Boxed::from(Box::new(SyncError::Gone)).delivery(),
        Delivery::Obsolete
    );
}

#[derive(Debug, Error, DeliveryError)]
enum Outage {
    #[error("the service is down")]
    #[outbox(unavailable)]
    Down,
    #[error("the service restarts")]
    #[outbox(unavailable(after = 0))]
    Restarting(Duration),
    #[error("the service says when, or not")]
    #[outbox(unavailable(after = when, scope = "user"))]
    Maintenance { when: Option<Duration> },
    #[error("the quota of this user is used up")]
    #[outbox(rate_limited(scope = "user", after = 0))]
    Quota(Duration),
    #[error("too many requests")]
    #[outbox(rate_limited(after = wait, destination = host))]
    Throttled { host: String, wait: Duration },
    #[error("no route to {0}")]
    #[outbox(offline(destination = 0))]
    NoRoute(&'static str),
    #[error("no connection")]
    #[outbox(offline(scope = "destination"))]
    NoConnection,
    #[error("no VPN")]
    #[outbox(offline(scope = Scope::User))]
    NoVpn,
    #[error("wrong password")]
    #[outbox(unauthenticated)]
    WrongPassword,
    #[error(transparent)]
    #[outbox(transparent)]
    Other(Box<Outage>),
}

#[test]
fn an_outage_is_unavailable_until_the_time_in_the_field() {
    let unavailable = |after| Delivery::Unavailable { after };
    for (error, after) in [
        (Outage::Down, None),
        (Outage::Restarting(WAIT), Some(WAIT)),
        (Outage::Maintenance { when: None }, None),
        (Outage::Maintenance { when: Some(WAIT) }, Some(WAIT)),
    ] {
        assert_eq!(error.delivery(), unavailable(after), "{error}");
    }
}

#[test]
fn the_scope_comes_from_the_variant_and_defaults_to_the_destination() {
    let named = |name: &str| Scope::Named(name.to_owned());
    let host = "api.example.com".to_owned();
    for (error, expected) in [
        (Outage::Down, Scope::Destination),
        (Outage::Restarting(WAIT), Scope::Destination),
        (Outage::Maintenance { when: None }, Scope::User),
        (Outage::Quota(WAIT), Scope::User),
        (
            Outage::Throttled { host, wait: WAIT },
            named("api.example.com"),
        ),
        (
            Outage::NoRoute("files.example.com"),
            named("files.example.com"),
        ),
        (Outage::NoConnection, Scope::Destination),
        (Outage::NoVpn, Scope::User),
        (Outage::WrongPassword, Scope::Destination),
        (Outage::Other(Box::new(Outage::Quota(WAIT))), Scope::User),
    ] {
        assert_eq!(error.scope(), expected, "{error}");
        let answer = HandlerError::from(error);
        assert_eq!(
            *answer.scope(),
            expected,
            "the question mark keeps the scope"
        );
    }
    assert_eq!(SyncError::NoConnection.scope(), Scope::Destination);
}

#[derive(Debug, Error, DeliveryError)]
enum Never {}

#[test]
fn an_error_that_cannot_happen_needs_no_answer() {
    let sent: Result<(), Never> = Ok(());
    let answered: Result<(), HandlerError> = sent.map_err(HandlerError::from);
    assert!(answered.is_ok());
}
